"""Units that convert into each other, and the numbers that words stand for.

Small on purpose: what ordinary word problems use. A unit missing here costs a judgement (`None`), never a wrong one.
"""

from fractions import Fraction

from interp.tasks.traces.nodes import Number

_FAMILIES: dict[str, tuple[tuple[int | Fraction, str], ...]] = {
    "time": (
        (1, "s sec secs second seconds"),
        (60, "min mins minute minutes"),
        (3600, "h hr hrs hour hours"),
        (86400, "day days"),
        (604800, "week weeks"),
    ),
    "calendar": ((1, "month months"), (12, "year years"), (120, "decade decades")),
    "money": ((1, "cent cents ¢"), (5, "nickel nickels"), (10, "dime dimes"), (25, "quarters"), (100, "dollar dollars buck bucks")),
    "metres": ((1, "mm millimeters"), (10, "cm centimeters"), (1000, "m meter meters metre metres"), (10**6, "km kilometers")),
    "feet": ((1, "inch inches"), (12, "foot feet ft"), (36, "yard yards"), (63360, "mile miles")),
    "grams": ((1, "g gram grams"), (1000, "kg kgs kilogram kilograms"), (10**6, "tonne tonnes")),
    "ounces": ((1, "oz ounce ounces"), (16, "lb lbs pound pounds"), (32000, "ton tons")),
    "litres": ((1, "ml milliliters"), (1000, "l liter liters litre litres")),
    "cups": ((1, "cup cups"), (2, "pint pints"), (4, "quart quarts"), (16, "gallon gallons")),
    "count": ((1, "piece pieces"), (12, "dozen dozens")),
}
_UNITS = {word: (family, factor) for family, rows in _FAMILIES.items() for factor, words in rows for word in words.split()}

NUMBER_WORDS: dict[str, tuple[int | Fraction, ...]] = {
    word: (value,)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {
    **{word: (10 * tens,) for tens, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), 3)},
    **{word: (2, Fraction(1, 2)) for word in "half halves halved halfway twice double doubles doubled".split()},
    **{word: (2,) for word in "couple pair pairs both other another second".split()},
    **{word: (3, Fraction(1, 3)) for word in "third thirds triple tripled triples thrice".split()},
    **{word: (4, Fraction(1, 4)) for word in "quarter quarters fourth fourths quadruple".split()},
    **{word: (5, Fraction(1, 5)) for word in "fifth fifths".split()},
    **{word: (6, Fraction(1, 6)) for word in "sixth sixths".split()},
    **{word: (8, Fraction(1, 8)) for word in "eighth eighths".split()},
    **{word: (10, Fraction(1, 10)) for word in "tenth tenths".split()},
    **{word: (1,) for word in "once single a an".split()},
    "dozen": (12,),
    "dozens": (12,),
    "hundred": (100,),
    "thousand": (1000,),
    "million": (10**6,),
    "percent": (100,),
    "percentage": (100,),
}

CONVERSIONS: dict[str, tuple[int, ...]] = {
    "second": (60, 3600),
    "minute": (60,),
    "hour": (60, 24),
    "day": (24, 7, 30, 365),
    "daily": (7, 30, 365),
    "week": (7, 52, 4),
    "weekly": (52, 4),
    "weekend": (2,),
    "weekday": (5,),
    "month": (12, 30, 4),
    "monthly": (12,),
    "year": (12, 52, 365),
    "yearly": (12, 52, 365),
    "annual": (12, 52, 365),
    "decade": (10,),
    "century": (100,),
    "cent": (100,),
    "dollar": (100,),
    "foot": (12,),
    "feet": (12, 3),
    "inch": (12,),
    "inches": (12,),
    "yard": (3, 36),
    "mile": (5280,),
    "pound": (16,),
    "ounce": (16,),
    "kilogram": (1000,),
    "kg": (1000,),
    "kilometer": (1000,),
    "km": (1000,),
    "meter": (100, 1000),
    "liter": (1000,),
    "gallon": (4,),
    "quart": (4,),
}
"""What a problem need not say because its units do."""


def unit_of(number: Number) -> tuple[str, Fraction] | None:
    """The family of the number's unit and its size in the smallest unit of the family."""
    if number.units and number.units[0] in _UNITS:
        family, factor = _UNITS[number.units[0]]
        return family, Fraction(factor)
    return ("money", Fraction(100)) if number.money else None
