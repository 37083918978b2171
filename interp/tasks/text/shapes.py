r"""Formulae with their outer shape: one value, a set, a tuple, an interval, a list, a matrix, or a relation.

    value      one formula; `a \pm b` is the set of two
    list       `1, 2`, `1 and 2`, `x = 1 or x = 2`: in any order. Any brackets around the same order are equal to it
    set        `\{1, 2\}`: in any order, each member once
    tuple      `(1, 2)`, also an open interval
    interval   `[1, 2)`, `[1, 2]`, `(1, 2]`
    union      `(1, 2) \cup [3, \infty)`: in any order
    matrix     `\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}`
    relation   `y = 2x`, `x < 3`: equal if the differences of their sides are, up to a factor (positive for `<`)

`y = 2x` is also equal to `2x`, if `y` is one letter that does not occur on the right.
"""

import re
from dataclasses import dataclass
from itertools import accumulate

from interp.tasks.text.formula_tokens import MAX_FORMULA, Unreadable
from interp.tasks.text.formulas import Apply, Letter, Node, letters_of, parse_formula
from interp.tasks.text.values import is_defined

MAX_MEMBERS, MAX_NESTED = 30, 15
INFINITY = Letter("\u221e")
_OPEN, _CLOSE = "([{", ")]}"
_ENVIRONMENT = re.compile(r"\\begin\{([pb]?matrix)\}(.*)\\end\{\1\}", re.S)
_RELATION = re.compile(r"\\(?:leq?|geq?|neq?|lt|gt)(?![a-zA-Z])|[<>]=?|[=≤≥≠]")
_RELATIONS = {r"\le": "<=", r"\leq": "<=", "≤": "<=", r"\ge": ">=", r"\geq": ">=", "≥": ">=", r"\lt": "<", r"\gt": ">"}
_RELATIONS |= {r"\ne": "!=", r"\neq": "!=", "≠": "!="}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_IN = re.compile(r"\s*[a-zA-Z]\s*(?:\\in(?![a-zA-Z])|∈)")
_WORDS = re.compile(r"\\text\s*\{\s*(and|or)\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])")
_INFINITE = re.compile(r"\s*([-+−]?)\s*(?:\\infty|∞)\s*")


@dataclass(frozen=True, slots=True)
class Shape:
    """The outer shape of a formula, and the formulae inside it."""

    kind: str
    """`value`, `list`, `set`, `union`, `matrix`, `relation`, or the two brackets of a tuple or interval."""
    members: "tuple[Member, ...]"
    sign: str = ""
    """Of a relation: `=`, `!=`, `<`, `<=`, or two of these for three sides."""
    columns: int = 0
    """Of a matrix."""


Member = Node | Shape


def parse_shape(text: str) -> Shape:
    """The shape of a formula. Raises `Unreadable`."""
    if len(text) > MAX_FORMULA or any(sign in text for sign in ("**", "//", "__", "!")):
        raise Unreadable("too long, or code")
    text = re.sub(r"\\(?:left|right)(?![a-zA-Z])", "", text)
    if max(_depths(text), default=0) > MAX_NESTED:
        raise Unreadable("nested too deep")
    shape = _shape(text)
    if len(shape.members) > MAX_MEMBERS:
        raise Unreadable("too many members")
    return shape


def is_comparable(shape: Shape) -> bool:
    """Whether every formula inside has values."""
    return all(
        is_comparable(member) if isinstance(member, Shape) else is_infinite(member) or is_defined(member)
        for member in shape.members
    )


def is_infinite(node: Node) -> bool:
    return node == INFINITY or (isinstance(node, Apply) and node.arguments[-1:] == (INFINITY,))


# --- reading -----------------------------------------------------------------------------------------------------


def _shape(text: str) -> Shape:
    text = text.strip()
    if (environment := _ENVIRONMENT.fullmatch(text)) is not None:
        return _matrix(environment.group(2))
    if (member := _IN.match(text)) is not None:
        text = text[member.end() :].strip()
    joined = _WORDS.sub(",", text)
    parts = _split(joined, ",")
    if len(parts) > 1 and (joined == text or "," not in text):
        relations = [_RELATION.search(part) is not None for part in parts]
        if all(relations) or not any(relations):
            return _list([_shape(part) for part in parts])
    if (relation := _first_relation(text)) is not None:
        return relation
    unions = _split(text, "\\cup", "∪")
    if len(unions) > 1:
        return Shape("union", tuple(_shape(part) for part in unions))
    return _bracketed(text) or _value(text)


def _list(parts: list[Shape]) -> Shape:
    """A list; `x = 1, x = 2` is a list of values."""
    names = {part.members[0] for part in parts if part.kind == "relation" and is_assignment(part)}
    if len(names) == 1 and all(part.kind == "relation" and is_assignment(part) for part in parts):
        parts = [as_shape(part.members[1]) for part in parts]
    return Shape("list", tuple(_lowered(part) for part in parts))


def _lowered(shape: Shape) -> Member:
    """A single value as a formula, anything else as it is."""
    return shape.members[0] if shape.kind == "value" else shape


def as_shape(member: Member) -> Shape:
    return member if isinstance(member, Shape) else Shape("value", (member,))


def is_assignment(shape: Shape) -> bool:
    """Whether a relation gives one letter a value: `x = 7`."""
    if shape.kind != "relation" or shape.sign != "=" or len(shape.members) != 2:
        return False
    left, right = shape.members
    return isinstance(left, Letter) and left.name not in letters_in(right)


def letters_in(member: Member) -> frozenset[str]:
    if isinstance(member, Shape):
        return frozenset().union(*(letters_in(inner) for inner in member.members))
    return letters_of(member)


def _first_relation(text: str) -> Shape | None:
    """The relation that a text is, with two or three sides. None if it is none."""
    depths = _depths(text)
    signs = [match for match in _RELATION.finditer(text) if depths[match.start()] == 0]
    if not signs:
        return None
    if len(signs) > 2:
        raise Unreadable("too many relations")
    ends = [0, *(position for sign in signs for position in sign.span()), len(text)]
    sides = [text[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True)]
    names = [_RELATIONS.get(sign.group(), sign.group()) for sign in signs]
    if names == ["="] and (applied := re.fullmatch(r"\s*[a-zA-Z]\s*\(\s*[a-zA-Z]\s*\)\s*", sides[0])) is not None:
        sides[0] = applied.group().strip()[0]  # f(x) = ...
    if names == ["="] and re.fullmatch(r"\s*\((?:\s*[a-zA-Z]\s*,)+\s*[a-zA-Z]\s*\)\s*", sides[0]):
        return _shape(sides[1])  # (x, y) = ...
    if names == ["="]:
        left, right = _lowered(_value(sides[0])), _lowered(_shape(sides[1]))
        return Shape("relation", (left, right), "=")
    if set(names) <= {">", ">="}:
        sides, names = sides[::-1], [_FLIPPED[name] for name in names[::-1]]
    if set(names) & {"=", "!=", ">", ">="} and len(names) == 2:
        raise Unreadable("a chain of different relations")
    return Shape("relation", tuple(_lowered(_value(side)) for side in sides), " ".join(names))


def _matrix(body: str) -> Shape:
    rows = [row.split("&") for row in re.split(r"\\\\", body) if row.strip()]
    if len({len(row) for row in rows}) != 1:
        raise Unreadable("rows of different lengths")
    return Shape("matrix", tuple(parse_formula(cell) for row in rows for cell in row), columns=len(rows[0]))


def _bracketed(text: str) -> Shape | None:
    """A set, tuple or interval. None if the text is none."""
    set_ = re.fullmatch(r"\\\{(.*)\\\}", text, re.S)
    if set_ is not None:
        return Shape("set", tuple(_lowered(_shape(part)) for part in _split(set_.group(1), ",")))
    if len(text) < 2 or text[0] not in _OPEN or text[-1] not in _CLOSE or min(_depths(text)[:-1]) < 1:
        return None
    parts = _split(text[1:-1], ",")
    if len(parts) == 1:
        return None
    members = tuple(_end(part) for part in parts)
    return Shape("set" if text[0] == "{" else text[0] + text[-1], members)


def _end(text: str) -> Member:
    infinite = _INFINITE.fullmatch(text)
    if infinite is None:
        return _lowered(_shape(text))
    return Apply("-", (INFINITY,)) if infinite.group(1) in ("-", "−") else INFINITY


def _value(text: str) -> Shape:
    if (infinite := _INFINITE.fullmatch(text)) is not None:
        return Shape("value", (Apply("-", (INFINITY,)) if infinite.group(1) in ("-", "−") else INFINITY,))
    signs = list(re.finditer(r"\\pm(?![a-zA-Z])|±", text))
    if len(signs) > 1:
        raise Unreadable("more than one plus or minus")
    if not signs:
        return Shape("value", (parse_formula(text),))
    before, after = text[: signs[0].start()], text[signs[0].end() :]
    return Shape("set", tuple(parse_formula(f"{before}{sign}{after}") for sign in "+-"))


def _split(text: str, *separators: str) -> list[str]:
    """The parts between separators outside brackets."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        depth += (text[position] in _OPEN) - (text[position] in _CLOSE)
        separator = next((s for s in separators if depth == 0 and text.startswith(s, position)), None)
        if separator is not None:
            parts.append(text[start:position])
            start = position + len(separator)
        position += len(separator) if separator else 1
    return [*parts, text[start:]]


def _depths(text: str) -> list[int]:
    """How many brackets are open after each character."""
    return list(accumulate((sign in _OPEN) - (sign in _CLOSE) for sign in text))
