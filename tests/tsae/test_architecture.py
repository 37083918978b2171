"""Without a contrast it is SAELens' Matryoshka BatchTopK to the last gradient; with one it is what autograd makes of
the formulas written out densely."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sae_lens import SAE, SAETrainer
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY, register_sae_training_class
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainCoefficientConfig, TrainStepInput
from torch import Tensor
from torch.testing import assert_close

from interp.artifacts import BadInput
from interp.tsae.architecture import (
    ARCHITECTURE,
    ContrastiveTemporalTrainingSAE,
    ContrastiveTemporalTrainingSAEConfig,
    register_architecture,
)
from interp.tsae.step import Batch

D, WIDTH, K, ENDS = 16, 64, 4, [12, 32, 64]
PARAMETERS = ("W_enc", "b_enc", "W_dec", "b_dec")
pytestmark = pytest.mark.filterwarnings("ignore:WARNING. You have only set one matryoshka level")


def weights(d_in: int = D, width: int = WIDTH, seed: int = 0) -> dict[str, Tensor]:
    """Biases that are not zero, and decoder norms from a half to two."""
    generator = torch.Generator().manual_seed(seed)
    norms = torch.linspace(0.5, 2, width)[torch.randperm(width, generator=generator)]
    W_dec = torch.nn.functional.normalize(torch.randn(width, d_in, generator=generator), dim=1) * norms[:, None]
    return {
        "W_enc": torch.randn(d_in, width, generator=generator) / d_in**0.5,
        "b_enc": 0.3 * torch.randn(width, generator=generator),
        "W_dec": W_dec,
        "b_dec": 0.3 * torch.randn(d_in, generator=generator),
    }


def with_weights(sae: Any) -> Any:
    with torch.no_grad():
        for name, value in weights(sae.cfg.d_in, sae.cfg.d_sae).items():
            getattr(sae, name).copy_(value)
    return sae


def ours(ends: list[int] = ENDS, **changes: Any) -> ContrastiveTemporalTrainingSAE:
    told: dict[str, Any] = {"d_in": D, "d_sae": WIDTH, "k": K, "alpha": 0.0, "block_weights": (1.0,) * len(ends)}
    config = ContrastiveTemporalTrainingSAEConfig(matryoshka_widths=list(ends), **told | changes)
    return with_weights(ContrastiveTemporalTrainingSAE(config))


def activations(rows: int = 60, seed: int = 1) -> Tensor:
    return torch.randn(rows, D, generator=torch.Generator().manual_seed(seed)) + 0.5


def step_input(x: Tensor, dead_F: Tensor | None = None, **coefficients: float) -> TrainStepInput:
    return TrainStepInput(x, coefficients, dead_F, n_training_steps=0, is_logging_step=False)


def dead(count: int) -> Tensor:
    """So many dead latents, all over the width."""
    order = torch.randperm(WIDTH, generator=torch.Generator().manual_seed(2))
    return torch.zeros(WIDTH, dtype=torch.bool).index_fill(0, order[:count], True)


def gradients(sae: Any, loss: Tensor) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, [getattr(sae, name) for name in PARAMETERS])
    return dict(zip(PARAMETERS, found, strict=True))


# --- SAELens -------------------------------------------------------------------------------------------------------

DEAD = {"none told": None, "none": dead(0), "few": dead(3), "as many as revive": dead(D // 2), "many": dead(40)}


@pytest.mark.parametrize("which", DEAD)
@pytest.mark.parametrize("coefficient", [1.0, 0.25])
def test_without_a_contrast_it_is_matryoshka_batchtopk(which, coefficient):
    config = MatryoshkaBatchTopKTrainingSAEConfig(
        d_in=D, d_sae=WIDTH, k=K, matryoshka_widths=list(ENDS), aux_loss_coefficient=coefficient
    )
    theirs, mine = with_weights(MatryoshkaBatchTopKTrainingSAE(config)), ours(aux_loss_coefficient=coefficient)
    for seed in range(3):  # thresholds follow over batches
        given = step_input(activations(seed=seed), DEAD[which])
        expected, found = theirs.training_forward_pass(given), mine.training_forward_pass(given)
        assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
        for my_name, their_name in (("mse_12", "inner_mse_loss_12"), ("mse_32", "inner_mse_loss_32"),
                                    ("mse_64", "mse_loss")):  # fmt: skip
            assert_close(found.losses[my_name], expected.losses[their_name], atol=1e-5, rtol=1e-5)
        revival = found.losses.get("revival", torch.tensor(0.0))
        assert_close(revival, expected.losses["auxiliary_reconstruction_loss"], atol=1e-5, rtol=1e-5)
        assert (revival > 0).item() == (DEAD[which] is not None and bool(DEAD[which].any()))
        assert_close(found.sae_out, expected.sae_out, atol=1e-5, rtol=1e-5)
        assert_close(found.feature_acts, expected.feature_acts, atol=1e-5, rtol=1e-5)
        assert torch.equal(found.feature_acts > 0, expected.feature_acts > 0)
        assert_close(found.hidden_pre, expected.hidden_pre, atol=1e-5, rtol=1e-5)
        assert_close(mine.topk_threshold, theirs.topk_threshold, atol=1e-6, rtol=1e-6)
        assert_close(gradients(mine, found.loss), gradients(theirs, expected.loss), atol=1e-5, rtol=1e-5)
    assert mine.topk_threshold > 0


def test_nor_does_it_matter_that_a_batch_has_fewer_tokens_than_dimensions():
    """The norms are then multiplied into the product, and not into the weights."""
    config = MatryoshkaBatchTopKTrainingSAEConfig(d_in=D, d_sae=WIDTH, k=K, matryoshka_widths=list(ENDS))
    theirs, mine = with_weights(MatryoshkaBatchTopKTrainingSAE(config)), ours()
    given = step_input(activations(rows=D - 5), dead(3))
    expected, found = theirs.training_forward_pass(given), mine.training_forward_pass(given)
    assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
    assert_close(found.hidden_pre, expected.hidden_pre, atol=1e-5, rtol=1e-5)
    assert_close(gradients(mine, found.loss), gradients(theirs, expected.loss), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("which", DEAD)
def test_with_one_block_it_is_batchtopk(which):
    theirs = with_weights(BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=D, d_sae=WIDTH, k=K)))
    mine, given = ours([WIDTH]), step_input(activations(), DEAD[which])
    expected, found = theirs.training_forward_pass(given), mine.training_forward_pass(given)
    assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
    assert_close(found.feature_acts, expected.feature_acts, atol=1e-5, rtol=1e-5)
    assert_close(gradients(mine, found.loss), gradients(theirs, expected.loss), atol=1e-5, rtol=1e-5)
    assert_close(mine.topk_threshold, theirs.topk_threshold)


def test_it_begins_with_the_weights_that_saelens_begins_with():
    config = {"d_in": D, "d_sae": WIDTH, "k": K, "matryoshka_widths": list(ENDS)}
    torch.manual_seed(0)
    theirs = MatryoshkaBatchTopKTrainingSAE(MatryoshkaBatchTopKTrainingSAEConfig(**config))
    torch.manual_seed(0)
    told = ContrastiveTemporalTrainingSAEConfig(**config, block_weights=(1.0,) * 3)
    mine = ContrastiveTemporalTrainingSAE(told)
    for name in PARAMETERS:
        assert torch.equal(getattr(mine, name), getattr(theirs, name))
    assert mine.W_enc.T.is_contiguous(), "latent by latent, as the sparse products read it"


def test_it_is_registered_once_however_often_it_is_asked_for():
    register_architecture()
    register_architecture()
    assert SAE_TRAINING_CLASS_REGISTRY[ARCHITECTURE] == (
        ContrastiveTemporalTrainingSAE,
        ContrastiveTemporalTrainingSAEConfig,
    )
    assert ContrastiveTemporalTrainingSAEConfig.architecture() == ARCHITECTURE == "contrastive_temporal"
    with pytest.raises(ValueError, match="already registered"):
        register_sae_training_class(ARCHITECTURE, *SAE_TRAINING_CLASS_REGISTRY[ARCHITECTURE])


# --- written out densely -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dense:
    """What a step should be, by autograd from matrices."""

    loss: Tensor
    losses: dict[str, Tensor]
    codes_MF: Tensor
    out_MD: Tensor


def largest_of(part_MF: Tensor, share: int) -> Tensor:
    """1 at the largest `share` a row, in the mean, of those above 0."""
    flat = part_MF.detach().reshape(-1)
    chosen = flat.topk(int(share * len(part_MF))).indices
    return (torch.zeros_like(flat).index_fill(0, chosen, 1.0) * (flat > 0)).reshape(part_MF.shape)


def winners(hidden_MF: Tensor, n: int, n_slow: int, k: int, slow_k: int | None) -> Tensor:
    parts = []
    for rows in (hidden_MF[:n], hidden_MF[n:]):
        if slow_k is None:
            parts.append(largest_of(rows, k))
        else:
            parts.append(torch.cat([largest_of(rows[:, :n_slow], slow_k), largest_of(rows[:, n_slow:], k - slow_k)], 1))
    return torch.cat(parts)


def info_nce_of(slow_MF: Tensor, batch: Batch, cfg: Any) -> Tensor:
    assert batch.pairs_P2 is not None
    unit_MF = slow_MF / slow_MF.norm(dim=1, keepdim=True).clamp(min=1e-6) if cfg.similarity == "cosine" else slow_MF
    groups = 1 if cfg.together is None else max(1, round(len(batch.pairs_P2) / cfg.together))
    total = slow_MF.new_zeros(())
    for at in range(groups):
        anchors_P, partners_P = batch.pairs_P2[at::groups].unbind(1)
        logits_PP = unit_MF[anchors_P] @ unit_MF[partners_P].T / cfg.temperature
        if not cfg.same_sequence:
            assert batch.documents_M is not None
            own_PP = batch.documents_M[anchors_P][:, None] == batch.documents_M[partners_P][None]
            logits_PP = torch.where(own_PP & ~torch.eye(len(anchors_P), dtype=torch.bool), -1e9, logits_PP)
        right_P = torch.arange(len(anchors_P))
        both = F.cross_entropy(logits_PP, right_P, reduction="sum") + F.cross_entropy(
            logits_PP.T, right_P, reduction="sum"
        )
        total = total + both / (1 if cfg.reduction == "sum" else 2)
    return total / len(batch.pairs_P2)


def dense(sae: ContrastiveTemporalTrainingSAE, batch: Batch, alpha: float) -> Dense:
    cfg, norms_F = sae.cfg, sae.W_dec.norm(dim=1)
    hidden_MF = ((batch.x_MD - sae.b_dec) @ sae.W_enc + sae.b_enc) * norms_F
    codes_MF = hidden_MF * winners(hidden_MF, batch.n_reconstructed, sae.n_slow, int(cfg.k), cfg.slow_k)
    plain_nF, losses = codes_MF[: batch.n_reconstructed] / norms_F, {}
    for end, weight in zip(cfg.matryoshka_widths, cfg.block_weights, strict=True):
        out_MD = plain_nF[:, :end] @ sae.W_dec[:end] + sae.b_dec
        losses[f"mse_{end}"] = weight * (out_MD - batch.x_MD[: batch.n_reconstructed]).pow(2).sum(1).mean()
    if alpha:
        losses["contrast"] = alpha * info_nce_of(codes_MF[:, : sae.n_slow], batch, cfg)
    return Dense(sum(losses.values(), torch.zeros(())), losses, codes_MF[: batch.n_reconstructed], out_MD)


DOCUMENTS = torch.arange(6).repeat_interleave(10)


def runs_batch() -> Batch:
    """Six documents of ten tokens, each token but the first a pair with the one before."""
    anchors = torch.arange(60)[torch.arange(60) % 10 > 0]
    return Batch(activations(), 60, torch.stack([anchors, anchors - 1], 1), DOCUMENTS)


def partners_batch() -> Batch:
    """Sixty tokens, and behind them partners for two thirds of them, which are not reconstructed."""
    anchors = torch.arange(60)[torch.arange(60) % 3 > 0]
    pairs_P2 = torch.stack([anchors, torch.arange(60, 60 + len(anchors))], 1)
    return Batch(activations(60 + len(anchors)), 60, pairs_P2, torch.cat([DOCUMENTS, DOCUMENTS[anchors]]))


KINDS = list(product(["cosine", "dot"], ["mean", "sum"], [False, True], [None, 16]))


@pytest.mark.parametrize("slow_k", [None, 1])
@pytest.mark.parametrize("batch", [runs_batch(), partners_batch()], ids=["runs", "partners"])
@pytest.mark.parametrize(("similarity", "reduction", "same_sequence", "together"), KINDS)
def test_with_a_contrast_loss_and_gradient_are_those_of_the_dense_formulas(
    similarity, reduction, same_sequence, together, batch, slow_k
):
    options = {"similarity": similarity, "reduction": reduction, "same_sequence": same_sequence}
    sae = ours(**options, together=together, temperature=0.5, slow_k=slow_k, block_weights=(0.3, 0.5, 1.0))
    found, expected = sae.step(batch, alpha=2.0), dense(sae, batch, alpha=2.0)
    assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
    assert_close(found.losses, expected.losses, atol=1e-5, rtol=1e-5)
    assert_close(found.dense_codes(WIDTH), expected.codes_MF, atol=1e-5, rtol=1e-5)
    assert_close(found.xhat_MD, expected.out_MD, atol=1e-5, rtol=1e-5)
    mine, theirs = gradients(sae, found.loss), gradients(sae, expected.loss)
    assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    without = gradients(sae, sae.step(batch, alpha=0.0).loss)
    assert all(not torch.allclose(without[name], mine[name], atol=1e-3) for name in ("W_enc", "b_enc", "W_dec"))


def test_contrast_and_revival_stand_side_by_side():
    sae, batch = ours(together=16), runs_batch()
    both = sae.step(batch, alpha=2.0, dead_F=dead(20))
    one, other = sae.step(batch, alpha=2.0), sae.step(batch, alpha=0.0, dead_F=dead(20))
    assert set(both.losses) == {"mse_12", "mse_32", "mse_64", "contrast", "revival"}
    assert_close(both.loss, one.loss + other.losses["revival"])


@pytest.mark.parametrize(("count", "weight"), [(20, 1.0), (2, 2 / 5)])
def test_as_many_dead_latents_as_asked_learn_what_is_left_over_at_a_token(count, weight):
    """The five nearest to firing, or all, with less weight, where fewer are dead."""
    sae, x_BD, dead_F = ours(revived=5), activations(), dead(count)
    found = sae.step(Batch.from_tokens(x_BD), alpha=0.0, dead_F=dead_F)
    with torch.no_grad():
        plain_BF = (x_BD - sae.b_dec) @ sae.W_enc + sae.b_enc
        nearness_BF = (plain_BF * sae.W_dec.norm(dim=1)).masked_fill(~dead_F, -torch.inf)
        shares_BF = torch.zeros_like(plain_BF)
        for row, order in enumerate(nearness_BF.argsort(dim=1, descending=True)[:, : min(5, count)]):
            shares_BF[row, order] = plain_BF[row, order]
        left_BD = shares_BF @ sae.W_dec - (x_BD - found.xhat_MD)
    assert_close(found.losses["revival"], weight * left_BD.pow(2).sum(1).mean(), atol=1e-5, rtol=1e-5)


def test_partners_that_are_not_reconstructed_leave_all_but_the_contrast_unchanged():
    """Neither loss nor codes, threshold and gradient hang on them while alpha is 0."""
    sae, batch = ours(), partners_batch()
    alone = sae.step(Batch(batch.x_MD[:60], 60), alpha=0.0, dead_F=dead(20))
    expected = gradients(sae, alone.loss)
    for x_MD in (batch.x_MD, torch.cat([batch.x_MD[:60], 100 * batch.x_MD[60:]])):
        among = sae.step(Batch(x_MD, 60, batch.pairs_P2, batch.documents_M), alpha=0.0, dead_F=dead(20))
        assert among.thresholds == pytest.approx(alone.thresholds) and torch.equal(among.fire_counts_F, alone.fire_counts_F)
        assert_close((among.loss, among.dense_codes(WIDTH)), (alone.loss, alone.dense_codes(WIDTH)))
        assert_close(gradients(sae, among.loss), expected)
        assert among.pattern.n_rows == 60 and among.all_pattern.n_rows == 100 and among.hidden_MF.shape == (100, WIDTH)


# --- what its own choices do ---------------------------------------------------------------------------------------


def test_weights_of_blocks_weigh_the_squared_errors():
    given, even = activations(), (1.0, 1.0, 1.0)
    losses = ours(block_weights=even).step(Batch.from_tokens(given), alpha=0).losses
    weighed = ours(block_weights=(0.25, 0.0, 3.0)).step(Batch.from_tokens(given), alpha=0)
    assert weighed.losses["mse_32"] == 0
    assert_close(weighed.losses["mse_12"], 0.25 * losses["mse_12"])
    assert_close(weighed.loss, 0.25 * losses["mse_12"] + 3 * losses["mse_64"])


@pytest.mark.parametrize("slow_k", [1, 3])
def test_a_reserved_budget_is_spent_to_the_last_latent(slow_k):
    sae, batch = ours(slow_k=slow_k), partners_batch()
    for _ in range(3):  # with a guess from the step before, too
        step = sae.step(batch, alpha=0)
        sae.update_thresholds(step)
        for pattern, rows in ((step.pattern, 60), (step.all_pattern, 100)):
            slow = int((pattern.columns_N < sae.n_slow).sum())
            assert (slow, len(pattern.columns_N) - slow) == (slow_k * rows, (K - slow_k) * rows)
        codes_MF = step.dense_codes(WIDTH)
        of_blocks = [part[part > 0].min().item() for part in (codes_MF[:, : sae.n_slow], codes_MF[:, sae.n_slow :])]
        assert step.thresholds == pytest.approx(of_blocks)


def test_without_one_all_latents_compete():
    sae = ours()
    step = sae.step(Batch.from_tokens(activations()), alpha=0)
    assert len(step.codes_N) == K * 60 and step.thresholds[0] == step.thresholds[1]
    assert step.thresholds[0] == pytest.approx(step.codes_N.min().item())


def test_a_threshold_of_its_own_is_saved_for_the_slow_block(tmp_path):
    sae = ours(slow_k=1)
    for seed in range(5):
        sae.update_thresholds(sae.step(Batch.from_tokens(activations(seed=seed)), alpha=0))
    assert sae.slow_threshold != sae.topk_threshold
    sae.save_inference_model(str(tmp_path))
    loaded = SAE.load_from_disk(tmp_path)
    assert_close(loaded.threshold[: sae.n_slow], sae.slow_threshold.float().expand(sae.n_slow))
    assert_close(loaded.threshold[sae.n_slow :], sae.topk_threshold.float().expand(WIDTH - sae.n_slow))


@pytest.mark.parametrize("slow_k", [None, 1])
def test_a_scale_of_the_activations_can_be_folded_into_the_weights(slow_k):
    """What it does to x after folding is what it did to 3 x before, in units of x."""
    sae, x_MD = ours(slow_k=slow_k), activations()
    before = sae.step(Batch.from_tokens(3 * x_MD), alpha=0)
    sae.update_thresholds(before)
    held = (sae.topk_threshold.item(), sae.slow_threshold.item())
    sae.fold_activation_norm_scaling_factor(3.0)
    after = sae.step(Batch.from_tokens(x_MD), alpha=0)
    assert_close(3 * after.xhat_MD, before.xhat_MD, atol=1e-4, rtol=1e-4)
    assert_close(3 * after.dense_codes(WIDTH), before.dense_codes(WIDTH), atol=1e-4, rtol=1e-4)
    assert (3 * sae.topk_threshold.item(), 3 * sae.slow_threshold.item()) == pytest.approx(held)


# --- in SAELens' trainer -------------------------------------------------------------------------------------------


def pairs_without_end(seed: int = 0):
    """Of few directions that stay on from one token to the next."""
    generator, directions_GD = torch.Generator().manual_seed(seed), F.normalize(activations(12) - 0.5, dim=1)
    while True:
        on_BG = (torch.rand(64, 12, generator=generator) < 0.15).float()
        flipped_BG = torch.where(torch.rand(64, 12, generator=generator) < 0.05, 1 - on_BG, on_BG)
        yield torch.stack([flipped_BG @ directions_GD, on_BG @ directions_GD], 1)


def fitted(data: Any, steps: int = 80, **changes: Any) -> tuple[SAETrainer, ContrastiveTemporalTrainingSAE]:
    told: dict[str, Any] = {"alpha": 0.5, "same_sequence": True, "block_weights": (1.0, 1.0)}
    config = ContrastiveTemporalTrainingSAEConfig(
        d_in=D, d_sae=WIDTH, k=2, matryoshka_widths=[16, WIDTH], **told | changes
    )
    sae = ContrastiveTemporalTrainingSAE(config)
    trainer = SAETrainer(
        SAETrainerConfig(total_training_samples=64 * steps, train_batch_size_samples=64, lr=1e-2, lr_end=1e-3,
                         device="cpu"), sae, data
    )  # fmt: skip
    trainer.fit()
    return trainer, sae


def test_saelens_trains_it_on_pairs_and_keeps_it_as_jumprelu(tmp_path):
    torch.manual_seed(0)
    trainer, sae = fitted(pairs_without_end(), alpha_warm_up_steps=10)
    x_B2D = next(pairs_without_end(seed=1))
    output = sae.training_forward_pass(step_input(x_B2D, contrast=0.5))
    assert torch.equal(output.sae_in, x_B2D[:, 1]), "the tokens; their partners stand in front of them"
    assert output.sae_out.shape == (64, D) and output.feature_acts.shape == output.hidden_pre.shape == (64, WIDTH)
    assert set(output.losses) == {"mse_16", "mse_64", "contrast"} and output.losses["contrast"] > 0
    error = (output.sae_out - output.sae_in).pow(2).sum()
    assert error < 0.2 * (output.sae_in - output.sae_in.mean(0)).pow(2).sum()
    assert trainer.sae.cfg.metadata.l0 == pytest.approx(2, abs=0.3)

    sae.save_inference_model(str(tmp_path))
    loaded, x_BD = SAE.load_from_disk(tmp_path), x_B2D[:, 1]
    assert loaded.cfg.architecture() == "jumprelu"
    norms_F = sae.W_dec.norm(dim=1)
    hidden_BF = ((x_BD - sae.b_dec) @ sae.W_enc + sae.b_enc) * norms_F
    codes_BF = hidden_BF * (hidden_BF > sae.topk_threshold)
    assert_close(loaded.encode(x_BD), codes_BF, atol=1e-5, rtol=1e-5)
    assert_close(loaded.decode(loaded.encode(x_BD)), codes_BF / norms_F @ sae.W_dec + sae.b_dec, atol=1e-5, rtol=1e-5)


def test_saelens_is_told_of_the_warm_up_of_alpha():
    config = ContrastiveTemporalTrainingSAEConfig(
        d_in=D, d_sae=WIDTH, k=2, matryoshka_widths=[16, WIDTH], alpha=0.5, alpha_warm_up_steps=7
    )
    assert ContrastiveTemporalTrainingSAE(config).get_coefficients() == {"contrast": TrainCoefficientConfig(0.5, 7)}


def test_saelens_trains_it_on_tokens_where_there_is_no_contrast():
    _, sae = fitted((x_B2D[:, 1] for x_B2D in pairs_without_end()), steps=5, alpha=0.0)
    assert sae.get_coefficients() == {} and sae.topk_threshold > 0


def test_a_contrast_without_pairs_is_refused():
    with pytest.raises(BadInput, match=r"expected a batch of shape \(B, 2, D\), got \(64, 16\)"):
        fitted((x_B2D[:, 1] for x_B2D in pairs_without_end()), steps=1)


def test_a_contrast_that_needs_documents_is_refused_where_there_are_none():
    with pytest.raises(BadInput, match="without same_sequence the document of each pair must be known"):
        fitted(pairs_without_end(), steps=1, same_sequence=False)


def test_a_batch_without_pairs_is_refused_where_there_is_a_contrast():
    with pytest.raises(BadInput, match="a contrast needs pairs; got a batch without"):
        ours().step(Batch(activations(), 60, None, DOCUMENTS), alpha=1.0)


ALONE = {"no pair": [], "one pair": [[1, 0]], "pairs of one document": [[1, 0], [2, 1]]}


@pytest.mark.parametrize("case", ALONE)
def test_where_no_pair_has_another_token_to_be_told_from_there_is_no_contrast(case):
    pairs_P2 = torch.tensor(ALONE[case], dtype=torch.int64).reshape(-1, 2)
    batch, sae = Batch(activations(), 60, pairs_P2, torch.zeros(60, dtype=torch.int64)), ours()
    step = sae.step(batch, alpha=1.0)
    assert "contrast" not in step.losses
    plain = sae.step(batch, alpha=0.0)
    assert_close(gradients(sae, step.loss), gradients(sae, plain.loss))


@pytest.mark.parametrize(
    "changes",
    [{"apply_b_dec_to_input": False}, {"rescale_acts_by_decoder_norm": False}, {"use_matryoshka_aux_loss": True}],
)
def test_a_choice_of_saelens_that_is_made_here_cannot_be_made_otherwise(changes):
    name, asked = next(iter(changes.items()))
    with pytest.raises(BadInput, match=f"has no other {name} than {not asked}; got {asked}"):
        ours(**changes)


REFUSED = {
    "a similarity that is none": ({"similarity": "cos"}, "similarity must be one of cosine, dot; got 'cos'"),
    "a reduction that is none": ({"reduction": "mean2"}, "reduction must be one of mean, sum; got 'mean2'"),
    "none revived": ({"revived": 0}, "revived must be at least 1; got 0"),
    "all reserved": ({"slow_k": K}, f"slow_k must be less than k .{K}.; got {K}"),
    "none reserved": ({"slow_k": 0}, "slow_k must be at least 1; got 0"),
    "one among its own negatives": ({"together": 1}, "together must be at least 2; got 1"),
    "a weight too few": (
        {"block_weights": (1.0, 1.0)},
        r"block_weights must be one for each of 3 blocks; got \(1.0, 1.0\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nor_is_what_it_cannot_do_taken_for_something_else(case):
    changes, told = REFUSED[case]
    with pytest.raises(BadInput, match=told):
        ours(**changes)
