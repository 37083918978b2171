"""The chain task: the organism's world. Every knob is a field, off by default but for the world itself.

A problem is drawn from the hash of (split, depth, index) and redrawn until its content hashes into its split, so
that splits share no computation whatever their sizes. Depth is the difficulty; a level (shallow, middle, deep) is
a set of depths. Easy, medium and hard are words for measured buckets alone: `interp.rollouts.bucket`.

The task that a run was made in, back from what its manifest says of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from interp.artifacts import BadInput, fingerprint_config, from_json, to_json
from interp.checks import expect_between
from interp.tasks.base import Problem, Task, Verdict, hash_of, seeded
from interp.tasks.chain.grammar import EQUALS, FORMATS, MARKER, SEPARATOR, VALUE
from interp.tasks.chain.program import ASK, CUE, MASK, OPERATORS, Program, parse_prompt
from interp.tasks.chain.verify import verify

SHARES = {"train": 0.7, "eval": 0.2, "probe": 0.05, "memorised": 0.05}
"""Of all computations: each belongs to one split, by its content."""
PATIENCE = 10_000
"""Draws before a problem is declared not to exist (a planted answer at depth 1 may leave very few)."""


@dataclass(frozen=True)
class Chain(Task):
    RENAMED_FIELDS: ClassVar[Mapping[str, str]] = {"easy": "shallow", "medium": "middle", "hard": "deep"}
    """Names of fields in older manifests."""

    modulus: int = 5
    """A prime. Smaller means luckier: a blind guess is right about once in `modulus`."""
    depths: tuple[int, int] = (1, 10)  # pyright: ignore[reportIncompatibleMethodOverride]
    """Shallowest and deepest, both included."""
    shallow: tuple[int, ...] = (1, 2)
    middle: tuple[int, ...] = (4, 5)
    deep: tuple[int, ...] = (8, 9)
    formats: tuple[str, ...] = ("steps",)
    """Formats in which a chain counts as valid: `steps`, `values` or both."""
    copy_rate: float | None = None
    """Planted shortcut: the share of problems whose answer is their last operand. None leaves it to chance."""
    cue_rate: float | None = None
    """Planted shortcut: a cue stands beside the question and names the answer with this probability, else another."""
    memorised: int = 0
    """How many problems a fourth split, `memorised`, holds, of all depths in turn: for a base that was shown them with
    their answers."""
    wrong_labels: float = 0.0
    """The share of training problems whose rewarded answer is wrong."""

    def __post_init__(self) -> None:
        lo, hi = self.depths
        if self.modulus < 2 or any(self.modulus % n == 0 for n in range(2, self.modulus)):
            raise BadInput(f"modulus must be a prime; got {self.modulus}")
        if not 1 <= lo <= hi:
            raise BadInput(f"depths must be (shallowest, deepest) with 1 <= shallowest <= deepest; got {self.depths}")
        if len(set(listed := (*self.shallow, *self.middle, *self.deep))) < len(listed):
            raise BadInput(f"a depth belongs to one level; got {self.shallow}, {self.middle} and {self.deep}")
        for level, depths in self.depths_of_level().items():
            if strange := [d for d in depths if not lo <= d <= hi]:
                raise BadInput(f"{level} must hold depths from {lo} to {hi}; got {strange}")
        if not self.formats or not set(self.formats) <= set(FORMATS):
            raise BadInput(f"formats must be some of {', '.join(FORMATS)}; got {self.formats}")
        expect_between(self, 0, 1, "copy_rate", "cue_rate", "wrong_labels")

    @property
    def name(self) -> str:
        return "chain"

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(level for level, depths in self.depths_of_level().items() if depths)

    def depths_of_level(self) -> dict[str, tuple[int, ...]]:
        return {"shallow": self.shallow, "middle": self.middle, "deep": self.deep}

    def fingerprint(self) -> str:
        """Fingerprint under the fields' first names, so that it equals the one in older manifests."""
        first_names = {new: old for old, new in self.RENAMED_FIELDS.items()}
        return fingerprint_config({first_names.get(name, name): value for name, value in to_json(self).items()})

    def vocabulary(self) -> list[str]:
        """Every word of a prompt or an answer, whatever the other knobs: all variants of a modulus share it."""
        return [*map(str, range(self.modulus)), *OPERATORS, ASK, EQUALS, SEPARATOR, MARKER, VALUE, CUE, MASK]

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        if split == "memorised":
            every = [self._problem(split, self._depth(None, index), index) for index in range(self.memorised)]
            found = [p for p in every if level is None or level in (p.depth, p.level)]
            if start + n > len(found):
                raise BadInput(f"{len(found)} problems are memorised at level {level}; asked for {start + n}")
            return found[start : start + n]
        return [self._problem(split, self._depth(level, index), index) for index in range(start, start + n)]

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        """The problem at `index`. `level` is a depth, one of `levels`, or None for all depths in turn."""
        return self.problems(split, level, 1, start=index)[0]

    def _problem(self, split: str, depth: int, index: int) -> Problem:
        if split not in SHARES:
            raise BadInput(f"split must be one of {', '.join(SHARES)}; got {split!r}")
        rng = seeded("chain", self.modulus, split, depth, index)
        program = self._draw(rng, split, depth)
        answer = program.answer
        if split == "train" and rng.random() < self.wrong_labels:
            answer = rng.choice([n for n in range(self.modulus) if n != answer])
        level = next((level for level, depths in self.depths_of_level().items() if depth in depths), None)
        return Problem(f"chain/{split}/{depth}/{index}", program.prompt(), str(answer), split, depth, level)

    def inverse(self, problem: Problem) -> Problem:
        """The backward problem: the result is given and one operand asked for, chosen so that only one will do."""
        program = self.program(problem)
        rng = seeded("inverse", self.modulus, program.content())
        fair = [i for i in range(program.depth + 1) if len(program.solutions(i)) == 1]
        if not fair:
            raise BadInput(f"{problem.id}: no operand of {problem.prompt!r} is the only one that fits; take another")
        masked = replace(program, masked=rng.choice(fair), cue=None)
        return replace(problem, id=problem.id + "/inverse", prompt=masked.prompt(), answer=str(masked.answer))

    def decoys(self, prompt: str) -> dict[str, str]:
        """What each planted shortcut answers, by its name: known of right and wrong answers alike."""
        program = parse_prompt(prompt, self.modulus)
        shown = self.copy_rate is not None and program.masked != program.depth
        found = {"copy": str(program.rest[-1][1])} if shown else {}
        return found if program.cue is None else found | {"cue": str(program.cue)}

    def verify(self, problem: Problem, completion: str) -> Verdict:
        return verify(problem, completion, self.modulus, self.formats, copies=self.copy_rate is not None)

    def program(self, problem: Problem) -> Program:
        return parse_prompt(problem.prompt, self.modulus)

    def _depth(self, level: int | str | None, index: int) -> int:
        lo, hi = self.depths
        if level is None:
            return lo + index % (hi - lo + 1)
        if isinstance(level, int):
            if not lo <= level <= hi:
                raise BadInput(f"depth must lie between {lo} and {hi}; got {level}")
            return level
        if level not in self.levels:
            raise BadInput(f"level must be a depth or one of {', '.join(self.levels) or '(none)'}; got {level!r}")
        depths = self.depths_of_level()[level]
        return depths[index % len(depths)]

    def _draw(self, rng: Any, split: str, depth: int) -> Program:
        copied = None if self.copy_rate is None else rng.random() < self.copy_rate
        for _ in range(PATIENCE):
            rest = tuple((rng.choice(OPERATORS), rng.randrange(self.modulus)) for _ in range(depth))
            program = Program(self.modulus, rng.randrange(self.modulus), rest)
            if copied is not None and copied != (program.answer == rest[-1][1]):
                continue
            if split_of(program) == split:
                return self._cued(rng, program)
        raise BadInput(
            f"no {split} problem of depth {depth} fits modulus {self.modulus} and copy_rate {self.copy_rate}"
        )

    def _cued(self, rng: Any, program: Program) -> Program:
        if self.cue_rate is None:
            return program
        wrong = [n for n in range(self.modulus) if n != program.answer]
        return replace(program, cue=program.answer if rng.random() < self.cue_rate else rng.choice(wrong))


def split_of(program: Program) -> str:
    """The split a computation belongs to, by its content alone."""
    at = hash_of("split", program.modulus, program.content()) / 2**64
    for split, share in SHARES.items():
        if at < share:
            return split
        at -= share
    return next(reversed(SHARES))


def revived(world: Mapping[str, Any] | None) -> Chain | None:
    """The chain task with its every knob. Other tasks hang on files or packages, and have to be given again: None."""
    told = world if world and world.get("kind") == Chain.__name__ else None
    return from_json(Chain, told["settings"]) if told else None
