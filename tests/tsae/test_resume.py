"""A fit killed at any moment and called again ends in the same bits; fitted with others it is the same as alone."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tsae_fixtures import OVERFLOWING, expect_same_bits, noise_residuals, small_config, small_store, store_with_layout

from interp.activations import Store
from interp.artifacts import BadInput, read_manifest
from interp.tsae import TSAE, TSAEConfig, fit, fit_all
from interp.tsae.trainer import TSAETrainer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """4800 tokens in four shards, two pools an epoch."""
    return small_store(tmp_path_factory.mktemp("resume") / "store")


# --- killed --------------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def saving_config(
    steps: int = 30, every: int = 7, *, batch: int = 256, pool_gb: float = 1.6e-4, dead_after: int = 256_000,
    **fields: Any,
) -> TSAEConfig:  # fmt: skip
    training = {"steps": steps, "save_every": every, "batch": batch, "pool_gb": pool_gb, "dead_after": dead_after}
    return small_config(training=training, **fields)


CONFIGS = {
    "two pools": saving_config(),
    "four pools": saving_config(pool_gb=8e-5),
    "one pool": saving_config(pool_gb=1.0),
    "single tokens with partners": saving_config(contrast={"run": 1, "pairing": "past", "alpha_warm_up": 1.0}),
    "budgets and revival": saving_config(slow_k=1, promote_every=3, contrast={"alpha": 0.0}, dead_after=512),
}


def stop_at(monkeypatch: pytest.MonkeyPatch, stop_step: int, how: str) -> None:
    """At this step, kill the fit before it, or within it when the weights have moved and no counter has; or interrupt
    it, once or twice."""
    train_step, update_counts = TSAETrainer.train_step, TSAETrainer._update_counts

    def stopping_train_step(self: TSAETrainer, batch: Any) -> Any:
        if self.steps_done == stop_step and how == "killed before a step":
            raise Killed
        return train_step(self, batch)

    def stopping_update_counts(self: TSAETrainer, step: Any, batch: Any) -> None:
        if self.steps_done == stop_step and how == "killed within a step":
            raise Killed
        for _ in range({"Ctrl-C": 1, "Ctrl-C twice": 2}.get(how, 0) * (self.steps_done == stop_step)):
            os.kill(os.getpid(), signal.SIGINT)
        update_counts(self, step, batch)

    monkeypatch.setattr(TSAETrainer, "train_step", stopping_train_step)
    monkeypatch.setattr(TSAETrainer, "_update_counts", stopping_update_counts)


@pytest.fixture(scope="module")
def uninterrupted(store: Store) -> Callable[[str], TSAE]:
    """The same fit, never killed and never saved."""
    fitted: dict[str, TSAE] = {}

    def fit_config(name: str) -> TSAE:
        if name not in fitted:
            fitted[name] = fit(store, CONFIGS[name], progress=False)
        return fitted[name]

    return fit_config


RAISED = {
    "killed before a step": Killed,
    "killed within a step": Killed,
    "Ctrl-C": KeyboardInterrupt,
    "Ctrl-C twice": KeyboardInterrupt,
}


@pytest.mark.parametrize(
    ("name", "stops", "how"),
    [
        ("two pools", (3, 19), "killed before a step"),
        ("two pools", (3, 17), "killed within a step"),
        ("two pools", (3, 19), "Ctrl-C"),
        ("two pools", (19,), "Ctrl-C twice"),
        ("four pools", (11, 23), "killed within a step"),
        ("four pools", (3, 11), "Ctrl-C"),
        ("one pool", (10, 28), "killed before a step"),
        ("one pool", (28,), "Ctrl-C"),
        ("single tokens with partners", (12,), "killed within a step"),
        ("single tokens with partners", (20,), "Ctrl-C"),
        ("budgets and revival", (16,), "killed within a step"),
        ("budgets and revival", (16,), "Ctrl-C"),
    ],
)
def test_a_fit_killed_anywhere_and_called_again_ends_in_the_same_bits(
    name, stops, how, store, uninterrupted, tmp_path, monkeypatch
):
    out, state = tmp_path / "dictionary", tmp_path / "dictionary.state"
    for stop_step in stops:
        with monkeypatch.context() as patch, pytest.raises(RAISED[how]):
            stop_at(patch, stop_step, how)
            fit(store, CONFIGS[name], out=out, progress=False)
        saved_step = stop_step + 1 if how == "Ctrl-C" else stop_step // 7 * 7
        assert (read_manifest(state, "training-state")["step"] if state.exists() else 0) == saved_step
        assert not out.exists()
    steps, train_step = list[int](), TSAETrainer.train_step

    def recording(self: TSAETrainer, batch: Any) -> Any:
        steps.append(self.steps_done)
        return train_step(self, batch)

    expected = uninterrupted(name)
    with monkeypatch.context() as patch:
        patch.setattr(TSAETrainer, "train_step", recording)
        expect_same_bits(fit(store, CONFIGS[name], out=out, progress=False), expected)
    assert steps == [*range(stops[-1] + 1 if how == "Ctrl-C" else stops[-1] // 7 * 7, 30)], "no step is repeated"
    assert not state.exists() and {path.name for path in tmp_path.iterdir()} == {"dictionary"}


def test_a_fit_killed_after_its_last_step_ends_in_the_same_bits(store, tmp_path, monkeypatch):
    config, out = saving_config(28), tmp_path / "dictionary"  # saved at its last step
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TSAETrainer, "calibrate_thresholds", lambda *_: (_ for _ in ()).throw(Killed))
        fit(store, config, out=out, progress=False)
    expect_same_bits(fit(store, config, out=out, progress=False), fit(store, config, progress=False))


def test_ctrl_c_says_how_to_resume_and_restores_the_signal_handler(store, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    stop_at(monkeypatch, 4, "Ctrl-C")
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; repeat the call to resume from \S+/one\.state$"):
        fit(store, small_config(), out=tmp_path / "one", progress=False)
    with pytest.raises(KeyboardInterrupt, match="^stopped$"):
        fit(store, small_config(), progress=False)
    assert signal.getsignal(signal.SIGINT) is handler


# --- several in one pass -------------------------------------------------------------------------------------------

TOGETHER = {
    "ours": saving_config(),
    "another batch": saving_config(25, batch=200, contrast={"run": 1}),
    "no contrast": saving_config(21, contrast={"alpha": 0.0}, promote_every=None),
    "another seed": small_config(training={"steps": 10, "seed": 5, "batch": 256}),
}


def test_dictionaries_fitted_together_are_those_fitted_alone(store, tmp_path):
    together = fit_all(store, TOGETHER, out=tmp_path / "all", progress=False)
    assert list(together) == list(TOGETHER)
    for name, config in TOGETHER.items():
        expect_same_bits(together[name], fit(store, config, progress=False))
        assert TSAE.load(tmp_path / "all" / name).fingerprint() == together[name].fingerprint()


@pytest.mark.parametrize("how", ["killed within a step", "Ctrl-C"])
def test_dictionaries_killed_together_resume_each_from_its_own_step(how, store, tmp_path, monkeypatch):
    """One is finished when the others are killed."""
    alone = {name: fit(store, config, progress=False) for name, config in TOGETHER.items()}
    finished = fit(store, TOGETHER["another seed"], out=tmp_path / "all" / "another seed", progress=False)
    for stop_step in (8, 17):
        with monkeypatch.context() as patch, pytest.raises(RAISED[how]):
            stop_at(patch, stop_step, how)
            fit_all(store, TOGETHER, out=tmp_path / "all", progress=False)
    together = fit_all(store, TOGETHER, out=tmp_path / "all", progress=False)
    assert together["another seed"].path == finished.path
    for name in TOGETHER:
        expect_same_bits(together[name], alone[name])


@pytest.mark.parametrize("change", [{"pool_gb": 1.0}, {"prompts": True}, {"skip_first": 1}])
def test_dictionaries_fitted_together_must_have_the_same_pools(change, store):
    with pytest.raises(BadInput, match="expected one pool_gb, one prompts and one skip_first for dictionaries fitted"):
        fit_all(store, {"one": small_config(), "other": small_config(training=change)}, progress=False)


def test_if_one_diverges_the_others_are_finished_before_the_error_is_raised(store, tmp_path):
    diverging = small_config(contrast=OVERFLOWING)
    for _ in range(2):  # the second call finds the other one finished
        with pytest.raises(FloatingPointError, match="dictionary 'wild' diverged"):
            fit_all(store, {"wild": diverging, "tame": small_config()}, out=tmp_path / "both", progress=False)
        assert TSAE.load(tmp_path / "both" / "tame").width == small_config().width
        assert not (tmp_path / "both" / "wild").exists()


# --- the call repeated ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished fit, shared by the tests, which must not change it."""
    out = tmp_path_factory.mktemp("finished") / "dictionary"
    fit(store, small_config(), out=out, progress=False)
    return out


def test_a_repeated_call_loads_the_dictionary_without_training(finished, store, monkeypatch):
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in finished.iterdir()}
    monkeypatch.setattr(TSAETrainer, "__init__", lambda *_: pytest.fail("it trained"))
    loaded = fit(store, small_config(), out=finished, progress=False)
    assert loaded.path == finished and loaded.fingerprint() == TSAE.load(finished).fingerprint()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in finished.iterdir()} == files
    default_lr = small_config().resolved(16).training.lr
    explicit = small_config(training={"lr": default_lr})
    assert fit(store, explicit, out=finished, progress=False).path == finished, "a default that is given is the same"


CHANGES: dict[str, tuple[Any, list[str]]] = {
    "k": (small_config(k=5), [r"k \(expected 5, got 4\)"]),
    "two options": (
        small_config(revival=0.5, contrast={"alpha": 0.5}),
        [r"contrast.alpha \(expected 0.5, got 0.03\)", r"revival \(expected 0.5, got 1.0\)"],
    ),
    "a seed": (small_config(training={"seed": 1}), [r"training.seed \(expected 1, got 0\)"]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_dictionary_of_another_config_is_not_overwritten(case, finished, store):
    config, messages = CHANGES[case]
    for message in messages:
        with pytest.raises(BadInput, match=f"made from other inputs: .*{message}"):
            fit(store, config, out=finished, progress=False)


def test_a_dictionary_of_another_store_layer_or_start_is_not_overwritten(finished, store, tmp_path):
    with pytest.raises(BadInput, match=r"made from other inputs: spec\.store .expected "):
        fit(small_store(tmp_path / "other", draw=1), small_config(), out=finished, progress=False)
    two_layers = store_with_layout(tmp_path / "two", [[(10, 0)] * 40], layers=(0, 1), d_model=16, fill=noise_residuals)
    fit(two_layers, small_config(), layer=0, out=tmp_path / "of two", progress=False)
    with pytest.raises(BadInput, match=r"made from other inputs: spec\.layer .expected 1, got 0."):
        fit(two_layers, small_config(), layer=1, out=tmp_path / "of two", progress=False)
    with pytest.raises(BadInput, match=r"made from other inputs: spec\.start .expected .* got None."):
        fit(store, small_config(), out=finished, start=TSAE.load(finished), progress=False)


def test_a_directory_with_other_files_is_refused(store, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "today.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"expected a directory of kind 'tsae' or an empty place, got today\.txt"):
        fit(store, small_config(), out=tmp_path / "notes", progress=False)
    assert (tmp_path / "notes" / "today.txt").exists()


def test_an_empty_directory_is_filled(store, tmp_path):
    (tmp_path / "dictionary").mkdir()
    assert fit(store, small_config(), out=tmp_path / "dictionary", progress=False).path == tmp_path / "dictionary"


def test_a_path_that_cannot_be_written_is_refused_before_training(store, tmp_path, monkeypatch):
    (tmp_path / "notes").write_text("mine")
    monkeypatch.setattr(TSAETrainer, "__init__", lambda *_: pytest.fail("it trained"))
    with pytest.raises(BadInput, match="dictionary cannot be written: expected a directory above it, got the file"):
        fit(store, small_config(), out=tmp_path / "notes" / "dictionary", progress=False)


@pytest.mark.parametrize("case", CHANGES)
def test_a_state_of_another_config_is_refused_and_kept(case, store, tmp_path, monkeypatch):
    out, (config, messages) = tmp_path / "dictionary", CHANGES[case]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 4, "Ctrl-C")
        fit(store, small_config(), out=out, progress=False)
    for message in messages:
        with pytest.raises(BadInput, match=message):
            fit(store, config, out=out, progress=False)
    assert read_manifest(tmp_path / "dictionary.state", "training-state")["step"] == 5
    shutil.rmtree(tmp_path / "dictionary.state")
    assert fit(store, config, out=out, progress=False).path == out


def test_save_every_is_not_part_of_the_spec(finished, store):
    config, fingerprint = small_config(training={"save_every": 7}), TSAE.load(finished).fingerprint()
    assert fit(store, config, out=finished, progress=False).fingerprint() == fingerprint


def test_a_state_left_beside_a_finished_dictionary_is_removed(finished, store):
    state = finished.with_name(f"{finished.name}.state")
    state.mkdir()
    fit(store, small_config(), out=finished, progress=False)
    assert not state.exists()
