"""The loss of one batch: encode, select the active latents, reconstruct block by block, contrast, revive.

    loss = sum_b w_b |x - xhat_b|^2 + alpha InfoNCE(slow codes) + revival |residual - xhat_dead|^2

xhat_b is the reconstruction by the first b blocks. Squared errors are summed over dimensions and averaged over tokens.

For a token x, with activations c = (x - b_dec) W_enc + b_enc and decoder rows d_j, the scaled activations |d_j| c_j
decide which latents are active, so that the norms of the decoder do not matter. The reconstruction is
sum_j c_j d_j + b_dec over the active latents.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.batches import Batch
from interp.tsae.contrastive import contrastive_loss
from interp.tsae.sae_config import ContrastiveTemporalTrainingSAEConfig
from interp.tsae.sparse import Pattern, encoder_entries, largest_entries, scale_by_norms, sparse_matmul

GUESS_MARGIN = 0.9
"""Entries below this share of the last batch's threshold are compared only if too few lie above it."""


class Params(NamedTuple):
    """The weights of a dictionary, with the encoder one row per latent."""

    W_enc_FD: Float[Tensor, "F D"]
    b_enc_F: Float[Tensor, " F"]
    W_dec_FD: Float[Tensor, "F D"]
    b_dec_D: Float[Tensor, " D"]

    @property
    def encoder(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.W_enc_FD, self.b_enc_F, self.b_dec_D


@dataclass(frozen=True)
class StepOutput:
    """Loss and activations of one batch. The first n of its M tokens are reconstructed."""

    loss: Tensor
    losses: dict[str, Tensor]
    """Terms of the loss, weighted: `mse_<end of block>`, `contrast`, `revival`."""
    xhat_MD: Tensor
    """Reconstruction by all blocks, of the reconstructed tokens."""
    hidden_MF: Tensor
    """Scaled activations |d_j| c_j before selection, of all tokens."""
    pattern: Pattern
    """Active latents of the reconstructed tokens."""
    codes_N: Tensor
    """Scaled activations at `pattern`."""
    all_pattern: Pattern
    """Active latents of all tokens."""
    thresholds: tuple[float, float]
    """Smallest active code, of the slow block's budget and of the rest's. Equal if they share one budget."""

    def dense_codes(self, width: int) -> Float[Tensor, "n F"]:
        """Codes of the reconstructed tokens as a dense matrix. Differentiable."""
        zeros = self.codes_N.new_zeros(self.pattern.n_rows, width)
        return zeros.index_put((self.pattern.rows_N, self.pattern.columns_N), self.codes_N)

    @cached_property
    def fire_counts_F(self) -> Int[Tensor, " F"]:
        """Number of reconstructed tokens on which each latent is active."""
        return torch.bincount(self.pattern.columns_N, minlength=self.pattern.n_columns)


def compute_step(
    params: Params,
    cfg: ContrastiveTemporalTrainingSAEConfig,
    batch: Batch,
    *,
    alpha: float,
    dead_F: Bool[Tensor, " F"] | None = None,
    last_thresholds: tuple[float, float] = (0.0, 0.0),
) -> StepOutput:
    """Loss of a batch. `alpha` weighs the contrast, `dead_F` marks the latents to revive, and `last_thresholds`, those
    of the batch before, only save time."""
    n, W_dec_FD = batch.n_reconstructed, params.W_dec_FD
    centred_MD, x_nD = batch.x_MD - params.b_dec_D.detach(), batch.x_MD[:n]
    with torch.no_grad():  # only active latents get a gradient
        norms_F = W_dec_FD.norm(dim=-1)
        hidden_MF = _scaled_activations(params, centred_MD, norms_F)
        active_N, thresholds = _select_active(cfg, hidden_MF, n, last_thresholds)
    pattern = Pattern.from_flat(active_N, *hidden_MF.shape)
    acts_N = hidden_MF.view(-1)[active_N] / norms_F[pattern.columns_N]
    acts_N = encoder_entries(acts_N, centred_MD, params.encoder, pattern)
    with torch.set_grad_enabled(bool(alpha) and torch.is_grad_enabled()):  # only the contrast needs their gradient
        codes_N = scale_by_norms(acts_N, W_dec_FD, norms_F, pattern)
    xhats = _reconstruct_by_blocks(params, cfg, acts_N, pattern, n)
    losses = {
        f"mse_{end}": weight * (xhat_nD - x_nD).pow(2).sum(-1).mean()
        for end, weight, xhat_nD in zip(cfg.matryoshka_widths, cfg.block_weights, xhats, strict=True)
    }
    if alpha and has_negatives(batch, same_sequence=cfg.same_sequence):
        losses["contrast"] = alpha * _slow_contrast(cfg, batch, pattern, codes_N)
    if dead_F is not None and cfg.aux_loss_coefficient and bool(dead_F.any()):
        residual_nD = (x_nD - xhats[-1]).detach()
        losses["revival"] = _revival(params, cfg, residual_nD, centred_MD[:n], hidden_MF[:n], norms_F, dead_F)
    total = torch.stack(list(losses.values())).sum()
    own_pattern, own_N = pattern.first_rows(n)
    return StepOutput(total, losses, xhats[-1], hidden_MF, own_pattern, codes_N[own_N], pattern, thresholds)


def _scaled_activations(params: Params, centred_MD: Tensor, norms_F: Tensor) -> Float[Tensor, "M F"]:
    """(x W_enc + b_enc) |d|. The norms are multiplied into the smaller of the two, the weights or the product."""
    W_enc_DF, b_enc_F = params.W_enc_FD.T, params.b_enc_F
    if len(centred_MD) < len(W_enc_DF):
        return torch.addmm(b_enc_F, centred_MD, W_enc_DF).mul_(norms_F)
    return torch.addmm(b_enc_F * norms_F, centred_MD, W_enc_DF * norms_F)


def _select_active(
    cfg: ContrastiveTemporalTrainingSAEConfig, hidden_MF: Tensor, n: int, last_thresholds: tuple[float, float]
) -> tuple[Int[Tensor, " N"], tuple[float, float]]:
    """Flat indices of the active entries, k a token on average, and the smallest active entry of each budget.

    The budget of the n reconstructed tokens and that of the others are separate. With `slow_k`, so are the budgets of
    the slow block and of the rest."""
    k, slow_k, width, n_slow = cfg.k, cfg.slow_k, hidden_MF.shape[1], cfg.n_slow
    budgets = [(0, width, k)] if slow_k is None else [(0, n_slow, slow_k), (n_slow, width, k - slow_k)]
    parts, thresholds = list[Tensor](), list[float]()
    for first, last in ((0, n), (n, len(hidden_MF))):
        for (start, end, budget), guess in zip(budgets, last_thresholds, strict=False):
            if first == last:
                continue
            block = hidden_MF[first:last, start:end]
            flat_N, smallest = largest_entries(block, int(budget * (last - first)), GUESS_MARGIN * guess)
            rows_N = flat_N.div(end - start, rounding_mode="floor")
            parts.append(flat_N + rows_N * (width - end + start) + start + first * width)
            thresholds.append(smallest)
    active_N = parts[0] if len(parts) == 1 else torch.cat(parts).sort().values
    return active_N, (thresholds[0], thresholds[len(budgets) - 1])


def _reconstruct_by_blocks(
    params: Params, cfg: ContrastiveTemporalTrainingSAEConfig, acts_N: Tensor, pattern: Pattern, n: int
) -> list[Float[Tensor, "n D"]]:
    """Reconstructions by the first block, by the first two, and so on."""
    own_pattern, own_N = pattern.first_rows(n)
    stacked, entries_N = own_pattern.stack_blocks(cfg.matryoshka_widths)
    parts_RD = sparse_matmul(acts_N[own_N][entries_N], params.W_dec_FD, stacked)
    parts_bnD = rearrange(parts_RD, "(block n) d -> block n d", n=n)
    return list(accumulate(parts_bnD.unbind(), initial=params.b_dec_D))[1:]


def has_negatives(batch: Batch, *, same_sequence: bool) -> bool:
    """Whether any pair has a negative. Without one, the contrast is 0 and so is its gradient."""
    if batch.pairs_P2 is None:
        raise BadInput("expected a batch with pairs for the contrast, got one without: set alpha=0, or give pairs")
    if len(batch.pairs_P2) < 2 or same_sequence or batch.documents_M is None:
        return len(batch.pairs_P2) >= 2
    documents_P = batch.documents_M[batch.pairs_P2[:, 0]]
    return bool((documents_P != documents_P[0]).any())


def _slow_contrast(
    cfg: ContrastiveTemporalTrainingSAEConfig, batch: Batch, pattern: Pattern, codes_N: Tensor
) -> Float[Tensor, ""]:
    assert batch.pairs_P2 is not None, "has_negatives refuses a batch without pairs"
    slow_pattern, slow_N = pattern.select_columns(0, cfg.n_slow)
    return contrastive_loss(
        codes_N[slow_N],
        slow_pattern,
        batch.pairs_P2,
        None if cfg.same_sequence else batch.documents_M,
        similarity=cfg.similarity,
        temperature=cfg.temperature,
        reduction=cfg.reduction,
        together=cfg.together,
    )


def _revival(
    params: Params,
    cfg: ContrastiveTemporalTrainingSAEConfig,
    residual_nD: Tensor,
    centred_nD: Tensor,
    hidden_nF: Tensor,
    norms_F: Tensor,
    dead_F: Tensor,
) -> Float[Tensor, ""]:
    """Squared error of the dead latents nearest to firing as a model of the residual (arXiv 2406.04093, A.2). The
    weight is lower if few latents are dead."""
    dead_N = dead_F.nonzero()[:, 0]
    max_revived = cfg.d_in // 2 if cfg.revived is None else cfg.revived
    count = min(max_revived, len(dead_N))
    nearest_nK = hidden_nF[:, dead_N].topk(count, dim=1, sorted=False).indices.sort(dim=1).values
    rows_N = torch.arange(len(residual_nD), device=dead_N.device).repeat_interleave(count)
    pattern = Pattern(rows_N, dead_N[nearest_nK].reshape(-1), len(residual_nD), hidden_nF.shape[1])
    acts_N = hidden_nF[pattern.rows_N, pattern.columns_N] / norms_F[pattern.columns_N]
    acts_N = encoder_entries(acts_N, centred_nD, params.encoder, pattern)
    xhat_nD = sparse_matmul(acts_N, params.W_dec_FD, pattern)
    scale = min(len(dead_N) / max_revived, 1.0)
    return cfg.aux_loss_coefficient * scale * (xhat_nD - residual_nD).pow(2).sum(-1).mean()
