"""Two checkpoints side by side, as tracks hold them: what each does, and what its latents do while it does that.

Behaviour stands beside features, and features are told at one mix of outcomes: who is right more often is on more often
at what goes with being right, and that alone is no change inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.artifacts import BadInput
from interp.tracking.behaviour import rates
from interp.tracking.belonging import expect_roles_of
from interp.tracking.changes import Judged
from interp.tracking.config import AGAIN, ON_POLICY, PROBE
from interp.tracking.drift import Drift, Trust
from interp.tracking.measures import MATCHED, MEASURES, Summed, summed
from interp.tracking.sides import Compared, Sides
from interp.tracking.tracks import Tracks

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles


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
        from interp.tracking.side_by_side import drawn

        return drawn(self.behaviour(), self.compared(**asked), latents=latents)


def less(read: Summed, one: int, other: int) -> Judged:
    """One checkpoint less another, over what all of them have."""
    every = range(len(read.sums.tokens_TSP))
    contrast_T = np.array([float(at == one) - float(at == other) for at in every])
    return read.judged(contrast_T, among=every, start=other)
