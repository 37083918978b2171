"""A recursive-descent parser for arithmetic as it is written in text.

    expression := term (("+" | "-") term)*
    term       := factor (("*" | "/" | "of") factor | "(" expression ")")*
    factor     := "-" factor | atom ("^" factor)?
    atom       := number units? | "(" expression ")" units? | "\\frac{" expression "}{" expression "}"

`units` are words behind a number (`16 eggs`, `10ml of oil per wheel`, `$5/person`). Depth and length are bounded, so no
text is expensive to parse. A letter that stands for a number is an error: algebra is not judged.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from interp.tasks.text.numerals import SCALES
from interp.tasks.traces.expressions import Expression, Number, Operation
from interp.tasks.traces.lexer import Token

MAX_DEPTH, MAX_TOKENS, MAX_UNIT_WORDS = 16, 80, 6
UNIT_LETTERS = frozenset("mglshLc")
DETERMINERS = frozenset({"his", "her", "their", "its", "my", "our", "your", "the", "another", "these", "those"})
BREAKS = frozenset(
    {"and", "or", "so", "then", "but", "which", "because", "if", "that", "thus", "hence", "therefore"}
    | {"is", "are", "was", "were", "has", "have"}
)


class ParseError(ValueError):
    """The tokens are not arithmetic of this grammar. It never leaves this file: callers get None."""


def parse_exactly(tokens: list[Token], start: int, end: int) -> Expression | None:
    """The expression that spans all of `tokens[start:end]`, or None."""
    expression, stop = parse_prefix(tokens, start, end)
    return expression if stop == end else None


def parse_prefix(tokens: list[Token], start: int, end: int) -> tuple[Expression | None, int]:
    """The longest expression that begins at `start`, and the index of the token behind it."""
    parser = _Parser(tokens, start, min(end, start + MAX_TOKENS))
    try:
        return parser.expression(0), parser.position
    except ParseError:
        return None, start


@dataclass(slots=True)
class _Parser:
    tokens: list[Token]
    position: int
    """Index of the next token."""
    end: int

    def peek(self, ahead: int = 0) -> Token | None:
        return self.tokens[self.position + ahead] if self.position + ahead < self.end else None

    def expression(self, depth: int) -> Expression:
        return self._series(("+", "-"), self.term, depth)

    def term(self, depth: int) -> Expression:
        node = self._series(("*", "/"), self.factor, depth)
        while self._implies_product(node):
            opening = self.tokens[self.position]
            if opening.kind == "word":
                self.position += 1
            right = self._series(("*", "/"), self.factor, depth)
            op, end = ("of", opening.end) if opening.kind == "word" else ("*", opening.start)
            node = Operation(op, node, right, opening.start, end)
        return node

    def _series(self, ops: tuple[str, ...], part: Callable[[int], Expression], depth: int) -> Expression:
        """Operands joined by `ops`, left to right. It ends before an operator without operand: `= 14 - which is`."""
        node = part(depth)
        while (token := self.peek()) is not None and token.kind in ops:
            operator = self.position
            self.position += 1
            self._skip_determiners()
            try:
                right = part(depth)
            except ParseError:
                self.position = operator
                break
            ambiguous = self._is_ambiguous(operator, right)
            node = Operation(token.kind, node, right, token.start, token.end, ambiguous)
        return node

    def _skip_determiners(self) -> None:
        """Skip words before an operand that say nothing of its size: `25 classmates + his 1 teacher`."""
        while (token := self.peek()) is not None and token.text.lower() in DETERMINERS:
            self.position += 1

    def _is_ambiguous(self, operator: int, right: Expression) -> bool:
        """Whether the writer may have grouped it otherwise: `6 / 1/2`, or `14 / 1 / 4` for a division by 1/4."""
        following = self.peek()
        by_one = isinstance(right, Number) and right.value == 1 and following is not None and following.kind == "/"
        return self.tokens[operator].kind == "/" and (by_one or self._looks_nested(operator))

    def _looks_nested(self, operator: int) -> bool:
        """Whether spacing contradicts the grammar: `6 / 1/2` is 3 by the grammar and 12 by its spacing."""
        second = operator + 2
        while second < self.end and self.tokens[second].kind == "word":
            second += 1
        if second + 1 >= self.end or [self.tokens[i].kind for i in (operator, second, second + 1)] != ["/", "/", "num"]:
            return False
        glued = self.tokens[second - 1].end == self.tokens[second].start
        return self.tokens[operator].end < self.tokens[operator + 1].start and glued

    def _implies_product(self, node: Expression) -> bool:
        """Whether a product without a sign follows: `9(8)` or `1/2 of 50`."""
        token, following = self.peek(), self.peek(1)
        if token is None or following is None:
            return False
        if token.kind == "(":  # `9(8)`, `(1/2)(6)`: only without a space, since `14 (two weeks)` is an aside
            return self.tokens[self.position - 1].end == token.start and self.tokens[self.position - 1].kind in (
                "num",
                ")",
                "pct",
            )
        behind_operand = self.tokens[self.position - 1].kind in ("num", ")", "pct")
        if not behind_operand or token.text.lower() != "of" or following.kind not in ("num", "("):
            return False
        return (isinstance(node, Operation) and node.op == "/") or (isinstance(node, Number) and _is_share(node))

    def factor(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise ParseError("nested too deep")
        token, following = self.peek(), self.peek(1)
        if token is not None and token.kind == "-" and following is not None:
            self.position += 1
            inner = self.factor(depth + 1)
            if isinstance(inner, Number):
                return replace(inner, value=-inner.value, start=token.start)
            return Operation("*", Number(Fraction(-1), 0, token.start, token.end), inner, token.start, token.end)
        node = self.atom(depth)
        sign = self.peek()
        if sign is not None and sign.kind == "^":
            self.position += 1
            node = Operation("^", node, self.factor(depth + 1), sign.start, sign.end)
        return node

    def atom(self, depth: int) -> Expression:
        token = self.peek()
        if token is not None and token.kind == "(":
            return self._with_units(self.group(depth))
        if token is not None and token.kind == "frac":
            self.position += 1
            top, bottom = self.group(depth), self.group(depth)
            return self._with_units(Operation("/", top, bottom, token.start, token.end))
        if token is None or token.value is None:
            raise ParseError("expected an operand")
        self.position += 1
        number = Number(token.value, token.decimals, token.start, token.end, money=token.money)
        return self._with_units(self._mixed(number))

    def group(self, depth: int) -> Expression:
        opening = self.peek()
        if opening is None or opening.kind != "(":
            raise ParseError("expected an opening bracket")
        self.position += 1
        node = self.expression(depth + 1)
        closing = self.peek()
        if closing is None or closing.kind != ")":
            raise ParseError("expected a closing bracket")
        self.position += 1
        return node

    def _mixed(self, whole: Number) -> Number:
        """The number with a fraction behind it as one mixed number: `3 1/2`, `3 and 1/2`, `3½`."""
        joined = (token := self.peek()) is not None and token.text.lower() == "and"
        first = self.position + joined
        part = self.tokens[first : min(first + 3, self.end)]
        if whole.decimals or not part or part[0].value is None or whole.value.denominator > 1:
            return whole
        if part[0].value.denominator > 1 and not part[0].decimals:
            self.position = first + 1
            return replace(whole, value=whole.value + part[0].value, end=part[0].end)
        glued = len(part) == 3 and part[1].kind == "/" and part[0].end == part[1].start and part[1].end == part[2].start
        if not glued or part[2].value is None or not 0 < part[0].value < part[2].value:
            return whole
        self.position = first + 3
        return replace(whole, value=whole.value + part[0].value / part[2].value, end=part[2].end)

    def _with_units(self, node: Expression) -> Expression:
        """Add the percent sign, scale and unit words behind a number or a bracket."""
        token = self.peek()
        if token is not None and token.kind == "pct":
            self.position += 1
            if isinstance(node, Operation):
                return Operation("/", node, Number(Fraction(100), 0, token.start, token.end), token.start, token.end)
            node = replace(node, percent=True, end=token.end)
        node = self._scaled(node)
        is_share = node.op == "/" if isinstance(node, Operation) else _is_share(node)
        units = self._unit_words(is_share or self._closes_fraction())
        return replace(node, units=units) if units and isinstance(node, Number) else node

    def _closes_fraction(self) -> bool:
        """Whether the last tokens are a fraction, as in `1/2 of 50`."""
        return self.position >= 2 and [t.kind for t in self.tokens[self.position - 2 : self.position]] == ["/", "num"]

    def _scaled(self, node: Expression) -> Expression:
        token = self.peek()
        if token is None or token.text.lower() not in SCALES or not isinstance(node, Number):
            return node
        self.position += 1
        return replace(node, scale=SCALES[token.text.lower()], end=token.end)

    def _unit_words(self, is_share: bool) -> tuple[str, ...]:
        """The unit words that follow. After a share (`is_share`), an `of` may be a product instead."""
        words: list[str] = []
        while (token := self.peek()) is not None and len(words) < MAX_UNIT_WORDS:
            following = self.peek(1)
            per = token.kind == "/" and following is not None and following.kind == "word"
            word = following if per and following is not None else token
            if word.kind != "word" or word.text.lower() in BREAKS or (per or words) and _is_variable(word, glued=False):
                break
            glued_to_number = (
                self.tokens[self.position - 1].is_number and self.tokens[self.position - 1].end == word.start
            )
            if not words and _is_variable(word, glued_to_number):
                raise ParseError("a letter that stands for a number")
            after = self.peek(1)
            is_product = is_share and not words and after is not None and after.kind in ("num", "(")
            if is_product and word.text.lower() == "of":
                break
            words.append(word.text.lower())
            self.position += 2 if per else 1
        return tuple(words)


def _is_variable(word: Token, glued: bool) -> bool:
    """Whether the word stands for a number: `2x`, `2 x`, `3/4Papillon`; but not `10ml` or `5 m`."""
    if len(word.text) == 1:
        return word.text not in UNIT_LETTERS and (glued or word.text not in "aA¢")
    return glued and word.text.istitle()


def _is_share(number: Number) -> bool:
    """Whether the number is a share: `20% of`, `½ of`."""
    return number.percent or number.value.denominator > 1
