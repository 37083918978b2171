"""What sets two checkpoints apart, latent by latent; and, where both came of one base, what became of it in each.

That a change was found in one and not in the other does not make them different: the one interval may just miss zero
and the other just not. So a latent is said to have been strengthened in one *alone* only where three things were found:
its change in the one, no change in the other, and that the two lie apart, by an interval of their own. All are told
over the same prompts, at the same mix, so that the changes since the base differ by what lies between the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.artifacts import BadInput
from interp.tracking.changes import FEW, RARE, STRENGTHENED, UNCHANGED, UNDECIDED, VERDICTS, WEAKENED, Judged

if TYPE_CHECKING:
    import polars as pl

ONLY_A, ONLY_B, BOTH = "in A alone", "in B alone", "in both"
OPPOSITE, UNTOLD = "opposite", "in one, not told apart"
RELATIONS = (
    *(f"{what} {where}" for what in (STRENGTHENED, WEAKENED) for where in (ONLY_A, ONLY_B, BOTH)),
    OPPOSITE,
    UNTOLD,
    UNCHANGED,
    UNDECIDED,
    RARE,
    FEW,
)
"""opposite: strengthened in the one, weakened in the other. In one, not told apart: a change was found in one of them,
and not that the other is without it."""


@dataclass(frozen=True)
class Sides:
    """The latents of one bucket."""

    between: Judged
    """B less A."""
    a: Judged | None = None
    """A less the base."""
    b: Judged | None = None

    @property
    def relation_F(self) -> np.ndarray:
        """Of the changes since the base."""
        if self.a is None or self.b is None:
            raise BadInput("what became of a latent in each is told against a base, and none was given (base, --base)")
        return related(self.a.verdict_F, self.b.verdict_F, self.between.verdict_F)


def related(a_F: np.ndarray, b_F: np.ndarray, between_F: np.ndarray) -> np.ndarray:
    """By the verdicts on A since the base, on B since the base, and on B as against A."""
    changed_F, other_F = (np.isin(side_F, (STRENGTHENED, WEAKENED)) for side_F in (a_F, b_F))
    found = np.full(len(a_F), UNDECIDED, dtype=object)
    found[(a_F == UNCHANGED) & (b_F == UNCHANGED)] = UNCHANGED
    found[changed_F ^ other_F] = UNTOLD
    found[changed_F & other_F & (a_F != b_F)] = OPPOSITE
    for what, back in ((STRENGTHENED, WEAKENED), (WEAKENED, STRENGTHENED)):
        found[(a_F == what) & (b_F == what)] = f"{what} {BOTH}"
        found[(a_F == what) & ~other_F & (between_F == back)] = f"{what} {ONLY_A}"
        found[(b_F == what) & ~changed_F & (between_F == what)] = f"{what} {ONLY_B}"
    for verdict in (RARE, FEW):
        found[(a_F == verdict) | (b_F == verdict)] = verdict
    return found


@dataclass(frozen=True)
class Compared:
    """Of every bucket, on one corpus and by one measure."""

    buckets: dict[str, Sides]
    control: dict[str, Sides] | None
    """With A, asked a second time, in the place of B. None on text that is the same for both, or where it was not."""
    corpus: str
    measure: str
    matched: tuple[str, ...]
    role_F: tuple[str, ...] | None = None
    """Of each latent, where roles are known."""

    @property
    def based(self) -> bool:
        """Whether there is a base of both."""
        return all(sides.a is not None for sides in self.buckets.values())

    def counts(self) -> "pl.DataFrame":
        """Of each bucket (and role), how many latents each verdict was passed on: strengthened in B as against A,
        weakened, and so on; and how many where A is held against its own answers to the same problems again."""
        return self._counted(lambda sides: sides.between.verdict_F, VERDICTS)

    def relations(self) -> "pl.DataFrame":
        """The same of the changes since the base: in one alone, in both, opposite."""
        return self._counted(lambda sides: sides.relation_F, RELATIONS)

    def _counted(self, told: Any, names: tuple[str, ...]) -> "pl.DataFrame":
        import polars as pl

        rows = []
        for bucket, between, sides in self._held():
            change, told_F = sides.between.change, told(sides)
            where = {"bucket": bucket, "between": between, "prompts": change.prompts, "common": change.common}
            for role, of_role_F in self._by_role(len(told_F)):
                counts = {name: int((told_F[of_role_F] == name).sum()) for name in names}
                rows.append({**where, **({} if role is None else {"role": role}), **counts})
        return pl.DataFrame(rows)

    def _held(self) -> Iterator[tuple[str, str, Sides]]:
        for bucket, sides in self.buckets.items():
            yield bucket, "A and B", sides
            if self.control is not None:
                yield bucket, "A and A", self.control[bucket]

    def _by_role(self, width: int) -> Iterator[tuple[str | None, np.ndarray]]:
        if self.role_F is None:
            yield None, np.ones(width, dtype=bool)
            return
        role_F = np.array(self.role_F)
        for role in sorted(set(self.role_F)):
            yield role, role_F == role

    def table(self) -> "pl.DataFrame":
        """One row for each bucket and latent. `difference` is B less A."""
        import polars as pl

        parts = []
        for bucket, sides in self.buckets.items():
            columns = _columns(sides) if self.role_F is None else {"role": list(self.role_F), **_columns(sides)}
            columns = {"latent": np.arange(len(sides.between.seen_F)), **columns}
            parts.append(pl.DataFrame(columns).select(pl.lit(bucket).alias("bucket"), pl.all()).fill_nan(None))
        return pl.concat(parts)


def _columns(sides: Sides) -> dict[str, Any]:
    between, change = sides.between, sides.between.change
    columns: dict[str, Any] = {"prompts": between.seen_F}
    if sides.a is not None:
        columns["base"] = change.strength_TF[0]
    columns |= {"a": change.strength_TF[-2], "b": change.strength_TF[-1]}
    for name, side in (("a", sides.a), ("b", sides.b)):
        if side is not None:
            told = {"change": side.change.value_F, "low": side.change.low_F, "high": side.change.high_F, "q": side.q_F}
            columns |= {f"{name}_{key}": held for key, held in told.items()}
            columns[f"{name}_verdict"] = _words(side.verdict_F)
    columns |= {"difference": change.value_F, "low": change.low_F, "high": change.high_F, "p": change.p_F}
    columns |= {"q": between.q_F, "verdict": _words(between.verdict_F)}
    return columns if sides.a is None else {**columns, "relation": _words(sides.relation_F)}


def _words(told_F: np.ndarray) -> list[str]:
    return told_F.astype(str).tolist()
