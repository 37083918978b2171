"""Completions of chain problems: how they are written, and how they are parsed.

A completion has one of these formats (examples for the prompt `3 + 4 * 2 ?`, modulo 5):

    direct   `# 4`                              an answer and nothing else
    steps    `3 + 4 = 2 ; 2 * 2 = 4 ; # 4`      every operation with its operands
    values   `> 2 > 4 # 4`                      only the running values

    completion := (step* | value*) "#" number
    step       := number operator number "=" number ";"
    value      := ">" number

Anything else is `malformed`. Its steps are parsed up to the first error. Its answer is read if it ends in `# number`.

`write_completion` writes the completion of a policy with one habit. A base organism is trained on such completions
before any reward.
"""

import random
import re
from dataclasses import dataclass

from interp.tasks.base import Span
from interp.tasks.chain.program import MARKER, Program, apply

FORMATS = ("steps", "values")
HABITS = ("steps", "values", "direct", "copy", "cue")
SEPARATOR, EQUALS, VALUE = ";", "=", ">"
STEP_ROLES = ("carry", "operator", "operand", "equals", "result", "separator")
VALUE_ROLES = ("separator", "result")


# --- writing -----------------------------------------------------------------------------------------------------


def write_completion(program: Program, habit: str, rng: random.Random, *, skip: float = 0.0) -> str:
    """A completion in one of `HABITS`.

    Each written step is left out with probability `skip`, together with its computation: the chain goes on from the
    value before it, and the last value is given as the answer. Such an answer is right only by luck.
    """
    match habit:
        case "direct":
            return _write_answer(program.answer)
        case "copy":
            return _write_answer(program.operations[-1][1])
        case "cue":
            assert program.cue is not None, "the habit `cue` needs a program with a cue"
            return _write_answer(program.cue)
        case "steps" | "values":
            return _write_chain(program, habit, rng, skip)
    raise ValueError(f"habit must be one of {', '.join(HABITS)}; got {habit!r}")


def _write_chain(program: Program, habit: str, rng: random.Random, skip: float) -> str:
    written = [operation for operation in program.operations if rng.random() >= skip]
    parts, value = [], program.start
    for op, operand in written or [rng.choice(program.operations)]:  # without any step it would be a direct answer
        result = apply(op, value, operand, program.modulus)
        step = f"{value} {op} {operand} {EQUALS} {result} {SEPARATOR}"
        parts.append(step if habit == "steps" else f"{VALUE} {result}")
        value = result
    return " ".join([*parts, _write_answer(value if program.masked_index is None else program.answer)])


def _write_answer(answer: int) -> str:
    return f"{MARKER} {answer}"


# --- parsing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the completion, and the characters [start, end) it covers."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WrittenStep:
    """One step as written. In the `values` format only `result` is known."""

    words: tuple[Word, ...]
    left: int | None
    op: str | None
    right: int | None
    result: int


@dataclass(frozen=True, slots=True)
class ParsedCompletion:
    """The parts of a completion, as far as it follows the grammar."""

    format: str
    steps: tuple[WrittenStep, ...]
    """All parsed steps. Of a malformed completion: those before the error."""
    marker: Word | None
    answer: Word | None
    error_at: int | None
    """Character at which the completion leaves the grammar. None if it follows it to the end."""
    spans: tuple[Span, ...]
    """Role of every word."""


def parse_completion(completion: str, modulus: int, operators: tuple[str, ...]) -> ParsedCompletion:
    """Format, steps, answer and roles of a completion. Numbers are 0 to `modulus` - 1, in one spelling each."""
    words = [Word(m.group(), m.start(), m.end()) for m in re.finditer(r"[^ ]+", completion)]
    numbers = {str(n): n for n in range(modulus)}  # no sign, no leading zero, no digits of other scripts
    body, marker, answer = _split_answer(words, numbers)
    parses = {"steps": _parse_steps(body, numbers, operators), "values": _parse_values(body, numbers)}
    name, steps = max(parses.items(), key=lambda item: sum(len(step.words) for step in item[1]))
    parsed_words = sum(len(step.words) for step in steps)
    error_at = None
    if parsed_words < len(body):
        error_at = body[parsed_words].start
    elif answer is None:
        error_at = len(completion)
    format_ = "malformed" if error_at is not None else name if steps else "direct"
    return ParsedCompletion(format_, steps, marker, answer, error_at, _spans(words, steps, marker, answer))


def _split_answer(words: list[Word], numbers: dict[str, int]) -> tuple[list[Word], Word | None, Word | None]:
    """Body, marker and answer. The answer is accepted only at the very end, behind the only marker."""
    if len(words) >= 2 and [w.text for w in words].count(MARKER) == 1:
        marker, answer = words[-2:]
        if marker.text == MARKER and answer.text in numbers:
            return words[:-2], marker, answer
    return words, None, None


def _parse_steps(body: list[Word], numbers: dict[str, int], operators: tuple[str, ...]) -> tuple[WrittenStep, ...]:
    steps = []
    for start in range(0, len(body) - len(STEP_ROLES) + 1, len(STEP_ROLES)):
        words = tuple(body[start : start + len(STEP_ROLES)])
        left, op, right, equals, result, separator = (w.text for w in words)
        spelled = left in numbers and right in numbers and result in numbers and op in operators
        if not spelled or (equals, separator) != (EQUALS, SEPARATOR):
            break
        steps.append(WrittenStep(words, numbers[left], op, numbers[right], numbers[result]))
    return tuple(steps)


def _parse_values(body: list[Word], numbers: dict[str, int]) -> tuple[WrittenStep, ...]:
    steps = []
    for sign, value in zip(body[::2], body[1::2], strict=False):
        if sign.text != VALUE or value.text not in numbers:
            break
        steps.append(WrittenStep((sign, value), None, None, None, numbers[value.text]))
    return tuple(steps)


def _spans(
    words: list[Word], steps: tuple[WrittenStep, ...], marker: Word | None, answer: Word | None
) -> tuple[Span, ...]:
    roles = dict.fromkeys((w.start for w in words), "text")
    for step in steps:
        names = STEP_ROLES if len(step.words) == len(STEP_ROLES) else VALUE_ROLES
        roles.update(zip((w.start for w in step.words), names, strict=True))
    if marker is not None and answer is not None:
        roles[marker.start], roles[answer.start] = "marker", "answer"
    return tuple(Span(w.start, w.end, roles[w.start]) for w in words)
