"""Tokens of ordinary mathematical text: words, numbers and signs, each with the characters it covers.

    num, bad          a number; something like a number that is not one (`10:30`, `1.2.3`, `3,5`)
    + - * / ^         operators, in every common spelling
    eq, approx        equals signs; `equals`, and `is` behind a computation (`7 plus 3 is 10`)
    ( ) frac          brackets, and `\\frac`
    pct               a percent sign
    word              a word, or a bracketed aside
    note              a calculator annotation, `<<48+24=72>>`
    stop              punctuation, line ends, and signs that end a clause

An equation with a `bad` token is not judged at all. Only ASCII digits count: Python's `int` would read Arabic-Indic
digits too, and a verifier that accepts more than problems contain can be fooled.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

MAX_DIGITS = 30

VULGAR = {"½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3), "⅕": (1, 5), "⅛": (1, 8)}
WORD_OPERATORS = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/"}

_PATTERNS = (
    ("note", r"<<[^<>\n]*>>"),
    ("skip", r"[ \t\r\xa0]+|\\[,;! ()\[\]]|[&_`~]|\n(?=\s{0,20}&?=)"),
    ("skip", r"(?<=[0-9])(?:\.{3,9}|…)(?= ?%)"),  # `8.333...%`
    ("skip", r"\\(?:left|right|quad|displaystyle|boxed|fbox)(?![a-zA-Z])"),
    ("stop", r"\n|\\\\|(?<![<>])[<>]=|!=|=[<>](?![<>])|->|[≠≤≥→⇒]|\\(?:neq?|leq?|geq?|to|implies)(?![a-zA-Z])"),
    ("approx", r"≈|≅|~=|\\approx(?![a-zA-Z])"),
    ("eq", r"==?|\bequals\b"),
    ("vulgar", "[" + "".join(VULGAR) + "]"),
    (
        "num",
        r"(?:[0-9]{1,3}(?:(?:,|\{,\}|\\,)[0-9]{3})+(?:\.[0-9]+)?"
        r"|[0-9]{1,3}(?: [0-9]{3}){0,3}(?: 000){1,4}|(?<=[$€£])[0-9]{1,3}(?: [0-9]{3})+(?![0-9])"
        r"|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+|(?<=[-+*/=] )\. [0-9]+)"
        r"(?![0-9]|[.,:][0-9])",
    ),
    ("bad", r"[0-9](?:[.,:]?[0-9])*|(?<![^\W\d_])[a-zA-Z][0-9]+"),
    ("frac", r"\\[dt]?frac(?![a-zA-Z])"),
    ("text", r"\\(?:text|mathrm|mbox|textbf)\s*\{[^{}]*\}"),
    ("pct", r"\\?%|\bper ?cent\b"),
    ("money", r"\\?[$€£]"),
    ("power", r"\*\*|\^"),
    ("bad", r"//"),
    ("*", r"[*×·⋅∙]|\\(?:times|cdot)(?![a-zA-Z])"),
    ("/", r"[/÷]|\\div(?![a-zA-Z])"),
    ("bad", r"\\[a-zA-Z]+"),
    ("+", r"\+"),
    ("-", r"[-−–]"),
    ("word", r"\((?:[^\W\d_]|[ ,'’-]){2,40}\)"),  # an aside: `$9 (phone)`
    ("(", r"[(\[{]"),
    (")", r"[)\]}]"),
    ("wordop", r"\b(?:plus|minus|times|multiplied by|divided by)\b"),
    ("word", r"[^\W\d_](?:[^\W\d_]|['’&-](?=[^\W\d_]))*|¢"),
    ("stop", r"[.,;:!?\"“”—|]"),
    ("bad", r"."),
)
# One group per rule. Several rules may give the same kind, so the groups are numbered, not named.
_LEXER = re.compile("|".join(f"({pattern})" for _, pattern in _PATTERNS), re.IGNORECASE | re.DOTALL)
# spaces are bounded in number: two runs of any length, one behind the other, take time that grows with its square
_TIMES_X = re.compile(r"[xX](?=\s{0,20}(?:\\?[$€£]\s{0,20})?[.(]?[0-9½¼¾])")
_OPERAND_AHEAD = re.compile(r"\s{0,20}(?:\\?[$€£]\s{0,20})?[-(.]?\s{0,20}[0-9(\\{]")
_DIGIT_AHEAD = re.compile(r"\s{1,20}(?:\\?[$€£]\s{0,20})?[0-9]")


@dataclass(frozen=True, slots=True)
class Token:
    """A token, at characters [start, end)."""

    kind: str
    """See the module's docstring."""
    text: str
    start: int
    end: int
    value: Fraction | None = None
    """Value of a number."""
    decimals: int = 0
    """Number of decimals written."""
    money: bool = False
    """Whether a currency sign stands before the number."""

    @property
    def is_number(self) -> bool:
        return self.kind == "num"


def lex(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of `text[start:end]`, in order."""
    tokens: list[Token] = []
    money = False
    for kind, raw, position in _raw_tokens(text, start, len(text) if end is None else end, tokens):
        if kind in ("skip", "money"):
            money = money or kind == "money"
            continue
        tokens.append(_token(kind, raw, position, money))
        money = money and kind in ("note", "-")  # in `$<<2*3=6>>6` and `$-6` the sign belongs to the 6
    return tokens


def _raw_tokens(text: str, position: int, end: int, before: list[Token]) -> Iterator[tuple[str, str, int]]:
    """Kind, text and position of each token. Signs whose meaning depends on their neighbours are resolved here."""
    while position < end:
        spaced = text[position - 1 : position].isspace()
        times = _TIMES_X.match(text, position, end) if _ends_operand(before, spaced=spaced) else None
        match = times or _LEXER.match(text, position, end)
        assert match is not None, "the last rule takes any character"
        kind, raw = ("*", match.group()) if times else (_PATTERNS[(match.lastindex or 1) - 1][0], match.group())
        if kind == "power":  # markdown bold is two stars as well
            kind = "^" if _ends_operand(before, False) and _OPERAND_AHEAD.match(text, match.end(), end) else "skip"
        elif kind == "wordop":
            between_operands = _ends_operand(before, True) and _OPERAND_AHEAD.match(text, match.end(), end)
            kind = WORD_OPERATORS[raw.lower()] if between_operands else "word"
        elif kind == "word" and raw.lower() == "is" and _is_sign(before) and _DIGIT_AHEAD.match(text, match.end(), end):
            kind = "eq"
        elif kind == "-" and _is_hyphen(text, position, match.end()):
            kind = "skip"
        yield kind, raw, position
        position = match.end()


def _is_sign(before: list[Token]) -> bool:
    """Whether an `is` behind these tokens says what a computation gives: `7 plus 3 is 10`."""
    kinds = [token.kind for token in before[-3:]]
    return len(kinds) == 3 and kinds[0] in ("num", ")") and kinds[1] in ("+", "-", "*", "/") and kinds[2] == "num"


def _ends_operand(before: list[Token], spaced: bool) -> bool:
    return bool(before) and (before[-1].kind in ("num", ")", "pct") or (spaced and before[-1].kind == "word"))


def _is_hyphen(text: str, start: int, end: int) -> bool:
    """Whether a minus joins a compound, without spaces and with a letter behind: `3-page`."""
    return start > 0 and text[start - 1].isalnum() and text[end : end + 1].isalpha()


def _token(kind: str, raw: str, start: int, money: bool) -> Token:
    end = start + len(raw)
    if kind == "vulgar":
        return Token("num", raw, start, end, Fraction(*VULGAR[raw]), 0, money)
    if kind != "num":
        return Token("word" if kind == "text" else kind, raw, start, end)
    digits = raw if raw.isascii() and raw.isdigit() else re.sub(r"[^0-9.]", "", raw)
    if len(digits) > MAX_DIGITS:
        return Token("bad", raw, start, end)
    return Token("num", raw, start, end, _value(digits), len(digits.partition(".")[2]), money)


@lru_cache(maxsize=1024)
def _value(digits: str) -> Fraction:
    """The same digits come again and again in a text, and a fraction is slow to make."""
    return Fraction(digits)
