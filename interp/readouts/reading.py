"""One pass of a policy over rollouts: the log-probability of every completion token, and the residuals that are read.

Whoever wrote the text, the reader is one policy: most often the frozen base, which training cannot move. Sources say
which tokens of which layer they read (`Place`); a reading keeps the residuals of these tokens alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.features.families import TokenSelector
from interp.policy.policy import Policy
from interp.policy.residual import Layer
from interp.rollouts.record import Rollout

MICRO_TOKENS = 4096
"""Tokens of one forward pass."""
ENTRIES = 2**22
"""Numbers that are made of tokens at once."""


class Place(NamedTuple):
    """The tokens of a layer whose residuals are read."""

    layer: Layer
    selector: TokenSelector = TokenSelector()
    """By default all tokens."""


@dataclass(frozen=True)
class Reading:
    """What a policy says at the N completion tokens of some rollouts, one rollout after another, on the CPU."""

    rollouts: Sequence[Rollout]
    rollout_N: Int[Tensor, " N"]
    """Index of the rollout of each token."""
    logprob_N: Float[Tensor, " N"]
    """Log-probability of each token under the reader."""
    residuals: Mapping[Layer, Float[Tensor, "K D"]]
    """Residuals of each layer, at the tokens that were kept there."""
    prompt_ends: Mapping[Layer, Float[Tensor, "B D"]]
    """Residuals at the last token of each prompt."""
    token_masks: Mapping[Layer, Bool[Tensor, " N"]] = field(default_factory=dict)
    """The tokens that were kept of a layer; all, where it is not named."""
    _selected: dict[TokenSelector, Tensor] = field(init=False, repr=False, compare=False, default_factory=dict)

    def residuals_at(self, layer: Layer, selector: TokenSelector) -> tuple[Float[Tensor, "S D"], Int[Tensor, " S"]]:
        """The residuals at the tokens that a selector chooses, and the rollout of each. The last token of a prompt is
        chosen by what follows it: the token before a direct answer is one of the question."""
        selected_N = self.selected(selector)
        first_roles = [rollout.roles[0] if rollout.roles else "" for rollout in self.rollouts]
        is_end_B = torch.tensor([not selector.roles and role in selector.next_roles for role in first_roles]).bool()
        x_SD = torch.cat([self.token_residuals(layer, selected_N), self.prompt_ends[layer][is_end_B]])
        return x_SD, torch.cat([self.rollout_N[selected_N], is_end_B.nonzero()[:, 0]])

    def token_residuals(self, layer: Layer, selected_N: Bool[Tensor, " N"]) -> Float[Tensor, "S D"]:
        """The residuals at some completion tokens."""
        if layer not in self.residuals:
            raise BadInput(f"expected a layer that was read, {', '.join(map(str, self.residuals))}; got {layer}")
        kept_N = self.token_masks.get(layer)
        if kept_N is None:
            return self.residuals[layer][selected_N]
        if bool((selected_N & ~kept_N).any()):
            raise BadInput(
                f"expected tokens whose residuals of layer {layer} were kept, got others: a source states all that it "
                "reads in `places`"
            )
        return self.residuals[layer][selected_N[kept_N]]

    def mean_of(
        self,
        x_SD: Float[Tensor, "S D"],
        rollout_S: Int[Tensor, " S"],
        encode: Callable[[Float[Tensor, "n D"]], Float[Tensor, "n F"]] = lambda x_nD: x_nD,
    ) -> Float[Tensor, "B F"]:
        """The mean of `encode(x_SD)` over the rows of each rollout; NaN where it has none.

        Rows are encoded a few at a time: a wide dictionary makes much of each."""
        counts_B = torch.bincount(rollout_S, minlength=len(self.rollouts))
        width = encode(x_SD[:0]).shape[1]
        sums_BF = torch.zeros(len(self.rollouts), width, dtype=torch.float64)
        for at in torch.arange(len(x_SD)).split(max(1, ENTRIES // max(width, 1))):
            sums_BF.index_add_(0, rollout_S[at], encode(x_SD[at]).double().cpu())
        return sums_BF / torch.where(counts_B > 0, counts_B, torch.nan)[:, None]

    def selected(self, selector: TokenSelector) -> Bool[Tensor, " N"]:
        """Which tokens a selector chooses."""
        if selector not in self._selected:
            self._selected[selector] = select_tokens(self.rollouts, selector)
        return self._selected[selector]

    def mean_by_rollout(self, x_NF: Float[Tensor, "N F"], selected_N: Bool[Tensor, " N"]) -> Float[Tensor, "B F"]:
        """The mean of `x_NF` over each rollout's selected tokens; NaN where it has none."""
        return self.mean_of(x_NF[selected_N], self.rollout_N[selected_N])

    def min_by_rollout(self, x_N: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
        """The least of each rollout's tokens; NaN where it has none."""
        least_B = torch.full((len(self.rollouts),), torch.inf, dtype=torch.float64)
        least_B = least_B.scatter_reduce(0, self.rollout_N, x_N.double(), "amin")
        return torch.where(least_B.isinf(), torch.nan, least_B)


def select_tokens(rollouts: Sequence[Rollout], selector: TokenSelector) -> Bool[Tensor, " N"]:
    """Which completion tokens of some rollouts a selector chooses."""
    flags = [flag for rollout in rollouts for flag in selector.mask(rollout.roles)]
    return torch.tensor(flags, dtype=torch.bool)


@torch.no_grad()
def read_rollouts(
    reader: Policy | None, rollouts: Sequence[Rollout], places: Sequence[Layer | Place] = (), *, logprobs: bool = True
) -> Reading:
    """Have `reader` read completions, as far as is asked for. Without a reader, only the text itself can be read.

    A layer among the places means all of its tokens. `read_completions` takes everything from one forward pass."""
    lengths = torch.tensor([len(rollout.tokens) for rollout in rollouts], dtype=torch.long)
    rollout_N = torch.arange(len(rollouts)).repeat_interleave(lengths)
    masks = _token_masks(rollouts, [place if isinstance(place, Place) else Place(place) for place in places])
    if reader is None or not (masks or logprobs) or not len(rollout_N):
        d_model = 0 if reader is None else reader.d_model
        empty = {layer: torch.full((int(kept_N.sum()), d_model), torch.nan) for layer, kept_N in masks.items()}
        ends = {layer: torch.full((len(rollouts), d_model), torch.nan) for layer in masks}
        return Reading(rollouts, rollout_N, torch.full((len(rollout_N),), torch.nan), empty, ends, masks)
    prompts, completions = [row.prompt_ids for row in rollouts], [row.tokens for row in rollouts]
    read = reader.read_completions(prompts, completions, masks, logprobs=logprobs, micro_tokens=MICRO_TOKENS)
    return Reading(rollouts, rollout_N, read.logprob_N, read.residuals, read.prompt_ends, masks)


def _token_masks(rollouts: Sequence[Rollout], places: Sequence[Place]) -> dict[Layer, Bool[Tensor, " N"]]:
    """The tokens of each layer at which any place is."""
    selected = {selector: select_tokens(rollouts, selector) for selector in dict.fromkeys(at.selector for at in places)}
    masks: dict[Layer, Tensor] = {}
    for layer, selector in dict.fromkeys(places):
        masks[layer] = masks[layer] | selected[selector] if layer in masks else selected[selector]
    return masks
