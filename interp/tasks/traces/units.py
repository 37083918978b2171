"""Words that stand for units and for numbers, in ordinary word problems.

The tables are small on purpose. A word missing here leaves an equation unjudged (None); it never makes it wrong.
"""

from collections.abc import Iterator
from fractions import Fraction

from interp.tasks.traces.expressions import Number

# Each line: family, size in the family's smallest unit: words.
_UNIT_TABLE = """
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

# Each line: numbers that the words stand for or imply (`hour` implies 60 and 24): words.
_NUMBER_TABLE = """
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


_UNITS = {word: (family, Fraction(size)) for (family, size), words in _rows(_UNIT_TABLE) for word in words}
_IMPLIED: dict[str, frozenset[Fraction]] = {}
for _values, _words in _rows(_NUMBER_TABLE):
    for _word in _words:
        _IMPLIED[_word] = _IMPLIED.get(_word, frozenset()) | {Fraction(value) for value in _values}


def unit_of(number: Number) -> tuple[str, Fraction] | None:
    """Family of the number's unit, and its size in the family's smallest unit."""
    if number.units and number.units[0] in _UNITS:
        return _UNITS[number.units[0]]
    return ("money", Fraction(100)) if number.money else None


def implied_numbers(word: str) -> frozenset[Fraction]:
    """Numbers that a problem states without digits: `three`, `twice`, and the 60 that `hours` imply."""
    return _IMPLIED.get(word, frozenset())
