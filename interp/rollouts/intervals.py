"""Intervals for shares. Rollouts of one problem are alike, so what counts as evidence is problems, not rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion with its interval; `n` is how many trials stand behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "no trials"
        digits = 2 if self.high >= 0.1 else 3  # a rare thing is not nothing
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def exact(successes: float, trials: float, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson: covers at least `level` whatever the true rate. Takes fractions, for effective trials."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes >= trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def share(successes_P: Sequence[float], trials_P: Sequence[float], level: float = 0.95) -> Share:
    """A share over problems with an interval that allows for their differing (Korn and Graubard): the exact interval
    at the number of independent trials that would be as uncertain. If all or none succeed, problems are the trials."""
    import numpy as np

    k_P, n_P = np.asarray(successes_P, float), np.asarray(trials_P, float)
    k_P, n_P = k_P[n_P > 0], n_P[n_P > 0]
    total = float(n_P.sum())
    if not total:
        return Share(float("nan"), 0.0, 1.0, 0)
    p = float(k_P.sum()) / total
    effective = _effective_trials(k_P, n_P, p, level)
    low, high = exact(p * effective, effective, level)
    return Share(p, low, high, int(total))


def _effective_trials(k_P: "np.ndarray", n_P: "np.ndarray", p: float, level: float) -> float:
    from scipy.special import stdtrit

    total, problems = float(n_P.sum()), len(n_P)
    if problems == 1 or p in (0, 1):
        return problems
    spread = float(((k_P - p * n_P) ** 2).sum()) * problems / (problems - 1) / total**2
    effective = p * (1 - p) / spread if spread else total
    # the fewer the problems, the less sure is the spread itself
    quantile = (1 + level) / 2
    effective *= (stdtrit(total - 1, quantile) / stdtrit(problems - 1, quantile)) ** 2
    return float(min(total, max(effective, 1.0)))
