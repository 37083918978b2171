"""Checks of answers that the scorer of their dataset judges wrongly, or at a cost without bound.

Each says whether an answer to an entry of a dataset is right, and says in its docstring what the scorer would let pass.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from interp.tasks.gym.formulas import equals, is_antiderivative, is_bounded, parse
from interp.tasks.text.equality import same_answer

MAX_NESTING, MAX_PROPOSITION = 8, 120
NUMBER = r"[-+]?(?:[0-9]{1,100}(?:\.[0-9]{0,100})?|\.[0-9]{1,100})(?:[eE][-+]?[0-9]{1,3})?"
_PROBABILITY = rf"({NUMBER})(?: ?/ ?0*([1-9][0-9]{{0,99}}))?"
_FORMULA = r"[0-9+\-*/() ]{1,200}"
_INTERVAL = r"[0-9]{1,9} [Dd]ays?(?:, ?[0-9]{1,2}:[0-9:.]{1,18})?|[0-9:.]{1,20}"
_DISK_MOVE = r"Move disk ([0-9]{1,2}) from Peg ([0-9]{1,2}) to Peg ([0-9]{1,2})"
Entry = dict[str, Any]
Check = Callable[[Any, Entry, str], bool]
"""Whether an answer to an entry of a dataset is right."""


def score(dataset: Any, entry: Entry, answer: str) -> float:
    """The scorer's score; 0 if it raises, whatever it raises: a completion never stops a run."""
    copy = {**entry, "metadata": {**entry["metadata"]}}  # some scorers write into it
    try:
        return dataset.score_answer(answer, copy)
    except Exception:
        return 0.0


def has_full_score(dataset: Any, entry: Entry, answer: str) -> bool:
    """Whether the scorer gives the full score."""
    return score(dataset, entry, answer) == 1.0


def tidy(text: str) -> str:
    """The text with single spaces, and none at the ends of its lines."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


# --- texts ---------------------------------------------------------------------------------------------------------


def is_quantity(_: Any, entry: Entry, answer: str) -> bool:
    """The same number, as of any problem in words. (The scorer takes the first of a text, and loses its sign.)"""
    return same_answer(entry["answer"], answer, entry["question"])


def is_probability(_: Any, entry: Entry, answer: str) -> bool:
    """Equal to within 0.0001 and to within a hundredth. (The scorer takes `0` for any: it is a prefix of `0.125`.)"""
    parts = re.fullmatch(_PROBABILITY, answer)
    if parts is None:
        return False
    truth, value = Fraction(entry["answer"]), Fraction(parts[1]) / int(parts[2] or 1)
    return abs(value - truth) <= min(Fraction(1, 10_000), truth / 100)


def is_sorted(_: Any, entry: Entry, answer: str) -> bool:
    """The words in their order, and no other. (The scorer ignores words behind them.)"""
    return [word.strip() for word in answer.split(",")] == entry["metadata"]["sorted_words"]


def has_same_words(dataset: Any, entry: Entry, answer: str) -> bool:
    """Equal but for case and space."""
    squeezed = ("".join(text.split()).casefold() for text in (answer, entry["answer"]))
    return len(set(squeezed)) == 1 and has_full_score(dataset, entry, answer)


def uses_known_words(dataset: Any, entry: Entry, answer: str) -> bool:
    """Words of the true answer alone, not many more. (The scorer skips others: `it is false that Ella is a knight`.)"""
    words, truth_words = (re.findall(r"\w+", text.casefold()) for text in (answer, entry["answer"]))
    plain = re.fullmatch(r"[\w\s,.()]+", answer) is not None and len(words) < 2 * len(truth_words)
    return plain and set(words) <= {*truth_words, "is", "a", "and"} and has_full_score(dataset, entry, answer)


def _parse_json(text: str) -> Any:
    """The value of a JSON text. None if it is none, or nested too deep."""
    depth = 0
    for sign in text:
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(sign, 0)
        if depth > MAX_NESTING:
            return None
    try:
        return json.loads(text, parse_constant=lambda _: None)  # NaN equals nothing, so a comparison can miss it
    except ValueError:
        return None


def is_same_json(_: Any, entry: Entry, answer: str) -> bool:
    value = _parse_json(answer)
    truths, others = (re.findall(r"true|false", text) for text in (entry["answer"], answer))  # in Python 1 equals True
    return value is not None and value == _parse_json(entry["answer"]) and sorted(truths) == sorted(others)


def is_json(dataset: Any, entry: Entry, answer: str) -> bool:
    return (answer.lower() == "no" or _parse_json(answer) is not None) and has_full_score(dataset, entry, answer)


def is_same_list(_: Any, entry: Entry, answer: str) -> bool:
    """Equal numbers in the same order. (The scorer allows an error of 1 in each.)"""
    lists = [_numbers(text) for text in (answer, entry["answer"])]
    return lists[0] is not None and lists[0] == lists[1]


def _numbers(text: str) -> list[Fraction] | None:
    value = _parse_json(text.replace("'", '"'))
    items = [str(item) for item in value] if isinstance(value, list) else [""]
    return [Fraction(item) for item in items] if all(re.fullmatch(NUMBER, item) for item in items) else None


def is_interval(dataset: Any, entry: Entry, answer: str) -> bool:
    """As many parts as the true answer has. (Of `60 days, 07:00` the scorer of dates reads the days alone.)"""
    answer = tidy(answer)
    same_parts = ("," in answer) == ("," in entry["answer"]) and re.fullmatch(_INTERVAL, answer) is not None
    return same_parts and has_full_score(dataset, entry, answer)


def moves_disks(dataset: Any, entry: Entry, answer: str) -> bool:
    """Moves of disks and pegs that there are, one a line. (Of others the scorer prints a complaint.)"""
    moves = [re.fullmatch(_DISK_MOVE, line) for line in tidy(answer).split("\n")]
    disks, pegs = entry["metadata"]["num_disks"], entry["metadata"]["num_pegs"]
    exist = all(
        move is not None and 0 < int(move[1]) <= disks and 0 < int(move[2]) <= pegs and 0 < int(move[3]) <= pegs
        for move in moves
    )
    return exist and has_full_score(dataset, entry, answer)


def is_listed(_: Any, entry: Entry, answer: str) -> bool:
    return answer in entry["metadata"]["valid_answers"]


def reaches(dataset: Any, entry: Entry, answer: str) -> bool:
    """An expression in the numbers of the problem, each used once, that has the value asked for."""
    answer = tidy(answer)
    if re.fullmatch(_FORMULA, answer) is None or "**" in answer or "//" in answer:
        return False
    tree = parse(answer, frozenset())
    numbers = sorted(int(number) for number in re.findall(r"[0-9]+", answer))
    if tree is None or numbers != sorted(entry["metadata"]["numbers"]):
        return False
    return equals(tree, entry["metadata"].get("target", 24)) and has_full_score(dataset, entry, answer)


def is_same_polynomial(dataset: Any, entry: Entry, answer: str) -> bool:
    names = frozenset(re.findall(r"[A-Za-z]+", entry["answer"]))
    answer = tidy(answer)
    tree = parse(answer, names)
    if tree is None or "." in answer or not is_bounded(tree, names):
        return False
    return has_full_score(dataset, entry, answer)


def is_integral(_: Any, entry: Entry, answer: str) -> bool:
    return is_antiderivative(tidy(answer), str(entry["metadata"]["integrand"]), str(entry["metadata"]["variable"]))


def follows(dataset: Any, entry: Entry, answer: str) -> bool:
    """A formula in the problem's variables that follows from the premises, and not from none."""
    answer = tidy(answer)
    if not is_proposition(answer, entry["metadata"]["variables"]):
        return False
    without = {**entry, "metadata": {**entry["metadata"], "premises": []}}
    is_tautology = score(dataset, without, answer) != 0.05  # 0.05: it does not follow
    return not is_tautology and has_full_score(dataset, entry, answer)


def is_proposition(text: str, variables: list[str]) -> bool:
    """Whether the text is a formula of propositional logic in these variables, of bounded size.

    (The scorer takes whatever stands between two signs for a variable, and tries every assignment of all variables.)
    """
    if len(text) > MAX_PROPOSITION:
        return False
    depth, expects_operand = 0, True
    for sign in text.replace(" ", ""):
        if expects_operand and (sign in variables or sign in "(¬"):
            depth += sign == "("
            expects_operand = sign not in variables
        elif not expects_operand and sign in ")∧∨→↔":
            depth -= sign == ")"
            expects_operand = sign != ")"
        else:
            return False
        if not 0 <= depth <= 20:
            return False
    return depth == 0 and not expects_operand
