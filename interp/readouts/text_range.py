"""Whether a text is like those that the reader knows: Mahalanobis distance of what is read from that of the base's own
texts.

    d^2 = sum over principal components c of score_c^2 / (variance_c + floor)  +  |what no component explains|^2 / floor

The floor is a hundredth of the mean variance: a direction in which the base's texts hardly differ must not decide
alone. A text is inside if d is at most the 99th percentile of held-out texts of the base, which answer other problems:
answers to one problem are more alike than those to another, and training meets new problems.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput, Mismatch, same_fingerprint
from interp.policy.policy import Policy
from interp.readouts.columns import Columns, Origin, expect_sources, read_columns
from interp.readouts.halves import first_half
from interp.readouts.sources import Source
from interp.rollouts.record import Rollout

QUANTILE = 0.99
MIN_TEXTS = 50
MIN_HALF = 10
"""Texts that each half must have."""
FLOOR = 0.01
MIN_FLOOR = 1e-12
"""Of numbers that never differ."""


@dataclass(frozen=True, eq=False)
class TextRange:
    """The region in which the texts of a base lie."""

    mean_F: Float[Tensor, " F"]
    axes_FC: Float[Tensor, "F C"]
    """Principal axes."""
    variance_C: Float[Tensor, " C"]
    """Variance along each, with the floor."""
    floor: float
    limit: float
    """Largest distance of a text inside."""
    origin: Origin
    """The base, the sources and the texts that it was fitted on."""

    @classmethod
    def fit(cls, sources: Sequence[Source], base: Policy, rollouts: Sequence[Rollout]) -> "TextRange":
        """The range of some rollouts of the base: axes from half of the problems, the limit from the others."""
        columns = read_columns(sources := expect_sources(sources), base, rollouts)
        rows = columns.is_readable_B.nonzero()[:, 0].tolist()
        if len(rows) < MIN_TEXTS:
            raise BadInput(f"expected at least {MIN_TEXTS} texts of the base that can be read, got {len(rows)}")
        is_first = first_half((rollouts[row].problem, rollouts[row]) for row in rows)
        is_fitted_B = torch.tensor([is_first[rollouts[row].problem] for row in rows])
        fitted_BF, held_out_BF = columns.x_BF[rows][is_fitted_B], columns.x_BF[rows][~is_fitted_B]
        if min(len(fitted_BF), len(held_out_BF)) < MIN_HALF:
            raise BadInput(
                f"expected texts of many problems, to compare texts of some with those of others; got {len(rows)} of "
                f"{len(is_first)}: roll the base out on more problems"
            )
        mean_F = fitted_BF.mean(0)
        _, singular_C, axes_CF = torch.linalg.svd(fitted_BF - mean_F, full_matrices=False)
        variance_C = singular_C**2 / (len(fitted_BF) - 1)
        floor = max(FLOOR * float(variance_C.mean()), MIN_FLOOR)
        origin = replace(Origin.of(sources, base, rollouts), reader=base.fingerprint())
        region = cls(mean_F, axes_CF.T, variance_C + floor, floor, torch.inf, origin)
        return replace(region, limit=float(region._distance(held_out_BF).quantile(QUANTILE)))

    def fingerprint(self) -> str:
        """What decides it: the base, the sources and the texts."""
        return self.origin.fingerprint()

    def expect_sources(self, sources: Sequence[Source]) -> None:
        """Refuse other sources, also if they give as many numbers."""
        self.origin.expect_sources(sources, of="a range of texts")

    def expect_reader(self, base: Policy) -> None:
        """Refuse another base."""
        if not same_fingerprint(reader := self.origin.reader, got := base.fingerprint()):
            raise Mismatch(f"expected the base whose texts set the range, {reader}; got {got}: fit it again")

    def contains(self, columns: Columns) -> Bool[Tensor, " B"]:
        """Which texts lie inside. One that cannot be read does not."""
        return self._distance(columns.x_BF) <= self.limit

    def _distance(self, x_BF: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
        centered_BF = x_BF - self.mean_F
        scores_BC = centered_BF @ self.axes_FC
        rest_BF = centered_BF - scores_BC @ self.axes_FC.T
        return ((scores_BC**2 / self.variance_C).sum(1) + (rest_BF**2).sum(1) / self.floor).sqrt()
