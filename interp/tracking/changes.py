"""Which latents a bucket strengthened, which it weakened, and which of that chance would have found too."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from interp.artifacts import BadInput
from interp.bootstrap import LEAST_COMMON, LEAST_PROMPTS, Change, benjamini_hochberg

if TYPE_CHECKING:
    import polars as pl

RATE = 0.05
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
    """Changed: at a false-discovery rate of `RATE` over the latents of the bucket that are not too rare. Unchanged is
    only what is shown to be: where the interval is wide it stays undecided. Small is a change as against the strength
    at the `start`-th checkpoint."""
    few = change.prompts < LEAST_PROMPTS or change.common < LEAST_COMMON
    rare_F = (seen_F < LEAST_SEEN) | (np.abs(change.strength_TF).max(0) == 0)
    q_F = benjamini_hochberg(np.where(rare_F, np.nan, change.p_F))
    start_F = np.abs(change.strength_TF[start])
    level_F = np.maximum(np.abs(change.low_F), np.abs(change.high_F)) <= LEVEL_TO * start_F
    verdict_F = np.where(level_F, UNCHANGED, UNDECIDED)
    changed_F = (q_F <= RATE) & ~level_F
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
