"""Smoothness of latents along a document, by three measures that do not depend on the scale of the code.

For each latent f, over consecutive tokens t-1, t of one document:

    autocorrelation   Pearson's r of f_{t-1} and f_t
    total variation   sum |f_t - f_{t-1}| / (sum (f_t + f_{t-1}) / 2), from 0 (constant) to 2 (isolated spikes)
    run               mean number of consecutive active tokens, cut off at the ends of documents

The paper's own measure is beside them (`paper_smoothness.py`).

The figure of a block is the unweighted mean over its latents that are active on at least `min_active` tokens. So it
does not change if one latent is rescaled, as decoder norms may. Rarer latents are left out: one coincidence gives them
an r of 0 or 1. `autocorrelation_by_variance` weighs latents by their variance instead, and describes the latents with
large activations; the unweighted mean describes the many rare ones.

Frequent latents have long runs by chance alone: without memory, a firing rate of p gives 1 / (1 - p) tokens. This does
not change the autocorrelation, which is the measure for comparing blocks of different firing rates.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.metrics.blocks import Blocks, active_columns, block_slices, expect_codes
from interp.tsae.metrics.checks import expect_same, expect_shape, to_float64
from interp.tsae.metrics.paper_smoothness import PaperSmoothness

MIN_ACTIVE = 10
SUMS = ("before", "after", "before_squared", "after_squared", "product", "change", "active", "runs")
ROUNDING = 1e-12
"""A variance below this share of the mean square is rounding error."""


@dataclass(frozen=True, slots=True)
class BlockSmoothness:
    """Means over the latents of a block. None if no latent is active often enough and has the figure."""

    autocorrelation: float | None
    autocorrelation_by_variance: float | None
    total_variation: float | None
    run_tokens: float | None
    paper: float | None
    latents: int
    """Number of latents active often enough to count. (`paper` counts every active latent.)"""


@dataclass(frozen=True, slots=True)
class SmoothnessTable:
    total: BlockSmoothness
    per_block: tuple[BlockSmoothness, ...]
    autocorrelation_F: Float[Tensor, " F"]
    """This and the next two are of each latent, rare ones too. NaN where undefined."""
    total_variation_F: Float[Tensor, " F"]
    run_tokens_F: Float[Tensor, " F"]
    pairs: int
    """Pairs of consecutive tokens."""


@dataclass
class Smoothness:
    """Sums over pairs of consecutive tokens, for each latent."""

    blocks: Blocks
    min_active: int = MIN_ACTIVE
    pairs: int = 0
    sums: dict[str, Tensor] = field(init=False)
    """By the names in SUMS."""
    paper: PaperSmoothness = field(init=False)

    def __post_init__(self) -> None:
        width = block_slices(self.blocks)[-1].stop
        self.sums = {name: torch.zeros(width, dtype=torch.float64) for name in SUMS}
        self.paper = PaperSmoothness(self.blocks)

    def update(self, *, z_NF: Float[Tensor, "N F"], x_ND: Float[Tensor, "N D"], joined_N: Bool[Tensor, " N"]) -> None:
        """Rows in order. `joined_N` marks rows that continue the document of the row before. Each document must come
        whole in one update: pairs and runs across two updates would be lost."""
        expect_codes(z_NF, self.blocks)
        expect_shape("x_ND", x_ND, (len(z_NF), x_ND.shape[-1]))
        expect_shape("joined_N", joined_N, (len(z_NF),))
        if not len(z_NF):
            return
        if joined_N[0]:
            raise BadInput(
                "expected the first row to start a document, got one that continues it: pass whole documents"
            )
        joined_N = joined_N.to(to_float64(z_NF[:0]).device)
        self.pairs += int(joined_N.sum())
        for latent_C in active_columns(z_NF, slice(0, z_NF.shape[1])):
            for name, sum_C in _sums(to_float64(z_NF[:, latent_C]), joined_N).items():
                self.sums[name][latent_C.cpu()] += sum_C.cpu()
        self.paper.update(z_NF=z_NF, x_ND=x_ND, joined_N=joined_N)

    def merge(self, other: "Smoothness") -> None:
        expect_same("blocks and min_active", (self.blocks, self.min_active), (other.blocks, other.min_active))
        self.pairs += other.pairs
        self.sums = {name: self.sums[name] + other.sums[name] for name in SUMS}
        self.paper.merge(other.paper)

    def compute(self) -> SmoothnessTable:
        r_F, variance_F = self._autocorrelation()
        variation_F = self.sums["change"] / ((self.sums["before"] + self.sums["after"]) / 2)
        run_F = self.sums["active"] / self.sums["runs"]
        paper_total, paper_blocks = self.paper.compute()

        def block_means(columns: slice, paper: float | None) -> BlockSmoothness:
            counted_F = (self.sums["active"] >= self.min_active)[columns]
            r_C, weight_C = r_F[columns][counted_F], variance_F[columns][counted_F]
            return BlockSmoothness(
                autocorrelation=_mean(r_C),
                autocorrelation_by_variance=_mean(r_C, weight_C),
                total_variation=_mean(variation_F[columns][counted_F]),
                run_tokens=_mean(run_F[columns][counted_F]),
                paper=paper,
                latents=int(counted_F.sum()),
            )

        blocks = zip(block_slices(self.blocks), paper_blocks, strict=True)
        per_block = tuple(block_means(columns, paper) for columns, paper in blocks)
        total = block_means(slice(None), paper_total)
        return SmoothnessTable(total, per_block, r_F, variation_F, run_F, self.pairs)

    def _autocorrelation(self) -> tuple[Tensor, Tensor]:
        """Autocorrelation of each latent, and its variance."""
        if not self.pairs:
            return torch.full_like(self.sums["active"], math.nan), torch.zeros_like(self.sums["active"])
        before_F, after_F, before2_F, after2_F, product_F = (self.sums[name] / self.pairs for name in SUMS[:5])
        var_before_F, var_after_F = before2_F - before_F**2, after2_F - after_F**2
        varies_F = (var_before_F > ROUNDING * before2_F) & (var_after_F > ROUNDING * after2_F)
        r_F = (product_F - before_F * after_F) / (var_before_F * var_after_F).sqrt()
        return torch.where(varies_F, r_F.clamp(-1, 1), math.nan), (var_before_F + var_after_F) / 2


def _sums(z_NC: Tensor, joined_N: Tensor) -> dict[str, Tensor]:
    row_P = joined_N.nonzero()[:, 0]
    before_PC, after_PC, active_NC = z_NC[row_P - 1], z_NC[row_P], z_NC > 0
    starts_run_NC = active_NC.clone()
    starts_run_NC[row_P] &= ~active_NC[row_P - 1]
    return {
        "before": before_PC.sum(0),
        "after": after_PC.sum(0),
        "before_squared": before_PC.square().sum(0),
        "after_squared": after_PC.square().sum(0),
        "product": (before_PC * after_PC).sum(0),
        "change": (after_PC - before_PC).abs().sum(0),
        "active": active_NC.sum(0),
        "runs": starts_run_NC.sum(0),
    }


def _mean(value_C: Tensor, weight_C: Tensor | None = None) -> float | None:
    """Weighted mean over the latents whose value is not NaN. None without one."""
    valid_C = ~value_C.isnan()
    weight_C = torch.ones_like(value_C) if weight_C is None else weight_C
    if not valid_C.any():
        return None
    return float((value_C * weight_C)[valid_C].sum() / weight_C[valid_C].sum())
