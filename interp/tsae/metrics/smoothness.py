"""How smooth latents are along a document, in three ways that no scale of the code can change.

Over joined pairs (f_{t-1}, f_t) of one document, for each latent: the lag-1 autocorrelation, Pearson's r of the pair;
the normalised total variation, sum |f_t - f_{t-1}| / sum (f_t + f_{t-1}) / 2, from 0 (constant) to 2 (lone spikes: both
ends stand below, so that no document's edge can take it higher); the mean run, in consecutive active tokens (cut off
by the ends of documents). Beside them the paper's own measure, `paper_smoothness.py`.

A block's figure is the plain mean over its latents that were active on `least` tokens or more: one latent, one vote,
so that it does not change if a latent is rescaled against the others, as the decoder's norm is free to do. Weighted by
variance, `autocorrelation_by_variance` tells what the block's loud latents do: it stands beside, for plain means are
made by the many latents that are rare. Latents below `least` would add an r of 0 or 1 made by one coincidence.

Runs are long where latents are frequent, by chance alone: at rate p without memory, 1 / (1 - p). Autocorrelation is
not moved by that; of the three it is the one to compare blocks of unlike firing rates by.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.metrics.blocks import Blocks, active_columns, expect_codes, block_slices
from interp.tsae.metrics.checks import expect_same, expect_shape, to_float64
from interp.tsae.metrics.paper_smoothness import PaperSmoothness

MIN_ACTIVE = 10
SUMS = ("before", "after", "before_squared", "after_squared", "product", "change", "active", "runs")
ROUNDING = 1e-12
"""A variance below this share of the mean square is what rounding leaves of none."""


@dataclass(frozen=True, slots=True)
class BlockSmoothness:
    """None where no latent is active often enough, or none of those that are has the figure."""

    autocorrelation: float | None
    autocorrelation_by_variance: float | None
    total_variation: float | None
    run_tokens: float | None
    paper: float | None
    latents: int
    """Active often enough to count (in `paper`, all do that are active)."""


@dataclass(frozen=True, slots=True)
class SmoothnessTable:
    total: BlockSmoothness
    per_block: tuple[BlockSmoothness, ...]
    autocorrelation_F: Float[Tensor, " F"]
    """Of each latent, as are the next two, however rare it is. NaN where there is none."""
    total_variation_F: Float[Tensor, " F"]
    run_tokens_F: Float[Tensor, " F"]
    pairs: int


@dataclass
class Smoothness:
    blocks: Blocks
    min_active: int = MIN_ACTIVE
    pairs: int = 0
    sums: dict[str, Tensor] = field(init=False)
    """Of each latent, by the names in SUMS."""
    paper: PaperSmoothness = field(init=False)

    def __post_init__(self) -> None:
        width = block_slices(self.blocks)[-1].stop
        self.sums = {name: torch.zeros(width, dtype=torch.float64) for name in SUMS}
        self.paper = PaperSmoothness(self.blocks)

    def update(self, *, z_NF: Float[Tensor, "N F"], x_ND: Float[Tensor, "N D"], joined_N: Bool[Tensor, " N"]) -> None:
        """Rows in their order. `joined_N`: the row goes on the document of the row before. A document comes whole, in
        one update: pairs and runs across two would be lost."""
        expect_codes(z_NF, self.blocks)
        expect_shape("x_ND", x_ND, (len(z_NF), x_ND.shape[-1]))
        expect_shape("joined_N", joined_N, (len(z_NF),))
        if not len(z_NF):
            return
        if joined_N[0]:
            raise BadInput("the first row must begin a document, got one that goes on: give a document in one update")
        joined_N = joined_N.to(to_float64(z_NF[:0]).device)
        self.pairs += int(joined_N.sum())
        for on_C in active_columns(z_NF, slice(0, z_NF.shape[1])):
            for name, sum_C in _sums(to_float64(z_NF[:, on_C]), joined_N).items():
                self.sums[name][on_C.cpu()] += sum_C.cpu()
        self.paper.update(z_NF=z_NF, x_ND=x_ND, joined_N=joined_N)

    def merge(self, other: "Smoothness") -> None:
        expect_same("blocks and least", (self.blocks, self.min_active), (other.blocks, other.min_active))
        self.pairs += other.pairs
        self.sums = {name: self.sums[name] + other.sums[name] for name in SUMS}
        self.paper.merge(other.paper)

    def compute(self) -> SmoothnessTable:
        r_F, variance_F = self._autocorrelation()
        variation_F = self.sums["change"] / ((self.sums["before"] + self.sums["after"]) / 2)
        run_F = self.sums["active"] / self.sums["runs"]
        paper_total, paper_blocks = self.paper.compute()

        def of(span: slice, paper: float | None) -> BlockSmoothness:
            often_F = (self.sums["active"] >= self.min_active)[span]
            r, weight = r_F[span][often_F], variance_F[span][often_F]
            return BlockSmoothness(
                autocorrelation=_mean(r),
                autocorrelation_by_variance=_mean(r, weight),
                total_variation=_mean(variation_F[span][often_F]),
                run_tokens=_mean(run_F[span][often_F]),
                paper=paper,
                latents=int(often_F.sum()),
            )

        per_block = tuple(of(span, paper) for span, paper in zip(block_slices(self.blocks), paper_blocks, strict=True))
        return SmoothnessTable(of(slice(None), paper_total), per_block, r_F, variation_F, run_F, self.pairs)

    def _autocorrelation(self) -> tuple[Tensor, Tensor]:
        """Of each latent, and the variance it was taken at."""
        if not self.pairs:
            return torch.full_like(self.sums["active"], math.nan), torch.zeros_like(self.sums["active"])
        before_F, after_F, before2_F, after2_F, product_F = (self.sums[name] / self.pairs for name in SUMS[:5])
        var_before_F, var_after_F = before2_F - before_F**2, after2_F - after_F**2
        varies_F = (var_before_F > ROUNDING * before2_F) & (var_after_F > ROUNDING * after2_F)
        r_F = (product_F - before_F * after_F) / (var_before_F * var_after_F).sqrt()
        return torch.where(varies_F, r_F.clamp(-1, 1), math.nan), (var_before_F + var_after_F) / 2


def _sums(z_NC: Tensor, joined_N: Tensor) -> dict[str, Tensor]:
    at_P = joined_N.nonzero()[:, 0]
    before_PC, after_PC, on_NC = z_NC[at_P - 1], z_NC[at_P], z_NC > 0
    begins_NC = on_NC.clone()
    begins_NC[at_P] &= ~on_NC[at_P - 1]
    return {
        "before": before_PC.sum(0),
        "after": after_PC.sum(0),
        "before_squared": before_PC.square().sum(0),
        "after_squared": after_PC.square().sum(0),
        "product": (before_PC * after_PC).sum(0),
        "change": (after_PC - before_PC).abs().sum(0),
        "active": on_NC.sum(0),
        "runs": begins_NC.sum(0),
    }


def _mean(value_C: Tensor, weight_C: Tensor | None = None) -> float | None:
    """Over the latents that have one."""
    told_C = ~value_C.isnan()
    weight_C = torch.ones_like(value_C) if weight_C is None else weight_C
    if not told_C.any():
        return None
    return float((value_C * weight_C)[told_C].sum() / weight_C[told_C].sum())
