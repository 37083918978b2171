"""Numbers of the question that the working passes over.

A number of the question *counts* if it has no noun of its own (`buys 5 more`, `3 of them`, `11 + 4`) or that which the
question asks for (`5 apples` where it asks how many apples). Numbers with another noun (`9 years old`) may not matter.
The operands of the working are matched with the counting numbers in order, as many as possible. A number that is left
over, and is not used out of order either, is unused: the first step behind it, and the working as a whole, may have
left something out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest

from interp.tasks.chain.verify import match_operations
from interp.tasks.traces.lexer import Token, lex

MAX_NUMBERS = 100
"""Numbers of the question or the working, at most: the match takes time that grows with their product."""
NO_NOUNS = frozenset({"more", "fewer", "less", "times", "to", "further"})
"""Words behind a number that are not what it counts."""


@dataclass(frozen=True, slots=True)
class Unused:
    """What a working leaves out of its question."""

    steps: frozenset[int]
    """Indices of the steps that pass over a number."""
    any: bool
    """Whether any number is unused."""


NOTHING_UNUSED = Unused(frozenset(), False)


def find_unused(question: str, operands: Sequence[Sequence[Fraction]]) -> Unused:
    """The counting numbers of `question` that are not among `operands`, the fresh operands of each step in turn."""
    used = [(value, step) for step, values in enumerate(operands) for value in values]
    counting = counting_numbers(question)
    if not used or max(len(used), len(counting)) > MAX_NUMBERS:
        return NOTHING_UNUSED
    matches = match_operations([value for value, _ in used], counting)
    out_of_order = Counter(value for (value, _), match in zip(used, matches, strict=True) if match is None)
    unused = []
    for index in sorted(set(range(len(counting))) - set(matches)):
        if out_of_order[counting[index]]:
            out_of_order[counting[index]] -= 1
        else:
            unused.append(index)
    behind = (
        next(
            (step for (_, step), match in zip(used, matches, strict=True) if match is not None and match > index), None
        )
        for index in unused
    )
    return Unused(frozenset(step for step in behind if step is not None), bool(unused))


@lru_cache(maxsize=64)  # a group's completions share their question
def counting_numbers(question: str) -> tuple[Fraction, ...]:
    """The numbers in digits that count what the question asks for, in order."""
    tokens = lex(question)
    unit = asked_unit(tokens)
    numbers = []
    for token, following, second in zip_longest(tokens, tokens[1:], tokens[2:]):
        if token is not None and token.value is not None and _counts(token, following, second, unit):
            numbers.append(token.value)
    return tuple(numbers)


def asked_unit(tokens: Sequence[Token]) -> str | None:
    """The word behind the last `how many`, in lower case."""
    words = [token.text.lower() for token in tokens]
    places = [i for i in range(len(words) - 2) if words[i] == "how" and words[i + 1] == "many"]
    return words[places[-1] + 2] if places else None


def _counts(number: Token, following: Token | None, second: Token | None, unit: str | None) -> bool:
    if number.money or (following is not None and following.kind in ("pct", "/")):
        return False
    if following is None or following.kind != "word":
        return following is None or following.kind in ("+", "-", "*", "stop")
    word = following.text.lower()
    of_them = word == "of" and second is not None and second.text.lower() == "them"
    return word == unit or word in NO_NOUNS or of_them
