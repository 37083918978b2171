"""The verdict on free mathematical text, given its annotated trace and whether its answer is correct.

valid    True:  correct, every step valid, and the answer is derived: the result of a step that uses a number of
                the problem, directly or through earlier steps
         False: the answer or a step is wrong, or there is only an answer
         None:  anything else, which cannot be judged
format   `steps` (equations were written), `prose` (words only), `direct` (an answer and nothing else), `unannounced`
         (no answer is announced, though the last number is the labelled one), `malformed` (no readable answer)
"""

import re
from dataclasses import replace

from interp.tasks.base import Problem, Span, Verdict
from interp.tasks.text.answers import Answer, announces
from interp.tasks.text.equality import is_same_kind, same_answer
from interp.tasks.text.fallback import AnswerRule, last_number, unannounced_answer
from interp.tasks.text.numerals import read_number
from interp.tasks.text.vocabulary import vocabulary_of
from interp.tasks.traces import Trace, annotate

DIRECT_WORDS = 5
"""Most words around a direct answer: `So the final answer is: 18` is as direct as `18`."""


def verify_text(problem: Problem, completion: str, rule: AnswerRule = "announced") -> Verdict:
    """The verdict on a completion whose answer is compared with the labelled one: number, formula or words.

    `rule` says what counts as an answer where none is announced."""
    trace = annotate(completion, problem.prompt, lambda text: is_same_kind(problem.answer, text, problem.prompt))
    if trace.answer is None and (answer := unannounced_answer(completion, trace.steps, rule)) is not None:
        trace = replace(trace, answer=answer, spans=_with_answer(trace.spans, answer))
    correct = trace.answer is not None and same_answer(problem.answer, trace.answer.text, problem.prompt)
    return verdict_of_trace(problem, completion, trace, correct)


def verdict_of_trace(problem: Problem, completion: str, trace: Trace, correct: bool) -> Verdict:
    """The verdict on an annotated completion, given whether its answer is correct."""
    format_ = _format(problem, completion, trace)
    answer = trace.answer
    return Verdict(
        correct=correct,
        rewarded=correct,
        valid=_valid(problem, trace, correct, format_),
        format=format_,
        answer=None if answer is None else answer.text,
        shortcut="direct" if correct and format_ == "direct" else None,
        steps=trace.steps,
        first_error=_first_error(trace, correct, len(completion)),
        spans=trace.spans,
    )


def _with_answer(spans: tuple[Span, ...], answer: Answer) -> tuple[Span, ...]:
    """The spans with the answer in place of those that it overlaps."""
    apart = [span for span in spans if span.end <= answer.start or answer.end <= span.start]
    return tuple(sorted([*apart, *answer.spans], key=lambda span: span.start))


def _format(problem: Problem, completion: str, trace: Trace) -> str:
    if trace.answer is None:
        last = None if announces(completion) else last_number(completion, len(completion))
        is_right = last is not None and same_answer(problem.answer, last.text, problem.prompt)
        return "unannounced" if is_right else "malformed"
    if trace.steps:
        return "steps"
    around = completion[: trace.answer.marker_start] + " " + completion[trace.answer.end :]
    return "direct" if len(re.findall(r"\w+", around[:2000])) <= DIRECT_WORDS else "prose"


def _valid(problem: Problem, trace: Trace, correct: bool, format_: str) -> bool | None:
    step_verdicts = [step.valid for step in trace.steps]
    if not correct or False in step_verdicts or format_ == "direct":
        return False
    if not step_verdicts or None in step_verdicts or not trace.complete:
        return None
    return True if _is_derived(problem, trace) else None


def _is_derived(problem: Problem, trace: Trace) -> bool:
    """Whether the answer is a derived number. Irrelevant sums (`1 + 1 = 2`) and counting up in ones do not count."""
    vocabulary = vocabulary_of(problem.prompt, problem.answer)
    number = None if trace.answer is None else read_number(trace.answer.text, vocabulary)
    return number is not None and bool({number.value, number.value / 100} & trace.derived_numbers)


def _first_error(trace: Trace, correct: bool, length: int) -> int | None:
    wrong_step = next((step.start for step in trace.steps if step.valid is False), None)
    if wrong_step is not None or correct:
        return wrong_step
    return length if trace.answer is None else trace.answer.start
