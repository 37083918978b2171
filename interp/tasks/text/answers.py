r"""The answer that a completion announces.

The first of these that occurs counts, in its last occurrence:

    tag      `<answer>...</answer>`
    box      `\boxed{...}`
    hashes   `#### ...`
    label    a line `A: ...` or `Answer: ...`
    phrase   `the answer is ...`
    bare     the whole completion, if it is nothing but an answer

The last number of a text is never taken as its answer: a text with many numbers would be right by chance. For the same
reason an announcement must be readable as one answer (`17 or 18` is not), up to the end of its sentence or to a reason
(`18, because ...`), and neither denied nor taken back by the words around it (`interp.tasks.text.doubt`). If the last
one is not, nothing that was announced before it, in the same way or a weaker one, counts. Two announcements of
different answers with at most two words between them are a list, not a correction, and count as no answer.

Every search is linear in the length of the text, and only its last `MAX_TEXT` characters are searched.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import zip_longest

from interp.tasks.base import Span
from interp.tasks.text.doubt import is_denied, is_retracted
from interp.tasks.text.vocabulary import NEVER_HARMLESS

MAX_FIELD, MAX_TAGGED, MAX_ANNOUNCED, MAX_TEXT = 300, 5000, 4, 100_000

_MARKERS = (
    ("hashes", re.compile(r"(?<!#)####(?!#)[ \t]*")),
    (
        "label",
        re.compile(
            r"^[ \t*_>#]{0,20}(?:(?:the[ \t]{1,3})?(?:final[ \t]{1,3})?answer|A)[ \t*_]{0,9}:[ \t*_]{0,9}"
            r"|(?<=[.;!?])[ \t*_]{1,9}(?:the[ \t]{1,3})?(?:final[ \t]{1,3})?answer[ \t*_]{0,9}:[ \t*_]{0,9}",
            re.I | re.M,
        ),
    ),
    (
        "phrase",
        re.compile(
            r"\banswer(?:[ \t]{1,3}(?:to|for)[ \t]{1,3}(?:the|this|our)[ \t]{1,3}(?:question|problem|exercise))?"
            r"(?:\s{1,9}(?:is|equals|must be|comes to|comes out to|=)\b|\s{0,9}=)\s{0,9}:?[ \t]{0,9}",
            re.I,
        ),
    ),
)
_VARIABLE = re.compile(r"[a-zA-Z]\s?\^|(?<=[0-9])[a-zA-Z](?![a-zA-Z])")
_OPEN, _CLOSE = "<answer>", "</answer>"
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{")
_BRACE = re.compile(rf"{_BOX.pattern}|[{{}}]")
_FAULTS = frozenset({"short", "off", "too", "nonsense", "mistake", "lie"})
_DOUBTFUL = "|".join(sorted(NEVER_HARMLESS - {"one", "to", "and"} | _FAULTS))
_DOUBTFUL_REST = rf"[^.!?\n]{{0,80}}(?:[0-9]|\b(?:{_DOUBTFUL})\b|n['’]t\b)"
_REASON = re.compile(
    r"\b(?:because|since|given that|due to|as (?=(?:she|he|it|they|we|there|each|every|all|[0-9$])\b)"
    rf"|(?:which is|as (?:expected|required|needed))\b(?!{_DOUBTFUL_REST}))",
    re.I,
)
_ABBREVIATIONS = "ft sq in oz lb lbs hr hrs min mins sec yd mi cm St Mr Mrs Dr"
_SENTENCE_END = re.compile(
    r"\.(?=[\s*_]|$)(?<![.\s]\.)(?<!\b[a-zA-Z]\.)" + "".join(rf"(?<!\b{word}\.)" for word in _ABBREVIATIONS.split())
)
_LINK = re.compile(
    r"[\s,;]{0,9}(?:\b(?:and|so|then|thus|hence|therefore)\s{1,9})?(?:\b(?:the|my|final|correct)\s{1,9}){0,3}$"
)
_WRAPPERS = (
    *(("**", "**"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("`", "`"), ("*", "*"), ("__", "__")),
    *(('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»")),
)
_BRACKETED = re.compile(r"\((?=[^()]*\)$)(.*)\)|\[(?=[^\[\]]*\]$)(.*)\]|\{(?=[^{}]*\}$)(.*)\}", re.S)
_PREFIX = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+)?(?:final\s+|correct\s+)?answer\s{0,3}(?:is|:|=)\s*:?\s*", re.I
)


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
    skipped = max(0, len(text) - MAX_TEXT)
    answer = _find_answer(text[skipped:], can_read)
    if answer is None or not skipped:
        return answer
    shifted = (answer.start + skipped, answer.end + skipped, answer.marker_start + skipped)
    return replace(answer, start=shifted[0], end=shifted[1], marker_start=shifted[2])


def _find_answer(text: str, can_read: Callable[[str], bool]) -> Answer | None:
    announced = _announced(text)
    last_of_kind = {answer.kind: answer for answer in announced}
    unread_until = 0
    for last in last_of_kind.values():
        if _is_doubted(last, text) or not can_read(last.text):
            unread_until = max(unread_until, last.start)
        elif last.end > unread_until:
            return None if any(_is_rival(other, last, text, can_read) for other in announced) else last
    if announced or len(text) > MAX_FIELD or _computes(text):
        return None
    bare = _answer("bare", text, 0, 0, len(text))
    return bare if bare.text and can_read(bare.text) else None


def announces(text: str) -> bool:
    """Whether a text announces anything, be it readable as an answer or not."""
    return bool(_announced(text[-MAX_TEXT:]))


def _announced(text: str) -> list[Answer]:
    kinds = (_tagged(text), _boxed(text), *(_marked(kind, pattern, text) for kind, pattern in _MARKERS))
    return [answer for answers in kinds for answer in answers if answer.text]


def _is_doubted(answer: Answer, text: str) -> bool:
    return is_denied(text, answer.marker_start, answer.kind) or is_retracted(text, answer.end, answer.kind, answer.text)


def _is_rival(other: Answer, answer: Answer, text: str, can_read: Callable[[str], bool]) -> bool:
    """Whether another announcement says otherwise, with at most two words between the two."""
    first, second = sorted((other, answer), key=lambda announced: announced.marker_start)
    between = text[first.end : second.marker_start]
    if second.marker_start < first.end or len(between) > MAX_FIELD or _canonical(other.text) == _canonical(answer.text):
        return False
    if other.kind != answer.kind and not (re.search("[0-9]", other.text) and re.search("[0-9]", answer.text)):
        return False  # `The answer is eighteen. #### 18`
    return len(re.findall(r"[^\W\d_]{2,}", between)) <= 2 and can_read(other.text)


def _canonical(text: str) -> str:
    """What two spellings of one answer share: its digits if it has any, else its letters."""
    digits = re.sub(r"[^0-9./+*^=−-]|(?<![0-9])[.](?![0-9])|(?<=[.][0-9])0+$", "", text)
    return digits if re.search("[0-9]", digits) else re.sub(r"\s+", "", text).casefold()


def _computes(text: str) -> bool:
    """Whether a text computes its last number, as in `x = 3 * 4 = 12`: a step, and no answer unless announced."""
    before = text[: max(0, text.rfind("="))]
    return re.search("[0-9]", before) is not None and ("=" in before or _VARIABLE.search(before) is None)


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
    """Boxes that are closed. A box within a box is part of its text, not an announcement."""
    open_braces: list[tuple[int, int, bool]] = []
    boxes: list[tuple[int, int, int]] = []
    for match in _BRACE.finditer(text):
        if match.group() != "}":
            open_braces.append((*match.span(), len(match.group()) > 1))
        elif open_braces:
            start, inside, is_box = open_braces.pop()
            if is_box and match.start() - inside <= MAX_FIELD:
                boxes.append((start, inside, match.start()))
    outermost: list[tuple[int, int, int]] = []
    for box in sorted(boxes):
        if not outermost or box[0] > outermost[-1][2]:
            outermost.append(box)
    return [_answer("box", text, *box) for box in outermost[-MAX_ANNOUNCED:]]


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
    matches = list(pattern.finditer(text))[-MAX_ANNOUNCED:]
    for match, following in zip_longest(matches, matches[1:]):
        start = match.end()
        line_end = _line_end(text, start)
        if following is not None and following.start() < line_end:
            line_end = start + len(_LINK.sub("", text[start : following.start()][:MAX_TAGGED]))
        if kind != "hashes" and not text[start:line_end].strip(" \t*_$:"):
            start, line_end = _last_line(text, line_end) or (start, line_end)
        end = _statement_end(text, start, line_end)
        if kind == "phrase" and _is_exclaimed(text, end):
            end = text.rindex("!")
        answers.append(_answer(kind, text, match.start(), start, end))
    return answers


def _is_exclaimed(text: str, end: int) -> bool:
    """Whether a statement ends in the only `!` of the text, behind a digit and before nothing: no factorial."""
    last = text[max(0, end - MAX_FIELD) : end].rstrip()
    return re.search("[0-9]!$", last) is not None and text.count("!") == 1 and not text[end:].strip()


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _last_line(text: str, start: int) -> tuple[int, int] | None:
    """The line behind `start`, if it is the last that says anything."""
    rest = text[start : start + MAX_FIELD]
    lines = rest.strip(" \t\n$*_[]\\")
    if len(text) - start > MAX_FIELD or not lines or "\n" in lines:
        return None
    begin = start + rest.index(lines)
    return begin, begin + len(lines)


def _statement_end(text: str, start: int, end: int) -> int:
    """Where a statement ends: at a reason for it, or at the end of its sentence."""
    end = min(end, start + MAX_TAGGED)
    sentence = _SENTENCE_END.search(text, start, end)
    end = end if sentence is None else sentence.start()
    reason = _REASON.search(text, start, end)
    before = text[start : end if reason is None else reason.start()]
    return start + len(before if reason is None else before.rstrip(" \t\n,;(–—-")) if before.strip() else end


def _answer(kind: str, text: str, marker_start: int, start: int, end: int) -> Answer:
    raw = text[start : min(end, start + MAX_TAGGED)]
    start += len(raw) - len(raw.lstrip())
    raw = raw.strip()
    stripped = raw[:-1].rstrip() if len(raw) > 1 and raw[-1] in ".,;" and raw[-2] not in "." else raw
    marker_start = start if kind == "bare" else marker_start
    result = stripped.rfind("=") + 1 if _computes(stripped) and "{" not in stripped else 0
    result += len(stripped[result:]) - len(stripped[result:].lstrip())
    return Answer(kind, clean(stripped), start + result, start + len(stripped), marker_start, raw)


def clean(text: str) -> str:
    r"""The text without the typesetting around it: `$7$`, `**7**`, `"7"`, `(7)`, `\(7\)`, `\boxed{7}`, `7.`"""
    for _ in range(6):
        before, text = text, text.strip()
        text = text.removesuffix(".") if len(text) > 1 and text[-2] not in ". " else text
        for opening, closing in _WRAPPERS:
            inner = text[len(opening) : len(text) - len(closing)]
            if text.startswith(opening) and text.endswith(closing) and inner and opening not in inner:
                text = inner
        if (box := _BOX.match(text)) is not None and _closing(text, box.end()) == len(text) - 1:
            text = text[box.end() : -1]
        if (bracketed := _BRACKETED.fullmatch(text[:MAX_FIELD])) is not None and len(text) <= MAX_FIELD:
            inner = next(group for group in bracketed.groups() if group is not None)
            text = text if "," in inner else inner
        if (prefix := _PREFIX.match(text)) is not None:
            text = text[prefix.end() :]
        if text == before:
            break
    trimmed = text.rstrip("*_")
    return text if set("*_") & set(trimmed) else trimmed
