"""Fraction of variance explained, 1 - sum ||x - xhat||^2 / sum ||x - mean||^2, over all rows and dimensions at once.

Mean and sums are those of the whole stream. So predicting the mean scores exactly 0, and the split into batches does
not matter. (A mean of ratios over batches, or the mean of each batch, flatters small batches; a mean of ratios over
dimensions gives dimensions without variance the same weight as the others.) The spread about the mean is updated by
Chan's formula: for two parts, M2 = M2_a + M2_b + ||mean_a - mean_b||^2 n_a n_b / (n_a + n_b).
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.metrics.checks import expect_same, expect_shape, to_float64


@dataclass
class FVE:
    """Fraction of variance explained, as `compute` gives it from the error, spread and mean of a stream."""

    n: int = 0
    error: float = 0.0
    """Sum of ||x - xhat||^2."""
    spread: float = 0.0
    """Sum of ||x - mean||^2."""
    mean_D: Float[Tensor, " D"] | None = None

    def update(self, *, x_ND: Float[Tensor, "N D"], xhat_ND: Float[Tensor, "N D"]) -> None:
        expect_shape("xhat_ND", xhat_ND, tuple(x_ND.shape))
        if not len(x_ND):
            return
        x_ND, xhat_ND = to_float64(x_ND), to_float64(xhat_ND)
        first_D = x_ND[0]  # relative to one of the rows, equal rows have a spread of exactly 0
        relative_ND = x_ND - first_D
        mean_D = relative_ND.mean(0)
        error, spread = float((x_ND - xhat_ND).square().sum()), float((relative_ND - mean_D).square().sum())
        if not math.isfinite(error + spread):
            raise BadInput("x and xhat must be finite; got NaN or infinity: did the model overflow its precision?")
        self.merge(FVE(len(x_ND), error, spread, (first_D + mean_D).cpu()))

    def merge(self, other: "FVE") -> None:
        if other.mean_D is None:
            return
        if self.mean_D is None:
            self.mean_D = other.mean_D.new_zeros(other.mean_D.shape)
        expect_same("width", len(self.mean_D), len(other.mean_D))
        n = self.n + other.n
        difference_D = other.mean_D - self.mean_D
        self.error += other.error
        self.spread += other.spread + float(difference_D @ difference_D) * self.n * other.n / n
        self.mean_D = self.mean_D + difference_D * (other.n / n)
        self.n = n

    def compute(self) -> float | None:
        """The fraction of variance explained, 1 - error / spread. None if there is no variance."""
        return 1 - self.error / self.spread if self.spread else None
