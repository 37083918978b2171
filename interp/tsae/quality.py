"""Quality of a dictionary on a store of activations: what it explains, how sparse it is, and how smooth its blocks are.

One pass over the tokens of the store: completions, and prompts if the dictionary was trained on them. This needs no
policy. How much of a policy's loss the reconstructions preserve is measured by `interp.encoding.loss_recovered`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from interp.activations import Store
from interp.artifacts import BadInput
from interp.checks import expect_type
from interp.device import resolve_device
from interp.display import HtmlSummary, bar_settings
from interp.tsae.codes import ENTRIES
from interp.tsae.dictionary import TSAE
from interp.tsae.metrics import (
    FVE,
    L0,
    ActiveLatents,
    Cosine,
    Firing,
    FiringRates,
    Membership,
    Norms,
    NormSpread,
    Smoothness,
    SmoothnessTable,
    block_membership,
    warn_outliers,
)
from interp.tsae.pools import Pool, Pools
from interp.tsae.provenance import expect_matching_store

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl


@dataclass(frozen=True, repr=False)
class Quality(HtmlSummary):
    """What `evaluate` measured."""

    tokens: int
    block_widths: tuple[int, ...]
    includes_prompts: bool
    """Whether tokens of prompts are among those measured."""
    skip_first: int
    """First tokens of each document that are not measured."""
    is_training_store: bool | None
    """Whether the dictionary was fitted on this very store. None if it does not say."""
    fve: float | None
    """Fraction of variance explained."""
    fve_slow: float | None
    """By the slow block alone."""
    cosine: float | None
    """Mean cosine of residual and reconstruction."""
    l0: ActiveLatents
    firing: FiringRates
    norms: NormSpread
    """Of the activations: whether a few tokens decide the variance explained."""
    smoothness: SmoothnessTable
    membership: Membership | None
    """Slow block against firing rate. None for a dictionary of one block."""
    membership_alive: Membership | None
    """The same without the latents that never fired."""

    def __repr__(self) -> str:
        numbers = {"variance explained": self.fve, "L0": self.l0.total, "dead": self.firing.dead_share}
        figures = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items() if value is not None)
        return f"Quality({self.tokens:,} tokens: {figures})"

    @property
    def block_names(self) -> tuple[str, ...]:
        """ "slow", "block 2", ...; "all" for the only block of a dictionary of one."""
        n = len(self.block_widths)
        return ("slow", *(f"block {number}" for number in range(2, n + 1))) if n > 1 else ("all",)

    def headline(self) -> dict[str, Any]:
        """The main figures by name, as plain values."""
        smooth, slow = self.smoothness, self.smoothness.per_block[0]
        return {
            "tokens": self.tokens, "prompts": self.includes_prompts, "fitted_on": self.is_training_store,
            "fve": self.fve, "fve_slow": self.fve_slow, "cosine": self.cosine,
            "outlier_tokens": self.norms.outliers, "outlier_share": self.norms.outlier_share,
            "l0": self.l0.total, "l0_slow": self.l0.per_block[0], "dead_share": self.firing.dead_share,
            "autocorrelation": smooth.total.autocorrelation, "autocorrelation_slow": slow.autocorrelation,
            "autocorrelation_fast": smooth.per_block[-1].autocorrelation if len(smooth.per_block) > 1 else None,
            "total_variation": smooth.total.total_variation, "total_variation_slow": slow.total_variation,
            "run_tokens_slow": slow.run_tokens, "paper_smoothness": smooth.total.paper,
            "paper_smoothness_slow": slow.paper,
            "rate_auroc": self.membership.auroc if self.membership else None,
            "rate_auroc_living": self.membership_alive.auroc if self.membership_alive else None,
        }  # fmt: skip

    def table(self) -> "pl.DataFrame":
        """A row per latent: its block, how often and how strongly it fires, and how smooth it is."""
        import polars as pl

        widths, smooth = self.block_widths, self.smoothness
        frame = pl.DataFrame(
            {
                "latent": range(sum(widths)),
                "block": [name for name, width in zip(self.block_names, widths, strict=True) for _ in range(width)],
                "active_tokens": self.firing.active_tokens_F.numpy(),
                "firing_rate": self.firing.firing_rate_F.numpy(),
                "mean_when_active": self.firing.mean_when_active_F.numpy(),
                "autocorrelation": smooth.autocorrelation_F.numpy(),
                "total_variation": smooth.total_variation_F.numpy(),
                "run_tokens": smooth.run_tokens_F.numpy(),
            }
        )
        return frame.fill_nan(None)

    def summary(self) -> "pl.DataFrame":
        """A row for the whole dictionary and one per block: sparsity, smoothness, and variance explained."""
        import polars as pl

        several, smooth = len(self.block_widths) > 1, self.smoothness
        names = ("all", *self.block_names) if several else ("all",)
        fve = [self.fve, self.fve_slow, *[None] * (len(names) - 2)][: len(names)]
        blocks = [smooth.total, *smooth.per_block][: len(names)]
        return pl.DataFrame(
            {
                "block": names,
                "latents": [sum(self.block_widths), *self.block_widths][: len(names)],
                "fve": fve,
                "l0": [self.l0.total, *self.l0.per_block][: len(names)],
                "dead_share": [self.firing.dead_share, *self.firing.dead_share_per_block][: len(names)],
                "autocorrelation": [block.autocorrelation for block in blocks],
                "total_variation": [block.total_variation for block in blocks],
                "run_tokens": [block.run_tokens for block in blocks],
                "paper_smoothness": [block.paper for block in blocks],
            }
        )

    def figure(self) -> "go.Figure":
        """Autocorrelation of each latent against its firing rate, by block. Slow latents are near the top."""
        import plotly.graph_objects as go

        from interp.plots import PALETTE

        table, figure = self.table().drop_nulls("autocorrelation"), go.Figure()
        for name, color in zip(self.block_names, PALETTE, strict=False):
            block = table.filter(table["block"] == name)
            figure.add_scatter(
                x=block["firing_rate"].to_list(),
                y=block["autocorrelation"].to_list(),
                text=[f"latent {latent}" for latent in block["latent"]],
                mode="markers",
                name=name,
                marker={"size": 5, "color": color, "opacity": 0.6},
            )
        figure.update_xaxes(title_text="firing rate (share of tokens)", type="log")
        figure.update_yaxes(title_text="autocorrelation, token to token")
        return figure.update_layout(template="simple_white", height=430, font={"size": 13})


def evaluate(
    tsae: TSAE,
    store: Store,
    *,
    layer: int | None = None,
    skip_first: int | None = None,
    allow_unrelated_policies: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> Quality:
    """Measure a dictionary on the tokens of a store: of completions only, unless it was trained on prompts too.

    `layer` is needed only for a dictionary that does not say its layer. The first `skip_first` tokens of each document
    are left out; by default those on which it was not fitted. A store with none of the policies that the dictionary was
    fitted on is refused, unless `allow_unrelated_policies`."""
    expect_type(tsae, TSAE, "load it with TSAE.load(path)")
    expect_type(store, Store, "open it with Store.open(path)")
    layer = expect_matching_store(tsae, store, layer=layer, allow_unrelated_policies=allow_unrelated_policies)
    tsae = tsae.to(resolve_device(device)[0])
    skip_first = tsae.skip_first if skip_first is None else skip_first
    sums, pools = _QualitySums(tsae), Pools(store, layer, prompts=tsae.trained_on_prompts, skip_first=skip_first)
    shards = tqdm(
        range(len(store.shards)), desc="measuring", unit="shard", delay=1, leave=False, **bar_settings(progress)
    )
    for shard in shards:
        sums.update(pools.read_shards(shard))
    if not sums.tokens:
        raise BadInput(f"{store.path}: expected tokens to measure on, got none: does it hold prompts alone?")
    training_store = tsae.made_from.get("store")
    quality = sums.compute(None if training_store is None else training_store == store.fingerprint(), skip_first)
    warn_outliers(quality.norms, quality.tokens, store.path)
    return quality


class _QualitySums:
    """Every metric of `Quality`, accumulated pool by pool."""

    def __init__(self, tsae: TSAE) -> None:
        self.tsae, self.tokens = tsae, 0
        self.fve, self.fve_slow, self.cosine, self.norms = FVE(), FVE(), Cosine(), Norms()
        widths = tsae.block_widths
        self.l0, self.firing, self.smoothness = L0(widths), Firing(widths), Smoothness(widths)

    def update(self, pool: Pool) -> None:
        for x_ND, joined_N in _whole_documents(pool, max(1, ENTRIES // self.tsae.width)):
            z_NF = self.tsae.encode(own_ND := x_ND.to(self.tsae.W_enc.device))
            xhat_ND = self.tsae.decode(z_NF, own_ND).cpu()
            self.fve.update(x_ND=x_ND, xhat_ND=xhat_ND)
            self.fve_slow.update(x_ND=x_ND, xhat_ND=self.tsae.decode_slow(z_NF, own_ND).cpu())
            self.cosine.update(x_ND=x_ND, xhat_ND=xhat_ND)
            self.norms.update(x_ND=x_ND)
            self.l0.update(z_NF=z_NF)
            self.firing.update(z_NF=z_NF)
            self.smoothness.update(z_NF=z_NF.cpu(), x_ND=x_ND, joined_N=joined_N)
            self.tokens += len(x_ND)

    def compute(self, is_training_store: bool | None, skip_first: int) -> Quality:
        firing, several_blocks = self.firing.compute(), len(self.tsae.block_widths) > 1
        slow_F, rate_F = np.arange(self.tsae.width) < self.tsae.n_slow, firing.firing_rate_F.cpu().numpy()
        alive_F = rate_F > 0
        membership = block_membership(rate_F, slow_F) if several_blocks else None
        some_alive = several_blocks and alive_F.any()
        return Quality(
            tokens=self.tokens,
            block_widths=self.tsae.block_widths,
            includes_prompts=self.tsae.trained_on_prompts,
            skip_first=skip_first,
            is_training_store=is_training_store,
            fve=self.fve.compute(),
            fve_slow=self.fve_slow.compute(),
            cosine=self.cosine.compute().value,
            l0=self.l0.compute(),
            firing=firing,
            norms=self.norms.compute(),
            smoothness=self.smoothness.compute(),
            membership=membership,
            membership_alive=block_membership(rate_F[alive_F], slow_F[alive_F]) if some_alive else None,
        )


def _whole_documents(pool: Pool, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The trained tokens in chunks of whole documents, about `tokens` each, with a mask of the tokens that continue
    the document of the token before."""
    rows = pool.trained_rows
    starts = np.append((rows.position_N == 0).nonzero()[0], len(rows))
    start = 0
    while start < len(rows):
        fitting = np.searchsorted(starts, start + tokens, side="right") - 1
        end = int(starts[max(fitting, np.searchsorted(starts, start) + 1)])
        row_N, joined_N = rows.row_N[start:end], rows.position_N[start:end] > 0
        yield pool.x_PD[torch.from_numpy(row_N)], torch.from_numpy(joined_N)
        start = end
