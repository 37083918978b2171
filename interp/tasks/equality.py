"""Is the given answer the true one? Exact for numbers, math-verify for formulae, letter for letter for plain words.

Whatever reaches math-verify (and through it sympy) has passed a grammar first: known LaTeX only, short, shallow, small
exponents, no factorials, sums or integrals. So no answer can run code or hang, whatever its writer tried, and the
guard does not lean on alarms, which work in a main thread only. Where the truth is a number, the answer has to be a
number too: an unfinished `16 - 3` earns nothing.
"""

import re
import threading
from typing import Literal

from interp.tasks.answers import clean
from interp.tasks.numerals import read_number, same_number

Kind = Literal["number", "formula", "words"]
MAX_FORMULA, MAX_DEPTH, MAX_POWERS, MAX_TOTAL_EXPONENT, TIMEOUT_S = 200, 12, 12, 200, 3

_COMMANDS = frozenset(
    "frac dfrac tfrac sqrt pi cdot times div pm left right infty le leq ge geq ne neq in cup cap emptyset sin cos tan "
    "log ln exp text mathrm mathbb alpha beta gamma theta lambda mu phi omega circ degree begin end , ; ! { } %".split()
)
_ENVIRONMENTS = re.compile(r"\\(?:begin|end)\{(?:pmatrix|bmatrix|matrix)\}")
_TEXT = re.compile(r"\\(?:text|mathrm|mathbb)\s*\{[a-zA-Z .-]{0,40}\}")
_COMMAND = re.compile(r"\\(?:[a-zA-Z]+|\\|.)", re.DOTALL)
_PLAIN = re.compile(r"[a-zA-Z0-9\s+\-*/^_(){}\[\],.:;=<>|'$%&π√∞±≤≥≠×·−]*", re.ASCII)
_EXPONENT = re.compile(r"\^\s*(?:([0-9])|\{\s*(-?[0-9]{1,3})\s*\}|[a-zA-Z]|\{[-+a-zA-Z ]{0,3}[0-9]?[-+/a-zA-Z ]{0,3}[0-9]?\}|\{?\\circ\}?)(?!\s*\^)")
_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[ .'’-]){0,60}")
_NOT_WORDS = frozenset("nan inf infinity none null undefined lambda eval exec import".split())


def kind_of(answer: str) -> Kind | None:
    """What kind of answer this is, or `None` if it is nothing that can be compared safely."""
    answer = _bare(answer)
    if read_number(answer) is not None:
        return "number"
    if _WORDS.fullmatch(answer) and not _NOT_WORDS & set(re.split(r"[ .'’-]+", answer.lower())):
        return "words"
    return "formula" if is_formula(answer) else None


def is_formula(text: str) -> bool:
    if not text or len(text) > MAX_FORMULA or any(bad in text for bad in ("**", "//", "__", "!")):
        return False
    plain = _TEXT.sub(" ", _ENVIRONMENTS.sub(" ", text))
    if any(command[1:] not in _COMMANDS and command != r"\\" for command in _COMMAND.findall(plain)):
        return False
    plain = _COMMAND.sub(" ", plain)
    return bool(
        _PLAIN.fullmatch(plain)
        and re.search(r"[a-zA-Z0-9]|\\pi|\\emptyset|\\infty", text)
        and not re.search(r"[a-zA-Z]{4,}|[0-9]{31,}|[0-9]\s+[0-9]", plain)
        and _depth(plain) <= MAX_DEPTH
        and _powers_are_small(text)
    )


def same_answer(truth: str, given: str) -> bool:
    truth, given = _bare(truth), _bare(given)
    kind = kind_of(truth)
    if kind == "number":
        left, right = read_number(truth), read_number(given)
        return left is not None and right is not None and same_number(left, right)
    if kind == "words" and len(truth) > 1:
        return _folded(truth) == _folded(given)
    if _folded(truth) == _folded(given):
        return True
    return is_formula(truth) and is_formula(given) and _same_formula(truth, given)


def reads_like(truth: str, given: str) -> bool:
    """`given` is an answer of the kind that `truth` asks for."""
    kind, shown = kind_of(truth), kind_of(given)
    if kind == "formula":
        return shown in ("formula", "number")
    return shown == kind


def _bare(text: str) -> str:
    text = clean(text)
    whole = re.fullmatch(r"\\(?:text|mathrm|textbf)\s*\{([^{}]*)\}|\(([a-zA-Z])\)", text)
    return clean(next(g for g in whole.groups() if g is not None)) if whole else text


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in text:
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(sign, 0)
        deepest = max(deepest, abs(depth))
    return deepest


def _powers_are_small(text: str) -> bool:
    """Every power is plain, none stands on another, and all multiplied stay small: `9^{9^9}` is not even parsed."""
    powers = list(_EXPONENT.finditer(text))
    if len(powers) != text.count("^") or len(powers) > MAX_POWERS:
        return False
    total = 1
    for power in powers:
        total *= max(1, abs(int(power.group(1) or power.group(2) or 1)))
    return total <= MAX_TOTAL_EXPONENT


def _same_formula(truth: str, given: str) -> bool:
    import math_verify

    # The alarm is a second fence behind the grammar; it can be set in a main thread only.
    alarm = TIMEOUT_S if threading.current_thread() is threading.main_thread() else None
    config = [math_verify.LatexExtractionConfig()]
    left, right = (
        math_verify.parse(rf"\boxed{{{text}}}", extraction_config=config, fallback_mode="no_fallback", parsing_timeout=alarm)
        for text in (truth, given)
    )
    return bool(left and right) and math_verify.verify(left, right, float_rounding=12, timeout_seconds=alarm)
