"""Mean cosine of x and xhat, the direction alone: a dictionary that shrinks its reconstructions keeps it.

A zero vector has no direction. Rows with one are counted apart, and kept out of the mean: as 0 they would be mistaken
for reconstructions at right angles, as NaN they would swallow the rest.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from interp.tsae.metrics.checks import expect_shape, to_float64


@dataclass(frozen=True, slots=True)
class MeanCosine:
    value: float | None
    n: int
    zero_x: int
    """Rows whose activation is zero."""
    zero_xhat: int
    """Rows whose activation is not, but whose reconstruction is: the dictionary was silent."""


@dataclass
class Cosine:
    total: float = 0.0
    n: int = 0
    zero_x: int = 0
    zero_xhat: int = 0

    def update(self, *, x_ND: Float[Tensor, "N D"], xhat_ND: Float[Tensor, "N D"]) -> None:
        expect_shape("xhat_ND", xhat_ND, tuple(x_ND.shape))
        x_ND, xhat_ND = to_float64(x_ND), to_float64(xhat_ND)
        x_N, xhat_N = x_ND.norm(dim=1), xhat_ND.norm(dim=1)
        told_N = (x_N != 0) & (xhat_N != 0)
        unit_ND, unithat_ND = x_ND[told_N] / x_N[told_N, None], xhat_ND[told_N] / xhat_N[told_N, None]
        self.total += float((unit_ND * unithat_ND).sum())
        self.n += int(told_N.sum())
        self.zero_x += int((x_N == 0).sum())
        self.zero_xhat += int(((x_N != 0) & (xhat_N == 0)).sum())

    def merge(self, other: "Cosine") -> None:
        self.total += other.total
        self.n += other.n
        self.zero_x += other.zero_x
        self.zero_xhat += other.zero_xhat

    def compute(self) -> MeanCosine:
        return MeanCosine(self.total / self.n if self.n else None, self.n, self.zero_x, self.zero_xhat)
