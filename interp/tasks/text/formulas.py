r"""Formulae as trees: numbers, letters, the four operations, powers, roots, and the usual functions, in LaTeX or plain.

The grammar is closed: what it does not list cannot be read, so no text runs code. A tree is at most as large as its
text, `MAX_FORMULA` characters. Letters in a row are a product (`2xy`), up to three of them; `e`, `i` and `pi` are the
constants. Operations of equal rank bind from left to right: `1/2x` is half of x. A letter usual for a function is none
of a product with brackets behind it, so `f(2x)` cannot be read.
"""

from dataclasses import dataclass
from fractions import Fraction

from interp.tasks.text.formula_tokens import Token, Unreadable, tokens_of

MAX_DEPTH = 15

_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_APPLIED = frozenset("fghFGHP")


@dataclass(frozen=True, slots=True)
class Constant:
    """A rational number."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Letter:
    """A variable, or one of the constants `e`, `i` and `pi`."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation or a function, on its arguments."""

    name: str
    arguments: "tuple[Node, ...]"


Node = Constant | Letter | Apply
_END = ("end", "")


def parse_formula(text: str) -> Node:
    """The tree of a formula. Raises `Unreadable`."""
    return _Parser(tokens_of(text)).whole()


def letters_of(node: Node) -> frozenset[str]:
    """Names of the variables and constants that occur."""
    match node:
        case Letter(name):
            return frozenset({name})
        case Apply(_, arguments):
            return frozenset().union(*(letters_of(argument) for argument in arguments))
    return frozenset()


class _Parser:
    """Recursive descent over tokens, at most `MAX_DEPTH` operands within operands."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.position, self.depth, self.bars = tokens, 0, 0, 0

    def whole(self) -> Node:
        node = self.sum()
        if self.peek() != _END:
            raise Unreadable(f"unexpected {self.peek()[1]!r}")
        return node

    def peek(self) -> Token:
        return self.tokens[self.position] if self.position < len(self.tokens) else _END

    def take(self, *signs: str) -> bool:
        """Whether one of the signs is next; it is taken."""
        kind, text = self.peek()
        is_next = kind == "sign" and text in signs
        self.position += is_next
        return is_next

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            raise Unreadable(f"expected {sign!r}")

    def sum(self) -> Node:
        node = self.product()
        while self.peek() in (("sign", "+"), ("sign", "-")):
            sign = self.peek()[1]
            self.position += 1
            node = Apply(sign, (node, self.product()))
        return node

    def product(self) -> Node:
        node = self.signed()
        while True:
            if self.take("*"):
                node = Apply("*", (node, self.signed()))
            elif self.take("/"):
                node = Apply("/", (node, self.signed()))
            elif self.begins_operand():
                node = Apply("*", (node, self.power()))
            else:
                return node

    def begins_operand(self) -> bool:
        kind, text = self.peek()
        if kind == "sign":
            return text in "([{√" or (text == "|" and not self.bars)
        return kind in ("number", "name", "function", "root", "fraction")

    def signed(self) -> Node:
        negative = False
        while self.peek() in (("sign", "+"), ("sign", "-")):
            negative ^= self.peek()[1] == "-"
            self.position += 1
        node = self.power()
        return Apply("-", (Constant(Fraction(0)), node)) if negative else node

    def power(self) -> Node:
        node = self.postfixed(self.atom())
        if self.peek() == ("sign", "^"):
            exponent = self.exponent()
            if exponent is None:
                return node
            if self.peek() == ("sign", "^"):
                raise Unreadable("a power of a power without brackets")
            node = self.postfixed(Apply("^", (node, exponent)))
        return node

    def exponent(self) -> Node | None:
        """The exponent behind `^`. None for a degree sign, which is a unit."""
        self.expect("^")
        if self.take("°") or self.skip("{", "°", "}"):
            return None
        if self.peek() == ("sign", "{"):
            return self.group("{", "}")
        negative = self.take("-")
        kind, text = self.peek()
        if kind == "number" and len(text) > 1 and not text.isdigit():
            raise Unreadable("a decimal exponent without braces")
        node = self.atom()
        return Apply("-", (Constant(Fraction(0)), node)) if negative else node

    def skip(self, *signs: str) -> bool:
        """Whether just these signs are next; they are taken."""
        ahead = self.tokens[self.position : self.position + len(signs)]
        matches = ahead == [("sign", sign) for sign in signs]
        self.position += len(signs) * matches
        return matches

    def postfixed(self, node: Node) -> Node:
        while self.take("%"):
            node = Apply("/", (node, Constant(Fraction(100))))
        self.take("°")
        return node

    def group(self, opening: str, closing: str) -> Node:
        self.expect(opening)
        bars, self.bars = self.bars, 0
        node = self.sum()
        self.bars = bars
        self.expect(closing)
        return node

    def atom(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deep")
        node = self.shallow_atom()
        self.depth -= 1
        return node

    def shallow_atom(self) -> Node:
        kind, text = self.peek()
        if kind == "sign":
            return self.bracketed(text)
        self.position += 1
        if kind == "number":
            return self.mixed(Constant(Fraction(text)))
        if kind == "name":
            return self.letter(text)
        if kind == "function":
            return self.function(text)
        if kind == "root":
            return self.root()
        if kind == "fraction":
            return Apply("/", (self.argument(), self.argument()))
        raise Unreadable("expected an operand")

    def bracketed(self, sign: str) -> Node:
        if sign in ("(", "[", "{"):
            return self.group(sign, {"(": ")", "[": "]", "{": "}"}[sign])
        if sign == "√":
            self.position += 1
            return Apply("root", (self.atom(), Constant(Fraction(2))))
        if sign != "|":
            raise Unreadable(f"unexpected {sign!r}")
        self.position += 1
        self.bars += 1
        node = self.sum()
        self.expect("|")
        self.bars -= 1
        return Apply("abs", (node,))

    def mixed(self, whole: Constant) -> Node:
        r"""A mixed number, `2\frac{1}{2}`, if a proper fraction of digits follows; else the number."""
        start = self.position
        if self.peek()[0] == "fraction" and whole.value.denominator == 1:
            self.position += 1
            try:
                top, bottom = self.argument(), self.argument()
            except Unreadable:
                top = bottom = None
            if isinstance(top, Constant) and isinstance(bottom, Constant) and 0 < top.value < bottom.value:
                return Constant(whole.value + top.value / bottom.value)
        self.position = start
        return whole

    def letter(self, name: str) -> Node:
        if self.take("_"):
            kind, text = self.peek()
            if kind == "sign" and text == "{" and self.tokens[self.position + 2 : self.position + 3] == [("sign", "}")]:
                kind, text = self.tokens[self.position + 1]
                self.position += 2
            if kind not in ("number", "name"):
                raise Unreadable("expected an index")
            self.position += 1
            return Letter(f"{name}_{text}")
        if name in _APPLIED and self.peek() == ("sign", "("):
            raise Unreadable("a function without a definition")
        return Letter(name)

    def function(self, name: str) -> Node:
        base: Node | None = None
        if name == "log" and self.take("_"):
            base = self.argument()
        exponent = self.exponent() if self.peek() == ("sign", "^") else None
        if exponent == Apply("-", (Constant(Fraction(0)), Constant(Fraction(1)))):
            if name not in _INVERSES:
                raise Unreadable("an inverse that could be a power")
            name, exponent = _INVERSES[name], None
        node = Apply(name, (self.operand(), base) if base is not None else (self.operand(),))
        return node if exponent is None else Apply("^", (node, exponent))

    def operand(self) -> Node:
        """The argument of a function: a bracket, or all factors up to the next sign or function (`sin 2x`)."""
        if self.peek()[1] in ("(", "[", "{", "|") or self.peek()[0] in ("function", "root"):
            return self.degrees(self.power())
        node = self.degrees(self.power())
        while self.peek()[0] in ("number", "name", "fraction"):
            node = self.degrees(Apply("*", (node, self.power())))
        return node

    def degrees(self, node: Node) -> Node:
        if self.position and self.tokens[self.position - 1] == ("sign", "°") or self.ends_in_degrees():
            return Apply("/", (Apply("*", (node, Letter("pi"))), Constant(Fraction(180))))
        return node

    def ends_in_degrees(self) -> bool:
        return self.tokens[max(0, self.position - 2) : self.position] == [("sign", "°"), ("sign", "}")]

    def root(self) -> Node:
        index: Node = Constant(Fraction(2))
        if self.peek() == ("sign", "["):
            index = self.group("[", "]")
        return Apply("root", (self.argument(), index))

    def argument(self) -> Node:
        r"""The argument of a command: a group, or one digit or letter (`\frac12`)."""
        kind, text = self.peek()
        if kind == "sign" and text in ("{", "("):
            return self.group(text, {"{": "}", "(": ")"}[text])
        if kind == "number" and text.isdigit():
            self.tokens[self.position : self.position + 1] = [("number", digit) for digit in text]
        if kind not in ("number", "name"):
            raise Unreadable("expected an argument")
        self.position += 1
        return Constant(Fraction(self.tokens[self.position - 1][1])) if kind == "number" else Letter(text)
