"""Training that is stopped and resumed ends in the same weights as training that never stopped."""

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


def train(model, optimizer, start: int, end: int) -> None:
    for step in range(start, end):
        ids = torch.randint(4, 30, (4, 8), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("stopped_at", [0, 3])
def test_resumed_training_equals_uninterrupted_training(tmp_path, family, tied, stopped_at):
    whole, optimizer = begin(family, tie_word_embeddings=tied)
    train(whole, optimizer, 0, 6)

    first, optimizer = begin(family, tie_word_embeddings=tied)
    train(first, optimizer, 0, stopped_at)
    save_training_state(tmp_path / "state", first, optimizer, step=stopped_at, config=CONFIG)

    second, optimizer = begin(family, tie_word_embeddings=tied, seed=1)
    assert load_training_state(tmp_path / "state", second, optimizer, config=CONFIG)[0] == stopped_at
    assert same(first, second)
    train(second, optimizer, stopped_at, 6)
    assert same(second, whole)


def test_a_state_can_be_saved_and_loaded_many_times(tmp_path):
    model, optimizer = begin()
    for step in range(4):
        train(model, optimizer, step, step + 1)
        save_training_state(tmp_path / "state", model, optimizer, step=step + 1, config=CONFIG)
        model, optimizer = begin(seed=step)
        assert load_training_state(tmp_path / "state", model, optimizer, config=CONFIG)[0] == step + 1
    whole, optimizer = begin()
    train(whole, optimizer, 0, 4)
    assert same(model, whole)


def test_frozen_weights_leave_the_optimizer_state_complete(tmp_path):
    def begin_frozen():
        model = tiny_model()
        model.model.embed_tokens.requires_grad_(False)
        return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)

    model, optimizer = begin_frozen()
    train(model, optimizer, 0, 2)
    save_training_state(tmp_path / "state", model, optimizer, step=2, config=CONFIG)
    other, resumed = begin_frozen()
    load_training_state(tmp_path / "state", other, resumed, config=CONFIG)
    ours, theirs = resumed.state_dict()["state"], optimizer.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    for index, slots in theirs.items():
        assert slots.keys() == ours[index].keys()
        assert all(torch.equal(value, ours[index][slot]) for slot, value in slots.items())


@pytest.fixture
def saved(tmp_path):
    model, optimizer = begin()
    train(model, optimizer, 0, 1)
    save_training_state(tmp_path / "state", model, optimizer, step=1, config=CONFIG)
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
def test_another_config_is_refused_with_the_changed_fields(saved, changes, named):
    model, optimizer = begin(seed=1)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(BadInput, match=f"is the state of a run with another {named}: finish that run"):
        load_training_state(saved, model, optimizer, config=CONFIG | changes)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_removed_setting_is_named(saved):
    with pytest.raises(BadInput, match=r"another steps \(expected None, got 6\): finish that run, or delete the state"):
        load_training_state(saved, *begin(), config={key: CONFIG[key] for key in ("lr", "task")})


@dataclass(frozen=True)
class Settings:
    lr: float = 1e-2
    depths: tuple[int, ...] = (1, 2)


def test_a_config_may_be_a_dataclass(tmp_path):
    model, optimizer = begin()
    save_training_state(tmp_path / "state", model, optimizer, step=0, config=Settings())
    assert load_training_state(tmp_path / "state", model, optimizer, config=Settings()) == (0, {})
    with pytest.raises(BadInput, match=r"another depths \(expected \[3\], got \[1, 2\]\):"):
        load_training_state(tmp_path / "state", model, optimizer, config=Settings(depths=(3,)))


def test_a_directory_of_another_kind_is_refused(tmp_path, tiny_dirs):
    model, optimizer = begin()
    with pytest.raises((BadInput, Mismatch), match="expected a directory of kind 'training-state'"):
        load_training_state(tiny_dirs["qwen3"], model, optimizer, config=CONFIG)
