"""What is told of a latent, and the sums by prompt that it is told from.

rate      the share of tokens at which it is on
strength  its mean activation over all tokens
height    its mean activation over the tokens at which it is on: strength is rate times height
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.bootstrap import Sums, change
from interp.tracking.changes import Judged, judged
from interp.tracking.grouped import Grouped
from interp.tracking.heights import Firing, change_of_height, compared_in

RATE, STRENGTH, HEIGHT = MEASURES = ("rate", "strength", "height")
MATCHED = ("outcome", "length")


def ratio(measure: str, *, active: Tensor, mass: Tensor, tokens: Tensor) -> Tensor:
    """From sums. A height is NaN where a latent is never on."""
    above, below = {RATE: (active, tokens), STRENGTH: (mass, tokens), HEIGHT: (mass, active)}[measure]
    return above / below


@dataclass(frozen=True)
class Summed:
    """One bucket, as checkpoints read it."""

    sums: Sums
    on_PF: Bool[Tensor, "P F"]
    """Where each latent was on at all, at any checkpoint."""

    def judged(self, contrast_T: Float[np.ndarray, " T"], *, among: Sequence[int] = (), start: int = 0) -> Judged:
        """Seen is a latent at the prompts at which it was on at any checkpoint; for its height, which it has only where
        it is on, at as many as at the rarest of the checkpoints that are compared."""
        if isinstance(self.sums, Firing):
            told = change_of_height(self.sums, contrast_T, among=among)
            on_TPF = (self.sums.active_TSPF[compared_in(contrast_T, among)] > 0).any(1)
            seen_F = on_TPF.sum(1).min(0).values
        else:
            told, seen_F = change(self.sums, contrast_T, among=among), self.on_PF.sum(0)
        return judged(told, seen_F.numpy(), start=start)


def summed(tables: Iterable[Grouped], bucket: str, prompts: int, measure: str, match: Sequence[str]) -> Summed:
    """Of the tables of checkpoints that read the same problems, held one at a time."""
    parts, seen_PF = list[dict[tuple[Any, ...], list[Tensor]]](), None
    for table in tables:
        rows = [row for row, key in enumerate(table.keys) if key[0] == bucket]
        strata = [tuple(table.keys[row][table.names.index(name)] for name in match) for row in rows]
        prompt_R = torch.tensor([table.keys[row][1] for row in rows], dtype=torch.int64)
        prompts = max([prompts, *(prompt_R + 1).tolist()])  # the probe text may be of more than were asked on-policy
        held = {RATE: [table.active_RF], STRENGTH: [table.mass_RF], HEIGHT: [table.mass_RF, table.active_RF]}[measure]
        held = [held_RF[rows].float() for held_RF in held]
        parts.append({})
        for stratum in set(strata):
            mine = torch.tensor([told == stratum for told in strata])
            zeros_PF = torch.zeros(prompts, table.width)
            told = [zeros_PF.index_add(0, prompt_R[mine], held_RF[mine]) for held_RF in held]
            tokens_P = torch.zeros(prompts).index_add_(0, prompt_R[mine], table.tokens_R[rows][mine].float())
            parts[-1][stratum] = [tokens_P, *told]
        on_PF = torch.zeros(prompts, table.width, dtype=torch.bool)
        on_PF.index_put_((prompt_R,), table.active_RF[rows] > 0, accumulate=True)
        seen_PF = on_PF if seen_PF is None else seen_PF | on_PF
    assert seen_PF is not None, "there is a checkpoint at least"
    every = sorted({stratum for part in parts for stratum in part}) or [()]
    nothing_PF = torch.zeros(seen_PF.shape)
    none = [nothing_PF[:, 0], nothing_PF, nothing_PF]
    tokens_TSP, amount_TSPF, *active = (
        torch.stack([torch.stack([part.get(stratum, none)[at] for stratum in every]) for part in parts])
        for at in range(3 if measure == HEIGHT else 2)
    )
    sums = Firing(amount_TSPF, tokens_TSP, *active) if active else Sums(amount_TSPF, tokens_TSP)
    return Summed(sums, seen_PF)
