"""Times of day, dates, ratios and places in an order: `3:30 PM`, `May 5, 2020`, `3:2`, `18th`. None is a number."""

import re
from fractions import Fraction

_TIME = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?(?::([0-9]{2}))?\s*(?:([ap])\.?\s?m\.?)?", re.I)
_RATIO = re.compile(r"([0-9]{1,12})\s*(?::|\bto\b)\s*([0-9]{1,12})")
_FRACTION = re.compile(r"([0-9]{1,12})\s*/\s*([0-9]{1,12})|\\[dt]?frac\{([0-9]{1,12})\}\{([0-9]{1,12})\}")
_MONTHS = """
january february march april may june july august september october november december
"""
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
_DATES = [
    re.compile(rf"{_MONTH}\s+(?:the\s+)?(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<year>[0-9]{{4}}))?", re.I),
    re.compile(
        rf"(?:the\s+)?(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>[0-9]{{4}}))?", re.I
    ),
    re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"),
]
_PLACE = re.compile(r"(?:the\s+)?([0-9]{1,9})(st|nd|rd|th)\b(?:\s+[a-z]{3,20})?", re.I)

Reading = tuple[object, ...]


def read_clock(text: str) -> Reading | None:
    """What a label states, as a tuple to compare: kind first. None if it states no time, date, ratio or place."""
    text = re.sub(r"^\s*(?:at|on|it is)\s+", "", text, count=1).strip()
    if len(text) > 60:
        return None
    return _time(text) or _date(text) or _ratio(text) or _place(text)


def same_clock(truth: Reading, answer: str) -> bool:
    """Whether an answer states the same. Where the truth names no year or no half of the day, the answer may."""
    if truth[0] == "ratio" and (fraction := _FRACTION.fullmatch(answer.strip())) is not None:
        top, bottom = (int(group) for group in fraction.groups() if group is not None)
        return bottom > 0 and truth[1] == Fraction(top, bottom)
    match truth, read_clock(answer):
        case ("time", int(hour), rest, None), ("time", int(other), also, str()):
            return (hour % 12, rest) == (other % 12, also) and hour <= 12
        case ("time", hour, rest, _), ("time", other, also, _):
            return (hour, rest) == (other, also)
        case ("date", month, day, year), ("date", other, also, stated):
            return (month, day) == (other, also) and year in (None, stated)
        case _, reading:
            return truth == reading


def _time(text: str) -> Reading | None:
    match = _TIME.fullmatch(text)
    if match is None or (match.group(2) is None and match.group(4) is None):
        return None
    hour, minute, second = (int(group or 0) for group in match.groups()[:3])
    half = match.group(4) and match.group(4).lower()
    if hour > 23 or minute > 59 or second > 59 or (half and not 1 <= hour <= 12):
        return None
    if half:
        return "time", hour % 12 + 12 * (half == "p"), minute * 60 + second, half
    return "time", hour, minute * 60 + second, None


def _date(text: str) -> Reading | None:
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            month = _month(match.group("month"), text)
            if month is None:
                return None
            year = int(match.group("year")) if match.group("year") else None
            return "date", month, int(match.group("day")), year
    return None


def _month(written: str, text: str) -> int | None:
    """The month's number. None if a word only begins like one: `Maybe`."""
    if written.isdigit():
        return int(written)
    months = _MONTHS.split()
    word = next(word for word in re.findall(r"[a-z]{3,}", text.lower()) if word.startswith(written.lower()))
    spelled = [
        number for number, month in enumerate(months, 1) if month.startswith(word) or word == "sept" and number == 9
    ]
    return spelled[0] if len(spelled) == 1 else None


def _ratio(text: str) -> Reading | None:
    match = _RATIO.fullmatch(text)
    if match is None or int(match.group(2)) == 0:
        return None
    return "ratio", Fraction(int(match.group(1)), int(match.group(2)))


def _place(text: str) -> Reading | None:
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    number, ending = int(match.group(1)), match.group(2).lower()
    expected = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return ("place", number) if ending == expected else None
