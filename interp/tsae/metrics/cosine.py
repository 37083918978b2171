"""Mean cosine of x and xhat: the agreement in direction alone. It does not notice a reconstruction that is too short.

A zero vector has no direction. Rows with one are counted apart and left out of the mean: as 0 they would look like
reconstructions at right angles, and as NaN they would spoil the mean.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp.tsae.metrics.checks import expect_shape, to_float64


@dataclass(frozen=True, slots=True)
class MeanCosine:
    value: float | None
    n: int
    """Rows in the mean."""
    zero_x: int
    """Rows whose activation is zero."""
    zero_xhat: int
    """Rows whose activation is not zero, but whose reconstruction is."""


@dataclass
class Cosine:
    """Sum of cosines over rows."""

    total: float = 0.0
    n: int = 0
    zero_x: int = 0
    zero_xhat: int = 0

    def update(self, *, x_ND: Float[Tensor, "N D"], xhat_ND: Float[Tensor, "N D"]) -> None:
        expect_shape("xhat_ND", xhat_ND, tuple(x_ND.shape))
        x_ND, xhat_ND = to_float64(x_ND), to_float64(xhat_ND)
        x_norm_N, xhat_norm_N = x_ND.norm(dim=1), xhat_ND.norm(dim=1)
        nonzero_N = (x_norm_N != 0) & (xhat_norm_N != 0)
        unit_ND = x_ND[nonzero_N] / x_norm_N[nonzero_N, None]
        unit_hat_ND = xhat_ND[nonzero_N] / xhat_norm_N[nonzero_N, None]
        self.total += float((unit_ND * unit_hat_ND).sum())
        self.n += int(nonzero_N.sum())
        self.zero_x += int((x_norm_N == 0).sum())
        self.zero_xhat += int(((x_norm_N != 0) & (xhat_norm_N == 0)).sum())

    def merge(self, other: "Cosine") -> None:
        self.total += other.total
        self.n += other.n
        self.zero_x += other.zero_x
        self.zero_xhat += other.zero_xhat

    def compute(self) -> MeanCosine:
        return MeanCosine(self.total / self.n if self.n else None, self.n, self.zero_x, self.zero_xhat)
