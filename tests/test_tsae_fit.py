"""Dictionaries are fitted: well, the same each time, from where they were killed, in company as alone, or refused."""

import os
import shutil
import signal
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from tsae_world import (
    K,
    expect_same_bits,
    fve,
    held_out,
    noise,
    planted_store,
    small,
    store_of_layout,
)

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch, read_manifest
from interp.tsae import PRESETS, TSAE, TSAEConfig, fit, fit_all, fitting
from interp.tsae.batches import pool_of
from interp.tsae.trainee import Trainee, measure, sample

Config = TSAEConfig


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """4800 tokens in four shards, two of them to a pool."""
    return planted_store(tmp_path_factory.mktemp("fit") / "store")


@pytest.fixture(scope="module")
def start(store: Store) -> TSAE:
    return fit(store, small(training={"steps": 60}), bar=False)


def long(**changes: Any) -> Config:
    return small(training={"steps": 200}, **changes)


# --- how well ------------------------------------------------------------------------------------------------------

WAYS = {
    "ours": long(),
    "slow block with a budget of its own": long(slow_k=2),
    "partners from the past": long(contrast={"run": 1, "pairing": "past"}),
    "matryoshka": long(contrast={"alpha": 0.0}, promote_every=None),
    "one block": long(contrast={"alpha": 0.0}, promote_every=None, blocks=(1.0,), block_weights=(1.0,)),
    "as they are": long(scale="none"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_explains_what_it_has_not_seen_with_as_many_latents_as_asked(way, store):
    dictionary, x_ND = fit(store, WAYS[way], bar=False), held_out().x_ND
    on_NF = dictionary.encode(x_ND) > 0
    assert fve(dictionary, x_ND) > 0.9
    assert on_NF.float().sum(1).mean().item() == pytest.approx(K, rel=0.1)
    if slow_k := WAYS[way].slow_k:
        assert on_NF[:, : dictionary.n_slow].float().sum(1).mean().item() == pytest.approx(slow_k, rel=0.1)
    assert dictionary.facts["fve"] > 0.9 and dictionary.facts["l0"] == pytest.approx(K, rel=0.01)
    assert (dictionary.facts.get("contrast", 0) > 0) == (WAYS[way].contrast.alpha > 0)


def test_a_dictionary_says_what_it_is(store):
    config = small()
    dictionary = fit(store, config, bar=False)
    assert (dictionary.d_model, dictionary.width, dictionary.widths, dictionary.n_slow) == (16, 64, (16, 48), 16)
    assert (dictionary.layer, dictionary.path, dictionary.config) == (0, None, config.resolved(16))
    assert dictionary.made_from == {"store": store.fingerprint()}
    assert dictionary.cfg["architecture"] == "jumprelu"
    assert dictionary.cfg["metadata"]["hook_name"] == "blocks.0.hook_resid_post"
    assert_close(dictionary.W_dec.norm(dim=1), torch.ones(64))


@pytest.mark.parametrize("name", [name for name, config in PRESETS.items() if config.contrast.alpha])
def test_a_contrast_that_is_asked_for_is_there_at_every_step(name, store, monkeypatch):
    seen: list[float] = []
    learn = Trainee.learn

    def watched(self: Trainee, batch: Any) -> Any:
        step = learn(self, batch)
        seen.append(step.losses["contrast"].item())
        return step

    monkeypatch.setattr(Trainee, "learn", watched)
    config = replace(PRESETS[name], width=64, k=4, training=small().training)
    fit(store, config, bar=False)
    assert len(seen) == 20 and all(value > 0 for value in seen)


def test_dead_latents_are_revived(store, start):
    """Half the latents begin so far below 0 that they never fire. Left alone, none of them ever does."""
    dead_F = torch.arange(64) % 2 == 0
    patient = replace(start, b_enc=torch.where(dead_F, -1.0, start.b_enc))
    training = {"steps": 60, "dead_after": 1000}
    dead = [
        fit(store, small(training=training, revival=revival, promote_every=None), start=patient, bar=False).facts[
            "dead"
        ]
        for revival in (0.0, 1.0)
    ]
    assert dead[0] >= 0.5 and dead[1] < 0.3


# --- chance --------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(store):
    first, torch_state = fit(store, small(), bar=False), torch.random.get_rng_state()
    torch.manual_seed(123)
    expect_same_bits(first, fit(store, small(), bar=False))
    assert first.fingerprint() != fit(store, small(training={"seed": 1}), bar=False).fingerprint()
    torch.random.set_rng_state(torch_state)
    fit(store, small(), bar=False)
    assert torch.equal(torch.random.get_rng_state(), torch_state), "it draws from its own numbers alone"


def test_what_is_not_trained_on_has_no_say(tmp_path):
    """Prompts of any content; and other layers."""

    def loud(first: int, n: int, layer: int) -> torch.Tensor:
        return noise(first, n, layer) + 100 * (torch.arange(n) % 10 < 3)[:, None]

    found = []
    for fill, layers in ((noise, (0, 3)), (loud, (3,))):
        place = tmp_path / fill.__name__
        held = store_of_layout(place, [[(10, 3)] * 40] * 2, layers=layers, d_model=16, fill=fill)
        found.append([fit(held, small(training={"prompts": p}), layer=3, bar=False) for p in (False, True)])
    expect_same_bits(found[0][0], found[1][0])
    assert found[0][1].fingerprint() != found[1][1].fingerprint()
    assert [dictionary.layer for pair in found for dictionary in pair] == [3] * 4


# --- killed --------------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def saving(steps: int = 30, every: int = 7, *, batch: int = 256, pool_gb: float = 1.6e-4, **rest: Any) -> Config:
    return small(training={"steps": steps, "save_every": every, "batch": batch, "pool_gb": pool_gb}, **rest)


JOBS = {
    "two shards to a pool": saving(),
    "each shard a pool of its own": saving(pool_gb=1e-9),
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
    learn, listen = Trainee.learn, Trainee._listen

    def learning(self: Trainee, batch: Any) -> Any:
        if self.done == at and how == "killed before a step":
            raise Killed
        return learn(self, batch)

    def listening(self: Trainee, step: Any, batch: Any) -> None:
        if self.done == at and how == "killed within a step":
            raise Killed
        for _ in range({"Ctrl-C": 1, "Ctrl-C twice": 2}.get(how, 0) * (self.done == at)):
            os.kill(os.getpid(), signal.SIGINT)
        listen(self, step, batch)

    monkeypatch.setattr(Trainee, "learn", learning)
    monkeypatch.setattr(Trainee, "_listen", listening)


@pytest.fixture(scope="module")
def whole(store: Store) -> Callable[[str], TSAE]:
    """The same fit, never killed and never saved."""
    done: dict[str, TSAE] = {}

    def of(name: str) -> TSAE:
        if name not in done:
            done[name] = fit(store, JOBS[name], bar=False)
        return done[name]

    return of


ENDS = {"killed before a step": Killed, "killed within a step": Killed, "Ctrl-C": KeyboardInterrupt}
ENDS["Ctrl-C twice"] = KeyboardInterrupt


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("two shards to a pool", (3, 19)),
        ("each shard a pool of its own", (11, 23)),
        ("all in one pool", (10, 29)),
        ("partners brought along", (12,)),
        ("budgets and revival", (16,)),
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
            fit(store, JOBS[name], out=out, bar=False)
        kept = at + 1 if how == "Ctrl-C" else at // 7 * 7
        assert (read_manifest(state, "training-state")["step"] if state.exists() else 0) == kept
        assert not out.exists()
    expected, done, learn = whole(name), list[int](), Trainee.learn
    with monkeypatch.context() as patched:
        patched.setattr(Trainee, "learn", lambda self, batch: (done.append(self.done), learn(self, batch))[1])
        expect_same_bits(fit(store, JOBS[name], out=out, bar=False), expected)
    assert done == [*range(stops[-1] + 1 if how == "Ctrl-C" else stops[-1] // 7 * 7, 30)], "what was done is not redone"
    assert not state.exists() and {p.name for p in tmp_path.iterdir()} == {"dictionary"}


def test_killed_when_all_is_learnt_it_ends_in_the_same_bits(store, tmp_path, monkeypatch):
    config, out = saving(28), tmp_path / "dictionary"  # saved at its very last step
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Trainee, "calibrate", lambda *_: (_ for _ in ()).throw(Killed))
        fit(store, config, out=out, bar=False)
    expect_same_bits(fit(store, config, out=out, bar=False), fit(store, config, bar=False))


def test_ctrl_c_says_where_it_can_go_on_and_hands_the_signal_back(store, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    stopping(monkeypatch, 4, "Ctrl-C")
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; ask for the same again to go on from \S+/one\.state$"):
        fit(store, small(), out=tmp_path / "one", bar=False)
    with pytest.raises(KeyboardInterrupt, match="^stopped$"):
        fit(store, small(), bar=False)
    assert signal.getsignal(signal.SIGINT) is before


# --- in company ----------------------------------------------------------------------------------------------------

COMPANY = {
    "ours": saving(),
    "another batch": saving(25, batch=200, contrast={"run": 1}),
    "no contrast": saving(21, contrast={"alpha": 0.0}, promote_every=None),
    "another seed": small(training={"steps": 10, "seed": 5, "batch": 256}),
}


def test_fitted_together_they_are_what_they_are_alone(store, tmp_path):
    together = fit_all(store, COMPANY, out=tmp_path / "all", bar=False)
    assert list(together) == list(COMPANY)
    for name, config in COMPANY.items():
        expect_same_bits(together[name], fit(store, config, bar=False))
        assert TSAE.load(tmp_path / "all" / name).fingerprint() == together[name].fingerprint()


@pytest.mark.parametrize("how", ["killed within a step", "Ctrl-C"])
def test_killed_together_they_go_on_each_from_its_own_place(how, store, tmp_path, monkeypatch):
    """One is finished already when the others are killed, the second in the first pool."""
    alone = {name: fit(store, config, bar=False) for name, config in COMPANY.items()}
    first = fit(store, COMPANY["another seed"], out=tmp_path / "all" / "another seed", bar=False)
    for at in (8, 17):
        with monkeypatch.context() as patched, pytest.raises(ENDS[how]):
            stopping(patched, at, how)
            fit_all(store, COMPANY, out=tmp_path / "all", bar=False)
    again = fit_all(store, COMPANY, out=tmp_path / "all", bar=False)
    assert again["another seed"].path == first.path
    for name in COMPANY:
        expect_same_bits(again[name], alone[name])


@pytest.mark.parametrize("change", [{"pool_gb": 1.0}, {"prompts": True}])
def test_what_shares_pools_must_agree_on_them(change, store):
    with pytest.raises(BadInput, match="share their pools: expected one pool_gb and one prompts for all"):
        fit_all(store, {"one": small(), "other": small(training=change)}, bar=False)


# --- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_documents", [50, 10])
def test_memory_holds_one_pool_however_large_the_store(shard_documents, tmp_path, monkeypatch):
    held = planted_store(tmp_path / "store", shard_documents=shard_documents)
    config, pools = saving(60), list[tuple[int, Any]]()

    def watched(*args: Any, **options: Any) -> Any:
        assert all(alive() is None for _, alive in pools), "the last is gone before the next is read"
        pool = pool_of(*args, **options)
        pools.append((pool.x_PD.numel() * 4, weakref.ref(pool)))
        return pool

    monkeypatch.setattr(fitting, "pool_of", watched)
    fit(held, config, bar=False)
    assert len(pools) >= 6 and max(size for size, _ in pools) <= config.training.pool_gb * 1e9 == 160_000


# --- from another ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["rms", "none"])
def test_it_begins_from_the_function_of_the_dictionary_it_is_given(scale, store, start):
    trainee = Trainee(small(scale=scale), 16, measure(sample(store, 0, small())), torch.device("cpu"))
    trainee.begin_from(start)
    sae, x_ND = trainee.sae, held_out(tokens=480).x_ND
    assert (trainee.scale == 1) == (scale == "none")
    hidden_NF = (x_ND * trainee.scale - sae.b_dec) @ sae.W_enc + sae.b_enc
    assert_close(hidden_NF, (x_ND - start.b_dec) @ start.W_enc + start.b_enc, atol=1e-5, rtol=1e-4)
    z_NF = start.encode(x_ND)
    assert_close((z_NF @ sae.W_dec + sae.b_dec) / trainee.scale, start.decode(z_NF), atol=1e-5, rtol=1e-4)


def test_it_stays_what_it_began_from_if_it_does_not_learn(store, start):
    still = fit(store, small(training={"steps": 1, "lr": 1e-12}), start=start, bar=False)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"):
        assert_close(getattr(still, name), getattr(start, name), atol=1e-5, rtol=1e-4)


def test_it_is_ahead_of_one_that_begins_from_nothing(store, start):
    few = small(training={"steps": 3})
    warm, cold = (fit(store, few, start=given, bar=False) for given in (start, None))
    assert fve(warm, held_out().x_ND) > 0.75 > 0.5 > fve(cold, held_out().x_ND)


def test_a_start_of_another_size_is_refused(store, start):
    with pytest.raises(Mismatch, match="expected a dictionary of d_model 16 and width 96 to begin from, got 16 and 64"):
        fit(store, small(width=96), start=start, bar=False)


# --- asked again ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dictionary that lies there. It is shared: a test that spoils it copies it first."""
    out = tmp_path_factory.mktemp("finished") / "dictionary"
    fit(store, small(), out=out, bar=False)
    return out


def test_asked_again_it_is_returned_without_training(finished, store, monkeypatch):
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in finished.iterdir()}
    monkeypatch.setattr(Trainee, "__init__", lambda *_: pytest.fail("it trained"))
    again = fit(store, small(), out=finished, bar=False)
    assert again.path == finished and again.fingerprint() == TSAE.load(finished).fingerprint()
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in finished.iterdir()} == before
    assert (
        fit(store, small(training={"lr": small().resolved(16).training.lr}), out=finished, bar=False).path == finished
    )


CHANGES: dict[str, tuple[Any, str]] = {
    "k": (small(k=5), "of another k:"),
    "two choices": (small(revival=0.5, contrast={"alpha": 0.5}), "of another contrast, revival:"),
    "a seed": (small(training={"seed": 1}), "of another training:"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_dictionary_of_another_making_is_not_overwritten(changed, finished, store):
    config, told = CHANGES[changed]
    with pytest.raises(BadInput, match=f"holds a dictionary {told} choose another place, or delete it"):
        fit(store, config, out=finished, bar=False)


def test_nor_is_one_from_another_store_or_start(finished, store, start, tmp_path):
    with pytest.raises(BadInput, match="holds a dictionary of another store: choose"):
        fit(planted_store(tmp_path / "other", draw=1), small(), out=finished, bar=False)
    with pytest.raises(BadInput, match="holds a dictionary of another start: choose"):
        fit(store, small(), out=finished, start=start, bar=False)


def test_a_place_that_is_taken_is_refused(store, tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(BadInput, match="notes exists already and is no dictionary: choose another place"):
        fit(store, small(), out=tmp_path / "notes", bar=False)


@pytest.mark.parametrize("changed", CHANGES)
def test_a_state_of_another_making_is_refused_and_left_as_it_is(changed, store, tmp_path, monkeypatch):
    out, (config, told) = tmp_path / "dictionary", CHANGES[changed]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stopping(patched, 4, "Ctrl-C")
        fit(store, small(), out=out, bar=False)
    told = told.replace("of another", "expected a run of the same config, got another")
    with pytest.raises(BadInput, match=f"{told} finish or delete it"):
        fit(store, config, out=out, bar=False)
    assert read_manifest(tmp_path / "dictionary.state", "training-state")["step"] == 5
    shutil.rmtree(tmp_path / "dictionary.state")
    assert fit(store, config, out=out, bar=False).path == out


# --- refused -------------------------------------------------------------------------------------------------------


def test_a_layer_that_is_not_there_is_refused(store, tmp_path):
    with pytest.raises(BadInput, match=r"expected one of its layers \(0,\), got 7"):
        fit(store, small(), layer=7, bar=False)
    two = store_of_layout(tmp_path / "two", [[(10, 0)] * 40], layers=(1, 2), d_model=16, fill=noise)
    with pytest.raises(BadInput, match="holds layers 1, 2: say which one"):
        fit(two, small(), bar=False)


LACKING = {
    "fewer tokens than a batch": ([[(10, 0)] * 12], {}, "at least one batch of 128 tokens, got 120: collect more, or"),
    "fewer of its own": ([[(10, 9)] * 120], {}, "at least one batch of 128 tokens, got 120: collect more, or"),
    "documents of one token": ([[(1, 0)] * 200], {}, "a contrast needs two tokens in a row, and no document has two"),
    "completions of one token": ([[(10, 9)] * 200], {}, "no document has two that are trained on: ask for prompts too"),
    "a single document": ([[(200, 0), (1, 0)]], {}, "expected two documents of two tokens at least, got one: without"),
    "no documents to tell apart": ([[(1, 0)] * 200], {"same_sequence": True}, "a contrast needs two tokens in a row"),
}


@pytest.mark.parametrize("case", LACKING)
def test_a_store_that_does_not_have_what_it_takes_is_refused_before_training(case, tmp_path, monkeypatch):
    layout, contrast, told = LACKING[case]
    held = store_of_layout(tmp_path / "store", layout, d_model=16, fill=noise)
    monkeypatch.setattr(Trainee, "learn", lambda *_: pytest.fail("it trained"))
    with pytest.raises(BadInput, match=told):
        fit(held, small(contrast=contrast), bar=False)


SUFFICING = {
    "prompts": ([[(10, 9)] * 200], {}, {"prompts": True}),
    "partners among the prompts": ([[(10, 9)] * 200], {"run": 1, "partner_mask": "anchor"}, {}),
    "a document among whose own tokens are negatives": ([[(200, 0)]], {"same_sequence": True}, {}),
    "no contrast": ([[(1, 0)] * 200], {"alpha": 0.0}, {}),
    "a shard too small for a batch": ([[(10, 0)] * 3, [(10, 0)] * 20, [(10, 0)] * 3], {}, {"pool_gb": 1e-9}),
    "no document longer than its runs": ([[(2, 0)] * 200], {"run": 100}, {}),
}


@pytest.mark.parametrize("case", SUFFICING)
def test_and_one_that_does_is_not(case, tmp_path):
    layout, contrast, training = SUFFICING[case]
    held = store_of_layout(tmp_path / "store", layout, d_model=16, fill=noise)
    dictionary = fit(held, small(contrast=contrast, training=training), bar=False)
    assert dictionary.facts["l0"] == pytest.approx(K, rel=0.1)


def test_pools_that_never_hold_a_batch_are_refused_rather_than_gone_through_for_ever(tmp_path):
    held = store_of_layout(tmp_path / "store", [[(10, 0)] * 12] * 2, d_model=16, fill=noise)
    with pytest.raises(BadInput, match="expected a batch of 128 tokens among the shards .*: raise pool_gb, or ask for"):
        fit(held, small(training={"pool_gb": 1e-9}), bar=False)


def test_what_does_not_fit_the_dimension_is_refused(store):
    with pytest.raises(BadInput, match="k must lie between 1 and the 16 latents of the slow block; got 17"):
        fit(store, small(k=17), bar=False)
    with pytest.raises(BadInput, match=r"at least as wide as d_model \(16\); got width 15"):
        fit(store, small(width=15), bar=False)


@pytest.mark.parametrize(("save_every", "step"), [(1000, 15), (4, 4)])
def test_one_that_diverges_is_named_and_nothing_of_it_is_kept(save_every, step, store, tmp_path):
    training = {"steps": 15, "save_every": save_every}
    configs = {"tame": small(training=training), "wild": small(training=training | {"lr": 1e30})}
    with pytest.raises(FloatingPointError, match=f"dictionary 'wild' diverged at step {step}: try a lower lr or alpha"):
        fit_all(store, configs, out=tmp_path, bar=False)
    assert not (tmp_path / "wild").exists() and not (tmp_path / "wild.state").exists()
