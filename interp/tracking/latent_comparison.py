"""Latents of two checkpoints A and B compared; and, with a base of both, in which of the two each latent changed.

A change in A and no significant change in B does not make the two different: one interval may just exclude zero and the
other just include it. So a latent is strengthened *only in A* if three things hold: it was strengthened from the base
to A, it did not significantly change from the base to B, and the difference of A and B is itself significant. All three
are estimated on the same prompts and cells, so the difference of the two changes is the change from A to B.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from interp.artifacts import BadInput
from interp.display import HtmlSummary
from interp.tracking.verdicts import (
    STRENGTHENED,
    TOO_FEW_PROMPTS,
    TOO_RARE,
    UNCHANGED,
    UNDECIDED,
    VERDICTS,
    WEAKENED,
    LatentVerdicts,
    latents_by_role,
)

if TYPE_CHECKING:
    import polars as pl


A_TO_B, A_RESAMPLED = "A to B", "A resampled"
"""The comparison, and its control: A against a second set of its own rollouts."""
ONLY_A, ONLY_B, BOTH = "only in A", "only in B", "in both"
OPPOSITE, ONE_SIDED = "opposite", "in one, difference undecided"
RELATIONS = (
    *(f"{verdict} {where}" for verdict in (STRENGTHENED, WEAKENED) for where in (ONLY_A, ONLY_B, BOTH)),
    OPPOSITE,
    ONE_SIDED,
    UNCHANGED,
    UNDECIDED,
    TOO_RARE,
    TOO_FEW_PROMPTS,
)
"""opposite: strengthened in one, weakened in the other. in one, difference undecided: changed in one of the two, but A
and B do not significantly differ."""


@dataclass(frozen=True)
class BucketComparison:
    """The latents of one bucket."""

    difference: LatentVerdicts
    """B less A."""
    change_a: LatentVerdicts | None = None
    """A less the base, if there is a base."""
    change_b: LatentVerdicts | None = None

    @property
    def relation_F(self) -> np.ndarray:
        """In which of the two each latent changed since the base: one of `RELATIONS`."""
        if self.change_a is None or self.change_b is None:
            raise BadInput("changes since the base need a base of A and B, got none: name it (base, --base)")
        return relations(self.change_a.verdict_F, self.change_b.verdict_F, self.difference.verdict_F)


def relations(a_F: np.ndarray, b_F: np.ndarray, difference_F: np.ndarray) -> np.ndarray:
    """One of `RELATIONS` for each latent, from its verdicts on base to A, base to B, and A to B."""
    changed_in_a_F, changed_in_b_F = (np.isin(verdict_F, (STRENGTHENED, WEAKENED)) for verdict_F in (a_F, b_F))
    relation_F = np.full(len(a_F), UNDECIDED, dtype=object)
    relation_F[(a_F == UNCHANGED) & (b_F == UNCHANGED)] = UNCHANGED
    relation_F[changed_in_a_F ^ changed_in_b_F] = ONE_SIDED
    relation_F[changed_in_a_F & changed_in_b_F & (a_F != b_F)] = OPPOSITE
    for verdict, reverse in ((STRENGTHENED, WEAKENED), (WEAKENED, STRENGTHENED)):
        relation_F[(a_F == verdict) & (b_F == verdict)] = f"{verdict} {BOTH}"
        relation_F[(a_F == verdict) & ~changed_in_b_F & (difference_F == reverse)] = f"{verdict} {ONLY_A}"
        relation_F[(b_F == verdict) & ~changed_in_a_F & (difference_F == verdict)] = f"{verdict} {ONLY_B}"
    for verdict in (TOO_RARE, TOO_FEW_PROMPTS):
        relation_F[(a_F == verdict) | (b_F == verdict)] = verdict
    return relation_F


@dataclass(frozen=True, repr=False)
class LatentComparison(HtmlSummary):
    """The latents of every bucket, on one corpus and by one measure."""

    buckets: dict[str, BucketComparison]
    control: dict[str, BucketComparison] | None
    """The same with a second set of A's rollouts in place of B. None on the probe corpus, or without such a set."""
    corpus: str
    measure: str
    match: tuple[str, ...]
    role_F: tuple[str, ...] | None = None
    """Role of each latent, if roles were given."""

    def __repr__(self) -> str:
        matched = f", matched by {' and '.join(self.match)}" if self.match else ""
        what = f"{self.measure} on {self.corpus} text{matched}"
        return f"LatentComparison({what}; buckets {', '.join(self.buckets)})"

    @property
    def has_base(self) -> bool:
        return all(comparison.change_a is not None for comparison in self.buckets.values())

    def table(self) -> "pl.DataFrame":
        """A row for each bucket and latent: values of the base, A and B, changes since the base, difference (B less A),
        verdicts, and the relation."""
        import polars as pl

        parts = []
        for bucket, comparison in self.buckets.items():
            columns = {"latent": np.arange(len(comparison.difference.prompts_F))}
            columns |= {} if self.role_F is None else {"role": list(self.role_F)}
            columns |= _columns(comparison)
            parts.append(pl.DataFrame(columns).select(pl.lit(bucket).alias("bucket"), pl.all()).fill_nan(None))
        return pl.concat(parts)

    def summary(self, *, by_role: bool = False) -> "pl.DataFrame":
        """Number of latents with each verdict on B less A: a row for each bucket, and with `by_role` for each role;
        and as many rows for the control."""
        return self._counts(VERDICTS, by_role, lambda comparison: comparison.difference.verdict_F)

    def relations(self, *, by_role: bool = False) -> "pl.DataFrame":
        """Number of latents with each relation: strengthened only in A, only in B, in both, and so on, since the base.
        Rows as in `summary`."""
        return self._counts(RELATIONS, by_role, lambda comparison: comparison.relation_F)

    def _counts(
        self, names: tuple[str, ...], by_role: bool, names_of: Callable[[BucketComparison], np.ndarray]
    ) -> "pl.DataFrame":
        import polars as pl

        if by_role and self.role_F is None:
            raise BadInput("expected the roles of latents, got none: Comparison(tracks, a, b, roles)")
        rows = []
        for bucket, name, comparison in self._comparisons():
            change, name_F = comparison.difference.change, names_of(comparison)
            row = {"bucket": bucket, "comparison": name, "prompts": change.prompts, "common_share": change.common}
            for role, has_role_F in self._roles(len(name_F), by_role):
                counts = {each: int((name_F[has_role_F] == each).sum()) for each in names}
                rows.append({**row, **({} if role is None else {"role": role}), **counts})
        return pl.DataFrame(rows, infer_schema_length=None)

    def _comparisons(self) -> Iterator[tuple[str, str, BucketComparison]]:
        for bucket, comparison in self.buckets.items():
            yield bucket, A_TO_B, comparison
            if self.control is not None:
                yield bucket, A_RESAMPLED, self.control[bucket]

    def _roles(self, width: int, by_role: bool) -> Iterator[tuple[str | None, Bool[np.ndarray, " F"]]]:
        if not by_role or self.role_F is None:
            yield None, np.ones(width, dtype=bool)
            return
        yield from latents_by_role(self.role_F)


def _columns(comparison: BucketComparison) -> dict[str, Any]:
    difference, change = comparison.difference, comparison.difference.change
    columns: dict[str, Any] = {"prompts": difference.prompts_F}
    if comparison.change_a is not None:
        columns["base"] = change.ratio_TF[0]
    columns |= {"a": change.ratio_TF[-2], "b": change.ratio_TF[-1]}
    for name, verdicts in (("a", comparison.change_a), ("b", comparison.change_b)):
        if verdicts is not None:
            columns |= {
                f"{name}_change": verdicts.change.value_F,
                f"{name}_low": verdicts.change.low_F,
                f"{name}_high": verdicts.change.high_F,
                f"{name}_q": verdicts.q_F,
                f"{name}_verdict": verdicts.verdict_F.astype(str).tolist(),
            }
    columns |= {"difference": change.value_F, "low": change.low_F, "high": change.high_F, "p": change.p_F}
    columns |= {"q": difference.q_F, "verdict": difference.verdict_F.astype(str).tolist()}
    return (
        columns if comparison.change_a is None else {**columns, "relation": comparison.relation_F.astype(str).tolist()}
    )
