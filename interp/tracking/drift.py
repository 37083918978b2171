"""Is what a dictionary says of a later checkpoint still worth hearing? How well it fits each, and a verdict.

A dictionary is fitted on some checkpoints; on others it may explain less, and then a latent that seems to fade may only
have been turned away from. So each checkpoint, corpus and bucket stands with the variance explained, the latents active
at a token, those of the base that have fallen silent, and the loss recovered, and each checkpoint with a verdict
against a stated threshold: trust, or refit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from interp.checks import expect_at_least, expect_at_most
from interp.plots import Point, curves
from interp.tracking.activation_sums import Reading

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

TRUSTED, REFIT, UNKNOWN = "trust", "refit", "cannot tell"
LEAST = "least trusted"


@dataclass(frozen=True)
class Trust:
    unexplained: float = 2.0
    """At most this many times what is left unexplained of the base, in each bucket."""
    fve: float = 0.7
    """At least this of the variance explained, of the base too."""
    kl_recovered: float = 0.9
    """At least this, where it was measured."""

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "unexplained")
        expect_at_most(self, 1, "kl_recovered", "fve")


@dataclass(frozen=True)
class Fit:
    step: int
    corpus: str
    bucket: str
    fve: float | None
    l0: float | None
    silent: float | None
    """Of the latents that were on for the base on this corpus and bucket, the share that is no longer."""
    kl_recovered: float | None
    """Of the same corpus and bucket."""


@dataclass(frozen=True)
class Drift:
    fits: tuple[Fit, ...]
    trust: Trust
    fitted_on: tuple[int, ...] | None = None
    """Steps whose weights the dictionary was fitted on. None where it does not say."""

    def verdict(self, step: int) -> str:
        """Refit if any bucket asks for it; and where a fit could not be measured, none is trusted."""
        told = [self._told(fit) for fit in self.fits if fit.step == step]
        return next(verdict for verdict in (REFIT, UNKNOWN, TRUSTED) if verdict in told)

    def _told(self, fit: Fit) -> str:
        base = self._base(fit)
        if fit.kl_recovered is not None and fit.kl_recovered < self.trust.kl_recovered:
            return REFIT
        if fit.fve is None or base.fve is None:
            return UNKNOWN
        far = 1 - fit.fve > self.trust.unexplained * (1 - base.fve)
        return REFIT if far or fit.fve < self.trust.fve else TRUSTED

    def least(self, fit: Fit) -> float | None:
        """Of the variance, that has to be explained on this corpus and bucket. None where it was not of the base."""
        base = self._base(fit).fve
        return None if base is None else max(self.trust.fve, 1 - self.trust.unexplained * (1 - base))

    def _base(self, fit: Fit) -> Fit:
        return next(one for one in self.fits if (one.corpus, one.bucket) == (fit.corpus, fit.bucket))

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(fit.step for fit in self.fits))

    @property
    def unseen(self) -> tuple[int, ...]:
        """Those on which it was not fitted, where that is known: what only they do, it may have no latent for."""
        return () if self.fitted_on is None else tuple(step for step in self.steps if step not in self.fitted_on)

    def table(self) -> "pl.DataFrame":
        import polars as pl

        return pl.DataFrame([{**vars(fit), "verdict": self.verdict(fit.step)} for fit in self.fits])

    def figure(self) -> "go.Figure":
        """The variance explained, checkpoint by checkpoint, on each corpus; dotted, the least that is trusted there.
        (The loss recovered may cost a checkpoint its trust too: it is in the table.)"""
        panels: dict[str, dict[str, list[Point]]] = {}
        for fit in self.fits:
            series = panels.setdefault(fit.bucket, {})
            for name, value in ((fit.corpus, fit.fve), (f"{fit.corpus}: {LEAST}", self.least(fit))):
                series.setdefault(name, []).append(Point(fit.step, value))
        figure = curves(panels, x="step", y="variance explained")
        traces: list[Any] = list(figure.data)
        colours = {trace.name: trace.line.color for trace in traces}
        for corpus in dict.fromkeys(fit.corpus for fit in self.fits):
            dotted = {"line": {"dash": "dot", "width": 1.5, "color": colours[corpus]}, "error_y": {"visible": False}}
            figure.update_traces(mode="lines", selector={"name": f"{corpus}: {LEAST}"}, **dotted)
        return figure


def drift_of(
    readings: Sequence[Reading], trust: Trust, buckets: Sequence[str], *, fitted_on: tuple[int, ...] | None = None
) -> Drift:
    """The readings of the base come first."""
    alive: dict[tuple[str, str], Tensor] = {}
    fits = []
    for reading in readings:
        table = reading.tables["prompts"]
        for bucket in buckets:
            if (fve := reading.fits.get(bucket)) is None:
                continue
            rows = [row for row, key in enumerate(table.keys) if key[0] == bucket]
            active_F, tokens = table.active_RF[rows].sum(0), int(table.tokens_R[rows].sum())
            base_F = alive.setdefault((reading.corpus, bucket), active_F > 0)
            silent = float((active_F[base_F] == 0).double().mean()) if bool(base_F.any()) else None
            l0 = float(active_F.sum()) / tokens if tokens else None
            recovered = reading.recovered[bucket].compute().kl_recovered if bucket in reading.recovered else None
            fits.append(Fit(reading.step, reading.corpus, bucket, fve.compute(), l0, silent, recovered))
    return Drift(tuple(fits), trust, fitted_on)
