"""One training step of a dictionary: encode, let latents compete, reconstruct block by block, contrast, revive.

    loss = sum_b w_b |x - xhat_b|^2 + alpha InfoNCE(slow codes) + revival |residual - dead latents' share|^2

xhat_b is what the first b blocks reconstruct. Squared errors are summed over dimensions and averaged over tokens.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.contrastive import TINY, contrastive_loss
from interp.tsae.sparse import Pattern, largest_entries, transposed_matmul, sparse_matmul

if TYPE_CHECKING:
    from interp.tsae.architecture import ContrastiveTemporalTrainingSAE

CAUTION = 0.9
"""The share of the last batch's threshold below which nothing is expected to win."""


@dataclass(frozen=True)
class Batch:
    x_MD: Float[Tensor, "M D"]
    n_reconstructed: int
    """How many, the first, are reconstructed. The others are partners that are encoded for the contrast alone."""
    pairs_P2: Int[Tensor, "P 2"] | None = None
    """(anchor, partner), as places in the batch."""
    documents_M: Int[Tensor, " M"] | None = None

    def scaled(self, factor: float) -> "Batch":
        return self if factor == 1 else replace(self, x_MD=self.x_MD * factor)

    def to(self, device: torch.device) -> "Batch":
        pairs_P2, documents_M = (x if x is None else x.to(device) for x in (self.pairs_P2, self.documents_M))
        return Batch(self.x_MD.to(device), self.n_reconstructed, pairs_P2, documents_M)

    @classmethod
    def from_tokens(cls, x_BD: Tensor) -> "Batch":
        return cls(x_BD, len(x_BD))

    @classmethod
    def from_pairs(cls, x_B2D: Tensor) -> "Batch":
        """Tokens first, then their partners; all are reconstructed."""
        places_B = torch.arange(len(x_B2D), device=x_B2D.device)
        pairs_P2 = torch.stack([places_B, places_B + len(x_B2D)], 1)
        return cls(torch.cat([x_B2D[:, 1], x_B2D[:, 0]]), 2 * len(x_B2D), pairs_P2)


@dataclass(frozen=True)
class StepOutput:
    loss: Tensor
    losses: dict[str, Tensor]
    xhat_MD: Tensor
    hidden_MF: Tensor
    """What latents compete by, of all tokens."""
    pattern: Pattern
    """Of the winners, among the tokens that are reconstructed."""
    codes_N: Tensor
    all_pattern: Pattern
    """Of the winners among all tokens."""
    thresholds: tuple[float, float]
    """The smallest winning code, of the slow block's budget and of the others'; the same if they share one."""

    def dense_codes(self, width: int) -> Tensor:
        """Codes as a matrix. Differentiable."""
        blank = self.codes_N.new_zeros(self.pattern.n_rows, width)
        return blank.index_put((self.pattern.rows_N, self.pattern.columns_N), self.codes_N)

    @cached_property
    def fire_counts_F(self) -> Tensor:
        return torch.bincount(self.pattern.columns_N, minlength=self.pattern.n_columns)


def forward(sae: "ContrastiveTemporalTrainingSAE", batch: Batch, *, alpha: float, dead_F: Tensor | None = None) -> StepOutput:
    cfg, encoder = sae.cfg, (sae.W_enc.T, sae.b_enc, sae.b_dec)
    centred_MD = batch.x_MD - sae.b_dec.detach()
    with torch.no_grad():  # the gradient goes through the winners alone
        norms_F = sae.W_dec.norm(dim=-1)
        hidden_MF = _hidden(sae, centred_MD, norms_F)
        places_N, thresholds = _winners(sae, hidden_MF, batch.n_reconstructed)
    pattern = Pattern.from_flat(places_N, *hidden_MF.shape)
    values_N = hidden_MF.view(-1)[places_N] / norms_F[pattern.columns_N]
    plain_N = _Encoded.apply(values_N, centred_MD, *encoder, pattern)
    with torch.set_grad_enabled(bool(alpha) and torch.is_grad_enabled()):  # the contrast alone asks for their gradient
        codes_N = _Scaled.apply(plain_N, sae.W_dec, norms_F, pattern)
    outs = _reconstructions(sae, plain_N, pattern, batch.n_reconstructed)
    losses = {
        f"mse_{width}": weight * (out_MD - batch.x_MD[: batch.n_reconstructed]).pow(2).sum(-1).mean()
        for width, weight, out_MD in zip(cfg.matryoshka_widths, cfg.block_weights, outs, strict=True)
    }
    if alpha and _tells_apart(batch, same_sequence=cfg.same_sequence):
        losses["contrast"] = alpha * _contrast(sae, batch, pattern, codes_N)
    if dead_F is not None and cfg.aux_loss_coefficient and bool(dead_F.any()):
        residual_MD = (batch.x_MD[: batch.n_reconstructed] - outs[-1]).detach()
        losses["revival"] = _revival(
            sae, encoder, residual_MD, centred_MD[: batch.n_reconstructed], hidden_MF[: batch.n_reconstructed], norms_F, dead_F
        )
    total = torch.stack(list(losses.values())).sum()
    mine, kept_N = _of_first_rows(pattern, batch.n_reconstructed)
    return StepOutput(total, losses, outs[-1], hidden_MF, mine, codes_N[kept_N], pattern, thresholds)


def _of_first_rows(pattern: Pattern, n: int) -> tuple[Pattern, slice]:
    end = int(pattern.starts[n])
    return Pattern(pattern.rows_N[:end], pattern.columns_N[:end], n, pattern.n_columns), slice(0, end)


def _hidden(sae: "ContrastiveTemporalTrainingSAE", centred_MD: Tensor, norms_F: Tensor) -> Float[Tensor, "M F"]:
    """(x W_enc + b_enc) |d|, with the norms multiplied into whichever is smaller, the weights or the product."""
    if len(centred_MD) < sae.cfg.d_in:
        return torch.addmm(sae.b_enc, centred_MD, sae.W_enc).mul_(norms_F)
    return torch.addmm(sae.b_enc * norms_F, centred_MD, sae.W_enc * norms_F)


def _winners(
    sae: "ContrastiveTemporalTrainingSAE", hidden_MF: Tensor, n: int
) -> tuple[Int[Tensor, " N"], tuple[float, float]]:
    """The places of the k largest codes a token, in the mean: among the reconstructed tokens, and among the others;
    in the slow block and the rest together, or each within a budget of its own."""
    k, slow_k, width, n_slow = sae.cfg.k, sae.cfg.slow_k, hidden_MF.shape[1], sae.n_slow
    budgets = [(0, width, k)] if slow_k is None else [(0, n_slow, slow_k), (n_slow, width, k - slow_k)]
    found, seen = [], []
    for first, last in ((0, n), (n, len(hidden_MF))):
        for (start, end, share), guess in zip(budgets, sae.last_thresholds, strict=False):
            if first == last:
                continue
            part = hidden_MF[first:last, start:end]
            places_N, smallest = largest_entries(part, int(share * (last - first)), CAUTION * guess)
            rows_N = places_N.div(end - start, rounding_mode="floor")
            found.append(places_N + rows_N * (width - end + start) + start + first * width)
            seen.append(smallest)
    places_N = found[0] if len(found) == 1 else torch.cat(found).sort().values
    return places_N, (seen[0], seen[len(budgets) - 1])


def _reconstructions(
    sae: "ContrastiveTemporalTrainingSAE", plain_N: Tensor, pattern: Pattern, n: int
) -> list[Float[Tensor, "n D"]]:
    """By the first block, by the first two, and so on."""
    mine, kept_N = _of_first_rows(pattern, n)
    ends = sae.cfg.matryoshka_widths
    stacked, order_N = mine.stack_blocks(ends)
    parts = sparse_matmul(plain_N[kept_N][order_N], sae.W_dec, stacked).view(len(ends), n, -1)
    return list(accumulate(parts.unbind(), initial=sae.b_dec))[1:]


def _tells_apart(batch: Batch, *, same_sequence: bool) -> bool:
    """Whether a pair has another token to be told from. Where none has, the contrast is 0 and teaches nothing."""
    if batch.pairs_P2 is None:
        raise BadInput("a contrast needs pairs; got a batch without")
    if len(batch.pairs_P2) < 2 or same_sequence or batch.documents_M is None:
        return len(batch.pairs_P2) >= 2
    documents_P = batch.documents_M[batch.pairs_P2[:, 0]]
    return bool((documents_P != documents_P[0]).any())


def _contrast(
    sae: "ContrastiveTemporalTrainingSAE", batch: Batch, pattern: Pattern, codes_N: Tensor
) -> Float[Tensor, ""]:
    cfg, pairs_P2 = sae.cfg, batch.pairs_P2
    assert pairs_P2 is not None, "they were looked at"
    slow, kept_N = pattern.select_columns(0, sae.n_slow)
    return contrastive_loss(
        codes_N[kept_N],
        slow,
        pairs_P2,
        None if cfg.same_sequence else batch.documents_M,
        similarity=cfg.similarity,
        temperature=cfg.temperature,
        reduction=cfg.reduction,
        together=cfg.together,
    )


def _revival(
    sae: "ContrastiveTemporalTrainingSAE",
    encoder: tuple[Tensor, Tensor, Tensor],
    residual_MD: Tensor,
    centred_MD: Tensor,
    hidden_MF: Tensor,
    norms_F: Tensor,
    dead_F: Bool[Tensor, " F"],
) -> Float[Tensor, ""]:
    """The dead latents nearest to firing learn what the living leave unexplained (arXiv 2406.04093, A.2), with less
    weight where few are dead."""
    dead_N = dead_F.nonzero()[:, 0]
    wanted = sae.cfg.d_in // 2 if sae.cfg.revived is None else sae.cfg.revived
    count = min(wanted, len(dead_N))
    chosen = hidden_MF[:, dead_N].topk(count, dim=1, sorted=False).indices.sort(dim=1).values
    rows_N = torch.arange(len(residual_MD), device=dead_N.device).repeat_interleave(count)
    pattern = Pattern(rows_N, dead_N[chosen].reshape(-1), len(residual_MD), hidden_MF.shape[1])
    hidden_N = hidden_MF[pattern.rows_N, pattern.columns_N]
    plain_N = _Encoded.apply(hidden_N / norms_F[pattern.columns_N], centred_MD, *encoder, pattern)
    share_MD = sparse_matmul(plain_N, sae.W_dec, pattern)
    scale = min(len(dead_N) / wanted, 1.0)
    return sae.cfg.aux_loss_coefficient * scale * (share_MD - residual_MD).pow(2).sum(-1).mean()


class _Encoded(torch.autograd.Function):
    """(x_r - b_dec) . W_enc_c + b_enc_c at the entries of a pattern. The values are known already; what is added is
    their gradient. That of b_dec needs no product over tokens: it is -W_enc times that of b_enc."""

    @staticmethod
    def forward(
        ctx: Any, values_N: Tensor, centred_MD: Tensor, W_FD: Tensor, b_F: Tensor, b_D: Tensor, pattern: Pattern
    ) -> Tensor:
        ctx.save_for_backward(centred_MD, W_FD)
        ctx.pattern = pattern
        return values_N.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (centred_MD, W_FD), pattern = ctx.saved_tensors, ctx.pattern
        of_b_F = torch.bincount(pattern.columns_N, grads[0], minlength=pattern.n_columns).to(W_FD.dtype)
        of_W_FD = transposed_matmul(centred_MD, grads[0].contiguous(), pattern)
        return None, None, of_W_FD, of_b_F, -of_b_F @ W_FD, None


class _Scaled(torch.autograd.Function):
    """Codes as latents compete by them: times the norms of their decoder rows, which take their gradient in one pass
    over the rows."""

    @staticmethod
    def forward(ctx: Any, plain_N: Tensor, W_FD: Tensor, norms_F: Tensor, pattern: Pattern) -> Tensor:
        ctx.save_for_backward(plain_N, W_FD, norms_F)
        ctx.pattern = pattern
        return plain_N * norms_F[pattern.columns_N]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (plain_N, W_FD, norms_F), pattern = ctx.saved_tensors, ctx.pattern
        of_norms_F = torch.bincount(pattern.columns_N, grads[0] * plain_N, minlength=pattern.n_columns).to(W_FD.dtype)
        return grads[0] * norms_F[pattern.columns_N], W_FD * (of_norms_F / norms_F.clamp(min=TINY))[:, None], None, None
