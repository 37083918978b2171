"""One place, one fit: a second call is refused at once, leftovers are cleared, damaged states are refused."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from damage_fixtures import DAMAGES, edit_json, strip_checksums
from safetensors.torch import load_file, save_file
from tsae_fixtures import expect_same_bits, small_config, small_store

from interp.activations import Store
from interp.artifacts import BadInput, InUse, locked
from interp.tsae import TSAE, TSAEConfig, fit, fit_all
from interp.tsae.fit_run import state_path
from interp.tsae.trainer import TSAETrainer

CONFIG = small_config(training={"save_every": 4})
OTHER_SEED = small_config(training={"save_every": 4, "seed": 1})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return small_store(tmp_path_factory.mktemp("places") / "store")


@pytest.fixture(scope="module")
def fitted(store: Store) -> TSAE:
    return fit(store, CONFIG, progress=False)


# --- two calls with one place ----------------------------------------------------------------------------------------


def in_another_thread(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error it raises. A thread counts as another writer."""
    results = list[Any]()

    def keep_result() -> None:
        try:
            results.append(call())
        except BadInput as error:
            results.append(error)

    thread = threading.Thread(target=keep_result)
    thread.start()
    thread.join()
    return results[0]


def call_at_step(monkeypatch: pytest.MonkeyPatch, step: int, call: Callable[[], Any]) -> list[Any]:
    """Make a second call while a fit is at this step. Its result is in the list."""
    train_step, results = TSAETrainer.train_step, list[Any]()

    def train_and_call(self: TSAETrainer, batch: Any) -> Any:
        if self.steps_done == step and not results:
            results.append(None)  # the second call may train, too
            results[0] = in_another_thread(call)
        return train_step(self, batch)

    monkeypatch.setattr(TSAETrainer, "train_step", train_and_call)
    return results


@pytest.mark.parametrize("config", [CONFIG, OTHER_SEED])
def test_of_two_fits_with_one_place_one_ends_and_the_other_is_refused(config, store, fitted, tmp_path, monkeypatch):
    out = tmp_path / "dictionary"
    refusals = call_at_step(monkeypatch, 6, lambda: fit(store, config, out=out, progress=False))
    expect_same_bits(fit(store, CONFIG, out=out, progress=False), fitted)
    assert type(refusals[0]) is InUse and str(out) in str(refusals[0]) and "(out, --out)" in str(refusals[0])
    assert [path.name for path in tmp_path.iterdir()] == ["dictionary"]


def test_a_fit_into_the_place_of_another_s_state_is_refused(store, tmp_path, monkeypatch):
    state = tmp_path / "dictionary.state"
    refusals = call_at_step(monkeypatch, 0, lambda: fit(store, CONFIG, out=state, progress=False))
    fit(store, CONFIG, out=tmp_path / "dictionary", progress=False)
    assert type(refusals[0]) is InUse and [path.name for path in tmp_path.iterdir()] == ["dictionary"]


def test_every_place_of_dictionaries_fitted_together_is_held(store, tmp_path, monkeypatch):
    configs = {"one": CONFIG, "two": OTHER_SEED}
    refusals = call_at_step(monkeypatch, 3, lambda: fit(store, OTHER_SEED, out=tmp_path / "two", progress=False))
    fit_all(store, configs, out=tmp_path, progress=False)
    assert type(refusals[0]) is InUse and str(tmp_path / "two") in str(refusals[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_place_in_use_is_refused_before_anything_is_read(store, tmp_path, monkeypatch):
    monkeypatch.setattr("interp.tsae.fitting.sample_tokens", lambda *_: pytest.fail("the store was read"))
    with locked(tmp_path / "dictionary"):
        refusal = in_another_thread(lambda: fit(store, CONFIG, out=tmp_path / "dictionary", progress=False))
    assert isinstance(refusal, InUse) and list(tmp_path.iterdir()) == []


def test_a_dictionary_that_another_finished_in_the_meantime_is_loaded(store, fitted, tmp_path, monkeypatch):
    """It is finished between the first look at the place and the lock."""
    out = tmp_path / "dictionary"
    fit(store, CONFIG, out=tmp_path / "ready", progress=False)
    from interp.tsae import fitting

    locked_fits = fitting.locked_fits

    def finish_and_lock(outs: Any) -> Any:
        (tmp_path / "ready").rename(out)
        return locked_fits(outs)

    monkeypatch.setattr(fitting, "locked_fits", finish_and_lock)
    monkeypatch.setattr(TSAETrainer, "__init__", lambda *_: pytest.fail("it trained"))
    assert fit(store, CONFIG, out=out, progress=False).fingerprint() == fitted.fingerprint()


def test_a_finished_dictionary_is_loaded_while_another_holds_its_place(store, fitted, tmp_path):
    out = tmp_path / "dictionary"
    fit(store, CONFIG, out=out, progress=False)
    state_path(out).mkdir()
    with locked(out):
        loaded = in_another_thread(lambda: fit(store, CONFIG, out=out, progress=False))
        assert loaded.fingerprint() == fitted.fingerprint() and state_path(out).exists(), "it is the other's"


def test_files_that_appear_in_the_place_of_a_fit_are_kept_and_no_flag_is_named_that_it_does_not_have(
    store, tmp_path, monkeypatch
):
    out, calibrate = tmp_path / "dictionary", TSAETrainer.calibrate_thresholds

    def put_notes(self: TSAETrainer, x_ND: Any) -> None:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        calibrate(self, x_ND)

    monkeypatch.setattr(TSAETrainer, "calibrate_thresholds", put_notes)
    with pytest.raises(BadInput, match=r"an empty place, got notes\.txt and no manifest.json: choose another place"):
        fit(store, CONFIG, out=out, progress=False)
    assert (out / "notes.txt").read_text() == "mine" and state_path(out).exists()


# --- leftovers -------------------------------------------------------------------------------------------------------

LEFTOVERS = (
    "dictionary.state",
    ".dictionary.lock",
    ".dictionary.state.lock",
    ".dictionary.999999999.partial",
    ".dictionary.state.999999999.partial",
    ".dictionary.state.999999999.retired",
    ".dictionary.state.999999999.dropped",
)


@pytest.mark.parametrize("left", LEFTOVERS)
def test_what_a_killed_fit_left_beside_a_finished_dictionary_is_cleared(left, store, tmp_path):
    out = tmp_path / "dictionary"
    fit(store, CONFIG, out=out, progress=False)
    (tmp_path / left).touch() if left.endswith("lock") else (tmp_path / left).mkdir()
    fit(store, CONFIG, out=out, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["dictionary"]


def test_a_fit_writes_nothing_outside_its_place(store, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.mkdtemp", lambda *_, **__: pytest.fail("a temporary directory was made"))
    fit(store, CONFIG, out=tmp_path / "dictionary", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["dictionary"]


def test_the_cfg_of_a_fit_has_its_keys_in_order(store, tmp_path):
    fit(store, CONFIG, out=tmp_path / "dictionary", progress=False)
    text = (tmp_path / "dictionary" / "cfg.json").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize(("written", "place"), [(0, "dictionary.state"), (5, "dictionary")])
def test_a_full_disk_is_a_refusal_naming_the_place_and_the_call_can_be_repeated(
    written, place, store, fitted, tmp_path, monkeypatch
):
    """States at steps 4 to 20 are written, and then the dictionary."""
    save, files = safetensors.torch.save_file, list[Path]()

    def fill_the_disk(tensors: Any, file: Path) -> None:
        if len(files) == written:
            raise OSError(28, "No space left on device")
        files.append(file)
        save(tensors, file)

    out = tmp_path / "dictionary"
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", fill_the_disk)
        with pytest.raises(BadInput, match=rf"{tmp_path / place} cannot be written \(No space left.*: free some space"):
            fit(store, CONFIG, out=out, progress=False)
    assert not out.exists()
    expect_same_bits(fit(store, CONFIG, out=out, progress=False), fitted)


# --- states ----------------------------------------------------------------------------------------------------------


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, store: Store, out: Path, config: TSAEConfig = CONFIG) -> Path:
    """The state of a fit that was killed at this step."""
    train_step = TSAETrainer.train_step

    def stopping(self: TSAETrainer, batch: Any) -> Any:
        if self.steps_done == step:
            raise KeyboardInterrupt
        return train_step(self, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TSAETrainer, "train_step", stopping)
        fit(store, config, out=out, progress=False)
    return state_path(out)


@pytest.mark.parametrize("name", ["manifest.json", "state.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_refused_and_once_deleted_the_fit_begins_again(
    damage, name, store, fitted, tmp_path, monkeypatch
):
    state = stop_at(monkeypatch, 9, store, tmp_path / "dictionary")
    other = stop_at(monkeypatch, 13, store, tmp_path / "other")
    DAMAGES[damage](state / name, other / name)
    with pytest.raises(BadInput, match=f"{state}.*: expected "):
        fit(store, CONFIG, out=tmp_path / "dictionary", progress=False)
    shutil.rmtree(state)
    expect_same_bits(fit(store, CONFIG, out=tmp_path / "dictionary", progress=False), fitted)


STATE_EDITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another step": (lambda m: m.update(step=12), r"step 12 of 20, and moments of step \[8\]"),
    "the last step": (lambda m: m.update(step=20), r"step 20 of 20, and moments of step \[8\]"),
    "a step beyond": (lambda m: m.update(step=99), "step 99 of 20"),
    "the first step": (lambda m: m.update(step=0), r"step 0 of 20, and moments of step \[8\]"),
    "a pool beyond": (lambda m: m["facts"].update(pool=10**9), "pool 1000000000 after 8 steps"),
    "a pool that is no number": (lambda m: m["facts"].update(pool="0"), "pool '0' after"),
    "a batch beyond": (lambda m: m["facts"].update(batch=9), "batch 9 after 8 steps"),
    "a negative batch": (lambda m: m["facts"].update(batch=-1), "batch -1 after"),
    "no batch": (lambda m: m["facts"].pop("batch"), "no entry 'batch'"),
    "metrics of another type": (lambda m: m["facts"].update(metrics=3), "expected the state of this fit"),
}


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("case", STATE_EDITS)
def test_without_checksums_a_state_that_does_not_fit_itself_is_refused(case, store, tmp_path, monkeypatch):
    change, message = STATE_EDITS[case]
    state = stop_at(monkeypatch, 9, store, tmp_path / "dictionary")
    strip_checksums(state)
    edit_json(state / "manifest.json", change)
    with pytest.raises(BadInput, match=f"{state}.*{message}"):
        fit(store, CONFIG, out=tmp_path / "dictionary", progress=False)


@pytest.mark.filterwarnings("ignore:.*without checksums")
def test_moments_of_another_step_are_refused(store, tmp_path, monkeypatch):
    state = stop_at(monkeypatch, 9, store, tmp_path / "dictionary")
    strip_checksums(state)
    tensors = load_file(state / "state.safetensors")
    names = [name for name in tensors if name.startswith("step/")]
    assert names
    save_file(tensors | {names[0]: torch.tensor(7.0)}, state / "state.safetensors")
    with pytest.raises(BadInput, match=r"step 8 of 20, and moments of step \[7, 8\]"):
        fit(store, CONFIG, out=tmp_path / "dictionary", progress=False)
