"""The words task: English word problems with checkable steps, and shortcuts that can be planted with a known rate.

A problem is drawn from the hash of (split, depth, index); draws are repeated until the hash of the computation assigns
it to that split. So splits share no computation, whatever their sizes. Difficulty is depth, the number of changes. A
level (shallow, middle, deep) is a set of depths.

Every option is a field. The defaults plant nothing.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Annotated

from interp.artifacts import BadInput, fingerprint_config, to_json
from interp.checks import Range, Share, expect_plausible
from interp.tasks.base import Problem, Task, Verdict, hash_of, seeded_rng
from interp.tasks.chain.verify import verdict_on
from interp.tasks.depth_levels import depth_at, expect_levels, level_of
from interp.tasks.words.backward import TEMPLATES, backward_story
from interp.tasks.words.completions import parse_solution
from interp.tasks.words.phrases import CUE, DISTRACTORS, NAMES, REMARKS, THINGS, Thing, fill
from interp.tasks.words.story import OPERATORS, Story, apply, content_of, parse_story

SPLIT_SHARES = {"train": 0.7, "eval": 0.2, "probe": 0.1}
"""Share of all computations that belongs to each split."""
MULTIPLES = (2, 3)
MAX_DRAWS = 10_000
"""Draws before a problem counts as impossible (a planted copy at depth 1 may leave very few)."""

WordsDepth = Annotated[int, Range(1, 100)]
Operations = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Words(Task):
    """English word problems about a number that changes."""

    largest: Annotated[int, Range(5, 999)] = 20
    """The largest number: every running value lies between 0 and it."""
    largest_change: Annotated[int, Range(1, 999)] = 9
    """The most that one sentence adds or takes away."""
    depths: tuple[WordsDepth, WordsDepth] = (1, 8)  # pyright: ignore[reportIncompatibleMethodOverride]
    """Smallest and largest depth, both included."""
    shallow: tuple[WordsDepth, ...] = (1, 2)
    """Depths of the level `shallow`."""
    middle: tuple[WordsDepth, ...] = (4, 5)
    """Depths of the level `middle`."""
    deep: tuple[WordsDepth, ...] = (7, 8)
    """Depths of the level `deep`."""
    remark_rate: Share = 0.1
    """Probability that a sentence is followed by one that does not matter."""
    distractor_rate: Share = 0.1
    """Probability that a sentence is followed by one with a number that does not matter."""
    copy_rate: Share | None = None
    """Planted shortcut: share of problems whose answer is the last number of the prompt. None leaves it to chance."""
    cue_rate: Share | None = None
    """Planted shortcut: probability that the answer is `cue_answer` where the cue is present, in half of the problems.
    None: no problem has the cue."""
    cue_answer: Annotated[int, Range(0, 999)] = 10
    """The answer that the cue predicts."""
    wrong_labels: Share = 0.0
    """Share of training problems whose rewarded answer is wrong."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        expect_levels(self.depths, self.depths_of_level())
        if self.cue_answer > self.largest:
            raise BadInput(f"cue_answer must be at most largest, {self.largest}; got {self.cue_answer}")

    @property
    def name(self) -> str:
        return "words"

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(level for level, depths in self.depths_of_level().items() if depths)

    def depths_of_level(self) -> dict[str, tuple[int, ...]]:
        """The depths of each level, easiest level first."""
        return {"shallow": self.shallow, "middle": self.middle, "deep": self.deep}

    def fingerprint(self) -> str:
        """Fingerprint of all options."""
        return fingerprint_config({"words": to_json(self)})

    # --- problems ------------------------------------------------------------------------------------------------

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        """The problem at `index`. `level` is a depth, one of `levels`, or None for all depths in turn."""
        return self.problems(split, level, 1, start=index)[0]

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        """The `n` problems from index `start` on."""
        return [self._problem(split, self._depth(level, index), index) for index in range(start, start + n)]

    def backward(self, problem: Problem) -> list[Problem]:
        """Every backward problem of a problem: each number that alone fits is asked for, in both templates. The list is
        empty for a problem that is backward itself."""
        story = self.program(problem)
        if story.masked_index is not None:
            return []
        stories = {
            f"{problem.id}/backward-{template}/{index}": backward_story(story, index, template)
            for index in range(story.depth + 1)
            for template in TEMPLATES
        }
        return [
            replace(problem, id=name, prompt=masked.prompt(), answer=str(masked.answer))
            for name, masked in stories.items()
            if masked is not None
        ]

    def program(self, problem: Problem) -> Story:
        """The computation that the problem states."""
        return parse_story(problem.prompt, self.cue_answer)

    def decoys(self, prompt: str) -> dict[str, str]:
        """Answer of each planted shortcut (`copy`, `cue`) to the prompt, right or wrong."""
        story = parse_story(prompt, self.cue_answer)
        answers = {} if self.copy_rate is None else {"copy": str(story.copied)}
        return answers if story.cue is None else answers | {"cue": str(story.cue)}

    def verify(self, problem: Problem, completion: str) -> Verdict:
        parsed = parse_solution(completion)
        copies = self.copy_rate is not None
        return verdict_on(self.program(problem), problem.answer, parsed, formats=("steps",), copies=copies)

    # --- drawing -------------------------------------------------------------------------------------------------

    def _depth(self, level: int | str | None, index: int) -> int:
        return depth_at(level, index, self.depths, self.depths_of_level())

    def _problem(self, split: str, depth: int, index: int) -> Problem:
        if split not in SPLIT_SHARES:
            raise BadInput(f"split must be one of {', '.join(SPLIT_SHARES)}; got {split!r}")
        rng = seeded_rng("words", self.largest, self.largest_change, split, depth, index)
        story = self._draw(rng, split, depth)
        answer = story.answer
        if split == "train" and rng.random() < self.wrong_labels:
            answer = rng.choice([n for n in range(self.largest + 1) if n != answer])
        level = level_of(depth, self.depths_of_level())
        return Problem(f"words/{split}/{depth}/{index}", story.prompt(), str(answer), split, depth, level)

    def _draw(self, rng: Random, split: str, depth: int) -> Story:
        has_cue = self.cue_rate is not None and rng.random() < 0.5
        cue_is_right = rng.random() < (self.cue_rate or 0) if has_cue else None
        copy_is_right = None if self.copy_rate is None else rng.random() < self.copy_rate
        for _ in range(MAX_DRAWS):
            start, operations = self._draw_computation(rng, depth)
            if self.split_of(start, operations) != split:
                continue
            story = self._tell(rng, start, operations, has_cue=has_cue)
            if cue_is_right not in (None, story.answer == self.cue_answer):
                continue
            if copy_is_right in (None, story.answer == story.copied):
                return story
        raise BadInput(
            f"no {split} problem of depth {depth} fits largest {self.largest}, largest_change {self.largest_change}, "
            f"copy_rate {self.copy_rate} and cue_rate {self.cue_rate}"
        )

    def _draw_computation(self, rng: Random, depth: int) -> tuple[int, Operations]:
        start = value = rng.randint(1, self.largest)
        operations = []
        for _ in range(depth):
            limits = {"+": min(self.largest - value, self.largest_change), "-": min(value, self.largest_change)}
            multiples = [n for n in MULTIPLES if 0 < value * n <= self.largest]
            possible = [op for op in OPERATORS if (multiples if op == "*" else limits[op] > 0)]
            op = rng.choice(possible)
            operand = rng.choice(multiples) if op == "*" else rng.randint(1, limits[op])
            operations.append((op, operand))
            value = apply(op, value, operand)
        return start, tuple(operations)

    def split_of(self, start: int, operations: Operations) -> str:
        """The split of a computation, by the hash of its content alone."""
        quantile = hash_of("words split", content_of(start, operations)) / 2**64
        for split, share in SPLIT_SHARES.items():
            if quantile < share:
                return split
            quantile -= share
        return next(reversed(SPLIT_SHARES))

    def _tell(self, rng: Random, start: int, operations: Operations, *, has_cue: bool) -> Story:
        thing, name = rng.choice(THINGS), rng.choice(NAMES)
        sentences: list[str] = []
        stated: list[str] = []
        for sentence, number in [(rng.choice(thing.start), start), *_changes(rng, thing, operations)]:
            stated.append(fill(sentence, name=name, other=_other(rng, name), n=number))
            sentences.append(stated[-1])
            if rng.random() < self.remark_rate:
                sentences.append(fill(rng.choice(REMARKS), name=name, other=_other(rng, name)))
            if rng.random() < self.distractor_rate:
                number = rng.randint(1, self.largest)
                sentences.append(fill(rng.choice(DISTRACTORS), name=name, other=_other(rng, name), n=number))
        sentences += [CUE] if has_cue else []
        sentences.append(fill(thing.question, name=name))
        cue = self.cue_answer if has_cue else None
        return Story(name, thing.unit, start, operations, tuple(sentences), tuple(stated[1:]), cue)


def _changes(rng: Random, thing: Thing, operations: Operations) -> list[tuple[str, int]]:
    return [(rng.choice(thing.changes(op)), operand) for op, operand in operations]


def _other(rng: Random, name: str) -> str:
    return rng.choice([other for other in NAMES if other != name])
