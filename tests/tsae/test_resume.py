"""Killed anywhere and called again, a fit ends in the same bits; in company as alone; and what is there is kept."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tsae_fixtures import expect_same_bits, noise, planted_store, small, store_of_layout

from interp.activations import Store
from interp.artifacts import BadInput, read_manifest
from interp.tsae import TSAE, TSAEConfig, fit, fit_all
from interp.tsae.trainer import TSAETrainer

Config = TSAEConfig


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """4800 tokens in four shards, two of them to a pool."""
    return planted_store(tmp_path_factory.mktemp("resume") / "store")


# --- killed --------------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def saving(steps: int = 30, every: int = 7, *, batch: int = 256, pool_gb: float = 1.6e-4, **rest: Any) -> Config:
    return small(training={"steps": steps, "save_every": every, "batch": batch, "pool_gb": pool_gb}, **rest)


JOBS = {
    "two pools": saving(),
    "four pools": saving(pool_gb=8e-5),
    "all in one pool": saving(pool_gb=1.0),
    "partners brought along": saving(contrast={"run": 1, "pairing": "past", "alpha_warm_up": 1.0}),
    "budgets and revival": saving(slow_k=1, promote_every=3, contrast={"alpha": 0.0}),
}
JOBS["budgets and revival"] = replace(
    JOBS["budgets and revival"], training=replace(JOBS["budgets and revival"].training, dead_after=512)
)


def stopping(monkeypatch: pytest.MonkeyPatch, at: int, how: str) -> None:
    """At step `at`: killed before it, or in the middle of it, when the weights have moved and nobody has counted; or
    interrupted, once or twice."""
    learn, listen = TSAETrainer.train_step, TSAETrainer._update_counts

    def learning(self: TSAETrainer, batch: Any) -> Any:
        if self.steps_done == at and how == "killed before a step":
            raise Killed
        return learn(self, batch)

    def listening(self: TSAETrainer, step: Any, batch: Any) -> None:
        if self.steps_done == at and how == "killed within a step":
            raise Killed
        for _ in range({"Ctrl-C": 1, "Ctrl-C twice": 2}.get(how, 0) * (self.steps_done == at)):
            os.kill(os.getpid(), signal.SIGINT)
        listen(self, step, batch)

    monkeypatch.setattr(TSAETrainer, "train_step", learning)
    monkeypatch.setattr(TSAETrainer, "_update_counts", listening)


@pytest.fixture(scope="module")
def whole(store: Store) -> Callable[[str], TSAE]:
    """The same fit, never killed and never saved."""
    done: dict[str, TSAE] = {}

    def of(name: str) -> TSAE:
        if name not in done:
            done[name] = fit(store, JOBS[name], progress=False)
        return done[name]

    return of


ENDS = {"killed before a step": Killed, "killed within a step": Killed, "Ctrl-C": KeyboardInterrupt}
ENDS["Ctrl-C twice"] = KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "stops", "how"),
    [
        ("two pools", (3, 19), "killed before a step"),
        ("two pools", (3, 17), "killed within a step"),
        ("two pools", (3, 19), "Ctrl-C"),
        ("two pools", (19,), "Ctrl-C twice"),
        ("four pools", (11, 23), "killed within a step"),
        ("four pools", (3, 11), "Ctrl-C"),
        ("all in one pool", (10, 28), "killed before a step"),
        ("all in one pool", (28,), "Ctrl-C"),
        ("partners brought along", (12,), "killed within a step"),
        ("partners brought along", (20,), "Ctrl-C"),
        ("budgets and revival", (16,), "killed within a step"),
        ("budgets and revival", (16,), "Ctrl-C"),
    ],
)
def test_killed_anywhere_and_called_again_it_ends_in_the_same_bits(
    name, stops, how, store, whole, tmp_path, monkeypatch
):
    out = tmp_path / "dictionary"
    state = tmp_path / "dictionary.state"
    for at in stops:
        with monkeypatch.context() as patched, pytest.raises(ENDS[how]):
            stopping(patched, at, how)
            fit(store, JOBS[name], out=out, progress=False)
        kept = at + 1 if how == "Ctrl-C" else at // 7 * 7
        assert (read_manifest(state, "training-state")["step"] if state.exists() else 0) == kept
        assert not out.exists()
    expected, done, learn = whole(name), list[int](), TSAETrainer.train_step
    with monkeypatch.context() as patched:
        patched.setattr(TSAETrainer, "train_step", lambda self, batch: (done.append(self.steps_done), learn(self, batch))[1])
        expect_same_bits(fit(store, JOBS[name], out=out, progress=False), expected)
    assert done == [*range(stops[-1] + 1 if how == "Ctrl-C" else stops[-1] // 7 * 7, 30)], "what was done is not redone"
    assert not state.exists() and {p.name for p in tmp_path.iterdir()} == {"dictionary"}


def test_killed_when_all_is_learnt_it_ends_in_the_same_bits(store, tmp_path, monkeypatch):
    config, out = saving(28), tmp_path / "dictionary"  # saved at its very last step
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(TSAETrainer, "calibrate_thresholds", lambda *_: (_ for _ in ()).throw(Killed))
        fit(store, config, out=out, progress=False)
    expect_same_bits(fit(store, config, out=out, progress=False), fit(store, config, progress=False))


def test_ctrl_c_says_where_it_can_go_on_and_hands_the_signal_back(store, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    stopping(monkeypatch, 4, "Ctrl-C")
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; ask for the same again to go on from \S+/one\.state$"):
        fit(store, small(), out=tmp_path / "one", progress=False)
    with pytest.raises(KeyboardInterrupt, match="^stopped$"):
        fit(store, small(), progress=False)
    assert signal.getsignal(signal.SIGINT) is before


# --- in company ----------------------------------------------------------------------------------------------------

COMPANY = {
    "ours": saving(),
    "another batch": saving(25, batch=200, contrast={"run": 1}),
    "no contrast": saving(21, contrast={"alpha": 0.0}, promote_every=None),
    "another seed": small(training={"steps": 10, "seed": 5, "batch": 256}),
}


def test_fitted_together_they_are_what_they_are_alone(store, tmp_path):
    together = fit_all(store, COMPANY, out=tmp_path / "all", progress=False)
    assert list(together) == list(COMPANY)
    for name, config in COMPANY.items():
        expect_same_bits(together[name], fit(store, config, progress=False))
        assert TSAE.load(tmp_path / "all" / name).fingerprint() == together[name].fingerprint()


@pytest.mark.parametrize("how", ["killed within a step", "Ctrl-C"])
def test_killed_together_they_go_on_each_from_its_own_place(how, store, tmp_path, monkeypatch):
    """One is finished already when the others are killed, the second in the first pool."""
    alone = {name: fit(store, config, progress=False) for name, config in COMPANY.items()}
    first = fit(store, COMPANY["another seed"], out=tmp_path / "all" / "another seed", progress=False)
    for at in (8, 17):
        with monkeypatch.context() as patched, pytest.raises(ENDS[how]):
            stopping(patched, at, how)
            fit_all(store, COMPANY, out=tmp_path / "all", progress=False)
    again = fit_all(store, COMPANY, out=tmp_path / "all", progress=False)
    assert again["another seed"].path == first.path
    for name in COMPANY:
        expect_same_bits(again[name], alone[name])


@pytest.mark.parametrize("change", [{"pool_gb": 1.0}, {"prompts": True}])
def test_what_shares_pools_must_agree_on_them(change, store):
    with pytest.raises(BadInput, match="share their pools: expected one pool_gb and one prompts for all"):
        fit_all(store, {"one": small(), "other": small(training=change)}, progress=False)


# --- asked again ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dictionary that lies there. It is shared: a test that spoils it copies it first."""
    out = tmp_path_factory.mktemp("finished") / "dictionary"
    fit(store, small(), out=out, progress=False)
    return out


def test_asked_again_it_is_returned_without_training(finished, store, monkeypatch):
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in finished.iterdir()}
    monkeypatch.setattr(TSAETrainer, "__init__", lambda *_: pytest.fail("it trained"))
    again = fit(store, small(), out=finished, progress=False)
    assert again.path == finished and again.fingerprint() == TSAE.load(finished).fingerprint()
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in finished.iterdir()} == before
    assert (
        fit(store, small(training={"lr": small().resolved(16).training.lr}), out=finished, progress=False).path == finished
    )


CHANGES: dict[str, tuple[Any, str]] = {
    "k": (small(k=5), r"of another k \(expected 5, got 4\):"),
    "two choices": (
        small(revival=0.5, contrast={"alpha": 0.5}),
        r"of another contrast.alpha \(expected 0.5, got 0.03\), revival \(expected 0.5, got 1.0\):",
    ),
    "a seed": (small(training={"seed": 1}), r"of another training.seed \(expected 1, got 0\):"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_dictionary_of_another_making_is_not_overwritten(changed, finished, store):
    config, told = CHANGES[changed]
    with pytest.raises(BadInput, match=f"holds a dictionary {told} choose another place, or delete it"):
        fit(store, config, out=finished, progress=False)


def test_nor_is_one_from_another_store_layer_or_start(finished, store, tmp_path):
    with pytest.raises(BadInput, match="holds a dictionary of another store .expected .*: choose"):
        fit(planted_store(tmp_path / "other", draw=1), small(), out=finished, progress=False)
    two = store_of_layout(tmp_path / "two", [[(10, 0)] * 40], layers=(0, 1), d_model=16, fill=noise)
    fit(two, small(), layer=0, out=tmp_path / "of two", progress=False)
    with pytest.raises(BadInput, match="holds a dictionary of another layer .expected 1, got 0.: choose"):
        fit(two, small(), layer=1, out=tmp_path / "of two", progress=False)
    with pytest.raises(BadInput, match="holds a dictionary of another start .expected .* got None.: choose"):
        fit(store, small(), out=finished, start=TSAE.load(finished), progress=False)


def test_a_place_that_is_taken_is_refused(store, tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(BadInput, match="notes exists already and is no dictionary: choose another place"):
        fit(store, small(), out=tmp_path / "notes", progress=False)


def test_a_place_that_cannot_be_written_is_refused_before_a_step_is_taken(store, tmp_path, monkeypatch):
    (tmp_path / "notes").write_text("mine")
    monkeypatch.setattr(TSAETrainer, "__init__", lambda *_: pytest.fail("it trained"))
    with pytest.raises(BadInput, match="dictionary cannot be written: expected a directory above it, got the file"):
        fit(store, small(), out=tmp_path / "notes" / "dictionary", progress=False)


@pytest.mark.parametrize("changed", CHANGES)
def test_a_state_of_another_making_is_refused_and_left_as_it_is(changed, store, tmp_path, monkeypatch):
    out, (config, told) = tmp_path / "dictionary", CHANGES[changed]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stopping(patched, 4, "Ctrl-C")
        fit(store, small(), out=out, progress=False)
    with pytest.raises(BadInput, match=f"is of a run {told} finish or delete it"):
        fit(store, config, out=out, progress=False)
    assert read_manifest(tmp_path / "dictionary.state", "training-state")["step"] == 5
    shutil.rmtree(tmp_path / "dictionary.state")
    assert fit(store, config, out=out, progress=False).path == out


def test_how_often_it_is_saved_may_change_between_a_kill_and_the_next_try(finished, store):
    config, before = small(training={"save_every": 7}), TSAE.load(finished).fingerprint()
    assert fit(store, config, out=finished, progress=False).fingerprint() == before


def test_a_state_that_a_killed_fit_left_beside_its_dictionary_is_cleared_away(finished, store):
    left = finished.with_name(f"{finished.name}.state")
    left.mkdir()
    fit(store, small(), out=finished, progress=False)
    assert not left.exists()


def test_the_company_of_one_that_diverges_is_finished_and_then_it_is_told(store, tmp_path):
    wild = small(training={"lr": 1e12, "clip": 1e12})
    for _ in range(2):  # asked again, the one that is there is left alone
        with pytest.raises(FloatingPointError, match="dictionary 'wild' diverged"):
            fit_all(store, {"wild": wild, "tame": small()}, out=tmp_path / "both", progress=False)
        assert TSAE.load(tmp_path / "both" / "tame").width == small().width
        assert not (tmp_path / "both" / "wild").exists()
