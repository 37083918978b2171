"""Tokens of a formula, in LaTeX or plain: numbers, letters, functions, signs. What is not listed cannot be read."""

import re

MAX_FORMULA, MAX_DIGITS, MAX_LETTERS = 200, 40, 3

Token = tuple[str, str]
"""Kind and text. The kinds: number, name (a letter or constant), function, root, fraction, sign."""
FUNCTIONS = frozenset({"sin", "cos", "tan", "arcsin", "arccos", "arctan", "log", "ln", "exp"})
_GREEK = {"π": "pi", "θ": "theta", "α": "alpha", "β": "beta", "γ": "gamma", "λ": "lambda", "μ": "mu", "φ": "phi"}
_NAMES = frozenset({*_GREEK.values(), "omega", "sigma", "delta", "rho"})
_SIGNS = {"−": "-", "–": "-", "·": "*", "×": "*", "÷": "/", r"\cdot": "*", r"\times": "*", r"\div": "/", "⁄": "/"}
_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|\\(?P<command>[a-zA-Z]+)|(?P<letters>[a-zA-Z]+)"
    r"|(?P<sign>[-+*/^_()\[\]{}|%°−–·×÷⁄√πθαβγλμφ])|(?P<space>\s+)"
)
_SPACES = re.compile(r"\\[,;:!> ]|\\q?quad(?![a-zA-Z])|\\(?:left|right|displaystyle|limits)(?![a-zA-Z])|~")


class Unreadable(Exception):
    """The text is not in the grammar."""


def tokens_of(text: str) -> list[Token]:
    """Kind and text of each token: number, name (letter or constant), function, or sign."""
    if len(text) > MAX_FORMULA:
        raise Unreadable("too long")
    if re.search(r"[0-9][eE][-+]?[0-9]", text):
        raise Unreadable("a number with an exponent, or a product with e")
    text, position, tokens = _SPACES.sub(" ", text), 0, []
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"no token at {text[position : position + 10]!r}")
        if match.lastgroup == "number" and len(match.group()) > MAX_DIGITS:
            raise Unreadable("too many digits")
        spaced = bool(tokens) and text[position - 1].isspace()
        if match.lastgroup == "number" and spaced and tokens[-1][0] == "number" and tokens[-2:-1] != [("sign", "_")]:
            raise Unreadable("two numbers in a row")
        tokens.extend(_of_kind(str(match.lastgroup), match.group()))
        position = match.end()
    return tokens


def _of_kind(kind: str, text: str) -> list[Token]:
    if kind == "space":
        return []
    if kind == "number":
        return [("number", text)]
    if kind == "sign":
        return [("name", _GREEK[text])] if text in _GREEK else [("sign", _SIGNS.get(text, text))]
    word = text.lstrip("\\")
    if word in FUNCTIONS:
        return [("function", word)]
    if text in _SIGNS:
        return [("sign", _SIGNS[text])]
    if word in _NAMES and (kind == "command" or word != "lambda"):
        return [("name", word)]
    if word == "sqrt" or (kind == "command" and word in ("frac", "dfrac", "tfrac")):
        return [("root" if word == "sqrt" else "fraction", word)]
    if kind == "command" and word in ("circ", "degree"):
        return [("sign", "°")]
    if kind == "command" and word in ("lvert", "rvert", "vert"):
        return [("sign", "|")]
    if kind == "letters" and len(word) <= MAX_LETTERS and word.lower() not in ("nan", "inf"):
        return [("name", letter) for letter in word]
    raise Unreadable(f"unknown word {text[:20]!r}")
