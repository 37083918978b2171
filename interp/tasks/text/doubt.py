r"""What around an announced answer makes it none: a denial before it, a retraction behind it, or an operation on it.

`The answer is not \boxed{18}`, `half the answer is 18`, `if the answer is 18`; `The answer is 18. Wrong.`
(`interp.tasks.text.retractions`); `-\boxed{18}`, `\boxed{18}^2`. Only the words nearest to the answer count, so a `not`
elsewhere in the sentence does no harm.
"""

import re

from interp.tasks.text.retractions import MAX_BEHIND, is_taken_back

MAX_BEFORE, NEAREST_WORDS = 120, 5

_BOUNDARY = re.compile(r"[.,:;!?\n()](?![0-9])|\b(?:so|thus|therefore|hence|then)\b", re.I)
_NOT = r"not|never|neither|nor|cannot|wrong|incorrect|false|half|twice|double|unless|unlike|except|doubt"
_DENIAL_OF_PHRASE = re.compile(
    rf"\b(?:{_NOT}|no|triple|third|quarter|opposite|square|root|inverse|reciprocal|if|whether|deny|guess|maybe|perhaps"
    r"|possibly|probably|might|could|would|suppose|assume)\b|n['’]t\b"
    r"|\b(?:mistake|lie|claim)\b|(?<!\bi )(?<!\bwe )\b(?:says?|said|claims|claimed|suggests?|believes?|thinks)\b"
    r"|\b(?:than|of|by|from|plus|minus|times|before|after|to|for|with)$",
    re.I,
)
_DENIAL_OF_OTHERS = re.compile(rf"\b(?:{_NOT})\b|n['’]t\b|\bthan$|(?:≠|\\neq?|[<>≤≥]|\\[lg]eq?)[\s$]*$", re.I)
_DETERMINERS = ("the", "my", "our", "your", "a", "this")
_NOUN = re.compile(
    rf"(?:\b(?:{'|'.join(_DETERMINERS)}|final|correct|right|exact|numerical|numeric|simplified|complete|full|overall|total"
    r"|required|desired|only|actual|true)\s+)*$",
    re.I,
)
_BEFORE_OPERATION = re.compile(
    r"(?:[=$({0-9)}]|(?<![a-zA-Z])[a-zA-Z])\s*(?:[-−+*/^×·]|\\(?:cdot|times|pm|sqrt\{?|d?frac\{))\s*$"
    r"|\\(?:sqrt|frac|dfrac)\s*\{[^{}]*(?:\}\{)?$|[0-9]$|(?<![a-zA-Z\\])[a-zA-Z]$"
)
_BEHIND_OPERATION = re.compile(
    r"\s*(?:[\^!]|[-−+*/×·]\s*(?:[0-9(\\]|[a-z](?![a-z]))|\\(?:cdot|times|pm|div|frac|sqrt))|[0-9(]|[a-zA-Z](?![a-zA-Z])"
)

_CLOSING = {"box": re.compile(r"^[\s.,;$]*\}"), "tag": re.compile(r"^[\s.,;]*</answer>")}

_NEXT_CHOICE = re.compile(r"[ \t*_.]*\n[ \t*_]*B[ \t]*[):.]")


def is_denied(text: str, marker_start: int, kind: str) -> bool:
    """Whether what stands before an announcement denies it or makes it one of something else."""
    before = text[max(0, marker_start - MAX_BEFORE) : marker_start]
    boundaries = list(_BOUNDARY.finditer(before))
    clause = before[boundaries[-1].end() :] if boundaries else before
    if kind == "box" and _BEFORE_OPERATION.search(before) is not None:
        return True
    if kind == "tag":
        clause = clause.rstrip().removesuffix(">")
    if kind != "phrase":
        return _DENIAL_OF_OTHERS.search(_last_words(clause)) is not None
    noun = _NOUN.search(clause)
    assert noun is not None, "the pattern matches at the end of any text"
    subject, clause = noun.group().lower().split(), clause[: noun.start()]
    if clause.strip(" \t*_>#-") and not set(subject) & set(_DETERMINERS) and "final" not in subject:
        return True  # somebody's answer, or an answer of a kind: `Tom's answer is`, `a lucky answer is`
    return _DENIAL_OF_PHRASE.search(_last_words(clause)) is not None


def is_retracted(text: str, end: int, kind: str, answer: str) -> bool:
    """Whether what stands right behind an announcement of an answer, at `end`, takes it back."""
    behind = _CLOSING[kind].sub("", text[end : end + MAX_BEHIND]) if kind in _CLOSING else text[end : end + MAX_BEHIND]
    if kind == "label" and _NEXT_CHOICE.match(behind) is not None:
        return True  # `A: 18` is the first of several choices
    if kind == "box" and _BEHIND_OPERATION.match(behind) is not None:
        return True
    return is_taken_back(behind, answer)


def _last_words(clause: str) -> str:
    return " ".join(clause.split()[-NEAREST_WORDS:])
