"""Words, numbers and signs of ordinary mathematical text, each with the characters it covers.

Only ASCII digits are digits: Python's `int` would read Arabic-Indic ones, and a verifier that reads what no problem
writes can be fooled by it. What looks like a number but is none we know (`10:30`, `1.2.3`, `3,5`) becomes a `bad`
token, so that an equation holding it stays unjudged instead of being judged on its tail.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 30

VULGAR = {"½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3), "⅕": (1, 5), "⅛": (1, 8)}
WORD_OPERATORS = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/"}

_PATTERNS = (
    ("note", r"<<[^<>\n]*>>"),
    ("skip", r"[ \t\r\xa0]+|\\[,;! ()\[\]]|[&_`~]|\n(?=\s*&?=)"),
    ("skip", r"\\(?:left|right|quad|displaystyle|boxed|fbox)(?![a-zA-Z])"),
    ("stop", r"\n|\\\\|(?<![<>])[<>]=|!=|=[<>](?![<>])|->|[≠≤≥→⇒]|\\(?:neq?|leq?|geq?|to|implies)(?![a-zA-Z])"),
    ("approx", r"≈|≅|~=|\\approx(?![a-zA-Z])"),
    ("eq", r"==?|\bequals\b"),
    ("vulgar", "[" + "".join(VULGAR) + "]"),
    (
        "num",
        r"(?:[0-9]{1,3}(?:(?:,|\{,\}|\\,)[0-9]{3})+(?:\.[0-9]+)?"
        r"|[0-9]{1,3}(?: 000)+|(?<=[$€£])[0-9]{1,3}(?: [0-9]{3})+(?![0-9])"
        r"|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)"
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
# One group per rule: the same kind may be told by several rules, so groups are numbered rather than named.
_LEXER = re.compile("|".join(f"({pattern})" for _, pattern in _PATTERNS), re.IGNORECASE | re.DOTALL)
_TIMES_X = re.compile(r"[xX](?=\s*(?:\\?[$€£]\s*)?[.(]?[0-9½¼¾])")
_OPERAND_AHEAD = re.compile(r"\s*(?:\\?[$€£]\s*)?[-(.]?\s*[0-9(\\{]")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int
    value: Fraction | None = None
    places: int = 0
    """Decimals written: what a rounded result is held to."""
    money: bool = False

    @property
    def is_number(self) -> bool:
        return self.kind == "num"


def lex(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    tokens: list[Token] = []
    money = False
    for kind, raw, at in _raw_tokens(text, start, len(text) if end is None else end, tokens):
        if kind in ("skip", "money"):
            money = money or kind == "money"
            continue
        token = _make(kind, raw, at, money)
        tokens.append(token)
        money = money and kind in ("note", "-")  # `$<<2*3=6>>6` and `$-6` are money still
    return tokens


def _raw_tokens(text: str, at: int, end: int, before: list[Token]) -> Iterator[tuple[str, str, int]]:
    """Kind, text and place of each token; the few signs whose meaning depends on their neighbours are settled here."""
    while at < end:
        times = _TIMES_X.match(text, at, end) if _ends_operand(before, spaced=text[at - 1 : at].isspace()) else None
        match = times or _LEXER.match(text, at, end)
        assert match is not None, "the last rule takes any character"
        kind, raw = ("*", match.group()) if times else (_PATTERNS[(match.lastindex or 1) - 1][0], match.group())
        if kind == "power":  # markdown bold is two stars as well
            kind = "^" if _ends_operand(before, False) and _OPERAND_AHEAD.match(text, match.end(), end) else "skip"
        elif kind == "wordop":
            known = _ends_operand(before, True) and _OPERAND_AHEAD.match(text, match.end(), end)
            kind = WORD_OPERATORS[raw.lower()] if known else "word"
        elif kind == "-" and _is_hyphen(text, at, match.end()):
            kind = "skip"
        yield kind, raw, at
        at = match.end()


def _ends_operand(before: list[Token], spaced: bool) -> bool:
    return bool(before) and (before[-1].kind in ("num", ")", "pct") or (spaced and before[-1].kind == "word"))


def _is_hyphen(text: str, at: int, end: int) -> bool:
    """`3-page`, glued on both sides with a letter behind: a compound, not a subtraction."""
    return at > 0 and text[at - 1].isalnum() and text[end : end + 1].isalpha()


def _make(kind: str, raw: str, at: int, money: bool) -> Token:
    end = at + len(raw)
    if kind == "vulgar":
        return Token("num", raw, at, end, Fraction(*VULGAR[raw]), 0, money)
    if kind != "num":
        return Token("word" if kind == "text" else kind, raw, at, end)
    digits = re.sub(r"[^0-9.]", "", raw)
    if len(digits) > MAX_DIGITS:
        return Token("bad", raw, at, end)
    return Token("num", raw, at, end, Fraction(digits), len(digits.partition(".")[2]), money)
