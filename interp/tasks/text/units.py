"""Units that may stand behind a number, with the sizes of those that can be converted.

A unit missing here is read only if it is a word of the problem, so the tables hold what problems do not name: symbols,
abbreviations and the usual measures. A symbol of one letter (`5 m`) could also be a variable; it needs the problem.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

# Each line: family, size in the family's smallest unit (- if it cannot be converted): words.
_TABLE = """
time 1: s sec secs second seconds
time 60: min mins minute minutes
time 3600: h hr hrs hour hours
time 86400: day days
time 604800: week weeks
calendar 1: month months
calendar 12: year years yr yrs
calendar 120: decade decades
money 1: cent cents ¢
money 100: dollar dollars buck bucks usd $
money -: euro euros eur €
money -: gbp £
money -: yen ¥
money -: rupee rupees ₹
length 1: mm millimeter millimeters millimetre millimetres
length 10: cm centimeter centimeters centimetre centimetres
length 1000: m meter meters metre metres
length 1000000: km kilometer kilometers kilometre kilometres
feet 1: inch inches
feet 12: foot feet ft
feet 36: yard yards yd yds
feet 63360: mile miles mi
mass 1: mg milligram milligrams
mass 1000: g gram grams
mass 1000000: kg kgs kilogram kilograms
ounces 1: oz ounce ounces
ounces 16: lb lbs pound pounds
ounces 32000: ton tons
volume 1: ml milliliter milliliters millilitre millilitres
volume 1000: l liter liters litre litres
cups 1: cup cups
cups 2: pint pints
cups 4: quart quarts
cups 16: gallon gallons gal
angle -: degree degrees °
temperature -: c celsius
temperature -: f fahrenheit
speed -: mph mi/h mi/hr
speed -: kph kmh km/h km/hr
speed -: m/s
speed -: ft/s
speed -: km/s
speed -: m/min
energy -: joule joules j
power -: watt watts w
voltage -: volt volts v
force -: newton newtons n
frequency -: hertz hz
calories -: calorie calories kcal
"""

SYMBOLS = {"m": "meter", "s": "second", "h": "hour", "g": "gram", "l": "liter", "j": "joule", "w": "watt", "v": "volt"}
SYMBOLS |= {"n": "newton", "c": "celsius", "f": "fahrenheit"}
"""Symbols of one letter, and the unit that a problem must name for them to count."""

# Each line: families that answer a question with one of these words.
_THEME_TABLE = """
time calendar: long time times when duration old age older younger take takes took last lasts
length feet: far distance long longer tall taller high higher deep wide length height width depth perimeter radius
length feet: diameter circumference side sides area volume rectangle square circle triangle
mass ounces: weigh weighs weight heavy heavier mass
money: cost costs pay pays paid price money earn earns earned spend spends spent profit salary wage income fee bill
angle: angle angles triangle rotate rotates
temperature angle: temperature warm warmer cold colder hot
speed: fast faster speed velocity
volume cups: volume capacity hold holds liquid
energy power voltage force frequency calories: energy power voltage force frequency
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure, to a power (2 for areas)."""

    family: str
    size: Fraction | None
    """In the family's smallest unit; None if it cannot be converted."""
    name: str
    power: int = 1

    def value_in(self, other: "Unit") -> Fraction | None:
        """How many of `other` this unit is. None if it cannot be converted."""
        if (self.family, self.power) != (other.family, other.power):
            return None
        if self.name == other.name:
            return Fraction(1)
        return None if self.size is None or other.size is None else (self.size / other.size) ** self.power


def _rows() -> dict[str, Unit]:
    units = {}
    for row in _TABLE.strip().splitlines():
        head, words = row.split(":")
        family, size = head.split()
        for word in words.split():
            units[word] = Unit(family, None if size == "-" else Fraction(size), words.split()[-1])
    return units


UNITS = _rows()


def families_of_themes(words: Iterable[str]) -> frozenset[str]:
    """Families of units that a problem with these words may ask for."""
    words = frozenset(words)
    rows = (row.split(":") for row in _THEME_TABLE.strip().splitlines())
    return frozenset(family for families, themes in rows if words & set(themes.split()) for family in families.split())
