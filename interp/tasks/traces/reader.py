"""Arithmetic as it is written in text, read by recursive descent.

    expression := term (("+" | "-") term)*
    term       := factor (("*" | "/" | "of") factor | "(" expression ")")*
    factor     := "-" factor | atom ("^" factor)?
    atom       := number units? | "(" expression ")" units? | "\\frac{" expression "}{" expression "}"

`units` are words a number may carry (`16 eggs`, `10ml of oil per wheel`, `$5/person`). Depth and length are bounded, so
that no text can make reading expensive. A letter that stands for a number ends the reading: algebra is not judged.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from interp.tasks.text.numerals import SCALES
from interp.tasks.traces.lexer import Token
from interp.tasks.traces.nodes import Node, Number, Operation

MAX_DEPTH, MAX_TOKENS, MAX_UNIT_WORDS = 16, 80, 6
UNIT_LETTERS = frozenset("mglshLc")
BREAKS = frozenset(
    {"and", "or", "so", "then", "but", "which", "because", "if", "that", "thus", "hence", "therefore"}
    | {"is", "are", "was", "were", "has", "have"}
)


class UnreadableError(ValueError):
    """Not arithmetic this grammar knows. Private to the reader: callers get `None`."""


def read_whole(tokens: list[Token], start: int, end: int) -> Node | None:
    """The expression that is exactly `tokens[start:end]`."""
    node, stop = read_prefix(tokens, start, end)
    return node if stop == end else None


def read_prefix(tokens: list[Token], start: int, end: int) -> tuple[Node | None, int]:
    """The longest expression beginning at `start`, and the token it stops before."""
    reader = _Reader(tokens, start, min(end, start + MAX_TOKENS))
    try:
        return reader.expression(0), reader.at
    except UnreadableError:
        return None, start


@dataclass(slots=True)
class _Reader:
    tokens: list[Token]
    at: int
    end: int

    def peek(self, ahead: int = 0) -> Token | None:
        return self.tokens[self.at + ahead] if self.at + ahead < self.end else None

    def expression(self, depth: int) -> Node:
        return self._series(("+", "-"), self.term, depth)

    def term(self, depth: int) -> Node:
        node = self._series(("*", "/"), self.factor, depth)
        while self._implies_product(node):
            opening = self.tokens[self.at]
            if opening.kind == "word":
                self.at += 1
            right = self._series(("*", "/"), self.factor, depth)
            op, end = ("of", opening.end) if opening.kind == "word" else ("*", opening.start)
            node = Operation(op, node, right, opening.start, end)
        return node

    def _series(self, ops: tuple[str, ...], part: Callable[[int], Node], depth: int) -> Node:
        """Left to right; an operator with no operand behind it (`= 14 - which is`) is left unread, not an error."""
        node = part(depth)
        while (token := self.peek()) is not None and token.kind in ops:
            here = self.at
            self.at += 1
            try:
                right = part(depth)
            except UnreadableError:
                self.at = here
                break
            node = Operation(token.kind, node, right, token.start, token.end, self._looks_nested(here))
        return node

    def _looks_nested(self, at: int) -> bool:
        """`6 / 1/2`: by the grammar 3, by its spacing 12. `100 pages / 2 pages/1.5 minutes` likewise."""
        second = at + 2
        while second < self.end and self.tokens[second].kind == "word":
            second += 1
        if second + 1 >= self.end or [self.tokens[i].kind for i in (at, second, second + 1)] != ["/", "/", "num"]:
            return False
        glued = self.tokens[second - 1].end == self.tokens[second].start
        return self.tokens[at].end < self.tokens[at + 1].start and glued

    def _implies_product(self, node: Node) -> bool:
        token, following = self.peek(), self.peek(1)
        if token is None or following is None:
            return False
        if token.kind == "(":  # `9(8)`, `(1/2)(6)`: only without a space, since `14 (two weeks)` is an aside
            return self.tokens[self.at - 1].end == token.start and self.tokens[self.at - 1].kind in ("num", ")", "pct")
        behind_operand = self.tokens[self.at - 1].kind in ("num", ")", "pct")
        if not behind_operand or token.text.lower() != "of" or following.kind not in ("num", "("):
            return False
        return (isinstance(node, Operation) and node.op == "/") or (isinstance(node, Number) and _is_part(node))

    def factor(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise UnreadableError("nested too deep")
        token, following = self.peek(), self.peek(1)
        if token is not None and token.kind == "-" and following is not None:
            self.at += 1
            inner = self.factor(depth + 1)
            if isinstance(inner, Number):
                return replace(inner, value=-inner.value, start=token.start)
            return Operation("*", Number(Fraction(-1), 0, token.start, token.end), inner, token.start, token.end)
        node = self.atom(depth)
        sign = self.peek()
        if sign is not None and sign.kind == "^":
            self.at += 1
            node = Operation("^", node, self.factor(depth + 1), sign.start, sign.end)
        return node

    def atom(self, depth: int) -> Node:
        token = self.peek()
        if token is not None and token.kind == "(":
            return self._with_units(self.group(depth))
        if token is not None and token.kind == "frac":
            self.at += 1
            top, bottom = self.group(depth), self.group(depth)
            return self._with_units(Operation("/", top, bottom, token.start, token.end))
        if token is None or token.value is None:
            raise UnreadableError("an operand was due")
        self.at += 1
        number = Number(token.value, token.places, token.start, token.end, money=token.money)
        return self._with_units(self._mixed(number))

    def group(self, depth: int) -> Node:
        opening = self.peek()
        if opening is None or opening.kind != "(":
            raise UnreadableError("a bracket was due")
        self.at += 1
        node = self.expression(depth + 1)
        closing = self.peek()
        if closing is None or closing.kind != ")":
            raise UnreadableError("an open bracket")
        self.at += 1
        return node

    def _mixed(self, whole: Number) -> Number:
        """`3 1/2`, `3 and 1/2` and `3½` are one number."""
        joined = (token := self.peek()) is not None and token.text.lower() == "and"
        at = self.at + joined
        part = self.tokens[at : min(at + 3, self.end)]
        if whole.places or not part or part[0].value is None or whole.value.denominator > 1:
            return whole
        if part[0].value.denominator > 1 and not part[0].places:
            self.at = at + 1
            return replace(whole, value=whole.value + part[0].value, end=part[0].end)
        glued = len(part) == 3 and part[1].kind == "/" and part[0].end == part[1].start and part[1].end == part[2].start
        if not glued or part[2].value is None or not 0 < part[0].value < part[2].value:
            return whole
        self.at = at + 3
        return replace(whole, value=whole.value + part[0].value / part[2].value, end=part[2].end)

    def _with_units(self, node: Node) -> Node:
        """Take in a percent sign and the unit words behind a number or a bracket."""
        token = self.peek()
        if token is not None and token.kind == "pct":
            self.at += 1
            if isinstance(node, Operation):
                return Operation("/", node, Number(Fraction(100), 0, token.start, token.end), token.start, token.end)
            node = replace(node, percent=True, end=token.end)
        node = self._scaled(node)
        part = node.op == "/" if isinstance(node, Operation) else _is_part(node)
        units = self._unit_words(part or self._closes_fraction())
        return replace(node, units=units) if units and isinstance(node, Number) else node

    def _closes_fraction(self) -> bool:
        """Just behind `1/2`, as in `1/2 of 50`."""
        return self.at >= 2 and [t.kind for t in self.tokens[self.at - 2 : self.at]] == ["/", "num"]

    def _scaled(self, node: Node) -> Node:
        token = self.peek()
        if token is None or token.text.lower() not in SCALES or not isinstance(node, Number):
            return node
        self.at += 1
        return replace(node, scale=SCALES[token.text.lower()], end=token.end)

    def _unit_words(self, part: bool) -> tuple[str, ...]:
        words: list[str] = []
        while (token := self.peek()) is not None and len(words) < MAX_UNIT_WORDS:
            following = self.peek(1)
            per = token.kind == "/" and following is not None and following.kind == "word"
            word = following if per and following is not None else token
            if word.kind != "word" or word.text.lower() in BREAKS:
                break
            glued_to_number = self.tokens[self.at - 1].is_number and self.tokens[self.at - 1].end == word.start
            if not words and _is_variable(word, glued_to_number):
                raise UnreadableError("a letter that stands for a number")
            after = self.peek(1)
            takes_part = part and not words and after is not None and after.kind in ("num", "(")
            if takes_part and word.text.lower() == "of":
                break
            words.append(word.text.lower())
            self.at += 2 if per else 1
        return tuple(words)


def _is_variable(word: Token, glued: bool) -> bool:
    """`2x`, `2 x`, `3/4Papillon`; but not `10ml` or `5 m`."""
    if len(word.text) == 1:
        return word.text not in UNIT_LETTERS and (glued or word.text not in "aA¢")
    return glued and word.text.istitle()


def _is_part(number: Number) -> bool:
    """Of what one takes a share: `20% of`, `½ of`."""
    return number.percent or number.value.denominator > 1
