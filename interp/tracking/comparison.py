"""Two checkpoints A and B of tracks compared: their behavior, and their latents.

Latents are compared within rollouts of one outcome, unless `match` says otherwise: a checkpoint that is right more
often has more of what goes with being right, and that alone is no change inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interp.artifacts import BadInput
from interp.display import HtmlSummary
from interp.tracking.behavior import behavior_rows
from interp.tracking.config import ON_POLICY, PROBE, RESAMPLED
from interp.tracking.drift import Drift, TrustThresholds
from interp.tracking.latent_comparison import BucketComparison, LatentComparison
from interp.tracking.measures import MEAN_ACTIVATION, BucketSums, bucket_sums, expect_matchable, expect_measure
from interp.tracking.provenance import expect_roles_of, role_of_each_latent
from interp.tracking.tracks import Tracks
from interp.tracking.verdicts import LatentVerdicts

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles


@dataclass(frozen=True, repr=False)
class Comparison(HtmlSummary):
    """Steps `a` and `b` of tracks: `Comparison(tracks, a=10, b=20)`. The first step of the tracks is the base of both,
    unless it is one of them."""

    tracks: Tracks
    a: int
    b: int
    roles: "Roles | None" = None

    def __post_init__(self) -> None:
        steps = self.tracks.steps
        if self.a not in steps or self.b not in steps or self.a == self.b or self.b == steps[0]:
            raise BadInput(
                f"{self.tracks.path}: expected two of the steps {', '.join(map(str, steps))}, the first only as A; got "
                f"A {self.a} and B {self.b}"
            )
        expect_roles_of(self.roles, self.tracks.made_from["tsae"])

    @classmethod
    def open(cls, path: str | Path, *, roles: "Roles | None" = None) -> "Comparison":
        """The last two checkpoints of the tracks at `path`. `compare` puts A and B there."""
        tracks = Tracks.open(path)
        if len(tracks.steps) < 2:
            raise BadInput(f"{path}: expected two checkpoints or more to compare, got {len(tracks.steps)}")
        return cls(tracks, tracks.steps[-2], tracks.steps[-1], roles)

    @property
    def base(self) -> int | None:
        """Step of the base of both, if there is one."""
        return None if self.tracks.steps[0] == self.a else self.tracks.steps[0]

    @property
    def names(self) -> dict[int, str]:
        """base, A or B, by step."""
        return {**({} if self.base is None else {self.base: "base"}), self.a: "A", self.b: "B"}

    @property
    def path(self) -> Path:
        return self.tracks.path

    def __repr__(self) -> str:
        checkpoints = (f"{name} {self.tracks.paths.get(step, f'step {step}')}" for step, name in self.names.items())
        return f"Comparison({', '.join(checkpoints)}; buckets {', '.join(self.tracks.buckets)})"

    # --- latents ---------------------------------------------------------------------------------------------------

    def latents(
        self, *, corpus: str = ON_POLICY, measure: str = MEAN_ACTIVATION, match: Sequence[str] | None = None
    ) -> LatentComparison:
        """Every latent in every bucket compared.

        `match` compares each prompt with itself within rollouts of one outcome, of like length, or of both: by default
        of one outcome on-policy, and not at all on the probe corpus, where the text is the same. The more rollouts a
        problem has (`sampling.group`), the larger the share of the base's tokens that can be compared."""
        if match is None:
            match = ("outcome",) if corpus == ON_POLICY else ()
        if corpus not in (ON_POLICY, PROBE):
            raise BadInput(f"corpus must be {ON_POLICY} or {PROBE}; got {corpus!r}")
        expect_measure(measure)
        expect_matchable(match)
        before = [(step, corpus) for step in (self.base, self.a) if step is not None]
        control = None
        if corpus == ON_POLICY and self.a in self.tracks.resampled_steps:
            control = self._by_bucket([*before, (self.a, RESAMPLED)], measure, match)
        role_F = role_of_each_latent(self.roles, self.tracks.made_from["tsae"], self.tracks.width)
        buckets = self._by_bucket([*before, (self.b, corpus)], measure, match)
        return LatentComparison(buckets, control, corpus, measure, tuple(match), role_F)

    def _by_bucket(
        self, sources: list[tuple[int, str]], measure: str, match: Sequence[str]
    ) -> dict[str, BucketComparison]:
        """`sources` are the step and corpus of the sums of the base, if there is one, of A and of B."""
        pairs = [(2, 1), (1, 0), (2, 0)] if len(sources) == 3 else [(1, 0)]
        comparisons = {}
        for bucket, prompts in self.tracks.prompts.items():
            tables = (self.tracks.activation_sums(step, corpus) for step, corpus in sources)
            sums = bucket_sums(tables, bucket, prompts, measure, match)
            comparisons[bucket] = BucketComparison(*(_difference(sums, *pair) for pair in pairs))
        return comparisons

    def table(
        self, *, corpus: str = ON_POLICY, measure: str = MEAN_ACTIVATION, match: Sequence[str] | None = None
    ) -> "pl.DataFrame":
        """A row for each bucket and latent. Parameters as in `latents`."""
        return self.latents(corpus=corpus, measure=measure, match=match).table()

    def summary(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        match: Sequence[str] | None = None,
        by_role: bool = False,
    ) -> "pl.DataFrame":
        """Number of latents stronger in B, weaker, unchanged and so on, with the control. Parameters as in
        `latents`."""
        return self.latents(corpus=corpus, measure=measure, match=match).summary(by_role=by_role)

    def relations(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        match: Sequence[str] | None = None,
        by_role: bool = False,
    ) -> "pl.DataFrame":
        """Number of latents strengthened only in A, only in B, in both and so on, since the base of both. Parameters as
        in `latents`."""
        return self.latents(corpus=corpus, measure=measure, match=match).relations(by_role=by_role)

    def drift(self, thresholds: TrustThresholds | None = None) -> Drift:
        """How well the dictionary fits each checkpoint."""
        return self.tracks.drift(thresholds)

    # --- behavior --------------------------------------------------------------------------------------------------

    def behavior(self) -> "pl.DataFrame":
        """A row for each bucket and measure: the rates of the base, A and B, and B less A, paired by prompt, all with
        95% intervals; the p-value of B less A, and its q over all rows (Benjamini and Hochberg). `control` is a second
        set of A's rollouts less the first. `prompts` are those at which both have a rollout that counts."""
        import polars as pl

        sources = [(name.lower(), step, ON_POLICY) for step, name in self.names.items()]
        sources += [("resampled", self.a, RESAMPLED)] if self.a in self.tracks.resampled_steps else []
        counts = {name: self.tracks.checkpoint_sums(step, corpus).behavior for name, step, corpus in sources}
        return pl.DataFrame(behavior_rows(counts, self.tracks.prompts), infer_schema_length=None).fill_nan(None)

    def figure(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = MEAN_ACTIVATION,
        match: Sequence[str] | None = None,
        n_latents: int = 3,
    ) -> "go.Figure":
        """Rates above; below, by bucket, the latents whose difference is most certain, at most `n_latents` of each
        sign. Other parameters as in `latents`."""
        from interp.tracking.plots import plot_comparison

        latents = self.latents(corpus=corpus, measure=measure, match=match)
        return plot_comparison(self.behavior(), latents, n_latents=n_latents)


def _difference(sums: BucketSums, second: int, first: int) -> LatentVerdicts:
    """The second checkpoint less the first, on what all checkpoints of the sums have in common."""
    checkpoints = range(len(sums.sums.tokens_TSP))
    weights_T = np.array([float(each == second) - float(each == first) for each in checkpoints])
    return sums.verdicts(weights_T, also_compared=checkpoints, reference=first)
