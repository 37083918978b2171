"""Any reasoning-gym dataset as a task (`pip install 'interp[gym]'`).

Three things are done otherwise than there. Items of a dataset use `Random(seed + index)`, so that two seeds share most
of their items: here every problem is item 0 of a dataset with a seed of its own, from the hash of its key. Splits are
disjoint by content: a hash of the question decides where it belongs, and a draw that belongs elsewhere is repeated.
And the default score pays for any text that *contains* the answer: here an answer is extracted first, and is correct
only with the full score of 1.

Some scorers run `eval` or sympy's parser on the answer; those get it only after it has passed a whitelist (`harmless`).
"""

import difflib
import inspect
import json
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from interp.artifacts import BadInput, fingerprint, to_json, versions
from interp.tasks.base import SPLITS, Problem, Task, Verdict, hash_of
from interp.tasks.text.harmless import is_harmless
from interp.tasks.text.verdicts import verdict_on
from interp.tasks.traces import annotate

MAX_DRAWS, MAX_ANSWER = 300, 5000
_RUNS_ANSWERS = re.compile(r"(?<![\w.])(?:eval|exec)\(|\b(?:sympy|sp)\.(?:parse_expr|sympify)|import parse_expr")
# How a scorer of reasoning-gym says that it cannot read an answer. Its own soundness is checked on the true answer.
_CANNOT_READ = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NameError, SyntaxError, TypeError, ValueError),
    tokenize.TokenError,
)


@dataclass(frozen=True)
class GymTask(Task):
    dataset: str
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of the dataset, at every level."""
    level_configs: Mapping[int | str, Mapping[str, Any]] = field(default_factory=dict)
    """What each level adds to `config`, by depth or by name: `{1: {"max_terms": 2}, 2: {"max_terms": 4}}`."""

    @property
    def name(self) -> str:
        return f"gym:{self.dataset}"

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(level for level in self.level_configs if isinstance(level, str))

    def fingerprint(self) -> str:
        """Of the task, and of the reasoning-gym at hand: another version may draw or score otherwise."""
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
        made, entry = self._drawn(problem)
        trace = annotate(completion, problem.prompt, lambda text: 0 < len(text) <= MAX_ANSWER)
        shown = () if trace.answer is None else (trace.answer.raw, trace.answer.text)
        return verdict_on(problem, completion, trace, any(self._is_right(made, entry, answer) for answer in shown))

    def _is_right(self, made: Any, entry: dict[str, Any], answer: str) -> bool:
        if answer == entry["answer"]:
            return True
        if any(not sign.isascii() and (sign.isdigit() or not sign.isprintable()) for sign in answer):
            return False  # `int` reads the digits of every script
        if _runs_answers(self.dataset) and not is_harmless(answer):
            return False
        try:
            return made.score_answer(answer, entry) == 1.0
        except _CANNOT_READ:
            return False

    def _config(self, level: int | str | None) -> str:
        """As JSON, so that it can be a key."""
        if level is not None and level not in self.level_configs:
            known = ", ".join(map(repr, self.level_configs)) or "none"
            raise BadInput(f"{self.name} has no level {level!r}; it has {known}. Say in `level_configs` what it means")
        return json.dumps({**self.config, **(self.level_configs[level] if level is not None else {})}, sort_keys=True)

    def _drawn(self, problem: Problem) -> tuple[Any, dict[str, Any]]:
        """The dataset and entry that `problem` was made from, drawn again from the seed in its id."""
        key = re.fullmatch(r"(.+?)/\w+/(.+)/\d+/(\d+)", problem.id, re.ASCII)
        if key is not None and key[1] == self.dataset:
            level = next((level for level in self.level_configs if str(level) == key[2]), None)
            made, entry = _draw(self.dataset, self._config(level), int(key[3]))
            if entry["question"] == problem.prompt:
                return made, entry
        raise BadInput(
            f"{self.name}: expected a problem of this task, with this config; got {problem.id!r}, which reads "
            "otherwise when drawn again. (Some datasets differ from process to process: fix PYTHONHASHSEED for those.)"
        )


def split_of(question: str) -> str:
    """In thirds: problems never run out here, and a rarer split would only cost more draws."""
    return SPLITS[hash_of("gym split", " ".join(question.split())) % len(SPLITS)]


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else "" if answer is None else str(answer)


@lru_cache(maxsize=1024)
def _draw(dataset: str, config: str, seed: int) -> tuple[Any, dict[str, Any]]:
    made = _dataset(dataset, config, seed)
    entry = made[0]
    if entry["answer"] is not None and made.score_answer(entry["answer"], entry) != 1.0:
        raise BadInput(f"reasoning-gym {dataset!r} does not give its own answer the full score (seed {seed})")
    return made, entry


def _dataset(dataset: str, config: str, seed: int) -> Any:
    factory = _factory()
    if dataset not in factory.DATASETS:
        near = difflib.get_close_matches(dataset, factory.DATASETS, 3) or sorted(factory.DATASETS)[:3]
        raise BadInput(f"reasoning-gym has no dataset {dataset!r}; did you mean {' or '.join(near)}?")
    try:
        return factory.create_dataset(dataset, **json.loads(config), seed=seed, size=1)
    except (TypeError, AssertionError, ValueError) as error:
        known = ", ".join(factory.DATASETS[dataset][1].__dataclass_fields__)
        raise BadInput(f"reasoning-gym {dataset!r} refuses the config {config}: {error}. It knows {known}") from error


@lru_cache(maxsize=128)
def _runs_answers(dataset: str) -> bool:
    module = inspect.getmodule(_factory().DATASETS[dataset][0])
    return module is None or _RUNS_ANSWERS.search(inspect.getsource(module)) is not None


def _factory() -> Any:
    try:
        from reasoning_gym import factory
    except ImportError as error:
        raise BadInput("reasoning-gym is not installed: pip install 'interp[gym]'") from error
    return factory
