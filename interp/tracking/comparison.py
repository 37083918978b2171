"""What sets two checkpoints apart, latent by latent; and, where both came of one base, what became of it in each.

That a change was found in one and not in the other does not make them different: the one interval may just miss zero
and the other just not. So a latent is said to have been strengthened in one *alone* only where three things were found:
its change in the one, no change in the other, and that the two lie apart, by an interval of their own. All are told
over the same prompts, at the same mix, so that the changes since the base differ by what lies between the two.

Two checkpoints side by side, as tracks hold them: what each does, and what its latents do while it does that.

Behaviour stands beside features, and features are told at one mix of outcomes: who is right more often is on more often
at what goes with being right, and that alone is no change inside.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.artifacts import BadInput
from interp.tracking.behavior import rates
from interp.tracking.changes import (
    FEW,
    MATCHED,
    MEASURES,
    RARE,
    STRENGTHENED,
    UNCHANGED,
    UNDECIDED,
    VERDICTS,
    WEAKENED,
    Judged,
    Summed,
    summed,
)
from interp.tracking.config import AGAIN, ON_POLICY, PROBE
from interp.tracking.drift import Drift, Trust
from interp.tracking.provenance import expect_roles_of
from interp.tracking.tracks import Tracks

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles


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


@dataclass(frozen=True)
class Comparison:
    """Of any two checkpoints of tracks: `Comparison(tracks, a=10, b=20)`. The first of the tracks is the base of both,
    unless it is one of them."""

    tracks: Tracks
    a: int
    b: int
    roles: "Roles | None" = None

    def __post_init__(self) -> None:
        steps = self.tracks.steps
        if self.a not in steps or self.b not in steps or self.a == self.b or self.b == steps[0]:
            raise BadInput(
                f"{self.tracks.path}: expected two of the steps {', '.join(map(str, steps))}, the first as A if it is "
                f"one of them; got A {self.a} and B {self.b}"
            )
        expect_roles_of(self.roles, self.tracks.made_from["tsae"])

    @classmethod
    def open(cls, path: str | Path, *, roles: "Roles | None" = None) -> "Comparison":
        """Of the last two checkpoints of the tracks in a directory: in that of a comparison they are A and B."""
        tracks = Tracks.open(path)
        if len(tracks.steps) < 2:
            raise BadInput(f"{path}: expected two checkpoints at least to compare, got {len(tracks.steps)}")
        return cls(tracks, tracks.steps[-2], tracks.steps[-1], roles)

    @property
    def base(self) -> int | None:
        return None if self.tracks.steps[0] == self.a else self.tracks.steps[0]

    @property
    def names(self) -> dict[int, str]:
        """Of the steps: what each is here."""
        return {**({} if self.base is None else {self.base: "base"}), self.a: "A", self.b: "B"}

    @property
    def path(self) -> Path:
        return self.tracks.path

    def __repr__(self) -> str:
        told = (f"{name} {self.tracks.paths.get(step, f'step {step}')}" for step, name in self.names.items())
        return f"Comparison({', '.join(told)}; buckets {', '.join(self.tracks.buckets)})"

    # --- features ------------------------------------------------------------------------------------------------

    def compared(
        self, *, corpus: str = ON_POLICY, measure: str = "strength", match: Sequence[str] | None = None
    ) -> Compared:
        """Every latent in every bucket. `match` tells all at the mix of outcomes, of lengths, or of both, that the base
        has (or A, where there is none): of outcomes on-policy, unless it is said otherwise; of none on the probe text,
        which is the same for all."""
        match = (("outcome",) if corpus == ON_POLICY else ()) if match is None else tuple(match)
        if corpus not in (ON_POLICY, PROBE) or measure not in MEASURES or set(match) - set(MATCHED):
            raise BadInput(
                f"corpus must be {ON_POLICY} or {PROBE}, measure one of {', '.join(MEASURES)}, match some of "
                f"{', '.join(MATCHED)}; got {corpus!r}, {measure!r} and {list(match)}"
            )
        before = [(step, corpus) for step in (self.base, self.a) if step is not None]
        control = None
        if corpus == ON_POLICY and self.a in self.tracks.twice:
            control = self._sides([*before, (self.a, AGAIN)], measure, match)
        role_F = None
        if self.roles is not None:
            role_F = tuple(self.roles.of(latent) for latent in range(self.roles.width))
        return Compared(
            self._sides([*before, (self.b, corpus)], measure, match), control, corpus, measure, match, role_F
        )

    def _sides(self, which: list[tuple[int, str]], measure: str, match: tuple[str, ...]) -> dict[str, Sides]:
        """Of the readings of A and B, before which stands that of the base, if there is one."""
        found, last = {}, len(which) - 1
        for bucket, prompts in self.tracks.prompts.items():
            read = summed((self.tracks.grouped(*one) for one in which), bucket, prompts, measure, match)
            pairs = [(last, last - 1), (1, 0), (2, 0)] if last == 2 else [(last, last - 1)]
            found[bucket] = Sides(*(less(read, *pair) for pair in pairs))
        return found

    def table(self, **asked: Any) -> "pl.DataFrame":
        """One row for each bucket and latent, asked as in `compared`."""
        return self.compared(**asked).table()

    def counts(self, **asked: Any) -> "pl.DataFrame":
        """How many latents are stronger in B, weaker, as strong; and as many where A is asked again."""
        return self.compared(**asked).counts()

    def relations(self, **asked: Any) -> "pl.DataFrame":
        """How many were strengthened in one alone, in both, and so on, since the base of both."""
        return self.compared(**asked).relations()

    def drift(self, trust: Trust | None = None) -> Drift:
        """Whether the dictionary fits both."""
        return self.tracks.drift(trust)

    # --- behaviour -----------------------------------------------------------------------------------------------

    def behaviour(self) -> "pl.DataFrame":
        """Of each bucket and measure, the rate of A and of B, and B's less A's, paired by prompt; beside it A's, asked
        again, less A's. Intervals of 95% each. `prompts` are those at which both have an answer that counts."""
        import polars as pl

        which = [(name, step, ON_POLICY) for step, name in self.names.items()]
        which += [("again", self.a, AGAIN)] if self.a in self.tracks.twice else []
        tallies = {name.lower(): self.tracks.reading(step, corpus).tally for name, step, corpus in which}
        if not all(tally.counts for tally in tallies.values()):
            raise BadInput(
                f"{self.path}: expected tracks that say what came of the answers, got some of an earlier version that "
                "do not: delete them and ask again"
            )
        return pl.DataFrame(rates(tallies, self.tracks.prompts), infer_schema_length=None).fill_nan(None)

    def figure(self, *, latents: int = 3, **asked: Any) -> "go.Figure":
        """Rates above, and below them the latents that set the two apart most surely, bucket by bucket."""
        from interp.tracking.plots import plot_comparison

        return plot_comparison(self.behaviour(), self.compared(**asked), latents=latents)


def less(read: Summed, one: int, other: int) -> Judged:
    """One checkpoint less another, over what all of them have."""
    every = range(len(read.sums.tokens_TSP))
    contrast_T = np.array([float(at == one) - float(at == other) for at in every])
    return read.judged(contrast_T, among=every, start=other)
