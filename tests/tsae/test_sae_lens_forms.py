"""Dictionaries of every kind that SAELens saves give its codes and reconstructions, or are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from interp.artifacts import BadInput, Mismatch
from interp.policy.site import Site
from interp.tsae import TSAE
from interp.tsae.codes import Codes

D, F = 8, 24
KINDS = {
    "standard": {},
    "jumprelu": {},
    "gated": {},
    "topk": {"k": 3},
    "topk rescaled": {"k": 3, "rescale_acts_by_decoder_norm": True},
}
NORMALIZATIONS = ("none", "expected_average_only_in", "constant_norm_rescale", "layer_norm", "covariance_whitening")


def residuals(*shape: int) -> torch.Tensor:
    """Activations of different norms, none of mean 0."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, D, generator=generator) + 0.5
    return x * (1 + torch.arange(shape[-1], dtype=torch.float32)[:, None])


def sae_lens_sae(kind: str, **options: Any) -> Any:
    """A dictionary of SAELens with random weights, about half of its latents active."""
    from sae_lens.registry import get_sae_class

    architecture = kind.split()[0]
    sae_class, config_class = get_sae_class(architecture)
    sae = sae_class(config_class(d_in=D, d_sae=F, **KINDS[kind], **options))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
            if name == "threshold":
                parameter.abs_()
    sae.cfg.metadata.hook_name = "blocks.2.hook_mlp_out"
    return sae


def saved(sae: Any, path: Path) -> Path:
    sae.save_model(str(path))
    return path


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("subtracts_b_dec", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_reconstructions_are_those_of_saelens(kind, subtracts_b_dec, normalization, tmp_path):
    sae = sae_lens_sae(kind, apply_b_dec_to_input=subtracts_b_dec, normalize_activations=normalization)
    tsae, x_BD = TSAE.load(saved(sae, tmp_path)), residuals(4, 16)
    z_BF = sae.encode(x_BD)
    assert 1 < (z_BF > 0).sum(-1).float().mean() < F, "some latents are active, not all"
    assert torch.equal(tsae.encode(x_BD) > 0, z_BF > 0)
    assert_close(tsae.encode(x_BD), z_BF, atol=1e-4, rtol=1e-4)
    assert_close(tsae.reconstruct(x_BD), sae(x_BD), atol=1e-4, rtol=1e-4)
    assert (tsae.layer, tsae.site, tsae.at(2)) == (2, "mlp_out", Site(2, "mlp_out"))
    assert tsae.at(Site(4, "mlp_out")) == Site(4, "mlp_out")
    with pytest.raises(Mismatch, match="expected resid_post, got a dictionary of mlp_out: its hook decides the site"):
        tsae.at(Site(2))


@pytest.mark.parametrize("normalization", ["none", "layer_norm"])
@pytest.mark.parametrize("kind", KINDS)
def test_sparse_codes_single_latents_and_selections_are_those_of_all_codes(kind, normalization, tmp_path):
    tsae = TSAE.load(saved(sae_lens_sae(kind, normalize_activations=normalization), tmp_path))
    x_ND = residuals(16)
    z_NF = tsae.encode(x_ND)
    codes, latents = Codes.encode(tsae, x_ND), [5, 0, 17]
    assert_close(torch.stack([torch.from_numpy(codes.latent_activations(f)) for f in range(F)], 1).float(), z_NF)
    assert_close(codes.decode(tsae, x_ND), tsae.decode(z_NF, x_ND))
    assert_close(torch.stack([tsae.encode_latent(x_ND, latent) for latent in latents], 1), z_NF[:, latents])
    selected = tsae.select_latents(latents)
    assert (selected.width, selected.site) == (3, "mlp_out")
    assert_close(selected.encode(x_ND), z_NF[:, latents])
    assert_close(selected.select_latents([2, 1]).encode(x_ND), z_NF[:, [17, 0]])
    assert_close(selected.to("cpu").encode_latent(x_ND, 1), z_NF[:, 0])
    assert torch.equal(selected.W_dec, tsae.W_dec[latents])


@pytest.mark.parametrize("normalization", ["none", "layer_norm", "constant_norm_rescale"])
def test_a_change_of_a_code_changes_the_reconstruction_by_its_decoder_row_in_the_tokens_unit(normalization, tmp_path):
    tsae = TSAE.load(saved(sae_lens_sae("standard", normalize_activations=normalization), tmp_path))
    x_ND = residuals(16)
    z_NF = tsae.encode(x_ND)
    ablated_NF = z_NF.clone()
    ablated_NF[:, 4] = 0
    change_ND = tsae.decode(ablated_NF, x_ND) - tsae.decode(z_NF, x_ND)
    assert_close(change_ND, -z_NF[:, 4:5] * tsae.W_dec[4] * tsae.unit(x_ND), atol=1e-4, rtol=1e-4)


def test_a_dictionary_that_normalizes_needs_residuals_to_decode(tmp_path):
    tsae = TSAE.load(saved(sae_lens_sae("standard", normalize_activations="layer_norm"), tmp_path))
    with pytest.raises(BadInput, match="expected residuals beside codes, for a dictionary with layer_norm"):
        tsae.decode(tsae.encode(residuals(3)))


def test_dictionaries_of_one_set_of_weights_and_different_forms_have_different_fingerprints(tmp_path):
    loaded = [
        TSAE.load(saved(sae_lens_sae(kind, normalize_activations=normalization), tmp_path / kind / normalization))
        for kind, normalization in [("standard", "none"), ("topk", "none"), ("standard", "layer_norm")]
    ]
    assert all(torch.equal(loaded[0].W_enc, other.W_enc) for other in loaded)
    assert len({tsae.fingerprint() for tsae in loaded}) == 3


# --- after training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "gated", "topk", "batchtopk", "matryoshka_batchtopk"])
def test_what_a_training_class_saves_for_inference_is_read_as_saelens_reads_it(architecture, tmp_path):
    from sae_lens import SAE
    from sae_lens.registry import get_sae_training_class

    sae_class, config_class = get_sae_training_class(architecture)
    options: dict[str, Any] = {"k": 3} if "topk" in architecture else {}
    options |= {"matryoshka_widths": [8, F]} if architecture.startswith("matryoshka") else {}
    sae = sae_class(config_class(d_in=D, d_sae=F, **options))
    with torch.no_grad():
        sae.b_dec.add_(0.3)
    sae.save_inference_model(str(tmp_path))
    expected, x_ND = SAE.load_from_disk(str(tmp_path)), residuals(16)
    assert_close(TSAE.load(tmp_path).encode(x_ND), expected.encode(x_ND), atol=1e-4, rtol=1e-4)
    assert_close(TSAE.load(tmp_path).reconstruct(x_ND), expected(x_ND), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_a_training_checkpoint_is_refused_with_how_to_save_it_for_inference(architecture, tmp_path):
    from sae_lens.registry import get_sae_training_class

    sae_class, config_class = get_sae_training_class(architecture)
    options: dict[str, Any] = {"k": 3}
    options |= {"matryoshka_widths": [8, F]} if architecture.startswith("matryoshka") else {}
    sae_class(config_class(d_in=D, d_sae=F, **options)).save_model(str(tmp_path / "checkpoint"))
    with pytest.raises(BadInput, match=r"TrainingSAE.load_from_disk\(path\).save_inference_model\(new_path\)"):
        TSAE.load(tmp_path / "checkpoint")
    from sae_lens import TrainingSAE

    TrainingSAE.load_from_disk(str(tmp_path / "checkpoint")).save_inference_model(str(tmp_path / "inference"))
    assert TSAE.load(tmp_path / "inference").width == F


# --- refusals ----------------------------------------------------------------------------------------------------

REFUSED_CFGS = {
    "a transcoder": ({"architecture": "transcoder"}, "got transcoder: it reads one place and writes another"),
    "codes of both signs": ({"architecture": "abstopk"}, "got abstopk: its codes may be negative"),
    "no architecture": ({"architecture": None}, "expected a dictionary saved for inference .* got None"),
    "another normalization": ({"normalize_activations": "zca"}, "got 'zca': train it with another"),
    "attention heads": ({"reshape_activations": "hook_z"}, r"got one of attention heads \(hook_z\)"),
    "no latent": ({"architecture": "topk", "k": 0}, "k 0 of 24 latents"),
    "more latents than there are": ({"architecture": "topk", "k": 25}, "k 25 of 24 latents"),
}


@pytest.mark.parametrize("case", REFUSED_CFGS)
def test_a_cfg_that_cannot_be_read_here_is_refused_with_the_reason(case, tmp_path):
    changes, message = REFUSED_CFGS[case]
    saved(sae_lens_sae("standard"), tmp_path)
    cfg = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(cfg | changes))
    with pytest.raises(BadInput, match=message):
        TSAE.load(tmp_path)


def test_a_dictionary_of_saelens_5_is_refused_with_how_to_save_it_anew(tmp_path):
    saved(sae_lens_sae("standard"), tmp_path)
    old = {"d_in": D, "d_sae": F, "dtype": "float32", "hook_name": "blocks.2.hook_mlp_out", "hook_layer": 2}
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    with pytest.raises(BadInput, match=r"save it anew with SAE.load_from_disk\(path\).save_model\(new_path\)"):
        TSAE.load(tmp_path)
    from sae_lens import SAE

    SAE.load_from_disk(str(tmp_path)).save_model(str(tmp_path / "new"))
    assert TSAE.load(tmp_path / "new").at(2) == Site(2, "mlp_out")


def test_a_checkpoint_whose_scale_is_not_folded_is_refused(tmp_path):
    saved(sae_lens_sae("standard"), tmp_path)
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": null, "has_whitening": false}')
    assert TSAE.load(tmp_path).width == F
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.3, "has_whitening": false}')
    with pytest.raises(BadInput, match="call fold_activation_norm_scaling_factor with that factor"):
        TSAE.load(tmp_path)


@pytest.mark.parametrize(("kind", "name"), [("gated", "b_gate"), ("standard", "b_enc"), ("jumprelu", "threshold")])
def test_a_missing_tensor_is_named(kind, name, tmp_path):
    saved(sae_lens_sae(kind), tmp_path)
    tensors = load_file(tmp_path / "sae_weights.safetensors")
    save_file({key: value for key, value in tensors.items() if key != name}, tmp_path / "sae_weights.safetensors")
    with pytest.raises(BadInput, match=f"{name} missing"):
        TSAE.load(tmp_path)


def test_a_dictionary_of_another_place_keeps_its_codes_and_is_refused_where_a_place_is_needed(tmp_path):
    sae = sae_lens_sae("standard")
    sae.cfg.metadata.hook_name = "blocks.2.attn.hook_z"
    tsae = TSAE.load(saved(sae, tmp_path))
    assert_close(tsae.encode(residuals(3)), sae.encode(residuals(3)), atol=1e-5, rtol=1e-5)
    assert repr(tsae).endswith("layer None, blocks.2.attn.hook_z)")
    with pytest.raises(BadInput, match="a dictionary of a place that can be read, got one of blocks.2.attn.hook_z"):
        tsae.at(2)
