"""The three measures of a latent, and the sums by prompt from which their changes are estimated.

firing_rate        share of tokens at which the latent is active        active / tokens
mean_activation    its mean activation over all tokens                  sum / tokens
mean_when_active   its mean activation over tokens where it is active   sum / active

mean_activation = firing_rate * mean_when_active.

With `match`, strata (outcomes, lengths, or both) are compared cell by cell: each prompt x stratum with itself
(`interp.stats.cells`). Matching by stratum alone would let outcomes select the problems: after training, other problems
are answered validly, and what differs between problems would look like a change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.stats.bootstrap import PromptSums, compared_checkpoints, estimate_changes
from interp.stats.when_active import ActiveSums, estimate_active_changes
from interp.tracking.activation_sums import ActivationSums
from interp.tracking.verdicts import LatentVerdicts, assign_verdicts

FIRING_RATE, MEAN_ACTIVATION, MEAN_WHEN_ACTIVE = MEASURES = ("firing_rate", "mean_activation", "mean_when_active")
MATCHABLE = ("outcome", "length")
"""Properties of a rollout that can be matched."""


def expect_measure(measure: str) -> None:
    if measure not in MEASURES:
        raise BadInput(f"measure must be one of {', '.join(MEASURES)}; got {measure!r}")


def expect_matchable(match: Sequence[str]) -> None:
    if set(match) - set(MATCHABLE):
        raise BadInput(f"match must be some of {', '.join(MATCHABLE)}; got {list(match)}")


def measure_from_sums(measure: str, *, tokens: Tensor, active: Tensor, total: Tensor) -> Tensor:
    """A measure from sums over tokens. mean_when_active is NaN where a latent is never active."""
    numerator, denominator = {
        FIRING_RATE: (active, tokens),
        MEAN_ACTIVATION: (total, tokens),
        MEAN_WHEN_ACTIVE: (total, active),
    }[measure]
    return numerator / denominator


@dataclass(frozen=True)
class BucketSums:
    """Sums of one bucket by checkpoint, stratum, prompt and latent."""

    sums: PromptSums
    """`ActiveSums` for mean_when_active."""
    is_active_PF: Bool[Tensor, "P F"]
    """Whether a latent was active at a prompt, at any checkpoint."""
    is_matched: bool = False

    def verdicts(
        self, weights_T: Float[np.ndarray, " T"], *, also_compared: Sequence[int] = (), reference: int = 0
    ) -> LatentVerdicts:
        """Verdict on the change of every latent: the sum over checkpoints of `weights_T` times its measure.

        Cells have to occur at the checkpoints in `also_compared` too, so that several changes are estimated on the same
        text. `reference` is the checkpoint whose value sets the margin of equivalence."""
        compared = compared_checkpoints(weights_T, also_compared)
        if isinstance(self.sums, ActiveSums):
            change = estimate_active_changes(self.sums, weights_T, by_cell=self.is_matched, also_compared=also_compared)
        else:
            change = estimate_changes(self.sums, weights_T, by_cell=self.is_matched, also_compared=also_compared)
        return assign_verdicts(change, self._active_prompts(compared).numpy(), reference=reference)

    def _active_prompts(self, compared: list[int]) -> Int[Tensor, " F"]:
        """Prompts at which each latent is active, where it can be compared: at any checkpoint; for mean_when_active at
        each, by checkpoint the fewest, or by cell."""
        sums = self.sums
        if isinstance(sums, ActiveSums):
            is_active_TSPF = sums.active_TSPF[compared] > 0
            if self.is_matched:
                return is_active_TSPF.all(0).any(0).sum(0)
            return is_active_TSPF.any(1).sum(1).min(0).values
        if not self.is_matched:
            return self.is_active_PF.sum(0)
        is_common_SP = (sums.tokens_TSP[compared] > 0).all(0)
        is_active_SPF = (sums.amount_TSPF[compared] > 0).any(0) & is_common_SP[..., None]
        return is_active_SPF.any(0).sum(0)


def bucket_sums(
    tables: Iterable[ActivationSums], bucket: str, prompts: int, measure: str, match: Sequence[str] = ()
) -> BucketSums:
    """Sums of one bucket from the tables by prompt of several checkpoints, which are held one at a time.

    `prompts` is the number of prompts in the bucket on-policy; the probe corpus may have more."""
    by_checkpoint, is_active_PF = list[dict[tuple[Any, ...], list[Tensor]]](), None
    for table in tables:
        rows = [row for row, key in enumerate(table.keys) if key[0] == bucket]
        strata = [tuple(table.keys[row][table.key_names.index(name)] for name in match) for row in rows]
        prompt_R = torch.tensor([table.keys[row][1] for row in rows], dtype=torch.int64)
        prompts = max([prompts, *(prompt_R + 1).tolist()])
        amounts = {
            FIRING_RATE: [table.active_RF],
            MEAN_ACTIVATION: [table.sum_RF],
            MEAN_WHEN_ACTIVE: [table.sum_RF, table.active_RF],
        }[measure]
        amounts = [amount_RF[rows].float() for amount_RF in amounts]
        by_checkpoint.append({})
        for stratum in set(strata):
            in_stratum_R = torch.tensor([each == stratum for each in strata])
            zeros_PF = torch.zeros(prompts, table.width)
            amounts_PF = [zeros_PF.index_add(0, prompt_R[in_stratum_R], each[in_stratum_R]) for each in amounts]
            tokens_R = table.tokens_R[rows][in_stratum_R].float()
            tokens_P = torch.zeros(prompts).index_add_(0, prompt_R[in_stratum_R], tokens_R)
            by_checkpoint[-1][stratum] = [tokens_P, *amounts_PF]
        is_active_now_PF = torch.zeros(prompts, table.width, dtype=torch.bool)
        is_active_now_PF.index_put_((prompt_R,), table.active_RF[rows] > 0, accumulate=True)
        is_active_PF = is_active_now_PF if is_active_PF is None else is_active_PF | is_active_now_PF
    assert is_active_PF is not None, "expected the table of one checkpoint or more"
    strata = sorted({stratum for parts in by_checkpoint for stratum in parts}) or [()]
    zeros_PF = torch.zeros(is_active_PF.shape)
    absent = [zeros_PF[:, 0], zeros_PF, zeros_PF]
    tokens_TSP, amount_TSPF, *active = (
        torch.stack([torch.stack([parts.get(stratum, absent)[part] for stratum in strata]) for parts in by_checkpoint])
        for part in range(3 if measure == MEAN_WHEN_ACTIVE else 2)
    )
    sums = ActiveSums(amount_TSPF, tokens_TSP, *active) if active else PromptSums(amount_TSPF, tokens_TSP)
    return BucketSums(sums, is_active_PF, is_matched=bool(match))
