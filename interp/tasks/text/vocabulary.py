"""Words that may stand around a number without changing what it says.

Everything an answer says must be understood. A word is harmless if it is a known unit, a word of the problem (or of
the label), or one of a few words without weight (`per`, `left`, `in total`). A word that takes back, blurs, compares or
scales a number is never harmless, wherever it comes from, unless the problem asks for it: `3 more`, where the question
is how many more. Any other word makes an answer unreadable.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile

from interp.tasks.text.number_words import NUMBER_WORDS
from interp.tasks.text.units import SYMBOLS, UNITS, Unit, families_of_themes

MAX_PROMPT = 20_000

# Each line: class, words.
_TABLE = """
hedge: about approximately approx around roughly nearly almost circa perhaps possibly maybe probably likely
hedge: unlikely guess guesses guessed estimate estimated estimates unsure uncertain unknown might could
hedge: would should may suppose supposedly apparently seemingly doubt doubtful hopefully say ish unless if
hedge: whether
negation: not no never none nor neither without wrong incorrect false untrue invalid isn't aren't wasn't
negation: weren't don't doesn't didn't can't cannot won't isnt arent wasnt dont doesnt cant except excluding
negation: rather instead opposite mistaken error fake
comparison: less more fewer greater larger smaller bigger than over under above below least most between within
comparison: beyond exceeds exceeding up before after minimum maximum
scaling: half twice double doubled thrice triple tripled quadruple times time multiplied divided plus minus
scaling: squared cubed square cube root reciprocal inverse negative multiple multiples factor factors
scaling: factorial power percent percents percentage ratio dozen dozens pair pairs couple couples score
scaling: scores gross quarter quarters hundreds thousands millions billions trillions k pi sin cos tan log ln
scaling: exp sqrt mod modulo remainder to or but and versus vs both either nan inf infinity null undefined
light: piece pieces item items unit units point points person persons people object objects thing things
light: a an the of in per each every for at on by from with is are was were be has have total totals
light: altogether all overall combined together left remaining remain remains his her their its my our your
light: he she it they we you i there this that these those old tall long wide high deep away exactly only
light: just final answer result so therefore thus hence o'clock us must need needs needed still now will
light: can did do does had get gets got been
"""


def _words_of(*classes: str) -> frozenset[str]:
    rows = (row.split(": ") for row in _TABLE.strip().splitlines())
    return frozenset(word for name, words in rows if name in classes for word in words.split())


HEDGES, NEGATIONS, LIGHT_WORDS = _words_of("hedge"), _words_of("negation"), _words_of("light")
JOINING = frozenset({"and", "to"})
"""Harmless between words, but not behind a number."""
NEVER_HARMLESS = HEDGES | NEGATIONS | _words_of("comparison", "scaling") | NUMBER_WORDS
_WORD = re.compile(r"[a-zA-Z]+(?:['’][a-zA-Z]+)?|[$€£¥₹¢°]")
_ASKED = re.compile(r"how\s+(?:many|much)((?:\s+[a-z'’-]+){1,4})|\bin\s+((?:square\s+|cubic\s+)?[a-z]+)\s*[?),]", re.I)
_PERCENT = re.compile(r"%|\bper ?cent|\bpercentage|\bshare\b|\bproportion|\brate\b|\bprobability|\bchance", re.I)
RATE_WORDS = frozenset({"per", "each", "every", "apiece"})
"""Words that make of a number a rate: `$18 each`. They count only where the problem asks for a rate."""
_RATE = re.compile(
    r"\b(?:per|each|every|apiece|daily|weekly|monthly|yearly|hourly|annual(?:ly)?|rate|speed|fast|slow|average|mean|slope"
    r"|an?\s+(?:day|night|week|month|year|hour|minute|second|piece|pound|person|kilogram|mile|kilometer|liter|gallon))\b"
    r"|/\s?[a-z]"
)
_SENTENCE = re.compile(r"[^.?!]*(?:\.(?=\d)[^.?!]*)*[.?!]?")
_HOW_MANY = re.compile(r"how\s+many\b")
_ALGEBRA = re.compile(r"=|\b(?:solve|express|simplif|equation|variable|factor|expand|polynomial)")
_VERBS = re.compile(r"are|is|was|were|do|does|did|will|would|can|could|should|has|have|had")
_POWERS = {"square": 2, "sq": 2, "cubic": 3}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the words of a problem allow an answer to say."""

    stems: frozenset[str] = frozenset()
    """Stems of the problem's words."""
    question_words: frozenset[str] = frozenset()
    """Words that the problem asks how many of."""
    unit: Unit | None = None
    """The unit that it asks for."""
    units: frozenset[Unit] = frozenset()
    """The units that it names."""
    quantities: frozenset[Unit] = frozenset()
    """Those of them that stand behind a number."""
    families: frozenset[str] = frozenset()
    """Families of units that it names or that its words ask for."""
    percent: bool = False
    """Whether it speaks of percentages or shares."""
    rate: bool = False
    """Whether it asks for a rate: so much per hour, or for each."""
    counted: bool = False
    """Whether it asks how many there are of things that are no units: 5 kg is then of another thing."""
    asks_for_money: bool = False
    """Whether it asks how much of nothing else than money: an answer in pens is then of another thing."""
    label_families: frozenset[str] = frozenset()
    """Families of the units in the labelled answer."""

    def allows(self, word: str) -> bool:
        """Whether a word behind or before a number is harmless."""
        word = word.lower().replace("’", "'")
        if word in self.question_words:
            return True
        if word in NEVER_HARMLESS or word.endswith("n't"):
            return False
        if len(word) == 1 and word not in "ai":
            return False
        return word in LIGHT_WORDS or self.unit_of(word) is not None or (len(word) > 2 and stem(word) in self.stems)

    def unit_of(self, word: str) -> Unit | None:
        """The unit of a word. A symbol of one letter is one only if the problem names its unit."""
        if len(word) == 1 and word in "MSGHjwvncf":
            return None  # millions, and variables
        unit = UNITS.get(word.lower())
        is_symbol = unit is not None and word.lower() in SYMBOLS
        if not is_symbol or UNITS[SYMBOLS[word.lower()]] in self.units:
            return unit
        return unit if unit is not None and unit.family in self.label_families else None

    def expected_unit(self, unit: Unit) -> Unit | None:
        """The unit that an answer must be in, of the same family: the one asked for, or the only one with a number."""
        if self.unit is not None and (self.unit.family, self.unit.power) == (unit.family, unit.power):
            return self.unit
        named = {named for named in self.quantities if named.family == unit.family}
        return replace(named.pop(), power=unit.power) if len(named) == 1 else None


@lru_cache(maxsize=256)
def vocabulary_of(prompt: str, label: str = "") -> Vocabulary:
    """The vocabulary of a problem and its labelled answer. Of a label, only words behind a space count (`2abc`)."""
    prompt = prompt[:MAX_PROMPT].lower()
    labels = re.findall(r"(?<![^\s(])[a-zA-Z]{3,}", label[:200])
    words = [*_WORD.findall(prompt), *labels]
    question_words, unit = _question(prompt)
    units = {UNITS[word] for word in words if word in UNITS and (len(word) > 1 or not word.isalpha())}
    if _ALGEBRA.search(prompt) is None:
        units |= {UNITS[symbol] for symbol in re.findall(r"[0-9°]\s?([a-z])(?![a-z])", prompt) if symbol in SYMBOLS}
    families = families_of_themes(words) | {unit.family for unit in units}
    stems = frozenset(stem(word) for word in words if len(word) > 2)
    question = _last_question(prompt)
    return Vocabulary(
        stems,
        question_words,
        unit,
        frozenset(units),
        _quantities(prompt),
        families,
        percent=_PERCENT.search(prompt) is not None,
        rate=_RATE.search(f"{question} {label.lower()}") is not None,
        counted=unit is None and _HOW_MANY.search(question) is not None and any(map(_is_thing, question_words)),
        asks_for_money="how much" in question and not question_words and families == {"money"},
        label_families=frozenset(
            UNITS[word].family for word in re.findall("[a-z]{2,}|[$°]", label.lower()[:200]) if word in UNITS
        ),
    )


def _last_question(prompt: str) -> str:
    """The last sentence that ends in a question mark; all of a problem without one."""
    questions = [sentence for sentence in _SENTENCE.findall(prompt) if sentence.rstrip().endswith("?")]
    return questions[-1] if questions else prompt


def _is_thing(word: str) -> bool:
    return word not in LIGHT_WORDS and word not in NEVER_HARMLESS


def _question(prompt: str) -> tuple[frozenset[str], Unit | None]:
    """The words right behind the last `how many`, up to a verb, and the unit asked for."""
    question_words: frozenset[str] = frozenset()
    unit = None
    for match in _ASKED.finditer(prompt):
        words = (match.group(1) or match.group(2)).split()
        if match.group(1):
            words = list(takewhile(lambda word: _VERBS.fullmatch(word) is None, words))
            question_words = frozenset(words) - HEDGES - NEGATIONS - (NUMBER_WORDS - {"quarters", "thirds", "halves"})
        unit = unit_among(words) or (None if match.group(1) else unit)
    if any(word in ("more", "less") or word.endswith("er") for word in question_words):
        question_words |= {"than"}
    return question_words, unit


def _quantities(prompt: str) -> frozenset[Unit]:
    """Units that stand behind a number: in `6 hours a day`, the hours."""
    words = re.findall(r"[0-9]|[$€£¥₹¢°]|[a-z]+", prompt)
    pairs = zip(["", *words], words, strict=False)
    return frozenset(
        UNITS[word]
        for before, word in pairs
        if word in UNITS and (not word.isalpha() or before.isdigit() or before in NUMBER_WORDS)
    )


def unit_among(words: Iterable[str]) -> Unit | None:
    """The first unit among words, to its power: `square feet`."""
    power = 1
    for word in words:
        if word in _POWERS:
            power = _POWERS[word]
        elif word in UNITS and (len(word) > 1 or not word.isalpha()):
            return replace(UNITS[word], power=power)
    return None


def stem(word: str) -> str:
    """A word without its ending, so that `makes` is `make`."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "i"
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) >= len(ending) + 3:
            word = word.removesuffix(ending)
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word
