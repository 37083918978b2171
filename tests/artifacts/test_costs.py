"""What work takes is said before it starts where it is much, and refused where the machine cannot hold it."""

import warnings
from dataclasses import replace

import pytest

from interp import costs
from interp.artifacts import BadInput
from interp.costs import expect_disk, expect_memory, expect_rollouts, machine_memory, say_time
from interp.organism import ModelShape, OrganismConfig
from interp.policy.config import SampleConfig
from interp.tsae import TSAEConfig

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of 20 GB of memory, with 50 GB free on its disk."""
    monkeypatch.setattr(costs, "machine_memory", lambda: 20 * GB)
    monkeypatch.setattr(costs.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 50 * GB}))


def said(work) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [str(warning.message) for warning in caught]


def test_little_is_not_worth_a_word(tmp_path):
    assert said(lambda: expect_memory("Eight latents", "ask for less", at_least=1, up_to=8 * GB)) == []
    assert said(lambda: expect_disk("Two shards", "ask for less", place=tmp_path, n_bytes=2 * GB)) == []
    assert said(lambda: expect_rollouts(1000, 96)) == []
    assert said(lambda: say_time("Drawing", 9.9)) == []


def test_much_is_said_with_what_would_make_it_less(tmp_path):
    assert said(lambda: expect_memory("9 latents", "ask for fewer", at_least=1, up_to=9 * GB)) == [
        "9 latents take up to 9.0 GB of memory: if that is too much, ask for fewer"
    ]
    assert said(lambda: expect_disk("3 shards", "ask for fewer", place=tmp_path, n_bytes=3 * GB)) == [
        "3 shards take 3.0 GB on disk: if that is too much, ask for fewer"
    ]
    assert said(lambda: say_time("drawing 2,000,000 problems", 400)) == ["drawing 2,000,000 problems takes about 7 min"]


def test_what_cannot_fit_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(BadInput) as refused:
        expect_memory("9 latents", "ask for fewer", at_least=21 * GB, up_to=22 * GB)
    assert str(refused.value) == (
        "expected at most the 20.0 GB of memory that this machine has; 9 latents take 21.0 GB: ask for fewer"
    )
    place = tmp_path / "not" / "yet" / "there"
    with pytest.raises(BadInput, match=rf"the 50.0 GB that are free at {tmp_path}; 3 shards take 51.0 GB: ask for"):
        expect_disk("3 shards", "ask for fewer", place=place, n_bytes=51 * GB)


def test_a_refusal_rests_on_what_is_certain_and_the_word_on_what_is_possible():
    """A million rollouts of 1,000 tokens: 16 GB in tensors and 2 GB besides, and 120 GB if all are that long."""
    assert said(lambda: expect_rollouts(10**6, 1000)) == [
        "1,000,000 rollouts of up to 1,000 tokens take up to 122.0 GB of memory: if that is too much, ask for fewer "
        "problems, for fewer rollouts of each, or for fewer new tokens"
    ]
    with pytest.raises(BadInput, match=r"2,000,000 rollouts of up to 1,000 tokens take 36.0 GB"):
        expect_rollouts(2 * 10**6, 1000)


def test_configs_say_what_they_take():
    with pytest.raises(BadInput, match=r"800,000,000 rollouts of up to 96 tokens take"):
        SampleConfig(group=8).expect_affordable(10**8)
    assert said(lambda: SampleConfig(group=8).expect_affordable(1000)) == []
    with pytest.raises(BadInput, match=r"10,000,000 latents of 4,096 dimensions take 1,310.7 GB: use a smaller width"):
        TSAEConfig(width=10**7).resolved(4096)
    with pytest.raises(BadInput, match=r"parameters take .* GB: use a smaller shape"):
        OrganismConfig(shape=ModelShape(d_model=100_000, d_mlp=100_000)).expect_affordable()
    assert said(OrganismConfig().expect_affordable) == []


def test_a_config_of_a_greater_machine_opens_on_a_smaller_one():
    wide = OrganismConfig(shape=ModelShape(d_model=100_000, d_mlp=100_000))
    assert replace(wide, seed=1).shape.d_model == 100_000 and TSAEConfig(width=10**7).width == 10**7


def test_the_memory_of_this_machine_is_known(monkeypatch):
    monkeypatch.undo()
    assert 1 * GB < machine_memory() < 10**14
