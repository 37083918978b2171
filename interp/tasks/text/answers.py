r"""The answer that a completion announces.

The first of these that occurs counts, in its last occurrence:

    tag      `<answer>...</answer>`
    box      `\boxed{...}`
    hashes   `#### ...`
    label    a line `A: ...` or `Answer: ...`
    phrase   `the answer is ...`
    bare     the whole completion, if it is nothing but an answer

The last number of a text is never taken as its answer: a text with many numbers would be right by chance. For the same
reason an announcement must be readable as one answer (`17 or 18` is not). Two announcements of different answers with
at most two words between them are a list, not a correction, and count as no answer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from interp.tasks.base import Span
from interp.tasks.text.numerals import read_number

MAX_FIELD, MAX_TAGGED, MAX_ANNOUNCED = 300, 5000, 64

_PHRASE = r"\banswer\s+(?:is|=)\s*:?[ \t]*((?:[^\n.]|\.(?=[0-9]))*)"
_MARKERS = (
    ("hashes", re.compile(r"(?<!#)####(?!#)[ \t]*([^\n]*)")),
    ("label", re.compile(r"^[ \t*_>]*(?:(?:the\s+)?(?:final\s+)?answer|A)[ \t*_]*:[ \t*_]*([^\n]*)", re.I | re.M)),
    ("phrase", re.compile(_PHRASE, re.I)),
)
_OPEN, _CLOSE = "<answer>", "</answer>"
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_REASON = re.compile(r"\b(?:because|since|as|so)\b", re.I)
_WRAPPERS = (("**", "**"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"))


@dataclass(frozen=True, slots=True)
class Answer:
    """An announced answer: characters [start, end) of the completion."""

    kind: str
    """How it is announced: one of the six kinds in the module's docstring."""
    text: str
    """Without typesetting."""
    start: int
    end: int
    marker_start: int
    """Character at which the announcement begins; `start` for a bare answer."""
    raw: str
    """With typesetting."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Roles of its characters."""
        spans = (Span(self.marker_start, self.start, "marker"), Span(self.start, self.end, "answer"))
        return tuple(s for s in spans if s.start < s.end)


def find_answer(text: str, can_read: Callable[[str], bool]) -> Answer | None:
    """The announced answer, among those whose text `can_read` accepts; None without one."""
    for announced in (_tagged(text), _boxed(text), *(_marked(kind, pattern, text) for kind, pattern in _MARKERS)):
        answers = [answer for answer in announced if can_read(answer.text)]
        if answers:
            return None if _is_list(answers, text) else answers[-1]
    bare = _answer("bare", text, 0, 0, len(text)) if len(text) <= MAX_FIELD else None
    return bare if bare is not None and bare.text and can_read(bare.text) else None


def _is_list(answers: list[Answer], text: str) -> bool:
    """Whether the last two answers differ, with at most two words between them."""
    if len(answers) < 2 or _canonical(answers[-2].text) == _canonical(answers[-1].text):
        return False
    return len(re.findall(r"[^\W\d_]{2,}", text[answers[-2].end : answers[-1].marker_start])) <= 2


def _canonical(text: str) -> str:
    number = read_number(text)
    return re.sub(r"\s+", "", text) if number is None else str(number)


def _tagged(text: str) -> list[Answer]:
    answers: list[Answer] = []
    end = len(text)
    while len(answers) < MAX_ANNOUNCED and (closing := text.rfind(_CLOSE, 0, end)) >= 0:
        opening = text.rfind(_OPEN, max(0, closing - MAX_TAGGED), closing)
        if opening >= 0:
            answers.append(_answer("tag", text, opening, opening + len(_OPEN), closing))
        end = closing if opening < 0 else opening
    return answers[::-1]


def _boxed(text: str) -> list[Answer]:
    answers, position = [], 0
    while (opening := _BOX.search(text, position)) is not None:
        closing = _closing(text, opening.end())
        if closing is not None:  # a box within a box is part of its text, not an announcement
            answers.append(_answer("box", text, opening.start(), opening.end(), closing))
        position = opening.end() if closing is None else closing
    return answers[-MAX_ANNOUNCED:]


def _closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one before `start`."""
    depth = 1
    for i in range(start, min(len(text), start + MAX_FIELD)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return None


def _marked(kind: str, pattern: re.Pattern[str], text: str) -> list[Answer]:
    answers = []
    for match in list(pattern.finditer(text))[-MAX_ANNOUNCED:]:
        start, end = match.span(1)
        if kind == "phrase" and (reason := _REASON.search(text, start, end)) is not None:
            end = reason.start()
        answers.append(_answer(kind, text, match.start(), start, end))
    return answers


def _answer(kind: str, text: str, marker_start: int, start: int, end: int) -> Answer:
    raw = text[start : min(end, start + MAX_TAGGED)]
    start += len(raw) - len(raw.lstrip())
    raw = raw.strip()
    stripped = raw.rstrip(".,").rstrip() if len(raw) > 1 else raw
    return Answer(kind, clean(stripped), start, start + len(stripped), start if kind == "bare" else marker_start, raw)


def clean(text: str) -> str:
    """The text without the typesetting around it: `$7$`, `**7**`, `\\(7\\)`, `\\boxed{7}`, `7.`"""
    for _ in range(4):
        before, text = text, text.strip()
        text = text.removesuffix(".") if len(text) > 1 else text
        for opening, closing in _WRAPPERS:
            if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
                text = text[len(opening) : -len(closing)]
        if (box := _BOX.match(text)) is not None and _closing(text, box.end()) == len(text) - 1:
            text = text[box.end() : -1]
        if text == before:
            break
    return text.rstrip("*_") if text.count("**") == 1 else text
