"""The SAELens class: without a contrast it is Matryoshka BatchTopK, and SAELens trains, saves and loads it."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sae_fixtures import (
    ENDS,
    PARAMETERS,
    WIDTH,
    D,
    K,
    activations,
    dead_mask,
    gradients,
    set_weights,
    step_input,
    training_sae,
)
from sae_lens import SAE, SAETrainer
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY, register_sae_training_class
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainCoefficientConfig
from torch.testing import assert_close
from tsae_fixtures import small_config, small_store

from interp.artifacts import BadInput
from interp.tsae import fit
from interp.tsae.architecture import ContrastiveTemporalTrainingSAE, register_architecture
from interp.tsae.batches import Batch
from interp.tsae.sae_config import ARCHITECTURE, ContrastiveTemporalTrainingSAEConfig

pytestmark = pytest.mark.filterwarnings("ignore:WARNING. You have only set one matryoshka level")

DEAD = {
    "no mask": None,
    "none": dead_mask(0),
    "few": dead_mask(3),
    "as many as revive": dead_mask(D // 2),
    "many": dead_mask(40),
}


@pytest.mark.parametrize("which", DEAD)
@pytest.mark.parametrize("coefficient", [1.0, 0.25])
def test_without_a_contrast_it_equals_matryoshka_batchtopk(which, coefficient):
    config = MatryoshkaBatchTopKTrainingSAEConfig(
        d_in=D, d_sae=WIDTH, k=K, matryoshka_widths=list(ENDS), aux_loss_coefficient=coefficient
    )
    reference_sae, own_sae = (
        set_weights(MatryoshkaBatchTopKTrainingSAE(config)),
        training_sae(aux_loss_coefficient=coefficient),
    )
    for seed in range(3):  # thresholds follow over batches
        inputs = step_input(activations(seed=seed), DEAD[which])
        reference, own = reference_sae.training_forward_pass(inputs), own_sae.training_forward_pass(inputs)
        assert_close(own.loss, reference.loss, atol=1e-5, rtol=1e-5)
        for own_name, reference_name in (("mse_12", "inner_mse_loss_12"), ("mse_32", "inner_mse_loss_32"),
                                    ("mse_64", "mse_loss")):  # fmt: skip
            assert_close(own.losses[own_name], reference.losses[reference_name], atol=1e-5, rtol=1e-5)
        revival = own.losses.get("revival", torch.tensor(0.0))
        assert_close(revival, reference.losses["auxiliary_reconstruction_loss"], atol=1e-5, rtol=1e-5)
        assert (revival > 0).item() == (DEAD[which] is not None and bool(DEAD[which].any()))
        assert_close(own.sae_out, reference.sae_out, atol=1e-5, rtol=1e-5)
        assert_close(own.feature_acts, reference.feature_acts, atol=1e-5, rtol=1e-5)
        assert torch.equal(own.feature_acts > 0, reference.feature_acts > 0)
        assert_close(own.hidden_pre, reference.hidden_pre, atol=1e-5, rtol=1e-5)
        assert_close(own_sae.topk_threshold, reference_sae.topk_threshold, atol=1e-6, rtol=1e-6)
        assert_close(gradients(own_sae, own.loss), gradients(reference_sae, reference.loss), atol=1e-5, rtol=1e-5)
    assert own_sae.topk_threshold > 0


def test_it_equals_matryoshka_batchtopk_on_fewer_tokens_than_dimensions():
    """Then the norms are multiplied into the product, not into the weights."""
    config = MatryoshkaBatchTopKTrainingSAEConfig(d_in=D, d_sae=WIDTH, k=K, matryoshka_widths=list(ENDS))
    reference_sae, own_sae = set_weights(MatryoshkaBatchTopKTrainingSAE(config)), training_sae()
    inputs = step_input(activations(rows=D - 5), dead_mask(3))
    reference, own = reference_sae.training_forward_pass(inputs), own_sae.training_forward_pass(inputs)
    assert_close(own.loss, reference.loss, atol=1e-5, rtol=1e-5)
    assert_close(own.hidden_pre, reference.hidden_pre, atol=1e-5, rtol=1e-5)
    assert_close(gradients(own_sae, own.loss), gradients(reference_sae, reference.loss), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("which", DEAD)
def test_with_one_block_it_equals_batchtopk(which):
    reference_sae = set_weights(BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=D, d_sae=WIDTH, k=K)))
    own_sae, inputs = training_sae([WIDTH]), step_input(activations(), DEAD[which])
    reference, own = reference_sae.training_forward_pass(inputs), own_sae.training_forward_pass(inputs)
    assert_close(own.loss, reference.loss, atol=1e-5, rtol=1e-5)
    assert_close(own.feature_acts, reference.feature_acts, atol=1e-5, rtol=1e-5)
    assert_close(gradients(own_sae, own.loss), gradients(reference_sae, reference.loss), atol=1e-5, rtol=1e-5)
    assert_close(own_sae.topk_threshold, reference_sae.topk_threshold)


def test_initial_weights_are_those_of_saelens():
    config = {"d_in": D, "d_sae": WIDTH, "k": K, "matryoshka_widths": list(ENDS)}
    torch.manual_seed(0)
    reference_sae = MatryoshkaBatchTopKTrainingSAE(MatryoshkaBatchTopKTrainingSAEConfig(**config))
    torch.manual_seed(0)
    fields = ContrastiveTemporalTrainingSAEConfig(**config, block_weights=(1.0,) * 3)
    own_sae = ContrastiveTemporalTrainingSAE(fields)
    for name in PARAMETERS:
        assert torch.equal(getattr(own_sae, name), getattr(reference_sae, name))
    assert own_sae.W_enc.T.is_contiguous(), "stored latent by latent"


def test_registering_twice_changes_nothing():
    register_architecture()
    register_architecture()
    assert SAE_TRAINING_CLASS_REGISTRY[ARCHITECTURE] == (
        ContrastiveTemporalTrainingSAE,
        ContrastiveTemporalTrainingSAEConfig,
    )
    assert ContrastiveTemporalTrainingSAEConfig.architecture() == ARCHITECTURE == "contrastive_temporal"
    with pytest.raises(ValueError, match="already registered"):
        register_sae_training_class(ARCHITECTURE, *SAE_TRAINING_CLASS_REGISTRY[ARCHITECTURE])


def test_with_slow_k_the_slow_block_is_saved_with_its_own_threshold(tmp_path):
    sae = training_sae(slow_k=1)
    for seed in range(5):
        sae.update_thresholds(sae.compute_step(Batch.from_tokens(activations(seed=seed)), alpha=0))
    assert sae.slow_threshold != sae.topk_threshold
    sae.save_inference_model(str(tmp_path))
    loaded = SAE.load_from_disk(tmp_path)
    assert_close(loaded.threshold[: sae.n_slow], sae.slow_threshold.float().expand(sae.n_slow))
    assert_close(loaded.threshold[sae.n_slow :], sae.topk_threshold.float().expand(WIDTH - sae.n_slow))


@pytest.mark.parametrize("slow_k", [None, 1])
def test_the_scale_of_the_activations_is_folded_into_the_weights(slow_k):
    """After folding, x gives a third of what 3 x gave before."""
    sae, x_MD = training_sae(slow_k=slow_k), activations()
    before = sae.compute_step(Batch.from_tokens(3 * x_MD), alpha=0)
    sae.update_thresholds(before)
    thresholds = (sae.topk_threshold.item(), sae.slow_threshold.item())
    sae.fold_activation_norm_scaling_factor(3.0)
    after = sae.compute_step(Batch.from_tokens(x_MD), alpha=0)
    assert_close(3 * after.xhat_MD, before.xhat_MD, atol=1e-4, rtol=1e-4)
    assert_close(3 * after.dense_codes(WIDTH), before.dense_codes(WIDTH), atol=1e-4, rtol=1e-4)
    assert (3 * sae.topk_threshold.item(), 3 * sae.slow_threshold.item()) == pytest.approx(thresholds)


def endless_pairs(seed: int = 0):
    """Pairs of consecutive tokens, of twelve directions that mostly stay active."""
    generator, directions_GD = torch.Generator().manual_seed(seed), F.normalize(activations(12) - 0.5, dim=1)
    while True:
        on_BG = (torch.rand(64, 12, generator=generator) < 0.15).float()
        flipped_BG = torch.where(torch.rand(64, 12, generator=generator) < 0.05, 1 - on_BG, on_BG)
        yield torch.stack([flipped_BG @ directions_GD, on_BG @ directions_GD], 1)


def train_by_saelens(data: Any, steps: int = 80, **changes: Any) -> tuple[SAETrainer, ContrastiveTemporalTrainingSAE]:
    fields: dict[str, Any] = {"alpha": 0.5, "same_sequence": True, "block_weights": (1.0, 1.0)}
    config = ContrastiveTemporalTrainingSAEConfig(
        d_in=D, d_sae=WIDTH, k=2, matryoshka_widths=[16, WIDTH], **fields | changes
    )
    sae = ContrastiveTemporalTrainingSAE(config)
    trainer = SAETrainer(
        SAETrainerConfig(total_training_samples=64 * steps, train_batch_size_samples=64, lr=1e-2, lr_end=1e-3,
                         device="cpu"), sae, data
    )  # fmt: skip
    trainer.fit()
    return trainer, sae


def test_saelens_trains_it_on_pairs_and_saves_it_as_jumprelu(tmp_path):
    torch.manual_seed(0)
    trainer, sae = train_by_saelens(endless_pairs(), alpha_warm_up_steps=10)
    x_B2D = next(endless_pairs(seed=1))
    output = sae.training_forward_pass(step_input(x_B2D, contrast=0.5))
    assert torch.equal(output.sae_in, x_B2D[:, 1]), "the tokens, not their partners"
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


def test_saelens_gets_the_warm_up_of_alpha():
    config = ContrastiveTemporalTrainingSAEConfig(
        d_in=D, d_sae=WIDTH, k=2, matryoshka_widths=[16, WIDTH], alpha=0.5, alpha_warm_up_steps=7
    )
    assert ContrastiveTemporalTrainingSAE(config).get_coefficients() == {"contrast": TrainCoefficientConfig(0.5, 7)}


def test_saelens_trains_it_on_tokens_if_there_is_no_contrast():
    _, sae = train_by_saelens((x_B2D[:, 1] for x_B2D in endless_pairs()), steps=5, alpha=0.0)
    assert sae.get_coefficients() == {} and sae.topk_threshold > 0


def test_a_contrast_without_pairs_is_refused():
    with pytest.raises(BadInput, match=r"expected a batch of shape \(B, 2, D\), got \(64, 16\)"):
        train_by_saelens((x_B2D[:, 1] for x_B2D in endless_pairs()), steps=1)


def test_saelens_trainer_needs_same_sequence_for_a_contrast():
    with pytest.raises(BadInput, match="without same_sequence the contrast needs the document of each pair"):
        train_by_saelens(endless_pairs(), steps=1, same_sequence=False)


@pytest.mark.parametrize(
    "changes",
    [{"apply_b_dec_to_input": False}, {"rescale_acts_by_decoder_norm": False}, {"use_matryoshka_aux_loss": True}],
)
def test_an_option_of_saelens_with_a_fixed_value_is_refused_with_another(changes):
    name, value = next(iter(changes.items()))
    with pytest.raises(BadInput, match=f"expected {name}={not value}, got {value}: leave it out"):
        training_sae(**changes)


REFUSED = {
    "unknown similarity": ({"similarity": "cos"}, "similarity must be one of cosine, dot; got 'cos'"),
    "unknown reduction": ({"reduction": "mean2"}, "reduction must be one of mean, sum; got 'mean2'"),
    "no latent revived": ({"revived": 0}, "revived must be at least 1; got 0"),
    "slow_k equal to k": ({"slow_k": K}, f"slow_k must be less than k .{K}.; got {K}"),
    "slow_k of zero": ({"slow_k": 0}, "slow_k must be at least 1; got 0"),
    "groups of one pair": ({"together": 1}, "together must be at least 2; got 1"),
    "too few block weights": (
        {"block_weights": (1.0, 1.0)},
        r"block_weights must be one for each of 3 blocks; got \(1.0, 1.0\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_impossible_config_is_refused(case):
    changes, message = REFUSED[case]
    with pytest.raises(BadInput, match=message):
        training_sae(**changes)


def test_the_class_is_registered_with_its_config_by_the_first_fit(monkeypatch, tmp_path):
    monkeypatch.delitem(SAE_TRAINING_CLASS_REGISTRY, ARCHITECTURE, raising=False)
    fit(small_store(tmp_path / "store"), small_config(training={"steps": 1}, promote_every=None), progress=False)
    expected = (ContrastiveTemporalTrainingSAE, ContrastiveTemporalTrainingSAEConfig)
    assert SAE_TRAINING_CLASS_REGISTRY[ARCHITECTURE] == expected
