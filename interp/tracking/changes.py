"""Which latents a bucket strengthened, which it weakened, and which of that chance would have found too.

How much the height of latents has changed: how strong each is in the mean where it is on.

A height is a ratio of sums over prompts too: how much of a latent there was, over the tokens at which it was on. The
denominator is each latent's own, and so is all that hangs on it: which strata can be compared, how they are weighed,
how many prompts stand behind an interval. It is those prompts that give it its freedom. (Simulated, of latents that do
not change and are on at 5 prompts of 64: with the freedom of 64, 1 in 100 has p < 0.001; with their own, none has.) A
draw in which a latent is never on has no height, and is left out of its spread.

Matched, heights are told at the base's mix: strata are weighed by the base's own tokens at which that latent was on,
and not by all its tokens. Left out, for each latent, are strata in which a checkpoint has it on at too few prompts.

What is told of a latent, and the sums by prompt that it is told from.

rate      the share of tokens at which it is on
strength  its mean activation over all tokens
height    its mean activation over the tokens at which it is on: strength is rate times height
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.bootstrap import (
    DRAWS,
    LEAST_COMMON,
    LEAST_PROMPTS,
    Change,
    Sums,
    benjamini_hochberg,
    change,
    held_by_all,
    resampled,
    students,
)
from interp.tracking.activation_sums import Grouped

if TYPE_CHECKING:
    import polars as pl


FALSE_DISCOVERY_RATE = 0.05
"""Of false discoveries."""
LEAST_SEEN = 5
"""Prompts at which a latent has to be on, at any checkpoint (for its height, at each): rarer ones are not judged."""
LEVEL_TO = 0.2
"""Of what it was: a change whose whole interval is no larger counts as none."""
STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED = "strengthened", "weakened", "unchanged", "undecided"
RARE, FEW = "too rare", "too few prompts"
"""FEW, where strata are matched, also: too little in common to compare."""
VERDICTS = (STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED, RARE, FEW)
CHANCE, SAME_TEXT = "base and base", "same text"
"""What stands beside a change: what is found where nothing has changed, and what is found on identical tokens."""


@dataclass(frozen=True)
class Judged:
    """The latents of one bucket."""

    change: Change
    seen_F: Int[np.ndarray, " F"]
    """Prompts at which each was on."""
    q_F: Float[np.ndarray, " F"]
    verdict_F: np.ndarray

    def counts(self) -> dict[str, int]:
        return {verdict: int((self.verdict_F == verdict).sum()) for verdict in VERDICTS}


def judged(change: Change, seen_F: Int[np.ndarray, " F"], *, start: int = 0) -> Judged:
    """Changed: at a false-discovery rate of `FALSE_DISCOVERY_RATE` over the latents of the bucket that are not too rare. Unchanged is
    only what is shown to be: where the interval is wide it stays undecided. Small is a change as against the strength
    at the `start`-th checkpoint."""
    few = change.prompts < LEAST_PROMPTS or change.common < LEAST_COMMON
    rare_F = (seen_F < LEAST_SEEN) | (np.abs(change.strength_TF).max(0) == 0)
    q_F = benjamini_hochberg(np.where(rare_F, np.nan, change.p_F))
    start_F = np.abs(change.strength_TF[start])
    level_F = np.maximum(np.abs(change.low_F), np.abs(change.high_F)) <= LEVEL_TO * start_F
    verdict_F = np.where(level_F, UNCHANGED, UNDECIDED)
    changed_F = (q_F <= FALSE_DISCOVERY_RATE) & ~level_F
    verdict_F = np.where(changed_F & (change.value_F > 0), STRENGTHENED, verdict_F)
    verdict_F = np.where(changed_F & (change.value_F < 0), WEAKENED, verdict_F)
    verdict_F = np.where(rare_F, RARE, np.where(np.isnan(change.p_F), FEW, verdict_F))
    return Judged(change, seen_F, q_F, np.full(len(seen_F), FEW) if few else verdict_F)


@dataclass(frozen=True, repr=False)
class Changes:
    buckets: dict[str, Judged]
    control: dict[str, Judged] | None
    """Between two sets of the base's own answers. None on text that is the same for all: there is nothing to draw."""
    same_text: dict[str, Judged] | None
    """Of the same checkpoints, on text that is the same for all: what is read differently, whoever wrote it. None where
    that is what is told in the first place."""
    steps: tuple[int, ...]
    corpus: str
    measure: str
    over: str
    matched: tuple[str, ...]
    role_F: tuple[str, ...] | None = None
    """Of each latent, where roles are known."""

    def __repr__(self) -> str:
        what, buckets = f"{self.measure} of {self.corpus} text", ", ".join(self.buckets)
        return f"Changes({what}, steps {self.steps[0]} to {self.steps[-1]}, buckets {buckets})"

    def by_role(self) -> "pl.DataFrame":
        """The same counts, for each role by itself: which families a bucket strengthened."""
        import polars as pl

        if self.role_F is None:
            raise BadInput("expected to be told which role each latent has, got none: tracks.changes(roles=)")
        role_F, rows = np.array(self.role_F), []
        for bucket, between, judged in self._judged():
            for role in sorted(set(self.role_F), key=lambda role: (role == "none", role)):
                told = {"bucket": bucket, "between": between, "role": role}
                rows.append({**told, **self._counted(bucket, judged, role_F == role)})
        return pl.DataFrame(rows, infer_schema_length=None)

    def counts(self) -> "pl.DataFrame":
        """Of each bucket, how many latents each verdict was passed on: on what each checkpoint writes, where nothing
        had changed, and on the same text. `strengthened_on_both` are those of the strengthened that are so on the same
        text too: they are read differently, and not only written differently."""
        import polars as pl

        rows = []
        for bucket, between, judged in self._judged():
            change = judged.change
            told = {"bucket": bucket, "between": between, "prompts": change.prompts, "common": change.common}
            rows.append({**told, **self._counted(bucket, judged)})
        return pl.DataFrame(rows, infer_schema_length=None)

    def crossed(self, bucket: str, mine_F: np.ndarray | None = None) -> dict[tuple[str, str], int]:
        """How many latents have which verdict on what each checkpoint writes, and which on the same text."""
        if self.same_text is None:
            raise BadInput(f"expected changes on-policy to hold against the same text, got some of {self.corpus} text")
        own_F, same_F = self.buckets[bucket].verdict_F, self.same_text[bucket].verdict_F
        mine_F = np.ones(len(own_F), dtype=bool) if mine_F is None else mine_F
        return Counter(zip(own_F[mine_F].tolist(), same_F[mine_F].tolist(), strict=True))

    def _counted(self, bucket: str, judged: Judged, mine_F: np.ndarray | None = None) -> dict[str, int | None]:
        """Of these latents, or of all."""
        verdict_F = judged.verdict_F if mine_F is None else judged.verdict_F[mine_F]
        told: dict[str, int | None] = {verdict: int((verdict_F == verdict).sum()) for verdict in VERDICTS}
        if self.same_text is None:
            return told
        unasked = judged is not self.buckets[bucket] or (self.same_text[bucket].verdict_F == FEW).all()
        for verdict in (STRENGTHENED, WEAKENED):
            told[f"{verdict}_on_both"] = None if unasked else self.crossed(bucket, mine_F)[verdict, verdict]
        return told

    def _judged(self) -> Iterator[tuple[str, str, Judged]]:
        """Bucket by bucket, what changed, and what stands beside it."""
        for bucket, found in self.buckets.items():
            yield bucket, f"{self.steps[0]} and {self.steps[-1]}", found
            for between, beside in ((CHANCE, self.control), (SAME_TEXT, self.same_text)):
                if beside is not None:
                    yield bucket, between, beside[bucket]

    def table(self) -> "pl.DataFrame":
        """One row for each bucket and latent; beside each change, that on the same text."""
        import polars as pl

        parts = []
        for bucket, found in self.buckets.items():
            change = found.change
            columns = {
                "latent": np.arange(len(found.seen_F)),
                "prompts": found.seen_F,
                "start": change.strength_TF[0],
                "end": change.strength_TF[-1],
                "change": change.value_F,
                "low": change.low_F,
                "high": change.high_F,
                "p": change.p_F,
                "q": found.q_F,
                "verdict": found.verdict_F.astype(str).tolist(),
            }
            if self.same_text is not None:
                same = self.same_text[bucket]
                told = {"change": same.change.value_F, "low": same.change.low_F, "high": same.change.high_F}
                told |= {"verdict": same.verdict_F.astype(str).tolist()}
                columns |= {f"same_text_{name}": held for name, held in told.items()}
            if self.role_F is not None:
                columns["role"] = self.role_F
            parts.append(pl.DataFrame(columns).select(pl.lit(bucket).alias("bucket"), pl.all()).fill_nan(None))
        return pl.concat(parts)


AT_ONCE = 1024
"""Latents that are drawn for at once: what a draw of prompts makes of them all would not fit."""


@dataclass(frozen=True)
class Firing(Sums):
    """The amount is how much of each latent there was."""

    active_TSPF: Float[Tensor, "T S P F"]
    """Tokens at which it was on."""


def compared_in(contrast_T: Float[np.ndarray, " T"], among: Sequence[int] = ()) -> list[int]:
    """Checkpoints that a contrast weighs, those it is held against, and the first, whose mix it is told at."""
    return sorted({0, *np.flatnonzero(contrast_T).tolist(), *among})


def change_of_height(
    firing: Firing, contrast_T: Float[np.ndarray, " T"], *, among: Sequence[int] = (), draws: int = DRAWS, seed: int = 0
) -> Change:
    """As `interp.bootstrap.change`, over the same draws. A latent that is never on at a checkpoint that is compared has
    NaN for its change; one that is on at few prompts, or in little that can be compared, has NaN for its interval."""
    compared, parts = compared_in(contrast_T, among), []
    _, common, prompts = held_by_all(Sums(firing.amount_TSPF[..., :0], firing.tokens_TSP), compared)
    few = prompts < LEAST_PROMPTS or common < LEAST_COMMON
    drawn_BP = torch.zeros(0, firing.prompts) if few else resampled(firing.prompts, draws, seed)
    for start in range(0, firing.amount_TSPF.shape[-1], AT_ONCE):
        some = slice(start, start + AT_ONCE)
        mass_TSPF, active_TSPF = firing.amount_TSPF[..., some], firing.active_TSPF[..., some]
        parts.append(_of_some(mass_TSPF, active_TSPF, contrast_T, compared, drawn_BP))
    strength_TF, value_F, *told = (np.concatenate(part, -1) for part in zip(*parts, strict=True))
    return Change(strength_TF, value_F, *told, prompts=prompts, common=common)


def _of_some(
    mass_TSPF: Float[Tensor, "T S P F"],
    active_TSPF: Float[Tensor, "T S P F"],
    contrast_T: Float[np.ndarray, " T"],
    compared: list[int],
    drawn_BP: Float[Tensor, "B P"],
) -> tuple[np.ndarray, ...]:
    """Of some latents: heights, change, interval and p-value. Without draws there is no interval."""
    kept_SF, prompts_F = held_on_by_all(active_TSPF, compared)
    height_TF = heights(mass_TSPF, active_TSPF, kept_SF, torch.ones(1, drawn_BP.shape[1]))[:, 0].double().numpy()
    value_F = _contrasted(contrast_T, height_TF)
    low_F, high_F, p_F = told_3F = np.full((3, len(value_F)), np.nan)
    sure_F = prompts_F >= LEAST_SEEN
    if len(drawn_BP) and sure_F.any():
        mass_TSPF, active_TSPF = (held_TSPF[compared][..., sure_F] for held_TSPF in (mass_TSPF, active_TSPF))
        found_TBF = heights(mass_TSPF, active_TSPF, kept_SF[:, sure_F], drawn_BP).double().numpy()
        freedom_F, sure = prompts_F[sure_F].numpy() - 1, sure_F.numpy()
        spread_F = np.nanstd(_contrasted(contrast_T[compared], found_TBF), 0, ddof=1) * (1 + 1 / freedom_F) ** 0.5
        told_3F[:, sure] = students(value_F[sure], spread_F, freedom_F)
    return height_TF, value_F, low_F, high_F, p_F


def held_on_by_all(
    active_TSPF: Float[Tensor, "T S P F"], compared: list[int]
) -> tuple[Bool[Tensor, "S F"], Int[Tensor, " F"]]:
    """Of each latent, the strata in which all of these checkpoints have it on at `LEAST_PROMPTS` prompts or more (at
    any, where there is but one stratum), and at how many the rarest of them has. None, where these strata hold too
    little of the base's tokens at which it is on."""
    prompts_SF = (active_TSPF[compared] > 0).sum(2).min(0).values
    kept_SF = prompts_SF >= (LEAST_PROMPTS if len(prompts_SF) > 1 else 1)
    base_SF = active_TSPF[0].sum(1)
    common_F = (base_SF * kept_SF).sum(0) / base_SF.sum(0).clamp(min=1)
    fewest_F = prompts_SF.where(kept_SF, active_TSPF.shape[2]).min(0).values
    return kept_SF, fewest_F.where(common_F >= LEAST_COMMON, 0)


def heights(
    mass_TSPF: Float[Tensor, "T S P F"],
    active_TSPF: Float[Tensor, "T S P F"],
    kept_SF: Bool[Tensor, "S F"],
    drawn_BP: Float[Tensor, "B P"],
) -> Float[Tensor, "T B F"]:
    """Of each checkpoint in each draw of prompts, over the strata that are kept. NaN where there is none, or a latent
    is not on in one of them."""
    told_TBF = torch.zeros(len(mass_TSPF), len(drawn_BP), mass_TSPF.shape[-1])
    mix_BF = torch.zeros(told_TBF.shape[1:])
    for at, kept_F in enumerate(kept_SF):
        active_TBF = drawn_BP @ active_TSPF[:, at]
        mix_BF += active_TBF[0] * kept_F
        told_TBF += torch.where(kept_F, active_TBF[0] * (drawn_BP @ mass_TSPF[:, at]) / active_TBF, 0.0)
    return told_TBF / mix_BF


def _contrasted(contrast_T: Float[np.ndarray, " T"], told: np.ndarray) -> np.ndarray:
    """Without the checkpoints that are not weighed: what has no height there may have a change all the same."""
    weighed = np.flatnonzero(contrast_T)
    return np.tensordot(contrast_T[weighed], told[weighed], 1)


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
