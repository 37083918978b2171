"""The chain task: modular arithmetic with checkable steps, and shortcuts that can be planted with a known success rate.

A problem is drawn from the hash of (split, depth, index); draws are repeated until the hash of the content assigns it
to that split. So splits share no computation, whatever their sizes. Difficulty is depth, the number of operations. A
level (shallow, middle, deep) is a set of depths. Easy, medium and hard are measured buckets (`interp.rollouts.bucket`).

Every option is a field. The defaults plant nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, Any, ClassVar

from interp.artifacts import BadInput, fingerprint_config, from_json, to_json
from interp.checks import Name, Range, Share, expect_plausible
from interp.tasks.base import Problem, Task, Verdict, hash_of, seeded_rng
from interp.tasks.chain.completions import EQUALS, FORMATS, SEPARATOR, VALUE
from interp.tasks.chain.edits import STEPS, Edit, Style, edits
from interp.tasks.chain.program import ASK, CUE, MARKER, MASK, OPERATORS, Program, parse_prompt
from interp.tasks.chain.verify import verify
from interp.tasks.depth_levels import depth_at, expect_levels, level_of

SPLIT_SHARES = {"train": 0.7, "eval": 0.2, "probe": 0.05, "memorised": 0.05}
"""Share of all computations that belongs to each split."""
MAX_DRAWS = 10_000
"""Draws before a problem counts as impossible (a planted copy at depth 1 may leave very few)."""

ChainDepth = Annotated[int, Range(1, 1000)]


@dataclass(frozen=True)
class Chain(Task):
    """Chains of arithmetic modulo a prime."""

    RENAMED_FIELDS: ClassVar[Mapping[str, str]] = {"easy": "shallow", "medium": "middle", "hard": "deep"}
    """Field names in older manifests, and their present names."""

    modulus: Annotated[int, Range(2, 10_000)] = 5
    """A prime. A blind guess is right about once in `modulus`."""
    depths: tuple[ChainDepth, ChainDepth] = (1, 10)  # pyright: ignore[reportIncompatibleMethodOverride]
    """Smallest and largest depth, both included."""
    shallow: tuple[ChainDepth, ...] = (1, 2)
    """Depths of the level `shallow`."""
    middle: tuple[ChainDepth, ...] = (4, 5)
    """Depths of the level `middle`."""
    deep: tuple[ChainDepth, ...] = (8, 9)
    """Depths of the level `deep`."""
    formats: tuple[Name, ...] = ("steps",)
    """Formats that count as valid: `steps`, `values` or both."""
    copy_rate: Share | None = None
    """Planted shortcut: share of problems whose answer is their last operand. None leaves it to chance."""
    cue_rate: Share | None = None
    """Planted shortcut: probability that a cue beside the question is the answer. None shows no cue."""
    memorised: Annotated[int, Range(0, 100_000)] = 0
    """Size of a fourth split, `memorised`, of all depths in turn, for a base trained on these problems' answers."""
    wrong_labels: Share = 0.0
    """Share of training problems whose rewarded answer is wrong."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        if any(self.modulus % n == 0 for n in range(2, self.modulus)):
            raise BadInput(f"modulus must be a prime; got {self.modulus}")
        expect_levels(self.depths, self.depths_of_level())
        if not self.formats or not set(self.formats) <= set(FORMATS):
            raise BadInput(f"formats must be some of {', '.join(FORMATS)}; got {self.formats}")

    @property
    def name(self) -> str:
        return "chain"

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(level for level, depths in self.depths_of_level().items() if depths)

    def depths_of_level(self) -> dict[str, tuple[int, ...]]:
        """The depths of each level, easiest level first."""
        return {"shallow": self.shallow, "middle": self.middle, "deep": self.deep}

    def fingerprint(self) -> str:
        """Fingerprint of all options. Renamed fields enter under their old names: it equals that in older manifests."""
        old_names = {new: old for old, new in self.RENAMED_FIELDS.items()}
        return fingerprint_config({old_names.get(name, name): value for name, value in to_json(self).items()})

    def vocabulary(self) -> list[str]:
        """Every word of a prompt or an answer. Chains of one modulus share it, whatever their other options."""
        return [*map(str, range(self.modulus)), *OPERATORS, ASK, EQUALS, SEPARATOR, MARKER, VALUE, CUE, MASK]

    # --- problems ------------------------------------------------------------------------------------------------

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        """The problem at `index`. `level` is a depth, one of `levels`, or None for all depths in turn."""
        return self.problems(split, level, 1, start=index)[0]

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        """The `n` problems from index `start` on."""
        if split != "memorised":
            return [self._problem(split, self._depth(level, index), index) for index in range(start, start + n)]
        memorised = [self._problem(split, self._depth(None, index), index) for index in range(self.memorised)]
        chosen = [problem for problem in memorised if level is None or level in (problem.depth, problem.level)]
        if start + n > len(chosen):
            raise BadInput(f"{len(chosen)} problems are memorised at level {level}; asked for {start + n}")
        return chosen[start : start + n]

    def inverse(self, problem: Problem) -> Problem:
        """The inverse problem: the result is given and one number is asked for. Exactly one number fits."""
        program = self.program(problem)
        rng = seeded_rng("inverse", self.modulus, program.content())
        if not (fair := program.fair_indices()):
            raise BadInput(f"{problem.id}: no number in {problem.prompt!r} is the only one that fits; take another")
        return _inverse_problem(problem, program.inverse(rng.choice(fair)), "inverse")

    def backward(self, problem: Problem) -> list[Problem]:
        """Every inverse problem of a problem: each number that alone fits is asked for, in both templates. The list is
        empty where none does, and for a problem that is inverse itself."""
        program = self.program(problem)
        if program.masked_index is not None:
            return []
        return [
            _inverse_problem(problem, program.inverse(index, keeps_question=keeps_question), f"{name}/{index}")
            for index in program.fair_indices()
            for name, keeps_question in (("backward-result", False), ("backward-question", True))
        ]

    def edits(self, problem: Problem, completion: str | None = None) -> list[Edit]:
        """Its worked chain with one thing changed, in every way and at every step, written as `completion` is."""
        style = STEPS if completion is None else Style.of(completion, self.modulus)
        return list(edits(self.program(problem), seeded_rng("edits", self.modulus, problem.prompt), style))

    def program(self, problem: Problem) -> Program:
        """The computation that the problem states."""
        return parse_prompt(problem.prompt, self.modulus)

    def decoys(self, prompt: str) -> dict[str, str]:
        """Answer of each planted shortcut (`copy`, `cue`) to the prompt, right or wrong."""
        program = parse_prompt(prompt, self.modulus)
        copies = self.copy_rate is not None and program.masked_index != program.depth
        answers = {"copy": str(program.operations[-1][1])} if copies else {}
        return answers if program.cue is None else answers | {"cue": str(program.cue)}

    def verify(self, problem: Problem, completion: str) -> Verdict:
        return verify(problem, completion, self.modulus, self.formats, copies=self.copy_rate is not None)

    # --- drawing -------------------------------------------------------------------------------------------------

    def _depth(self, level: int | str | None, index: int) -> int:
        return depth_at(level, index, self.depths, self.depths_of_level())

    def _problem(self, split: str, depth: int, index: int) -> Problem:
        if split not in SPLIT_SHARES:
            raise BadInput(f"split must be one of {', '.join(SPLIT_SHARES)}; got {split!r}")
        rng = seeded_rng("chain", self.modulus, split, depth, index)
        program = self._draw(rng, split, depth)
        answer = program.answer
        if split == "train" and rng.random() < self.wrong_labels:
            answer = rng.choice([n for n in range(self.modulus) if n != answer])
        level = level_of(depth, self.depths_of_level())
        return Problem(f"chain/{split}/{depth}/{index}", program.prompt(), str(answer), split, depth, level)

    def _draw(self, rng: Random, split: str, depth: int) -> Program:
        answer_is_last_operand = None if self.copy_rate is None else rng.random() < self.copy_rate
        for _ in range(MAX_DRAWS):
            operations = tuple((rng.choice(OPERATORS), rng.randrange(self.modulus)) for _ in range(depth))
            program = Program(self.modulus, rng.randrange(self.modulus), operations)
            if answer_is_last_operand not in (None, program.answer == operations[-1][1]):
                continue
            if split_of(program) == split:
                return self._with_cue(rng, program)
        raise BadInput(
            f"no {split} problem of depth {depth} fits modulus {self.modulus} and copy_rate {self.copy_rate}"
        )

    def _with_cue(self, rng: Random, program: Program) -> Program:
        if self.cue_rate is None:
            return program
        wrong = [n for n in range(self.modulus) if n != program.answer]
        return replace(program, cue=program.answer if rng.random() < self.cue_rate else rng.choice(wrong))


def _inverse_problem(problem: Problem, inverse: Program, name: str) -> Problem:
    return replace(problem, id=f"{problem.id}/{name}", prompt=inverse.prompt(), answer=str(inverse.answer))


def split_of(program: Program) -> str:
    """The split of a computation, by the hash of its content alone."""
    quantile = hash_of("split", program.modulus, program.content()) / 2**64
    for split, share in SPLIT_SHARES.items():
        if quantile < share:
            return split
        quantile -= share
    return next(reversed(SPLIT_SHARES))


def task_from_manifest(entry: Mapping[str, Any] | None) -> Chain | None:
    """The chain task of a run, from the entry of its manifest that describes the task.

    None for any other task: those depend on files or packages, so the user must pass them again.
    """
    if not entry or entry.get("kind") != Chain.__name__:
        return None
    return from_json(Chain, entry["settings"])
