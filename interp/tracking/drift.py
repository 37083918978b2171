"""Drift: how well a dictionary fits each checkpoint, and whether it can be trusted there.

A dictionary is fitted on some checkpoints. On others it may explain less, and then a latent that seems to fade may only
fit worse. For each checkpoint, corpus and bucket: variance explained, latents active at a token (L0), the share of the
base's latents that are silent, and the loss recovered. A checkpoint is trusted if, on every corpus and bucket,

    fve >= max(0.7, 1 - 2 (1 - fve_base))    and    kl_recovered >= 0.9, where it was measured

and else the advice is to refit. Where the loss recovered was not measured, the reason beside the verdict says so. The
numbers are `TrustThresholds`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from torch import Tensor

from interp.checks import Range, expect_plausible
from interp.display import HtmlSummary
from interp.tracking.checkpoint_sums import CheckpointSums

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

TRUSTED, REFIT, UNKNOWN = "trust", "refit", "cannot tell"
AtMostOne = Annotated[float, Range(-(10**6), 1)]


@dataclass(frozen=True)
class TrustThresholds:
    """The fit at which a dictionary is trusted on a checkpoint."""

    max_unexplained_ratio: Annotated[float, Range(1, 10**6)] = 2.0
    """Unexplained variance, at most this many times that of the base."""
    min_fve: AtMostOne = 0.7
    """Fraction of variance explained, also of the base."""
    min_kl_recovered: AtMostOne = 0.9
    """Loss recovered, where it was measured."""

    def __post_init__(self) -> None:
        expect_plausible(self)


@dataclass(frozen=True)
class DictionaryFit:
    """Fit on one checkpoint, corpus and bucket. None where there was nothing to measure."""

    step: int
    corpus: str
    bucket: str
    fve: float | None
    l0: float | None
    silent_share: float | None
    """Share of the latents that were active for the base on this corpus and bucket, and are not any more."""
    kl_recovered: float | None


@dataclass(frozen=True, repr=False)
class Drift(HtmlSummary):
    """Fit of a dictionary on every checkpoint, corpus and bucket, and the verdicts."""

    fits: tuple[DictionaryFit, ...]
    """The base comes first."""
    thresholds: TrustThresholds
    fitted_on: tuple[int, ...] | None = None
    """Steps on whose weights the dictionary was fitted. None if it does not say."""

    def __repr__(self) -> str:
        return f"Drift({', '.join(f'step {step}: {self.verdict(step)}' for step in self.steps)})"

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(fit.step for fit in self.fits))

    @property
    def unfitted_steps(self) -> tuple[int, ...]:
        """Steps on which the dictionary was not fitted, if it says. It may have no latent for what is new there."""
        return () if self.fitted_on is None else tuple(step for step in self.steps if step not in self.fitted_on)

    def verdict(self, step: int) -> str:
        """trust, refit, or cannot tell: refit if any corpus and bucket says so, trust only if all were measured."""
        verdicts = [self._verdict_on(fit) for fit in self.fits if fit.step == step]
        return next(verdict for verdict in (REFIT, UNKNOWN, TRUSTED) if verdict in verdicts)

    def reason(self, step: int) -> str:
        """What decided the verdict on a checkpoint: the first limit that was missed, or what was not measured."""
        fits = [fit for fit in self.fits if fit.step == step]
        decisive = next(fit for fit in fits if self._verdict_on(fit) == self.verdict(step))
        place, least = f"on {decisive.corpus}, {decisive.bucket}", self.thresholds.min_kl_recovered
        if self.verdict(step) == UNKNOWN:
            return f"no variance explained was measured {place}"
        if self.verdict(step) == TRUSTED:
            is_measured = all(fit.kl_recovered is not None for fit in fits)
            return "both limits are met" if is_measured else "variance explained alone: no loss recovered was measured"
        if decisive.kl_recovered is not None and decisive.kl_recovered < least:
            return f"loss recovered {decisive.kl_recovered:.2f} is below {least:.2f} {place}"
        return f"variance explained {decisive.fve:.2f} is below {self.fve_threshold(decisive) or 0:.2f} {place}"

    def _verdict_on(self, fit: DictionaryFit) -> str:
        base, thresholds = self._base_of(fit), self.thresholds
        if fit.kl_recovered is not None and fit.kl_recovered < thresholds.min_kl_recovered:
            return REFIT
        if fit.fve is None or base.fve is None:
            return UNKNOWN
        is_far = 1 - fit.fve > thresholds.max_unexplained_ratio * (1 - base.fve)
        return REFIT if is_far or fit.fve < thresholds.min_fve else TRUSTED

    def fve_threshold(self, fit: DictionaryFit) -> float | None:
        """Variance that must be explained on this corpus and bucket. None if that of the base is not known."""
        base_fve, thresholds = self._base_of(fit).fve, self.thresholds
        if base_fve is None:
            return None
        return max(thresholds.min_fve, 1 - thresholds.max_unexplained_ratio * (1 - base_fve))

    def _base_of(self, fit: DictionaryFit) -> DictionaryFit:
        return next(other for other in self.fits if (other.corpus, other.bucket) == (fit.corpus, fit.bucket))

    def table(self) -> "pl.DataFrame":
        """A row for each checkpoint, corpus and bucket. `verdict` is that on the checkpoint."""
        import polars as pl

        rows = [
            {**vars(fit), "fve_threshold": self.fve_threshold(fit), "verdict": self.verdict(fit.step)}
            for fit in self.fits
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    def summary(self) -> "pl.DataFrame":
        """A row for each checkpoint: the lowest fits over corpora and buckets, the verdict, and what decided it."""
        import polars as pl

        rows = []
        for step in self.steps:
            fits = [fit for fit in self.fits if fit.step == step]
            fves, losses = ([getattr(fit, name) for fit in fits] for name in ("fve", "kl_recovered"))
            row = {"step": step, "min_fve": min((fve for fve in fves if fve is not None), default=None)}
            row["min_kl_recovered"] = min((loss for loss in losses if loss is not None), default=None)
            row["fitted_on"] = None if self.fitted_on is None else step in self.fitted_on
            rows.append({**row, "verdict": self.verdict(step), "reason": self.reason(step)})
        return pl.DataFrame(rows, infer_schema_length=None)

    def figure(self) -> "go.Figure":
        """Variance explained by step on each corpus, with its threshold dotted. A checkpoint may also lose trust by its
        loss recovered, which is in the table."""
        from interp.tracking.plots import plot_drift

        return plot_drift(self.table())


def measure_drift(
    sums: Iterable[CheckpointSums],
    thresholds: TrustThresholds,
    buckets: Sequence[str],
    *,
    fitted_on: tuple[int, ...] | None = None,
) -> Drift:
    """Fit and verdict from the sums of checkpoints. Those of the base come first."""
    active_on_base: dict[tuple[str, str], Tensor] = {}
    fits = []
    for checkpoint in sums:
        table = checkpoint.tables["prompts"]
        for bucket in buckets:
            if (fve := checkpoint.fve.get(bucket)) is None:
                continue
            rows = [row for row, key in enumerate(table.keys) if key[0] == bucket]
            active_F, tokens = table.active_RF[rows].sum(0), int(table.tokens_R[rows].sum())
            base_F = active_on_base.setdefault((checkpoint.corpus, bucket), active_F > 0)
            silent_share = float((active_F[base_F] == 0).double().mean()) if bool(base_F.any()) else None
            l0 = float(active_F.sum()) / tokens if tokens else None
            losses = checkpoint.loss_recovered.get(bucket)
            kl_recovered = None if losses is None else losses.compute().kl_recovered
            fit = DictionaryFit(
                checkpoint.step, checkpoint.corpus, bucket, fve.compute(), l0, silent_share, kl_recovered
            )
            fits.append(fit)
    return Drift(tuple(fits), thresholds, fitted_on)
