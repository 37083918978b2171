"""What is saved is read by SAELens where this package has never been, and by us without SAELens; or it is refused."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from tsae_fixtures import TENSORS, held_out, planted_store, small

from interp.artifacts import BadInput, Mismatch, read_manifest
from interp.tsae import TSAE, TSAEConfig, fit

TOLD: dict[str, Any] = {
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
"""What SAELens says of a dictionary."""


def by_hand(**changes: Any) -> TSAE:
    """Three latents of two dimensions: x, y, and minus both; the first of them slow."""
    held = {
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
        "sae_lens_cfg": TOLD,
    }
    return TSAE(**held | changes)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_codes_and_reconstructions_by_hand():
    """Relative to (1, 2): (1, 0), (0.5, 0), (0, 0.25), (-1, -1), (-2, -1)."""
    x_BD = torch.tensor([[2.0, 2.0], [1.5, 2.0], [1.0, 2.25], [0.0, 1.0], [-1.0, 1.0]])
    z_BF = by_hand().encode(x_BD)
    expected = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.75, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]
    assert z_BF.tolist() == expected, "at its threshold a latent is off"
    xhat_BD = torch.tensor([[2.0, 2.0], [1.0, 2.0], [1.0, 2.75], [1.0, 2.0], [-0.8, -0.4]])
    assert_close(by_hand().decode(z_BF), xhat_BD)
    assert_close(by_hand().decode_slow(z_BF), torch.tensor([[2.0, 2.0], *[[1.0, 2.0]] * 4]))


def test_any_number_of_dimensions_and_any_precision_go_in():
    dictionary, x_BLD = by_hand(), torch.arange(24.0).reshape(3, 4, 2) / 4
    z_BLF = dictionary.encode(x_BLD)
    assert z_BLF.shape == (3, 4, 3) and torch.equal(z_BLF[1, 2], dictionary.encode(x_BLD[1, 2]))
    assert torch.equal(dictionary.decode(z_BLF)[1, 2], dictionary.decode(z_BLF[1, 2]))
    for dtype in (torch.bfloat16, torch.float64):  # these numbers are the same in all of them
        assert dictionary.encode(x_BLD.to(dtype)).dtype == torch.float32
        assert torch.equal(dictionary.encode(x_BLD.to(dtype)), z_BLF)


def test_some_of_its_latents_alone_are_what_they_are_among_all():
    whole, x_BD = by_hand(), torch.tensor([[2.0, 2.0], [1.5, 2.25], [-3.0, 0.0], [9.0, 9.0]])
    some = whole.select_latents([2, 0])
    assert_close(some.encode(x_BD), whole.encode(x_BD)[:, [2, 0]])
    assert_close(some.W_dec, whole.W_dec[[2, 0]])
    assert (some.width, some.layer, some.config) == (2, 5, None), "nor is it saved as what was fitted"


def test_what_is_of_another_dimension_is_refused():
    with pytest.raises(BadInput, match=r"expected activations of dimension 2, got \(4, 3\)"):
        by_hand().encode(torch.zeros(4, 3))
    with pytest.raises(BadInput, match=r"expected codes of 3 latents, got \(4, 2\): are they residuals\?"):
        by_hand().decode(torch.zeros(4, 2))


def test_it_shows_its_blocks():
    assert repr(by_hand()) == "TSAE(3 latents (1 + 2) of d_model 2, layer 5)"
    assert (by_hand().d_model, by_hand().width, by_hand().n_slow) == (2, 3, 1)


@pytest.mark.parametrize("name", TENSORS)
def test_a_fingerprint_is_of_the_weights_and_of_nothing_else(name, tmp_path):
    mine, moved = by_hand(), getattr(by_hand(), name).clone()
    moved.view(-1)[-1] += 1e-6
    assert by_hand(**{name: moved}).fingerprint() != mine.fingerprint()
    assert by_hand(layer=6, fit_metrics={}, made_from={}, config=None).fingerprint() == mine.fingerprint()
    assert mine.to("cpu").fingerprint() == mine.fingerprint() == mine.save(tmp_path / "d").fingerprint()


# --- kept ----------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(tmp_path):
    mine = by_hand()
    saved = mine.save(tmp_path / "deep" / "dictionary", spec={"k": 1})
    loaded = TSAE.load(tmp_path / "deep" / "dictionary")
    for f in fields(TSAE):
        before, after, again = (getattr(one, f.name) for one in (mine, loaded, saved))
        if f.name == "path":
            assert (before, after) == (None, again) and again == tmp_path / "deep" / "dictionary"
        elif f.name in TENSORS:
            assert torch.equal(before, after) and torch.equal(before, again)
        else:
            assert before == after == again, f.name
    assert read_manifest(saved.path or "", "tsae")["spec"] == {"k": 1}
    assert {p.name for p in (tmp_path / "deep" / "dictionary").iterdir()} == {
        "cfg.json",
        "sae_weights.safetensors",
        "manifest.json",
    }


def test_weights_of_any_layout_are_kept_as_the_numbers_they_are(tmp_path):
    mine = by_hand(W_enc=by_hand().W_enc.T.contiguous().T)
    assert not mine.W_enc.is_contiguous()
    assert torch.equal(mine.save(tmp_path / "dictionary").W_enc, mine.W_enc)


def test_a_dictionary_is_not_overwritten_unless_asked(tmp_path):
    by_hand().save(tmp_path / "dictionary")
    other = by_hand(b_dec=torch.zeros(2))
    with pytest.raises(BadInput, match="dictionary exists already: choose another place, or pass overwrite"):
        other.save(tmp_path / "dictionary")
    assert TSAE.load(tmp_path / "dictionary").fingerprint() == by_hand().fingerprint()
    assert other.save(tmp_path / "dictionary", overwrite=True).fingerprint() == other.fingerprint()


@pytest.mark.parametrize("unknown", [{"sae_lens_cfg": {}}, {"config": None}])
def test_one_that_does_not_know_what_made_it_is_not_saved(unknown, tmp_path):
    with pytest.raises(BadInput, match="only dictionaries fitted here are saved"):
        by_hand(**unknown).save(tmp_path / "dictionary")
    assert not (tmp_path / "dictionary").exists()


# --- refused -------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return by_hand().save(tmp_path / "dictionary").path or Path()


def test_another_layer_is_refused(saved):
    assert TSAE.load(saved, layer=5).layer == 5
    with pytest.raises(Mismatch, match="expected a dictionary of layer 4, got one of layer 5"):
        TSAE.load(saved, layer=4)


def test_one_made_from_other_weights_is_refused(saved):
    assert TSAE.load(saved, made_from={"policy-0": "ppp"}).made_from == {"store": "sss", "policy-0": "ppp"}
    with pytest.raises(Mismatch, match="was made from another policy-0: expected qqq, got ppp"):
        TSAE.load(saved, made_from={"policy-0": "qqq"})
    with pytest.raises(Mismatch, match="was made from another policy-1: expected ppp, got None"):
        TSAE.load(saved, made_from={"policy-1": "ppp"})


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
def test_a_missing_file_is_named(name, saved):
    (saved / name).unlink()
    with pytest.raises(BadInput, match=f"as SAELens saves a dictionary; {name} is missing"):
        TSAE.load(saved)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors", "manifest.json"])
def test_a_file_that_is_cut_short_is_named(name, saved):
    whole = (saved / name).read_bytes()
    for left in (0, 10, len(whole) // 2, len(whole) - 3):
        (saved / name).write_bytes(whole[:left])
        with pytest.raises(BadInput, match=rf"{name}: expected "):
            TSAE.load(saved)


def test_a_place_where_there_is_nothing_is_refused(tmp_path):
    with pytest.raises(BadInput, match="nowhere: expected a dictionary's directory, got nothing there"):
        TSAE.load(tmp_path / "nowhere")


STRANGE = {
    "another architecture": {"architecture": "topk"},
    "a training checkpoint": {"architecture": "contrastive_temporal"},
    "normalised activations": {"normalize_activations": "layer_norm"},
    "no b_dec before the encoder": {"apply_b_dec_to_input": False},
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_would_encode_otherwise_is_refused(case, saved):
    (saved / "cfg.json").write_text(json.dumps(TOLD | STRANGE[case]))
    with pytest.raises(
        BadInput, match="expected a jumprelu dictionary that subtracts b_dec and normalises nothing, got"
    ):
        TSAE.load(saved)


def test_weights_without_a_threshold_are_refused(saved):
    held = load_file(saved / "sae_weights.safetensors")
    save_file({name: held[name] for name in TENSORS[:-2]}, saved / "sae_weights.safetensors")
    with pytest.raises(BadInput, match="expected W_enc, b_enc, W_dec, b_dec, threshold; b_dec, threshold missing"):
        TSAE.load(saved)


# --- SAELens -------------------------------------------------------------------------------------------------------

FITTED = {
    "ours": small(training={"steps": 40}),
    "two budgets": small(training={"steps": 40}, slow_k=1),
    "as they are": small(training={"steps": 40}, scale="none"),
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fitted")
    store = planted_store(root / "store")
    for name, config in FITTED.items():
        fit(store, config, out=root / name, progress=False)
    save_file({"x_ND": held_out(tokens=960).x_ND}, root / "x.safetensors")
    return root


THEIRS = """
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
from sae_lens import SAE
root = Path(sys.argv[1])
x_ND, found = load_file(root / "x.safetensors")["x_ND"], {}
for name in sys.argv[2:]:
    sae = SAE.load_from_disk(root / name)
    codes = sae.encode(x_ND)
    found |= {f"codes {name}": codes, f"out {name}": sae.decode(codes)}
save_file({name: tensor.detach().contiguous() for name, tensor in found.items()}, root / "found.safetensors")
assert not [name for name in sys.modules if name.split(".")[0] == "interp"], "this package took part"
"""


def test_saelens_reads_what_is_saved_where_this_package_has_never_been(fitted):
    done = subprocess.run(
        [sys.executable, "-I", "-c", THEIRS, str(fitted), *FITTED], cwd=fitted, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found, x_ND = load_file(fitted / "found.safetensors"), load_file(fitted / "x.safetensors")["x_ND"]
    for name in FITTED:
        mine = TSAE.load(fitted / name)
        z_NF = mine.encode(x_ND)
        assert torch.equal(z_NF > 0, found[f"codes {name}"] > 0) and 2 < (z_NF > 0).sum(1).float().mean() < 6
        assert_close(z_NF, found[f"codes {name}"], atol=1e-5, rtol=1e-5)
        assert_close(mine.decode(z_NF), found[f"out {name}"], atol=1e-5, rtol=1e-5)
        slow, other = mine.threshold[: mine.n_slow].unique(), mine.threshold[mine.n_slow :].unique()
        assert len(slow) == len(other) == 1 and torch.equal(slow, other) == (name != "two budgets")


OURS = """
import sys
from pathlib import Path
from safetensors.torch import load_file
from interp.tsae import TSAE
root = Path(sys.argv[1])
dictionary = TSAE.load(root / "ours")
dictionary.decode(dictionary.encode(load_file(root / "x.safetensors")["x_ND"]))
assert not {"sae_lens", "transformer_lens", "transformers"} & set(sys.modules)
"""


def test_we_read_it_without_saelens(fitted):
    done = subprocess.run([sys.executable, "-c", OURS, str(fitted)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_can_be_had_as_saelens_has_it(fitted):
    mine = TSAE.load(fitted / "ours")
    theirs, x_ND = mine.to_sae_lens(), held_out(tokens=96).x_ND
    assert_close(theirs.encode(x_ND), mine.encode(x_ND), atol=1e-5, rtol=1e-5)
    assert theirs.cfg.metadata.hook_name == "blocks.0.hook_resid_post"
    with pytest.raises(BadInput, match="this dictionary was never saved: fit it with out="):
        replace(mine, path=None).to_sae_lens()


PLACES = {
    "blocks.7.hook_resid_post": 7,
    "blocks.7.hook_mlp_out": None,
    "blocks.x.hook_resid_post": None,
    "model.layers.7": None,
    "layers.7.hook_resid_post": None,
    None: None,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_jumprelu_dictionary_of_saelens_own_is_read_as_one_block(place, tmp_path):
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

    theirs = JumpReLUSAE(JumpReLUSAEConfig(d_in=16, d_sae=48))
    theirs.cfg.metadata.hook_name = place
    with torch.no_grad():
        theirs.b_enc.add_(0.1), theirs.b_dec.add_(0.2), theirs.threshold.add_(0.05)
    theirs.save_model(str(tmp_path))
    mine, x_ND = TSAE.load(tmp_path), held_out(tokens=96).x_ND
    assert (mine.block_widths, mine.layer, mine.config, mine.made_from, mine.path) == (
        (48,),
        PLACES[place],
        None,
        {},
        tmp_path,
    )
    assert_close(mine.encode(x_ND), theirs.encode(x_ND), atol=1e-5, rtol=1e-5)
    assert_close(mine.decode(mine.encode(x_ND)), theirs(x_ND), atol=1e-5, rtol=1e-5)
    with pytest.raises(Mismatch, match="says what it was made from, got one without a manifest"):
        TSAE.load(tmp_path, made_from={"policy-0": "ppp"})
    with pytest.raises(Mismatch, match=f"expected a dictionary of layer 3, got one of layer {PLACES[place]}"):
        TSAE.load(tmp_path, layer=3)


def test_a_directory_that_is_something_else_is_refused(tmp_path):
    store = planted_store(tmp_path / "store", shard_documents=200)
    with pytest.raises(BadInput, match="store: expected a dictionary, got a store of activations"):
        TSAE.load(store.path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="cfg.json is missing"):
        TSAE.load(tmp_path / "empty")
