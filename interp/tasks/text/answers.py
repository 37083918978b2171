r"""Which answer a completion gives, and the number it is.

The answer is what the completion announces: the last `<answer>...</answer>`; failing that `\boxed{...}`; failing that
`#### ...`; then a line `A: ...` or `Answer: ...`; then `the answer is ...`; or the whole completion, if it is nothing
but an answer.
Never just the last number in sight: whoever writes many numbers would be right sooner or later. For the same reason
an announcement must be readable as one answer (`17 or 18` is none), and announcements of different answers with no
more than two words between them are a list, not a correction, and no answer at all.
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
    kind: str
    text: str
    start: int
    end: int
    marker: int
    """Where its announcement begins; equal to `start` for a bare answer."""

    raw: str
    """The text as it stands, where `text` is without its typesetting."""

    @property
    def spans(self) -> tuple[Span, ...]:
        spans = (Span(self.marker, self.start, "marker"), Span(self.start, self.end, "answer"))
        return tuple(s for s in spans if s.start < s.end)


def find_answer(text: str, reads: Callable[[str], bool]) -> Answer | None:
    """The answer `text` gives, of the kind that `reads` can read."""
    for announced in (_tagged(text), _boxes(text), *(_marked(kind, pattern, text) for kind, pattern in _MARKERS)):
        found = [answer for answer in announced if reads(answer.text)]
        if found:
            return None if _is_list(found, text) else found[-1]
    whole = _answer("bare", text, 0, 0, len(text)) if len(text) <= MAX_FIELD else None
    return whole if whole is not None and whole.text and reads(whole.text) else None


def _is_list(found: list[Answer], text: str) -> bool:
    if len(found) < 2 or _canonical(found[-2].text) == _canonical(found[-1].text):
        return False
    return len(re.findall(r"[^\W\d_]{2,}", text[found[-2].end : found[-1].marker])) <= 2


def _canonical(text: str) -> str:
    number = read_number(text)
    return re.sub(r"\s+", "", text) if number is None else str(number)


def _tagged(text: str) -> list[Answer]:
    found: list[Answer] = []
    end = len(text)
    while len(found) < MAX_ANNOUNCED and (closing := text.rfind(_CLOSE, 0, end)) >= 0:
        opening = text.rfind(_OPEN, max(0, closing - MAX_TAGGED), closing)
        if opening >= 0:
            found.append(_answer("tag", text, opening, opening + len(_OPEN), closing))
        end = closing if opening < 0 else opening
    return found[::-1]


def _boxes(text: str) -> list[Answer]:
    found, at = [], 0
    while (opening := _BOX.search(text, at)) is not None:
        closing = _closing(text, opening.end())
        if closing is not None:  # boxes within a box are its contents, not announcements
            found.append(_answer("box", text, opening.start(), opening.end(), closing))
        at = opening.end() if closing is None else closing
    return found[-MAX_ANNOUNCED:]


def _closing(text: str, start: int) -> int | None:
    depth = 1
    for at in range(start, min(len(text), start + MAX_FIELD)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return None


def _marked(kind: str, pattern: re.Pattern[str], text: str) -> list[Answer]:
    found = []
    for match in list(pattern.finditer(text))[-MAX_ANNOUNCED:]:
        start, end = match.span(1)
        if kind == "phrase" and (reason := _REASON.search(text, start, end)) is not None:
            end = reason.start()
        found.append(_answer(kind, text, match.start(), start, end))
    return found


def _answer(kind: str, text: str, marker: int, start: int, end: int) -> Answer:
    raw = text[start : min(end, start + MAX_TAGGED)]
    start += len(raw) - len(raw.lstrip())
    raw = raw.strip()
    shown = raw.rstrip(".,").rstrip() if len(raw) > 1 else raw
    return Answer(kind, clean(shown), start, start + len(shown), start if kind == "bare" else marker, raw)


def clean(text: str) -> str:
    """Without the typesetting around it: `$7$`, `**7**`, `\\(7\\)`, `\\boxed{7}`, `7.`"""
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
