"""Solutions of word problems: how they are written, and how they are parsed.

    direct   `The answer is 10.`
    steps    `Mia starts with 12 apples. She eats 5 of them: 12 - 5 = 7. Now 7 plus 3 is 10. The answer is 10.`

    solution := opening? step* "The answer is" number "."
    opening  := name "starts with" number unit "."
    step     := (change ":" | "Now" | "Then" | "So")? number operator number ("=" | "is" | "equals") number unit? "."
    change   := a sentence that states a change, without its full stop
    operator := "+" | "-" | "*" | "plus" | "minus" | "times"

Anything else is `malformed`. Its steps are parsed up to the first error. Its answer is read if it ends in the answer's
sentence. `write_solution` writes the solution of a policy with one habit.
"""

import random
import re

from interp.tasks.base import Span
from interp.tasks.chain.completions import ParsedCompletion, Word, WrittenStep
from interp.tasks.words.phrases import NAMES, THINGS, change_patterns
from interp.tasks.words.story import Story, apply

HABITS = ("steps", "direct", "copy", "cue")
SIGN_OF_WORD = {"plus": "+", "minus": "-", "times": "*"}
WORD_OF_SIGN = {sign: word for word, sign in SIGN_OF_WORD.items()}
LEADS = ("Now", "Then", "So")
OPENING_SHARE, PROSE_SHARE, LEAD_SHARE, UNIT_SHARE = 0.5, 0.25, 0.25, 0.25
"""How often a written solution has an opening; how often a step is in words, has one of `LEADS` if it restates no
change, and has its unit."""
SLIPS = (-2, -1, 1, 2)
"""How far off a wrong result is."""

_UNITS = "|".join(thing.unit for thing in THINGS)
_NUMBER = r"(?:0|[1-9][0-9]{0,3})"
_CHANGE = "|".join(change_patterns())
_OPENING = re.compile(rf"\s*(?:{'|'.join(NAMES)}) starts with {_NUMBER} (?:{_UNITS})\.")
_STEP = re.compile(
    rf"\s*(?:(?:{'|'.join(LEADS)}) |(?:{_CHANGE}): )?(?P<left>{_NUMBER}) (?P<op>[-+*]|plus|minus|times) "
    rf"(?P<right>{_NUMBER}) (?P<equals>=|is|equals) (?P<result>{_NUMBER})(?: (?:{_UNITS}))?\."
)
_ANSWER = re.compile(rf"(?:^|\s)\s*The (?P<marker>answer is) (?P<answer>{_NUMBER})\.\s*$")
_MARKER = "The answer is"


# --- writing -----------------------------------------------------------------------------------------------------


def write_solution(
    story: Story, habit: str, rng: random.Random, *, skip: float = 0.0, slip: float = 0.0, restate: float = 0.5
) -> str:
    """A solution in one of `HABITS`. A written one restates every change before its equation with probability
    `restate`, and else none.

    Each written step is left out with probability `skip`, together with its change: the story goes on from the value
    before it. So is a step that would take more away than there is. With probability `slip` a step has a wrong result,
    and the story goes on from that.
    """
    match habit:
        case "direct":
            return _write_answer(story.answer)
        case "copy":
            return _write_answer(story.copied)
        case "cue":
            return _write_answer(story.answer if story.cue is None else story.cue)
        case "steps":
            return _write_steps(story, rng, skip, slip, restates=rng.random() < restate)
    raise ValueError(f"habit must be one of {', '.join(HABITS)}; got {habit!r}")


def _write_steps(story: Story, rng: random.Random, skip: float, slip: float, *, restates: bool) -> str:
    due = [change for change in zip(story.operations, story.changes, strict=True) if rng.random() >= skip]
    sentences = []
    if rng.random() < OPENING_SHARE:
        sentences.append(f"{story.name} starts with {story.start} {story.unit}.")
    value = story.start
    first = (story.operations[0], story.changes[0])
    for (op, operand), change in due if any(apply(op, value, operand) >= 0 for (op, operand), _ in due) else [first]:
        result = apply(op, value, operand)
        if result < 0:
            continue
        if rng.random() < slip:
            result = rng.choice([result + error for error in SLIPS if result + error >= 0])
        restated = f"{change.removesuffix('.')}: " if restates else ""
        sentences.append(restated + _write_step(value, op, operand, result, story.unit, rng, has_lead=not restates))
        value = result
    return " ".join([*sentences, _write_answer(value if story.masked_index is None else story.answer)])


def _write_step(left: int, op: str, right: int, result: int, unit: str, rng: random.Random, *, has_lead: bool) -> str:
    equals = "="
    if rng.random() < PROSE_SHARE:
        op, equals = WORD_OF_SIGN[op], rng.choice(("is", "equals"))
    lead = rng.choice(LEADS) + " " if has_lead and rng.random() < LEAD_SHARE else ""
    unit = f" {unit}" if rng.random() < UNIT_SHARE else ""
    return f"{lead}{left} {op} {right} {equals} {result}{unit}."


def _write_answer(answer: int) -> str:
    return f"{_MARKER} {answer}."


# --- parsing -----------------------------------------------------------------------------------------------------


def parse_solution(completion: str) -> ParsedCompletion:
    """Format, steps, answer and roles of a solution."""
    ending = _ANSWER.search(completion) if completion.count(_MARKER) == 1 else None
    marker, answer = (None, None) if ending is None else (_word(ending, "marker"), _word(ending, "answer"))
    body_end = len(completion) if ending is None else ending.start()
    opening = _OPENING.match(completion, 0, body_end)
    position = 0 if opening is None else opening.end()
    steps: list[WrittenStep] = []
    spans: list[Span] = []
    while (step := _STEP.match(completion, position, body_end)) is not None:
        spans += _step_spans(step, is_first=not steps)
        steps.append(_step(step))
        position = step.end()
    rest = completion[position:body_end]
    error_at = None
    if rest.strip() or ending is None:
        error_at = position + len(rest) - len(rest.lstrip())
    if marker is not None and answer is not None:
        spans += [Span(marker.start, marker.end, "marker"), Span(answer.start, answer.end, "answer")]
    format_ = "malformed" if error_at is not None else "steps" if steps else "direct"
    return ParsedCompletion(format_, tuple(steps), marker, answer, error_at, tuple(spans))


def _word(match: re.Match[str], group: str) -> Word:
    return Word(match[group], match.start(group), match.end(group))


def _step(match: re.Match[str]) -> WrittenStep:
    """The step that `match` covers, from its first number to its result."""
    words = tuple(_word(match, group) for group in ("left", "op", "right", "equals", "result"))
    op = SIGN_OF_WORD.get(match["op"], match["op"])
    return WrittenStep(words, int(match["left"]), op, int(match["right"]), int(match["result"]))


def _step_spans(match: re.Match[str], *, is_first: bool) -> list[Span]:
    """Roles of a step's words. The first number of the first step is the problem's own."""
    roles = {
        "left": "operand" if is_first else "carry",
        "op": "operator",
        "right": "operand",
        "equals": "equals",
        "result": "result",
    }
    return [Span(match.start(group), match.end(group), role) for group, role in roles.items()]
