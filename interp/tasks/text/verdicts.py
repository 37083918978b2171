"""The verdict on free mathematical text: its annotated trace, and whether its answer is the true one.

valid    correct, every step right, and the answer is the result of one that, by itself or by way of those it builds
         on, uses a number of the problem; `False` if the answer or a step is wrong, or if there is nothing but an
         answer; `None` where it cannot be judged
format   `steps` (equations were written), `prose` (words only), `direct` (an answer and nothing else), `malformed`
         (no answer that can be read)
"""

import re

from interp.tasks.base import Problem, Verdict
from interp.tasks.text.equality import reads_like, same_answer
from interp.tasks.text.numerals import read_number
from interp.tasks.traces import Trace, annotate

DIRECT_WORDS = 5
"""`So the final answer is: 18` is as direct as `18`."""


def verify_text(problem: Problem, completion: str) -> Verdict:
    """The verdict on an answer that is compared with the labelled one: number, formula or words."""
    trace = annotate(completion, problem.prompt, lambda field: reads_like(problem.answer, field))
    correct = trace.answer is not None and same_answer(problem.answer, trace.answer.text)
    return verdict_on(problem, completion, trace, correct)


def verdict_on(problem: Problem, completion: str, trace: Trace, correct: bool) -> Verdict:
    format_ = _format(completion, trace)
    answer = trace.answer
    return Verdict(
        correct=correct,
        rewarded=correct,
        valid=_valid(trace, correct, format_),
        format=format_,
        answer=None if answer is None else answer.text,
        shortcut="direct" if correct and format_ == "direct" else None,
        steps=trace.steps,
        first_error=_first_error(trace, correct, len(completion)),
        spans=trace.spans,
    )


def _format(completion: str, trace: Trace) -> str:
    if trace.answer is None:
        return "malformed"
    if trace.steps:
        return "steps"
    around = completion[: trace.answer.marker] + " " + completion[trace.answer.end :]
    return "direct" if len(re.findall(r"\w+", around[:2000])) <= DIRECT_WORDS else "prose"


def _valid(trace: Trace, correct: bool, format_: str) -> bool | None:
    rights = [step.right for step in trace.steps]
    if not correct or False in rights or format_ == "direct":
        return False
    if not rights or None in rights or not trace.whole:
        return None
    return True if _is_derived(trace) else None


def _is_derived(trace: Trace) -> bool:
    """Right sums beside the point (`1 + 1 = 2`) do not derive an answer, nor does counting up to it in ones."""
    number = None if trace.answer is None else read_number(trace.answer.text)
    return number is not None and bool({number.value, number.value / 100} & trace.derived)


def _first_error(trace: Trace, correct: bool, length: int) -> int | None:
    wrong = next((step.start for step in trace.steps if step.right is False), None)
    if wrong is not None or correct:
        return wrong
    return length if trace.answer is None else trace.answer.start
