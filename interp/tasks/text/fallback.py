"""What a completion without an announced answer may be read to answer, by a rule that the user has chosen.

    announced       nothing: an answer counts only if it is announced (`interp.tasks.text.answers`)
    last-equation   the result of the last written equation: `9 + 6 = 15`
    last-number     the last number of the text

The rules after the first are lenient: a text with many numbers can be right by chance. They are for models that were
never told how to announce an answer. A text that announces anything is judged by that alone.
"""

import re
from typing import Literal

from interp.tasks.base import Step
from interp.tasks.text.answers import MAX_TEXT, Answer, announces

AnswerRule = Literal["announced", "last-equation", "last-number"]
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])[-\u2212]?\$?[0-9][0-9,]{0,40}(?:\.[0-9]{1,40})?(?:/[0-9]{1,20})?%?")


def unannounced_answer(completion: str, steps: tuple[Step, ...], rule: AnswerRule) -> Answer | None:
    """The answer of a completion that announces none. None if the rule finds none."""
    if rule == "announced" or (rule == "last-equation" and not steps) or announces(completion):
        return None
    if rule == "last-number":
        return last_number(completion, len(completion))
    return _result(completion, steps[-1])


def _result(completion: str, step: Step) -> Answer | None:
    """The side of a step's last equals sign that is one number: the right one, or the left one of `15 = 9 + 6`."""
    left, sign, right = completion[step.start : step.end].rpartition("=")
    if len(_NUMBER.findall(right)) == 1:
        return last_number(completion, step.end)
    is_number = sign and len(_NUMBER.findall(left.rpartition("=")[2])) == 1
    return last_number(completion, step.start + len(left)) if is_number else None


def last_number(text: str, end: int) -> Answer | None:
    """The last number before `end`, as an answer. None if there is none."""
    start = max(0, end - MAX_TEXT)
    matches = list(_NUMBER.finditer(text, start, end))
    if not matches:
        return None
    number = matches[-1].group().rstrip(",")
    begin = matches[-1].start()
    return Answer("last", number, begin, begin + len(number), begin, number)
