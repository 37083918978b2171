"""Fraction of variance explained, 1 - sum ||x - xhat||^2 / sum ||x - mean||^2, over all rows and dimensions at once.

The mean is that of the whole stream and both sums are of the whole stream: predicting the mean scores exactly 0, and
how the rows were batched does not matter. (A mean of batch ratios, or a batch's own mean, flatters small batches; a
mean of ratios over dimensions lets the dimensions in which nothing happens decide.) The spread about a mean that is not
known yet is carried by Chan's update: for two parts, M2 = M2_a + M2_b + ||mean_a - mean_b||^2 n_a n_b / (n_a + n_b).
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.metrics.checks import expect_same, expect_shape, to_float64


@dataclass
class FVE:
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
        first_D = x_ND[0]  # told from a row of their own, equal rows have no spread at all, not one of rounding
        about_ND = x_ND - first_D
        about_D = about_ND.mean(0)
        error, spread = float((x_ND - xhat_ND).square().sum()), float((about_ND - about_D).square().sum())
        if not math.isfinite(error + spread):
            raise BadInput("x and xhat must be finite; got NaN or infinity: did the model overflow its precision?")
        self.merge(FVE(len(x_ND), error, spread, (first_D + about_D).cpu()))

    def merge(self, other: "FVE") -> None:
        if other.mean_D is None:
            return
        if self.mean_D is None:
            self.mean_D = other.mean_D.new_zeros(other.mean_D.shape)
        expect_same("width", len(self.mean_D), len(other.mean_D))
        n = self.n + other.n
        apart_D = other.mean_D - self.mean_D
        self.error += other.error
        self.spread += other.spread + float(apart_D @ apart_D) * self.n * other.n / n
        self.mean_D = self.mean_D + apart_D * (other.n / n)
        self.n = n

    def compute(self) -> float | None:
        """None where there is no variance to explain."""
        return 1 - self.error / self.spread if self.spread else None
