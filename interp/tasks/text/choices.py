"""Answers that choose: a letter among those a problem offers, or yes and no."""

import re

_CHOICE = re.compile(
    r"(?:(?:the\s+)?(?:correct\s+|right\s+)?(?:answer|option|choice)\s+(?:is\s+)?)?\(?([A-J])(?:\)|[.:]|\b(?=$))\s*(.{0,200})",
    re.S,
)
_YES_NO = re.compile(r"\s*(yes|no|true|false)\b\s*([,.;:!–—-]?)\s*(.{0,200})", re.I | re.S)
_OPPOSITE = re.compile(
    r"\b(?:yes|no|not|n't|true|false|but|maybe|perhaps|or|unless|unsure|wrong|however|actually)\b|n't\b", re.I
)


def same_choice(truth: str, answer: str, prompt: str) -> bool:
    """Whether an answer names the letter that is true: `B`, `(B)`, `option B`, or `B) 18` as the problem has it."""
    match = _CHOICE.fullmatch(answer.strip())
    if match is None or len(truth) != 1 or match.group(1) != truth:
        return False
    text = _squeeze(match.group(2)).removesuffix(".")
    return not text or re.search(rf"(?<![A-Za-z]){truth}[).:]\s*{re.escape(text)}(?!\w)", _squeeze(prompt)) is not None


def same_yes_no(truth: str, answer: str) -> bool:
    """Whether an answer begins with the true one of yes and no, and takes nothing back."""
    match = _YES_NO.fullmatch(answer)
    if match is None or match.group(1).lower() != truth.strip().lower():
        return False
    rest = match.group(3)
    return not rest or (bool(match.group(2)) and _OPPOSITE.search(rest) is None)


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
