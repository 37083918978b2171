"""Equality of an answer with the true one: exact for numbers, by math-verify for formulae, by spelling for words.

Text reaches math-verify (and through it sympy) only if it passes a grammar: known LaTeX, short, shallow, with small
exponents, without factorials, sums or integrals. So no answer can run code or make a number grow without bound. A
comparison is stopped after a time limit, on any thread. If the truth is a number, the answer must be a number too: an
unfinished `16 - 3` does not count.
"""

import contextlib
import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Literal

from interp.tasks.text.answers import clean
from interp.tasks.text.numerals import read_number, same_number

Kind = Literal["number", "formula", "words"]
MAX_FORMULA, MAX_DEPTH, MAX_POWERS, MAX_OF_BRACKET, MAX_TOTAL_EXPONENT, TIMEOUT_S = 200, 12, 12, 9, 200, 5

_SAME, _DIFFERENT, _START_S = 10, 11, 30
_CHILD = (
    "import sys; from interp.tasks.text.equality import compare_formulae; "
    f"sys.exit({_SAME} if compare_formulae(*sys.argv[1:]) else {_DIFFERENT})"
)

_COMMAND = re.compile(
    r"\\(?:[dt]?frac|sqrt|pi|cdot|times|div|pm|left|right|infty|leq?|geq?|neq?|in|cup|cap|emptyset|sin|cos|tan|log|ln|exp"
    r"|alpha|beta|gamma|theta|lambda|mu|phi|omega|circ|degree)(?![a-zA-Z])|\\[\\,;!{}%]"
)
_ENVIRONMENTS = re.compile(r"\\(?:begin|end)\{(?:pmatrix|bmatrix|matrix)\}")
_TEXT = re.compile(r"\\(?:text|mathrm|mathbb)\s*\{[a-zA-Z .-]{0,40}\}")
_PLAIN = re.compile(r"[a-zA-Z0-9\s+\-*/^_(){}\[\],.:;=<>|'$%&π√∞±≤≥≠×·−]*", re.ASCII)
_EXPONENT = re.compile(
    r"\^\s*(?:([0-9])|\{\s*(-?[0-9]{1,3})\s*\}|[a-zA-Z]|\{[-+0-9]?[-+/a-zA-Z]{1,3}[0-9]?\}|\{?\\circ\}?)(?!\s*\^)"
)
_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[ .'’-]){0,60}")
_NOT_WORDS = frozenset({"nan", "inf", "infinity", "null", "undefined", "lambda", "eval", "exec", "import"})


def answer_kind(answer: str) -> Kind | None:
    """The kind of an answer. None if it cannot be compared safely."""
    answer = _strip_typesetting(answer)
    if read_number(answer) is not None:
        return "number"
    if _WORDS.fullmatch(answer) and not _NOT_WORDS & set(re.split(r"[ .'’-]+", answer.lower())):
        return "words"
    return "formula" if is_formula(answer) else None


def is_formula(text: str) -> bool:
    """Whether the text is a formula that is safe to pass to math-verify."""
    if not text or len(text) > MAX_FORMULA or any(sign in text for sign in ("**", "//", "__", "!")):
        return False
    plain = _TEXT.sub(" ", _ENVIRONMENTS.sub(" ", text))
    plain = _COMMAND.sub(" ", plain)  # any backslash still here is an unknown command, and fails below
    return bool(
        _PLAIN.fullmatch(plain)
        and re.search(r"[a-zA-Z0-9]", text)
        and not re.search(r"[a-zA-Z]{4,}|[0-9]{31,}|[0-9]\s+[0-9]|[0-9][eE][-+]?[0-9]|\b(?:nan|inf)\b", plain, re.I)
        and _depth(plain) <= MAX_DEPTH
        and _powers_are_small(text)
    )


def same_answer(truth: str, answer: str) -> bool:
    """Whether the two answers are equal."""
    truth, answer = _strip_typesetting(truth), _strip_typesetting(answer)
    kind = answer_kind(truth)
    if kind == "number":
        left, right = read_number(truth), read_number(answer)
        return left is not None and right is not None and same_number(left, right)
    if kind == "words" and len(truth) > 1:
        return _normalize(truth) == _normalize(answer)
    if _normalize(truth) == _normalize(answer):
        return True
    return is_formula(truth) and is_formula(answer) and _same_formula(truth, answer)


def is_same_kind(truth: str, answer: str) -> bool:
    """Whether an answer is of the kind of the true one. A number also counts as a formula."""
    kind, kind_of_answer = answer_kind(truth), answer_kind(answer)
    if kind == "formula":
        return kind_of_answer in ("formula", "number")
    return kind is not None and kind_of_answer == kind


def _strip_typesetting(text: str) -> str:
    text = clean(text)
    whole = re.fullmatch(r"\\(?:text|mathrm|textbf)\s*\{([^{}]*)\}|\(([a-zA-Z])\)", text)
    return clean(next(g for g in whole.groups() if g is not None)) if whole else text


def _normalize(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in text:
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(sign, 0)
        deepest = max(deepest, abs(depth))
    return deepest


def _powers_are_small(text: str) -> bool:
    """Whether every exponent is a plain number, none stands on another, and their product is small (not `9^{9^9}`)."""
    powers = list(_EXPONENT.finditer(text))
    if len(powers) != text.count("^") or len(powers) > MAX_POWERS:
        return False
    total = 1
    for power in powers:
        exponent = abs(int(power.group(1) or power.group(2) or 1))
        if exponent > MAX_OF_BRACKET and text[: power.start()].rstrip().endswith((")", "}", "]")):
            return False  # expanded, `(x+y+z+1)^{50}` has 23,426 terms
        total *= max(1, exponent)
    return total <= MAX_TOTAL_EXPONENT


def _same_formula(truth: str, answer: str) -> bool:
    """Whether math-verify finds the formulae equal within `TIMEOUT_S` seconds."""
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGALRM"):
        with contextlib.suppress(_TimeUp), _time_limit(TIMEOUT_S):
            return compare_formulae(truth, answer)
        return False
    # Only the main thread receives alarms. On other threads a child process compares: slower, but it can be stopped.
    command = [sys.executable, "-c", _CHILD, truth, answer]
    try:
        child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_START_S + TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return False
    if child.returncode not in (_SAME, _DIFFERENT):
        raise RuntimeError(f"comparing {answer!r} with {truth!r} in a child process failed: {child.stderr[-500:]}")
    return child.returncode == _SAME


def compare_formulae(truth: str, answer: str) -> bool:
    """Whether math-verify finds the formulae equal, without a time limit."""
    from math_verify import LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that the caller must limit the time, as we do
    config = [LatexExtractionConfig()]
    left, right = (parse(rf"\boxed{{{text}}}", config, "no_fallback", parsing_timeout=0) for text in (truth, answer))
    return bool(left and right) and verify(left[:1], right[:1], float_rounding=12, timeout_seconds=0)


class _TimeUp(BaseException):
    """Not an `Exception`, so that the libraries below do not catch it."""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `_TimeUp` after `seconds`, repeatedly: an exception raised while a finaliser runs is swallowed."""

    def ring(signum: int, frame: object) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
