"""Recorded draws: a run is repeated from its seed, so no stream of random numbers may change unseen."""

from typing import Any

from conftest import tiny_policy
from grpo_fixtures import FirstWord, small_config

from interp.grpo.batches import Collector
from interp.grpo.sources import TaskProblems, draw_from_epochs
from interp.tasks.base import hash_of


def test_passes_over_problems_are_those_recorded():
    problems = FirstWord().problems("train", None, 5)
    for seed, order in ((0, [0, 1, 2, 3, 4, 1, 4, 2, 3, 0]), (1, [1, 0, 3, 4, 2])):
        assert [problems.index(problem) for problem in draw_from_epochs(problems, 0, len(order), seed)] == order


def test_every_seed_has_a_thousand_million_problems_for_itself():
    ids = [problem.id for problem in TaskProblems(FirstWord(), (3,), steps=2, seed=2)(0, 8, 2)]
    assert ids == ["train/3/2000000008", "train/3/2000000009"]


def test_levels_take_equal_shares_of_the_steps_in_turn():
    source = TaskProblems(FirstWord(), (3, 5, 9), steps=6, seed=0)
    assert [source(step, 0, 1)[0].depth for step in range(8)] == [3, 3, 5, 5, 9, 9, 9, 9]
    uneven = TaskProblems(FirstWord(), (3, 5), steps=5, seed=0)
    assert [uneven(step, 0, 1)[0].depth for step in range(6)] == [3, 3, 3, 5, 5, 5]


def test_a_task_is_asked_for_the_size_of_each_level_of_its_training_split():
    calls: list[tuple[Any, ...]] = []

    class Recording(FirstWord):
        def size(self, split: str, level: int | str | None = None) -> int | None:
            calls.append((split, level))
            return 4

    source = TaskProblems(Recording(), (3, 5), steps=2, seed=0)
    assert calls == [("train", 3), ("train", 5)]
    assert {problem.depth for problem in source(0, 0, 4)} == {3} and len({p.id for p in source(1, 0, 4)}) == 4


def test_every_prompt_of_a_step_has_a_stream_of_random_numbers_of_its_own(monkeypatch):
    policy, config, streams = tiny_policy(), small_config(prompts=3), list[Any]()
    sample = type(policy).sample

    def recording(self: Any, *args: Any, **options: Any) -> Any:
        streams.append(options["keys"])
        return sample(self, *args, **options)

    monkeypatch.setattr(type(policy), "sample", recording)
    source = TaskProblems(FirstWord(), (), steps=config.steps, seed=0)
    Collector(FirstWord(), source, config, None, "run").collect(policy, 4, 12)
    assert streams == [[hash_of("grpo", 4, number) for number in (12, 13, 14)]]
