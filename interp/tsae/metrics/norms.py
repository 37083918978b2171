"""Tokens whose norm is far above that of all others: they decide the variance explained, whatever the others are.

Many pretrained models give the first token of a text, and some separators, activations of fifty times the usual norm.
"""

import warnings
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput

FAR = 10.0
"""A norm above this many medians is far above all others."""
MUCH = 0.1
"""Share of all squared norm from which such tokens are worth a warning."""


@dataclass(frozen=True)
class NormSpread:
    """Norms of tokens."""

    median: float
    largest: float
    outliers: int
    """Tokens with a norm above `FAR` medians."""
    outlier_share: float
    """Their share of all squared norm."""

    @classmethod
    def of(cls, norm_N: Float[Tensor, " N"]) -> "NormSpread":
        if not len(norm_N):
            raise BadInput("expected norms of tokens, got none")
        norm_N = norm_N.double()
        median, square_N = norm_N.median(), norm_N.square()
        is_far_N = norm_N > FAR * median
        total = float(square_N.sum())
        share = float(square_N[is_far_N].sum()) / total if total else 0.0
        return cls(float(median), float(norm_N.max()), int(is_far_N.sum()), share)


@dataclass
class Norms:
    """Norms of tokens, collected part by part."""

    parts: list[Tensor] = field(default_factory=list)

    def update(self, *, x_ND: Float[Tensor, "N D"]) -> None:
        self.parts.append(x_ND.norm(dim=-1).float().cpu())

    def merge(self, other: "Norms") -> None:
        self.parts += other.parts

    def compute(self) -> NormSpread:
        return NormSpread.of(torch.cat(self.parts))


def warn_outliers(spread: NormSpread, n: int, place: object) -> None:
    """Warn if a few tokens hold much of all squared norm."""
    if spread.outlier_share < MUCH:
        return
    warnings.warn(
        f"{place}: {spread.outliers:,} of {n:,} tokens have a norm above {FAR:g} times the median (up to "
        f"{spread.largest:,.0f}, median {spread.median:,.0f}) and hold {spread.outlier_share:.0%} of all squared norm: "
        "variance explained says little about the others. If they are the first tokens of documents, as in most "
        "pretrained models, leave those out (skip_first=1, --skip-first 1)",
        stacklevel=4,
    )
