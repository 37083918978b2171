"""Intervals for shares. Rollouts of one problem are alike, so what counts as evidence is problems, not rows."""

from collections.abc import Sequence
from dataclasses import dataclass


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
    total, problems = n_P.sum(), len(n_P)
    if not problems:
        return Share(float("nan"), 0.0, 1.0, 0)
    p = k_P.sum() / total
    spread = ((k_P - p * n_P) ** 2).sum() * problems / max(problems - 1, 1) / total**2
    effective = min(total, p * (1 - p) / spread) if spread > 0 else total if problems > 1 and 0 < p < 1 else problems
    low, high = exact(p * effective, effective, level)
    return Share(float(p), low, high, int(total))
