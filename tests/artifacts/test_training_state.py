"""Training that was stopped and taken up again ends where training that never stopped does."""

from dataclasses import dataclass

import pytest
import torch
from conftest import FAMILIES, tiny_model

from interp.artifacts import BadInput, Mismatch
from interp.training_state import FILE, load_training_state, save_training_state

CONFIG = {"lr": 1e-2, "steps": 6, "task": {"depths": [1, 2]}}


def begin(family: str = "qwen3", **changes: object):
    model = tiny_model(family, **changes)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-2)


def train(model, optimiser, start: int, end: int) -> None:
    for step in range(start, end):
        ids = torch.randint(4, 30, (4, 8), generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimiser.step()


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("stopped_at", [0, 3])
def test_training_taken_up_again_equals_training_never_stopped(tmp_path, family, tied, stopped_at):
    whole, optimiser = begin(family, tie_word_embeddings=tied)
    train(whole, optimiser, 0, 6)

    first, optimiser = begin(family, tie_word_embeddings=tied)
    train(first, optimiser, 0, stopped_at)
    save_training_state(tmp_path / "state", first, optimiser, step=stopped_at, config=CONFIG)

    second, optimiser = begin(family, tie_word_embeddings=tied, seed=1)
    assert load_training_state(tmp_path / "state", second, optimiser, config=CONFIG)[0] == stopped_at
    assert same(first, second)
    train(second, optimiser, stopped_at, 6)
    assert same(second, whole)


def test_a_state_may_be_saved_and_loaded_any_number_of_times(tmp_path):
    model, optimiser = begin()
    for step in range(4):
        train(model, optimiser, step, step + 1)
        save_training_state(tmp_path / "state", model, optimiser, step=step + 1, config=CONFIG)
        model, optimiser = begin(seed=step)
        assert load_training_state(tmp_path / "state", model, optimiser, config=CONFIG)[0] == step + 1
    whole, optimiser = begin()
    train(whole, optimiser, 0, 4)
    assert same(model, whole)


def test_the_optimiser_can_still_be_asked_for_its_state_when_some_weights_are_frozen(tmp_path):
    def begin_frozen():
        model = tiny_model()
        model.model.embed_tokens.requires_grad_(False)
        return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)

    model, optimiser = begin_frozen()
    train(model, optimiser, 0, 2)
    save_training_state(tmp_path / "state", model, optimiser, step=2, config=CONFIG)
    again, resumed = begin_frozen()
    load_training_state(tmp_path / "state", again, resumed, config=CONFIG)
    ours, theirs = resumed.state_dict()["state"], optimiser.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    for at, slots in theirs.items():
        assert slots.keys() == ours[at].keys()
        assert all(torch.equal(value, ours[at][slot]) for slot, value in slots.items())


@pytest.fixture
def saved(tmp_path):
    model, optimiser = begin()
    train(model, optimiser, 0, 1)
    save_training_state(tmp_path / "state", model, optimiser, step=1, config=CONFIG)
    return tmp_path / "state"


def test_nothing_but_safetensors_and_a_manifest_is_written(saved):
    assert sorted(p.name for p in saved.iterdir()) == ["manifest.json", FILE]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lr": 1e-3}, r"lr \(expected 0.001, got 0.01\)"),
        ({"lr": 1e-3, "steps": 7}, r"lr \(expected 0.001, got 0.01\), steps \(expected 7, got 6\)"),
        ({"task": {"depths": [1, 3]}}, r"task.depths \(expected \[1, 3\], got .*\)"),
        ({"clip": 0.2}, r"clip \(expected 0.2, got .*\)"),
    ],
)
def test_another_config_is_refused_naming_what_changed(saved, changes, named):
    model, optimiser = begin(seed=1)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(BadInput, match=f"is of a run of another {named}: finish or delete it"):
        load_training_state(saved, model, optimiser, config=CONFIG | changes)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_setting_that_is_gone_is_named_too(saved):
    with pytest.raises(BadInput, match=r"another steps \(expected None, got 6\): finish or delete it"):
        load_training_state(saved, *begin(), config={key: CONFIG[key] for key in ("lr", "task")})


@dataclass(frozen=True)
class Settings:
    lr: float = 1e-2
    depths: tuple[int, ...] = (1, 2)


def test_a_config_may_be_a_dataclass(tmp_path):
    model, optimiser = begin()
    save_training_state(tmp_path / "state", model, optimiser, step=0, config=Settings())
    assert load_training_state(tmp_path / "state", model, optimiser, config=Settings()) == (0, {})
    with pytest.raises(BadInput, match=r"another depths \(expected \[3\], got \[1, 2\]\):"):
        load_training_state(tmp_path / "state", model, optimiser, config=Settings(depths=(3,)))


def test_a_directory_of_another_kind_is_refused(tmp_path, tiny_dirs):
    model, optimiser = begin()
    with pytest.raises((BadInput, Mismatch), match="expected a directory of kind 'training-state'"):
        load_training_state(tiny_dirs["qwen3"], model, optimiser, config=CONFIG)
