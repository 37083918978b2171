"""Codes and reconstructions by hand; dictionaries saved, loaded, refused, and exchanged with SAELens."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from damage_fixtures import DAMAGES, edit_manifest, strip_checksums
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from tsae_fixtures import TENSORS, held_out_documents, small_config, small_store

from interp.artifacts import BadInput, Mismatch, read_manifest
from interp.tsae import TSAE, TSAEConfig, fit

SAE_LENS_CFG: dict[str, Any] = {
    "architecture": "jumprelu",
    "d_in": 2,
    "d_sae": 3,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {"hook_name": "blocks.5.hook_resid_post"},
}
"""The cfg.json of a dictionary."""


def hand_made_tsae(**changes: Any) -> TSAE:
    """Three latents in two dimensions: x, y, and minus both. The first is slow."""
    tensors = {
        "W_enc": torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]),
        "b_enc": torch.tensor([0.0, 0.5, 0.0]),
        "W_dec": torch.tensor([[1.0, 0.0], [0.0, 1.0], [-0.6, -0.8]]),
        "b_dec": torch.tensor([1.0, 2.0]),
        "threshold": torch.tensor([0.5, 0.5, 2.0]),
        "block_widths": (1, 2),
        "layer": 5,
        "config": TSAEConfig(width=3, k=1, blocks=(0.4, 0.6)),
        "made_from": {"store": "sss", "policy-0": "ppp"},
        "fit_metrics": {"fve": 0.75, "l0": 1.0},
        "sae_lens_cfg": SAE_LENS_CFG,
    }
    return TSAE(**tensors | changes)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_codes_and_reconstructions_by_hand():
    """Relative to (1, 2): (1, 0), (0.5, 0), (0, 0.25), (-1, -1), (-2, -1)."""
    x_BD = torch.tensor([[2.0, 2.0], [1.5, 2.0], [1.0, 2.25], [0.0, 1.0], [-1.0, 1.0]])
    z_BF = hand_made_tsae().encode(x_BD)
    expected = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.75, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]
    assert z_BF.tolist() == expected, "at its threshold a latent is not active"
    xhat_BD = torch.tensor([[2.0, 2.0], [1.0, 2.0], [1.0, 2.75], [1.0, 2.0], [-0.8, -0.4]])
    assert_close(hand_made_tsae().decode(z_BF), xhat_BD)
    assert_close(hand_made_tsae().decode_slow(z_BF), torch.tensor([[2.0, 2.0], *[[1.0, 2.0]] * 4]))


def test_residuals_may_have_any_batch_dimensions_and_precision():
    dictionary, x_BLD = hand_made_tsae(), torch.arange(24.0).reshape(3, 4, 2) / 4
    z_BLF = dictionary.encode(x_BLD)
    assert z_BLF.shape == (3, 4, 3) and torch.equal(z_BLF[1, 2], dictionary.encode(x_BLD[1, 2]))
    assert torch.equal(dictionary.decode(z_BLF)[1, 2], dictionary.decode(z_BLF[1, 2]))
    for dtype in (torch.bfloat16, torch.float64):  # which hold these numbers exactly
        assert dictionary.encode(x_BLD.to(dtype)).dtype == torch.float32
        assert torch.equal(dictionary.encode(x_BLD.to(dtype)), z_BLF)


def test_selected_latents_keep_their_codes():
    complete, x_BD = hand_made_tsae(), torch.tensor([[2.0, 2.0], [1.5, 2.25], [-3.0, 0.0], [9.0, 9.0]])
    some = complete.select_latents([2, 0])
    assert_close(some.encode(x_BD), complete.encode(x_BD)[:, [2, 0]])
    assert_close(some.W_dec, complete.W_dec[[2, 0]])
    assert (some.width, some.layer, some.config) == (2, 5, None), "a selection is not saved as a fitted dictionary"


def test_residuals_and_codes_of_another_dimension_are_refused():
    with pytest.raises(BadInput, match=r"expected activations of dimension 2, got \(4, 3\)"):
        hand_made_tsae().encode(torch.zeros(4, 3))
    with pytest.raises(BadInput, match=r"expected codes of 3 latents, got \(4, 2\): are they residuals\?"):
        hand_made_tsae().decode(torch.zeros(4, 2))


def test_a_dictionary_shows_its_blocks():
    assert repr(hand_made_tsae()) == "TSAE(3 latents (1 + 2) of d_model 2, layer 5)"
    assert "5" in hand_made_tsae()._repr_html_() and hand_made_tsae().summary()["slow_latents"].to_list() == [1]
    assert (hand_made_tsae().d_model, hand_made_tsae().width, hand_made_tsae().n_slow) == (2, 3, 1)


@pytest.mark.parametrize("name", TENSORS)
def test_the_fingerprint_depends_on_the_weights_alone(name, tmp_path):
    tsae, shifted = hand_made_tsae(), getattr(hand_made_tsae(), name).clone()
    shifted.view(-1)[-1] += 1e-6
    assert hand_made_tsae(**{name: shifted}).fingerprint() != tsae.fingerprint()
    assert hand_made_tsae(layer=6, fit_metrics={}, made_from={}, config=None).fingerprint() == tsae.fingerprint()
    assert tsae.to("cpu").fingerprint() == tsae.fingerprint() == tsae.save(tmp_path / "d").fingerprint()


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_saved_dictionary_is_loaded_with_all_its_fields(tmp_path):
    tsae = hand_made_tsae()
    saved = tsae.save(tmp_path / "deep" / "dictionary", spec={"k": 1})
    loaded = TSAE.load(tmp_path / "deep" / "dictionary")
    for name in (field.name for field in fields(TSAE)):
        original, from_load, from_save = (getattr(one, name) for one in (tsae, loaded, saved))
        if name == "path":
            assert original is None and from_load == from_save == tmp_path / "deep" / "dictionary"
        elif name in TENSORS:
            assert torch.equal(original, from_load) and torch.equal(original, from_save)
        else:
            assert original == from_load == from_save, name
    assert read_manifest(saved.path or "", "tsae")["spec"] == {"k": 1}
    assert {p.name for p in (tmp_path / "deep" / "dictionary").iterdir()} == {
        "cfg.json",
        "sae_weights.safetensors",
        "manifest.json",
    }


def test_weights_of_any_memory_layout_are_saved(tmp_path):
    tsae = hand_made_tsae(W_enc=hand_made_tsae().W_enc.T.contiguous().T)
    assert not tsae.W_enc.is_contiguous()
    assert torch.equal(tsae.save(tmp_path / "dictionary").W_enc, tsae.W_enc)


def test_a_dictionary_is_overwritten_only_on_request(tmp_path):
    hand_made_tsae().save(tmp_path / "dictionary")
    other = hand_made_tsae(b_dec=torch.zeros(2))
    with pytest.raises(BadInput, match="dictionary exists already: choose another place, or pass overwrite"):
        other.save(tmp_path / "dictionary")
    assert TSAE.load(tmp_path / "dictionary").fingerprint() == hand_made_tsae().fingerprint()
    assert other.save(tmp_path / "dictionary", overwrite=True).fingerprint() == other.fingerprint()


def test_a_dictionary_saved_by_an_earlier_version_is_loaded(tmp_path):
    """Its manifest names the blocks `widths` and the last metrics `facts`."""
    tsae = hand_made_tsae().save(tmp_path / "dictionary")
    manifest = tmp_path / "dictionary" / "manifest.json"
    entries = json.loads(manifest.read_text())
    entries["widths"], entries["facts"] = entries.pop("block_widths"), entries.pop("fit_metrics")
    manifest.write_text(json.dumps(entries))
    strip_checksums(tmp_path / "dictionary")
    with pytest.warns(UserWarning, match="written by an earlier version, without checksums"):
        loaded = TSAE.load(tmp_path / "dictionary")
    assert (loaded.block_widths, loaded.fit_metrics) == (tsae.block_widths, tsae.fit_metrics)


@pytest.mark.parametrize("missing", [{"sae_lens_cfg": {}}, {"config": None}])
def test_a_dictionary_without_its_config_is_not_saved(missing, tmp_path):
    with pytest.raises(BadInput, match="expected a dictionary fitted here, got one without its config"):
        hand_made_tsae(**missing).save(tmp_path / "dictionary")
    assert not (tmp_path / "dictionary").exists()


# --- refused -------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return hand_made_tsae().save(tmp_path / "dictionary").path or Path()


def test_another_layer_is_refused(saved):
    assert TSAE.load(saved, layer=5).layer == 5
    with pytest.raises(Mismatch, match="expected a dictionary of layer 4, got one of layer 5"):
        TSAE.load(saved, layer=4)


def test_a_dictionary_made_from_other_weights_is_refused(saved):
    assert TSAE.load(saved, made_from={"policy-0": "ppp"}).made_from == {"store": "sss", "policy-0": "ppp"}
    with pytest.raises(Mismatch, match="was made from another policy-0: expected qqq, got ppp"):
        TSAE.load(saved, made_from={"policy-0": "qqq"})
    with pytest.raises(Mismatch, match="was made from another policy-1: expected ppp, got None"):
        TSAE.load(saved, made_from={"policy-1": "ppp"})


FILES = ("cfg.json", "manifest.json", "sae_weights.safetensors")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_refused_naming_the_place(damage, name, saved, tmp_path):
    other = hand_made_tsae(layer=4, b_dec=torch.zeros(2), sae_lens_cfg={**SAE_LENS_CFG, "metadata": {}})
    other.save(tmp_path / "other")
    DAMAGES[damage](saved / name, tmp_path / "other" / name)
    if (damage, name) == ("delete", "manifest.json"):
        tsae = TSAE.load(saved)  # as SAELens saves dictionaries
        assert (tsae.block_widths, tsae.config, tsae.made_from) == ((3,), None, {})
    else:
        with pytest.raises(BadInput, match=f"{saved}.*: expected "):
            TSAE.load(saved)


EDITS: dict[str, tuple[str, Any, str]] = {
    "blocks that do not sum to the width": (
        "block_widths",
        [1000, 2],
        r"blocks of \[1000, 2\] latents, and tensors of 3",
    ),
    "other blocks than the config's": ("block_widths", [2, 1], r"a config of blocks \(1, 2\), and a dictionary of"),
    "a block without latents": ("block_widths", [3, 0], "blocks of"),
    "blocks that are no numbers": ("block_widths", ["a", 2], "blocks of"),
    "no blocks": ("block_widths", None, "expected the manifest of a dictionary"),
    "another layer": ("layer", 99, "expected layer 99, as manifest.json; got layer 5 in cfg.json"),
    "a layer that is no number": ("layer", "five", "layer 'five'"),
    "an unknown option": ("config", {"colour": "red"}, "TSAEConfig has no colour"),
    "a config of another type": ("config", {"contrast": 3}, "expected the manifest of a dictionary"),
    "inputs without fingerprints": ("made_from", {"policy-0": 3}, "inputs without fingerprints"),
    "a policy without a step": ("made_from", {"policy-last": "ppp"}, "policies without steps"),
    "metrics that are no numbers": ("fit_metrics", {"fve": "good"}, "metrics that are no numbers"),
}


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("with_checksums", [True, False])
@pytest.mark.parametrize("case", EDITS)
def test_a_manifest_that_does_not_fit_the_tensors_or_the_cfg_is_refused(case, with_checksums, saved):
    entry, value, message = EDITS[case]
    if not with_checksums:
        strip_checksums(saved)
    edit_manifest(saved, lambda manifest: manifest.update({entry: value}))
    with pytest.raises(BadInput, match=f"{saved}.*{message}"):
        TSAE.load(saved)


def test_blocks_that_end_elsewhere_in_the_cfg_are_refused(tmp_path):
    details = {"training_architecture_details": {"matryoshka_widths": [2, 3]}}
    cfg = {**SAE_LENS_CFG, "metadata": {**SAE_LENS_CFG["metadata"], **details}}
    with pytest.raises(BadInput, match=r"blocks that end at \[2, 3\] in cfg.json"):
        hand_made_tsae(sae_lens_cfg=cfg).save(tmp_path / "dictionary")


@pytest.fixture
def plain(saved: Path) -> Path:
    """A dictionary as SAELens saves it, without a manifest."""
    (saved / "manifest.json").unlink()
    return saved


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_without_a_manifest_a_missing_file_is_named(name, plain):
    (plain / name).unlink()
    with pytest.raises(BadInput, match=f"as SAELens saves a dictionary; {name} is missing"):
        TSAE.load(plain)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_without_a_manifest_a_truncated_file_is_named(name, plain):
    complete = (plain / name).read_bytes()
    for size in (0, 10, len(complete) // 2, len(complete) - 3):
        (plain / name).write_bytes(complete[:size])
        with pytest.raises(BadInput, match=rf"{name}: expected "):
            TSAE.load(plain)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "cfg.json: expected the config of a dictionary as SAELens writes it"),
        (json.dumps({**SAE_LENS_CFG, "metadata": "none"}), "cfg.json: expected the config of a dictionary"),
        (json.dumps({**SAE_LENS_CFG, "d_in": 3}), r"cfg.json with d_in 2 and d_sae 3, as the weights; got \(3, 3\)"),
        (json.dumps({**SAE_LENS_CFG, "d_sae": None}), r"got \(2, None\)"),
    ],
)
def test_a_cfg_that_does_not_fit_the_weights_is_refused(content, message, plain):
    (plain / "cfg.json").write_text(content)
    with pytest.raises(BadInput, match=message):
        TSAE.load(plain)


OTHER_TENSORS = {
    "a transposed encoder": ("W_enc", lambda x: x.T),
    "an encoder of one row": ("W_enc", lambda x: x[0]),
    "a latent less": ("threshold", lambda x: x[:-1]),
    "a dimension more": ("b_dec", lambda x: torch.cat([x, x])),
    "a number": ("b_enc", lambda x: x.sum()),
    "no latents": ("b_enc", lambda x: x[:0]),
    "NaN": ("W_dec", lambda x: x * float("nan")),
    "infinity": ("b_enc", lambda x: x + float("inf")),
    "whole numbers": ("W_dec", lambda x: x.long()),
}


@pytest.mark.parametrize("case", OTHER_TENSORS)
def test_tensors_that_do_not_fit_together_or_are_not_finite_are_refused(case, plain):
    name, change = OTHER_TENSORS[case]
    tensors = load_file(plain / "sae_weights.safetensors")
    save_file({**tensors, name: change(tensors[name]).contiguous()}, plain / "sae_weights.safetensors")
    with pytest.raises(BadInput, match="sae_weights.safetensors: expected the weights of a dictionary"):
        TSAE.load(plain)


def test_a_dictionary_fitted_here_that_lost_its_manifest_is_read_with_a_warning(tmp_path):
    metadata = {**SAE_LENS_CFG["metadata"], "training_architecture": "contrastive_temporal"}
    path = hand_made_tsae(sae_lens_cfg={**SAE_LENS_CFG, "metadata": metadata}).save(tmp_path / "dictionary").path
    assert path is not None
    (path / "manifest.json").unlink()
    with pytest.warns(UserWarning, match=r"has no manifest.json: it is read as a dictionary of one block .* Copy the"):
        assert TSAE.load(path).block_widths == (3,)


def test_the_cfg_does_not_depend_on_the_order_of_its_keys(tmp_path):
    shuffled = dict(reversed(SAE_LENS_CFG.items()))
    for name, cfg in (("one", SAE_LENS_CFG), ("other", shuffled)):
        hand_made_tsae(sae_lens_cfg=cfg).save(tmp_path / name)
    assert (tmp_path / "one" / "cfg.json").read_bytes() == (tmp_path / "other" / "cfg.json").read_bytes()


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(BadInput, match="nowhere: expected a dictionary's directory, got nothing there"):
        TSAE.load(tmp_path / "nowhere")


def test_weights_without_a_threshold_are_refused(plain):
    tensors = load_file(plain / "sae_weights.safetensors")
    save_file({name: tensors[name] for name in TENSORS[:-2]}, plain / "sae_weights.safetensors")
    with pytest.raises(BadInput, match="b_dec, threshold missing"):
        TSAE.load(plain)


# --- SAELens -------------------------------------------------------------------------------------------------------

FITTED = {
    "ours": small_config(training={"steps": 40}),
    "two budgets": small_config(training={"steps": 40}, slow_k=1),
    "unscaled": small_config(training={"steps": 40}, scale="none"),
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fitted")
    store = small_store(root / "store")
    for name, config in FITTED.items():
        fit(store, config, out=root / name, progress=False)
    save_file({"x_ND": held_out_documents(tokens=960).x_ND}, root / "x.safetensors")
    return root


READ_BY_SAE_LENS = """
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
from sae_lens import SAE
root = Path(sys.argv[1])
x_ND, results = load_file(root / "x.safetensors")["x_ND"], {}
for name in sys.argv[2:]:
    sae = SAE.load_from_disk(root / name)
    codes = sae.encode(x_ND)
    results |= {f"codes {name}": codes, f"out {name}": sae.decode(codes)}
save_file({name: tensor.detach().contiguous() for name, tensor in results.items()}, root / "results.safetensors")
assert not [name for name in sys.modules if name.split(".")[0] == "interp"], "interp was imported"
"""


def test_saelens_loads_a_saved_dictionary_without_this_package(fitted):
    process = subprocess.run(
        [sys.executable, "-I", "-c", READ_BY_SAE_LENS, str(fitted), *FITTED], cwd=fitted, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    results, x_ND = load_file(fitted / "results.safetensors"), load_file(fitted / "x.safetensors")["x_ND"]
    for name in FITTED:
        tsae = TSAE.load(fitted / name)
        z_NF = tsae.encode(x_ND)
        assert torch.equal(z_NF > 0, results[f"codes {name}"] > 0) and 2 < (z_NF > 0).sum(1).float().mean() < 6
        assert_close(z_NF, results[f"codes {name}"], atol=1e-5, rtol=1e-5)
        assert_close(tsae.decode(z_NF), results[f"out {name}"], atol=1e-5, rtol=1e-5)
        slow, other = tsae.threshold[: tsae.n_slow].unique(), tsae.threshold[tsae.n_slow :].unique()
        assert len(slow) == len(other) == 1 and torch.equal(slow, other) == (name != "two budgets")


READ_WITHOUT_SAE_LENS = """
import sys
from pathlib import Path
from safetensors.torch import load_file
from interp.tsae import TSAE
root = Path(sys.argv[1])
dictionary = TSAE.load(root / "ours")
dictionary.decode(dictionary.encode(load_file(root / "x.safetensors")["x_ND"]))
assert not {"sae_lens", "transformer_lens", "transformers"} & set(sys.modules)
"""


def test_a_dictionary_is_loaded_without_importing_saelens(fitted):
    process = subprocess.run([sys.executable, "-c", READ_WITHOUT_SAE_LENS, str(fitted)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_a_saved_dictionary_converts_to_saelens(fitted):
    tsae = TSAE.load(fitted / "ours")
    sae, x_ND = tsae.to_sae_lens(), held_out_documents(tokens=96).x_ND
    assert_close(sae.encode(x_ND), tsae.encode(x_ND), atol=1e-5, rtol=1e-5)
    assert sae.cfg.metadata.hook_name == "blocks.0.hook_resid_post"
    with pytest.raises(
        BadInput, match="expected a dictionary that was saved, got one without a path: fit it with out="
    ):
        replace(tsae, path=None).to_sae_lens()


HOOKS = {
    "blocks.7.hook_resid_post": (7, "resid_post"),
    "blocks.7.hook_mlp_out": (7, "mlp_out"),
    "blocks.x.hook_resid_post": (None, None),
    "model.layers.7": (7, "resid_post"),
    "layers.7.hook_resid_post": (None, None),
    None: (None, "resid_post"),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_jumprelu_dictionary_of_saelens_is_loaded_as_one_block(hook, tmp_path):
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=16, d_sae=48))
    sae.cfg.metadata.hook_name = hook
    with torch.no_grad():
        sae.b_enc.add_(0.1), sae.b_dec.add_(0.2), sae.threshold.add_(0.05)
    sae.save_model(str(tmp_path))
    tsae, x_ND = TSAE.load(tmp_path), held_out_documents(tokens=96).x_ND
    assert (tsae.layer, tsae.site) == HOOKS[hook]
    assert (tsae.block_widths, tsae.config, tsae.made_from, tsae.path) == ((48,), None, {}, tmp_path)
    assert_close(tsae.encode(x_ND), sae.encode(x_ND), atol=1e-5, rtol=1e-5)
    assert_close(tsae.decode(tsae.encode(x_ND)), sae(x_ND), atol=1e-5, rtol=1e-5)
    with pytest.raises(Mismatch, match="says what it was made from, got one without a manifest"):
        TSAE.load(tmp_path, made_from={"policy-0": "ppp"})
    with pytest.raises(Mismatch, match=f"expected a dictionary of layer 3, got one of layer {HOOKS[hook][0]}"):
        TSAE.load(tmp_path, layer=3)


def test_a_directory_of_another_kind_is_refused(tmp_path):
    store = small_store(tmp_path / "store", shard_documents=200)
    with pytest.raises(BadInput, match="store: expected a dictionary, got a store of activations"):
        TSAE.load(store.path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="cfg.json is missing"):
        TSAE.load(tmp_path / "empty")
