"""Units that convert into each other, and the numbers that words stand for or bring along.

Small on purpose: what ordinary word problems use. A unit missing here costs a judgement (`None`), never a wrong one.

Where the numbers of a step come from: the problem, what its words and units imply, or an earlier result.

An operand that none of these explains is not thereby wrong, since people compute silently: it is `None`, never `False`.
A 1 needs no explanation, but explains nothing either: out of ones alone, any answer can be counted up.
"""

from collections.abc import Iterable, Iterator, Set
from fractions import Fraction
from itertools import zip_longest

from interp.tasks.traces.lexer import Token, lex
from interp.tasks.traces.nodes import Node, Number, as_written, work_out

_SIZES = """
time 1: s sec secs second seconds
time 60: min mins minute minutes
time 3600: h hr hrs hour hours
time 86400: day days
time 604800: week weeks
calendar 1: month months
calendar 12: year years
calendar 120: decade decades
money 1: cent cents ¢
money 5: nickel nickels
money 10: dime dimes
money 25: quarters
money 100: dollar dollars buck bucks
metres 1: mm millimeters
metres 10: cm centimeters
metres 1000: m meter meters metre metres
metres 1000000: km kilometers
feet 1: inch inches
feet 12: foot feet ft
feet 36: yard yards
feet 63360: mile miles
grams 1: g gram grams
grams 1000: kg kgs kilogram kilograms
ounces 1: oz ounce ounces
ounces 16: lb lbs pound pounds
ounces 32000: ton tons
litres 1: ml milliliters
litres 1000: l liter liters litre litres
cups 1: cup cups
cups 2: pint pints
cups 4: quart quarts
cups 16: gallon gallons
count 1: piece pieces
count 12: dozen dozens
"""

_NUMBERS = """
0: zero none
1: one once single
2: two couple pair pairs both other another second
2 1/2: half halves halved halfway twice double doubles doubled
3: three
3 1/3: third thirds triple tripled triples thrice
4: four
4 1/4: quarter quarters fourth fourths quadruple
5: five
5 1/5: fifth fifths
6: six
6 1/6: sixth sixths
7: seven
8: eight
8 1/8: eighth eighths
9: nine
10: ten
10 1/10: tenth tenths
11: eleven
12: twelve dozen dozens
13: thirteen
14: fourteen
15: fifteen
16: sixteen
17: seventeen
18: eighteen
19: nineteen
20: twenty
30: thirty
40: forty
50: fifty
60: sixty
70: seventy
80: eighty
90: ninety
100: hundred percent percentage
1000: thousand
1000000: million
60 3600: second seconds
60: minute minutes
60 24: hour hours
24 7 30 365: day days daily
7 52 4: week weeks weekly
2: weekend weekends
5: weekday weekdays
12 30 4: month months monthly
12 52 365: year years yearly annual annually
10: decade decades
100: century centuries cent cents dollar dollars
12 3: foot feet
12: inch inches
3 36: yard yards
5280: mile miles
16: pound pounds ounce ounces
1000: kilogram kilograms kg kilometer kilometers km liter liters
100 1000: meter meters
4: gallon gallons quart quarts
"""


def _rows(table: str) -> Iterator[tuple[list[str], list[str]]]:
    for row in table.strip().splitlines():
        head, words = row.split(":")
        yield head.split(), words.split()


_UNITS = {word: (family, Fraction(size)) for (family, size), words in _rows(_SIZES) for word in words}
_IMPLIED: dict[str, frozenset[Fraction]] = {}
for _values, _words in _rows(_NUMBERS):
    for _word in _words:
        _IMPLIED[_word] = _IMPLIED.get(_word, frozenset()) | {Fraction(value) for value in _values}


def unit_of(number: Number) -> tuple[str, Fraction] | None:
    """The family of the number's unit and its size in the smallest unit of the family."""
    if number.units and number.units[0] in _UNITS:
        return _UNITS[number.units[0]]
    return ("money", Fraction(100)) if number.money else None


def implied_numbers(word: str) -> frozenset[Fraction]:
    """What a problem need not write in digits: `three`, `twice`, and the 60 that `hours` bring along."""
    return _IMPLIED.get(word, frozenset())


MAX_PROMPT = 20_000
WHOLE = frozenset({Fraction(1)})


def stated_numbers(prompt: str) -> frozenset[Fraction]:
    """Every number the prompt states in digits or words, and those its units bring along."""
    tokens = lex(prompt[:MAX_PROMPT])
    found: set[Fraction] = set()
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.value is not None:
            found.add(token.value)
            if following is not None and following.kind == "pct":
                found |= {token.value / 100, Fraction(100)}
        elif token.kind == "word":
            for word in token.text.lower().split("-"):
                found |= implied_numbers(word)
    found |= {n / d for n, d in _written_fractions(tokens)}
    return frozenset(found)


def _written_fractions(tokens: list[Token]) -> Iterable[tuple[Fraction, Fraction]]:
    for top, bar, bottom in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if top.value is not None and bar.kind == "/" and bottom.value:
            yield top.value, bottom.value


def is_sourced(node: Node, known: Set[Fraction]) -> bool:
    """Every operand is among `known`."""
    return all(_is_among(known, operand) for operand in _operands(node, known))


def draws_on(node: Node, known: Set[Fraction]) -> bool:
    """Some operand is among `known`."""
    return any(_is_among(known, operand) for operand in _operands(node, known))


def _operands(node: Node, known: Set[Fraction]) -> Iterator[Node]:
    """The numbers of an expression; a fraction is one where it is known: `3/4` where the problem says 75%."""
    if isinstance(node, Number) or _is_among(known, node):
        yield node
    else:
        yield from _operands(node.left, known)
        yield from _operands(node.right, known)


def _is_among(known: Set[Fraction], node: Node) -> bool:
    if isinstance(node, Number):
        return abs(node.value) in known or abs(as_written(node)) in known
    is_fraction = node.op == "/" and isinstance(node.left, Number) and isinstance(node.right, Number)
    return is_fraction and work_out(node) in known
