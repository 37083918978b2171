"""The formats in which a chain may be answered, read and written.

    direct   `# 4`                              an answer and nothing else
    steps    `3 + 4 = 2 ; 2 * 2 = 4 ; # 4`      every operation with its operands
    values   `> 2 > 4 # 4`                      only the running values

A completion outside this grammar is `malformed`; its steps are read up to where the grammar broke, and its answer
if it still ends in `# n`.
"""

import re
from dataclasses import dataclass

from interp.tasks.base import Span

FORMATS = ("steps", "values")
MARKER, SEPARATOR, EQUALS, VALUE = "#", ";", "=", ">"


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Written:
    """One step as written. In the `values` format only `result` is."""

    words: tuple[Word, ...]
    left: int | None
    op: str | None
    right: int | None
    result: int


@dataclass(frozen=True, slots=True)
class Reading:
    format: str
    steps: tuple[Written, ...]
    """Those that could be read, also of a malformed completion: up to where the grammar broke."""
    marker: Word | None
    answer: Word | None
    broken_at: int | None
    """The character at which the grammar broke, if it did."""
    spans: tuple[Span, ...]


STEP_ROLES = ("carry", "operator", "operand", "equals", "result", "separator")
VALUE_ROLES = ("separator", "result")


def write_step(left: int, op: str, right: int, result: int) -> str:
    return f"{left} {op} {right} {EQUALS} {result} {SEPARATOR}"


def write_value(result: int) -> str:
    return f"{VALUE} {result}"


def write_answer(answer: int) -> str:
    return f"{MARKER} {answer}"


def read(completion: str, modulus: int, operators: tuple[str, ...]) -> Reading:
    words = [Word(m.group(), m.start(), m.end()) for m in re.finditer(r"[^ ]+", completion)]
    numbers = {str(n): n for n in range(modulus)}  # one spelling each: no sign, no leading zero, no foreign digit
    body, marker, answer = _split_answer(words, numbers)
    readings = {"steps": _read_steps(body, numbers, operators), "values": _read_values(body, numbers)}
    name, steps = max(readings.items(), key=lambda item: sum(len(step.words) for step in item[1]))
    consumed = sum(len(step.words) for step in steps)
    broken_at = None
    if consumed < len(body):
        broken_at = body[consumed].start
    elif answer is None:
        broken_at = len(completion)
    format_ = "malformed" if broken_at is not None else name if steps else "direct"
    return Reading(format_, steps, marker, answer, broken_at, _spans(words, steps, marker, answer))


def _split_answer(words: list[Word], numbers: dict[str, int]) -> tuple[list[Word], Word | None, Word | None]:
    """The answer is read only where it must stand: at the very end, behind the one and only marker."""
    if len(words) >= 2 and [w.text for w in words].count(MARKER) == 1:
        marker, answer = words[-2:]
        if marker.text == MARKER and answer.text in numbers:
            return words[:-2], marker, answer
    return words, None, None


def _read_steps(body: list[Word], numbers: dict[str, int], operators: tuple[str, ...]) -> tuple[Written, ...]:
    steps = []
    for at in range(0, len(body) - len(STEP_ROLES) + 1, len(STEP_ROLES)):
        words = tuple(body[at : at + len(STEP_ROLES)])
        left, op, right, equals, result, separator = (w.text for w in words)
        spelled = left in numbers and right in numbers and result in numbers and op in operators
        if not spelled or (equals, separator) != (EQUALS, SEPARATOR):
            break
        steps.append(Written(words, numbers[left], op, numbers[right], numbers[result]))
    return tuple(steps)


def _read_values(body: list[Word], numbers: dict[str, int]) -> tuple[Written, ...]:
    steps = []
    for sign, value in zip(body[::2], body[1::2], strict=False):
        if sign.text != VALUE or value.text not in numbers:
            break
        steps.append(Written((sign, value), None, None, None, numbers[value.text]))
    return tuple(steps)


def _spans(words: list[Word], steps: tuple[Written, ...], marker: Word | None, answer: Word | None) -> tuple[Span, ...]:
    roles = dict.fromkeys((w.start for w in words), "text")
    for step in steps:
        names = STEP_ROLES if len(step.words) == len(STEP_ROLES) else VALUE_ROLES
        roles.update(zip((w.start for w in step.words), names, strict=True))
    if marker is not None and answer is not None:
        roles[marker.start], roles[answer.start] = "marker", "answer"
    return tuple(Span(w.start, w.end, roles[w.start]) for w in words)
