"""One pass of a policy over rollouts: the log-probability and the residuals of every completion token.

Whoever wrote the text, the reader is one policy: most often the frozen base, which training cannot move.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.features.families import TokenSelector
from interp.policy.policy import Policy
from interp.policy.residual import Layer
from interp.rollouts.record import Rollout

MICRO_TOKENS = 4096
"""Tokens of one forward pass."""
ENTRIES = 2**22
"""Numbers that are made of tokens at once."""


@dataclass(frozen=True)
class Reading:
    """What a policy says at the N completion tokens of some rollouts, one rollout after another, on the CPU."""

    rollouts: Sequence[Rollout]
    rollout_N: Int[Tensor, " N"]
    """Index of the rollout of each token."""
    logprob_N: Float[Tensor, " N"]
    """Log-probability of each token under the reader."""
    residuals: Mapping[Layer, Float[Tensor, "N D"]]
    prompt_ends: Mapping[Layer, Float[Tensor, "B D"]]
    """Residuals at the last token of each prompt."""

    def residuals_at(self, layer: Layer, selector: TokenSelector) -> tuple[Float[Tensor, "S D"], Int[Tensor, " S"]]:
        """The residuals at the tokens that a selector chooses, and the rollout of each. The last token of a prompt is
        chosen by what follows it: the token before a direct answer is one of the question."""
        selected_N = self.selected(selector)
        first_roles = [rollout.roles[0] if rollout.roles else "" for rollout in self.rollouts]
        is_end_B = torch.tensor([not selector.roles and role in selector.next_roles for role in first_roles]).bool()
        x_SD = torch.cat([self.residuals[layer][selected_N], self.prompt_ends[layer][is_end_B]])
        return x_SD, torch.cat([self.rollout_N[selected_N], is_end_B.nonzero()[:, 0]])

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
        flags = [flag for rollout in self.rollouts for flag in selector.mask(rollout.roles)]
        return torch.tensor(flags, dtype=torch.bool)

    def mean_by_rollout(self, x_NF: Float[Tensor, "N F"], selected_N: Bool[Tensor, " N"]) -> Float[Tensor, "B F"]:
        """The mean of `x_NF` over each rollout's selected tokens; NaN where it has none."""
        return self.mean_of(x_NF[selected_N], self.rollout_N[selected_N])

    def min_by_rollout(self, x_N: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
        """The least of each rollout's tokens; NaN where it has none."""
        least_B = torch.full((len(self.rollouts),), torch.inf, dtype=torch.float64)
        least_B = least_B.scatter_reduce(0, self.rollout_N, x_N.double(), "amin")
        return torch.where(least_B.isinf(), torch.nan, least_B)


@torch.no_grad()
def read_rollouts(
    reader: Policy | None, rollouts: Sequence[Rollout], layers: Sequence[Layer] = (), *, logprobs: bool = True
) -> Reading:
    """Have `reader` read completions, as far as is asked for. Without a reader, only the text itself can be read.

    `read_completions` takes both from one forward pass."""
    lengths = torch.tensor([len(rollout.tokens) for rollout in rollouts], dtype=torch.long)
    rollout_N = torch.arange(len(rollouts)).repeat_interleave(lengths)
    if reader is None or not (layers or logprobs) or not len(rollout_N):
        d_model = 0 if reader is None else reader.d_model
        empty = {layer: torch.full((len(rollout_N), d_model), torch.nan) for layer in layers}
        ends = {layer: torch.full((len(rollouts), d_model), torch.nan) for layer in layers}
        return Reading(rollouts, rollout_N, torch.full((len(rollout_N),), torch.nan), empty, ends)
    prompts, completions = [row.prompt_ids for row in rollouts], [row.tokens for row in rollouts]
    read = reader.read_completions(prompts, completions, layers, micro_tokens=MICRO_TOKENS)
    return Reading(rollouts, rollout_N, read.logprob_N, read.residuals, read.prompt_ends)
