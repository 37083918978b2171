"""Loss and gradient of a step are those of autograd on the formulas written out densely."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sae_fixtures import (
    DOCUMENTS,
    WIDTH,
    K,
    activations,
    dead_mask,
    gradients,
    partners_batch,
    runs_batch,
    training_sae,
)
from torch import Tensor
from torch.testing import assert_close

from interp.artifacts import BadInput
from interp.tsae.architecture import ContrastiveTemporalTrainingSAE
from interp.tsae.batches import Batch


@dataclass(frozen=True)
class DenseStep:
    """Expected output of a step, from dense matrices."""

    loss: Tensor
    losses: dict[str, Tensor]
    codes_MF: Tensor
    out_MD: Tensor


def largest_mask(part_MF: Tensor, share: int) -> Tensor:
    """1 at the largest positive entries, `share` a row on average."""
    flat = part_MF.detach().reshape(-1)
    indices_N = flat.topk(int(share * len(part_MF))).indices
    return (torch.zeros_like(flat).index_fill(0, indices_N, 1.0) * (flat > 0)).reshape(part_MF.shape)


def active_mask(hidden_MF: Tensor, n: int, n_slow: int, k: int, slow_k: int | None) -> Tensor:
    parts = []
    for rows in (hidden_MF[:n], hidden_MF[n:]):
        if slow_k is None:
            parts.append(largest_mask(rows, k))
        else:
            parts.append(
                torch.cat([largest_mask(rows[:, :n_slow], slow_k), largest_mask(rows[:, n_slow:], k - slow_k)], 1)
            )
    return torch.cat(parts)


def dense_info_nce(slow_MF: Tensor, batch: Batch, cfg: Any) -> Tensor:
    assert batch.pairs_P2 is not None
    unit_MF = slow_MF / slow_MF.norm(dim=1, keepdim=True).clamp(min=1e-6) if cfg.similarity == "cosine" else slow_MF
    groups = 1 if cfg.together is None else max(1, round(len(batch.pairs_P2) / cfg.together))
    total = slow_MF.new_zeros(())
    for group in range(groups):
        anchors_P, partners_P = batch.pairs_P2[group::groups].unbind(1)
        logits_PP = unit_MF[anchors_P] @ unit_MF[partners_P].T / cfg.temperature
        if not cfg.same_sequence:
            assert batch.documents_M is not None
            same_document_PP = batch.documents_M[anchors_P][:, None] == batch.documents_M[partners_P][None]
            logits_PP = torch.where(same_document_PP & ~torch.eye(len(anchors_P), dtype=torch.bool), -1e9, logits_PP)
        target_P = torch.arange(len(anchors_P))
        both = F.cross_entropy(logits_PP, target_P, reduction="sum") + F.cross_entropy(
            logits_PP.T, target_P, reduction="sum"
        )
        total = total + both / (1 if cfg.reduction == "sum" else 2)
    return total / len(batch.pairs_P2)


def dense_step(sae: ContrastiveTemporalTrainingSAE, batch: Batch, alpha: float) -> DenseStep:
    cfg, norms_F = sae.cfg, sae.W_dec.norm(dim=1)
    hidden_MF = ((batch.x_MD - sae.b_dec) @ sae.W_enc + sae.b_enc) * norms_F
    codes_MF = hidden_MF * active_mask(hidden_MF, batch.n_reconstructed, sae.n_slow, int(cfg.k), cfg.slow_k)
    plain_nF, losses = codes_MF[: batch.n_reconstructed] / norms_F, {}
    for end, weight in zip(cfg.matryoshka_widths, cfg.block_weights, strict=True):
        out_MD = plain_nF[:, :end] @ sae.W_dec[:end] + sae.b_dec
        losses[f"mse_{end}"] = weight * (out_MD - batch.x_MD[: batch.n_reconstructed]).pow(2).sum(1).mean()
    if alpha:
        losses["contrast"] = alpha * dense_info_nce(codes_MF[:, : sae.n_slow], batch, cfg)
    return DenseStep(sum(losses.values(), torch.zeros(())), losses, codes_MF[: batch.n_reconstructed], out_MD)


KINDS = list(product(["cosine", "dot"], ["mean", "sum"], [False, True], [None, 16]))


@pytest.mark.parametrize("slow_k", [None, 1])
@pytest.mark.parametrize("batch", [runs_batch(), partners_batch()], ids=["runs", "partners"])
@pytest.mark.parametrize(("similarity", "reduction", "same_sequence", "together"), KINDS)
def test_loss_and_gradient_with_a_contrast_equal_those_of_the_dense_formulas(
    similarity, reduction, same_sequence, together, batch, slow_k
):
    options = {"similarity": similarity, "reduction": reduction, "same_sequence": same_sequence}
    sae = training_sae(**options, together=together, temperature=0.5, slow_k=slow_k, block_weights=(0.3, 0.5, 1.0))
    step, expected = sae.compute_step(batch, alpha=2.0), dense_step(sae, batch, alpha=2.0)
    assert_close(step.loss, expected.loss, atol=1e-5, rtol=1e-5)
    assert_close(step.losses, expected.losses, atol=1e-5, rtol=1e-5)
    assert_close(step.dense_codes(WIDTH), expected.codes_MF, atol=1e-5, rtol=1e-5)
    assert_close(step.xhat_MD, expected.out_MD, atol=1e-5, rtol=1e-5)
    own_grads, dense_grads = gradients(sae, step.loss), gradients(sae, expected.loss)
    assert_close(own_grads, dense_grads, atol=1e-5, rtol=1e-5)
    without = gradients(sae, sae.compute_step(batch, alpha=0.0).loss)
    assert all(not torch.allclose(without[name], own_grads[name], atol=1e-3) for name in ("W_enc", "b_enc", "W_dec"))


def test_contrast_and_revival_add_up():
    sae, batch = training_sae(together=16), runs_batch()
    both = sae.compute_step(batch, alpha=2.0, dead_F=dead_mask(20))
    contrast_only, revival_only = (
        sae.compute_step(batch, alpha=2.0),
        sae.compute_step(batch, alpha=0.0, dead_F=dead_mask(20)),
    )
    assert set(both.losses) == {"mse_12", "mse_32", "mse_64", "contrast", "revival"}
    assert_close(both.loss, contrast_only.loss + revival_only.losses["revival"])


@pytest.mark.parametrize(("count", "weight"), [(20, 1.0), (2, 2 / 5)])
def test_the_dead_latents_nearest_to_firing_model_the_residual(count, weight):
    """The five nearest to firing; or all, with a lower weight, if fewer are dead."""
    sae, x_BD, dead_F = training_sae(revived=5), activations(), dead_mask(count)
    step = sae.compute_step(Batch.from_tokens(x_BD), alpha=0.0, dead_F=dead_F)
    with torch.no_grad():
        plain_BF = (x_BD - sae.b_dec) @ sae.W_enc + sae.b_enc
        nearness_BF = (plain_BF * sae.W_dec.norm(dim=1)).masked_fill(~dead_F, -torch.inf)
        acts_BF = torch.zeros_like(plain_BF)
        for row, order in enumerate(nearness_BF.argsort(dim=1, descending=True)[:, : min(5, count)]):
            acts_BF[row, order] = plain_BF[row, order]
        error_BD = acts_BF @ sae.W_dec - (x_BD - step.xhat_MD)
    assert_close(step.losses["revival"], weight * error_BD.pow(2).sum(1).mean(), atol=1e-5, rtol=1e-5)


def test_partners_change_nothing_but_the_contrast():
    """With alpha 0, loss, codes, thresholds and gradient do not depend on them."""
    sae, batch = training_sae(), partners_batch()
    without_partners = sae.compute_step(Batch(batch.x_MD[:60], 60), alpha=0.0, dead_F=dead_mask(20))
    expected = gradients(sae, without_partners.loss)
    for x_MD in (batch.x_MD, torch.cat([batch.x_MD[:60], 100 * batch.x_MD[60:]])):
        with_partners = sae.compute_step(
            Batch(x_MD, 60, batch.pairs_P2, batch.documents_M), alpha=0.0, dead_F=dead_mask(20)
        )
        assert with_partners.thresholds == pytest.approx(without_partners.thresholds)
        assert torch.equal(with_partners.fire_counts_F, without_partners.fire_counts_F)
        assert_close(with_partners.loss, without_partners.loss)
        assert_close(with_partners.dense_codes(WIDTH), without_partners.dense_codes(WIDTH))
        assert_close(gradients(sae, with_partners.loss), expected)
        assert (with_partners.pattern.n_rows, with_partners.all_pattern.n_rows) == (60, 100)
        assert with_partners.hidden_MF.shape == (100, WIDTH)


def test_block_weights_multiply_the_squared_errors():
    x_BD, even_weights = activations(), (1.0, 1.0, 1.0)
    losses = training_sae(block_weights=even_weights).compute_step(Batch.from_tokens(x_BD), alpha=0).losses
    weighted = training_sae(block_weights=(0.25, 0.0, 3.0)).compute_step(Batch.from_tokens(x_BD), alpha=0)
    assert weighted.losses["mse_32"] == 0
    assert_close(weighted.losses["mse_12"], 0.25 * losses["mse_12"])
    assert_close(weighted.loss, 0.25 * losses["mse_12"] + 3 * losses["mse_64"])


@pytest.mark.parametrize("slow_k", [1, 3])
def test_slow_k_is_the_number_of_active_slow_latents(slow_k):
    sae, batch = training_sae(slow_k=slow_k), partners_batch()
    for _ in range(3):  # from the second on, with the thresholds of the step before
        step = sae.compute_step(batch, alpha=0)
        sae.update_thresholds(step)
        for pattern, rows in ((step.pattern, 60), (step.all_pattern, 100)):
            slow = int((pattern.columns_N < sae.n_slow).sum())
            assert (slow, len(pattern.columns_N) - slow) == (slow_k * rows, (K - slow_k) * rows)
        codes_MF = step.dense_codes(WIDTH)
        smallest_by_block = [
            part[part > 0].min().item() for part in (codes_MF[:, : sae.n_slow], codes_MF[:, sae.n_slow :])
        ]
        assert step.thresholds == pytest.approx(smallest_by_block)


def test_without_slow_k_all_latents_compete():
    sae = training_sae()
    step = sae.compute_step(Batch.from_tokens(activations()), alpha=0)
    assert len(step.codes_N) == K * 60 and step.thresholds[0] == step.thresholds[1]
    assert step.thresholds[0] == pytest.approx(step.codes_N.min().item())


def test_a_contrast_on_a_batch_without_pairs_is_refused():
    with pytest.raises(BadInput, match="expected a batch with pairs for the contrast, got one without"):
        training_sae().compute_step(Batch(activations(), 60, None, DOCUMENTS), alpha=1.0)


NO_NEGATIVES = {"no pair": [], "one pair": [[1, 0]], "pairs of one document": [[1, 0], [2, 1]]}


@pytest.mark.parametrize("case", NO_NEGATIVES)
def test_without_negatives_there_is_no_contrast(case):
    pairs_P2 = torch.tensor(NO_NEGATIVES[case], dtype=torch.int64).reshape(-1, 2)
    batch, sae = Batch(activations(), 60, pairs_P2, torch.zeros(60, dtype=torch.int64)), training_sae()
    step = sae.compute_step(batch, alpha=1.0)
    assert "contrast" not in step.losses
    plain = sae.compute_step(batch, alpha=0.0)
    assert_close(gradients(sae, step.loss), gradients(sae, plain.loss))
