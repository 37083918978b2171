"""The task of a reasoning-gym dataset.

Three things differ from reasoning-gym itself:

- Seeds. There, items use `Random(seed + index)`, so two seeds share most of their items. Here every problem is item 0
  of a dataset with a seed of its own, from the hash of its key.
- Splits. They are disjoint by content: a hash of the question assigns it to a split, and a draw that belongs to
  another split is repeated.
- Scores. There, the default score pays for any text that *contains* the answer. Here an answer is extracted first, and
  has to have the shape that answers of the dataset have; only the full score of 1 counts as correct (`answers`).
"""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from interp.artifacts import BadInput, fingerprint, to_json, versions
from interp.tasks.base import SPLITS, Problem, Task, Verdict, hash_of
from interp.tasks.gym.answers import MAX_ANSWER, is_right
from interp.tasks.text.verdicts import verdict_of_trace
from interp.tasks.traces import annotate

MAX_DRAWS = 300


@dataclass(frozen=True)
class GymTask(Task):
    """A reasoning-gym dataset, with levels that are configs of it."""

    dataset: str
    """Name of the reasoning-gym dataset."""
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    """Config of the dataset, at every level."""
    level_configs: Mapping[int | str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings that each level adds to `config`, by depth or name: `{1: {"max_terms": 2}, 2: {"max_terms": 4}}`."""

    @property
    def name(self) -> str:
        return f"gym:{self.dataset}"

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(level for level in self.level_configs if isinstance(level, str))

    def fingerprint(self) -> str:
        """Fingerprint of the task and of the installed reasoning-gym: another version may draw or score differently."""
        return fingerprint(json.dumps([to_json(self), versions("reasoning-gym")], sort_keys=True))

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        if split not in SPLITS:
            raise BadInput(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        config = self._config(level)
        for draw in range(MAX_DRAWS):
            seed = hash_of("gym", self.dataset, config, self.seed, split, level, index, draw) % 2**32
            _, entry = _draw(self.dataset, config, seed)
            if split_of(entry["question"]) == split:
                id_ = f"{self.dataset}/{split}/{level}/{index}/{seed}"
                depth, group = (None, level) if isinstance(level, str) else (level, None)
                return Problem(id_, entry["question"], _text(entry["answer"]), split, depth, group)
        raise BadInput(f"{self.name} has too few questions at level {level!r}: none of {MAX_DRAWS} draws is of {split}")

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        return [self.problem(split, level, start + i) for i in range(n)]

    def verify(self, problem: Problem, completion: str) -> Verdict:
        dataset, entry = self._redraw(problem)
        trace = annotate(completion, problem.prompt, lambda text: 0 < len(text) <= MAX_ANSWER)
        spellings = () if trace.answer is None else (trace.answer.raw, trace.answer.text)
        correct = any(is_right(self.dataset, dataset, entry, answer) for answer in spellings)
        return verdict_of_trace(problem, completion, trace, correct)

    def _config(self, level: int | str | None) -> str:
        """The dataset's config at a level, as JSON, so that it can be a cache key."""
        if level is not None and level not in self.level_configs:
            levels = ", ".join(map(repr, self.level_configs)) or "none"
            raise BadInput(f"{self.name} has no level {level!r}; it has {levels}. Define it in `level_configs`")
        return json.dumps({**self.config, **(self.level_configs[level] if level is not None else {})}, sort_keys=True)

    def _redraw(self, problem: Problem) -> tuple[Any, dict[str, Any]]:
        """The dataset and entry behind `problem`, drawn again from the seed in its id."""
        key = re.fullmatch(r"(.+?)/\w+/(.+)/\d+/(\d+)", problem.id, re.ASCII)
        if key is not None and key[1] == self.dataset:
            level = next((level for level in self.level_configs if str(level) == key[2]), None)
            dataset, entry = _draw(self.dataset, self._config(level), int(key[3]))
            if entry["question"] == problem.prompt:
                return dataset, entry
        raise BadInput(
            f"{self.name}: expected a problem of this task, with this config; got {problem.id!r}, which has another "
            "question when drawn again. (Some datasets differ between processes: fix PYTHONHASHSEED for those.)"
        )


def split_of(question: str) -> str:
    """The split of a question, by hash. All splits are equally large, since a rare split would cost many draws."""
    return SPLITS[hash_of("gym split", " ".join(question.split())) % len(SPLITS)]


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else "" if answer is None else str(answer)


@lru_cache(maxsize=1024)
def _draw(dataset: str, config: str, seed: int) -> tuple[Any, dict[str, Any]]:
    """The one-item dataset of a seed, and its item. A dataset that does not accept its own answer is refused."""
    one_item = _dataset(dataset, config, seed)
    entry = one_item[0]
    if entry["answer"] is not None and one_item.score_answer(entry["answer"], entry) != 1.0:
        raise BadInput(
            f"reasoning-gym {dataset!r} does not give its own answer the full score (seed {seed}): choose another"
        )
    return one_item, entry


def _dataset(dataset: str, config: str, seed: int) -> Any:
    factory = _factory()
    if dataset not in factory.DATASETS:
        near = difflib.get_close_matches(dataset, factory.DATASETS, 3) or sorted(factory.DATASETS)[:3]
        raise BadInput(f"reasoning-gym has no dataset {dataset!r}; did you mean {' or '.join(near)}?")
    try:
        return factory.create_dataset(dataset, **json.loads(config), seed=seed, size=1)
    except (AttributeError, TypeError, AssertionError, ValueError) as error:
        options = ", ".join(factory.DATASETS[dataset][1].__dataclass_fields__)
        raise BadInput(
            f"reasoning-gym {dataset!r} refuses the config {config}: {error}. Its options: {options}"
        ) from error


def _factory() -> Any:
    try:
        from reasoning_gym import factory
    except ImportError as error:
        raise BadInput("reasoning-gym is not installed: pip install 'interp[gym]'") from error
    return factory
