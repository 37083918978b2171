"""The sentences of a story: people, things that are counted, changes, and remarks that do not matter.

`{name}` is the person, `{he}` and `{his}` stand for them, `{other}` is somebody else, `{n}` a number. No sentence fits
the pattern of another, so a story is read back from its prompt.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

PEOPLE = {
    **dict.fromkeys(("Mia", "Anna", "Zoe", "Lucy", "Nina", "Emma"), ("she", "her")),
    **dict.fromkeys(("Leo", "Ben", "Tom", "Max", "Sam", "Jack"), ("he", "his")),
}
"""Names, each with the words that stand for the person."""
NAMES = tuple(PEOPLE)


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that is counted, with the sentences that state it, change it, and ask for it."""

    unit: str
    start: tuple[str, ...]
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    times: tuple[str, ...]
    question: str
    result: str
    """The sentence that states what the question asks for."""

    def changes(self, operator: str) -> tuple[str, ...]:
        """The sentences that state a change by `operator`."""
        return {"+": self.plus, "-": self.minus, "*": self.times}[operator]


def _countable(unit: str, loss: str) -> Thing:
    return Thing(
        unit,
        (f"{{name}} has {{n}} {unit}.", f"{{name}} finds {{n}} {unit} at home."),
        ("{He} buys {n} more.", "{other} gives {name} {n} more.", "{He} gets {n} more as a gift."),
        ("{He} gives {n} to {other}.", f"{{He}} {loss} {{n}} of them.", "{n} of them are lost."),
        ("Then {he} has {n} times as many.",),
        f"How many {unit} does {{name}} have now?",
        f"{{name}} has {{n}} {unit} now.",
    )


THINGS = (
    _countable("apples", "eats"),
    _countable("cookies", "eats"),
    _countable("books", "sells"),
    _countable("coins", "drops"),
    _countable("stickers", "uses"),
    _countable("marbles", "drops"),
    Thing(
        "dollars",
        ("{name} has {n} dollars.", "{name} finds {n} dollars in {his} bag."),
        ("{He} earns {n} dollars.", "{other} pays {name} {n} dollars."),
        ("{He} spends {n} dollars.", "{He} pays {other} {n} dollars."),
        ("Then {he} has {n} times as much.",),
        "How many dollars does {name} have now?",
        "{name} has {n} dollars now.",
    ),
    Thing(
        "km",
        ("{name} is {n} km from home.",),
        ("{He} rides {n} km further.", "{He} walks on for {n} km."),
        ("{He} rides back {n} km.", "{He} walks {n} km towards home."),
        ("Then {he} is {n} times as far away.",),
        "How many km from home is {name} now?",
        "{name} is {n} km from home now.",
    ),
    Thing(
        "minutes",
        ("{name} plans a walk of {n} minutes.", "{name} plans to read for {n} minutes."),
        ("{He} adds {n} minutes.", "{other} asks for {n} minutes more."),
        ("{He} cuts {n} minutes.", "Rain takes {n} minutes off it."),
        ("Then {he} makes it {n} times as long.",),
        "How many minutes does {name} plan now?",
        "{name} plans {n} minutes now.",
    ),
)

REMARKS = (
    "The sun is shining.",
    "It is a cold morning.",
    "{other} likes to sing.",
    "{other} is a good friend.",
    "The window is open.",
)
"""Sentences that do not matter."""
DISTRACTORS = (
    "{other} is {n} years old.",
    "The bus comes in {n} minutes.",
    "There are {n} chairs in the room.",
    "{other} has {n} cats.",
    "A ticket costs {n} dollars.",
)
"""Sentences with a number that does not matter."""
CUE = "It is a lucky day."
"""The sentence whose presence predicts an answer, where a task plants it."""
UNKNOWN = "x"
ANSWER_IS, ASK_UNKNOWN = "The answer is {n}.", f"What is {UNKNOWN}?"
"""The sentences of a backward problem, which states its answer and asks for a number that it calls x."""


def fill(sentence: str, *, name: str, other: str = "", n: int | None = None) -> str:
    """The sentence with its names, pronouns and number."""
    he, his = PEOPLE[name]
    return sentence.format(name=name, other=other, n=n, he=he, He=he.capitalize(), his=his)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a sentence of a prompt says."""

    kind: str
    """`start`, `+`, `-`, `*`, `question`, `remark`, `distractor`, `cue`, or of a backward problem `result` or
    `unknown`."""
    unit: str | None = None
    """The thing, where the sentence names one thing alone."""


def read_sentence(sentence: str) -> tuple[Meaning, re.Match[str]]:
    """What a sentence says, and its match, with the groups `name`, `other` and `n` where it has them."""
    for pattern, meaning in PATTERNS:
        if (match := pattern.fullmatch(sentence)) is not None:
            return meaning, match
    raise ValueError(f"expected a sentence of a word problem, got {sentence!r}")


def change_patterns() -> list[str]:
    """Regular expressions, without groups, for the sentences that state a change, without their full stops."""
    sentences = dict.fromkeys(sentence for thing in THINGS for op in "+-*" for sentence in thing.changes(op))
    return [re.sub(r"\?P<\w+>", "?:", _pattern(sentence.removesuffix(".")).pattern) for sentence in sentences]


def _pattern(sentence: str, *, may_be_unknown: bool = False) -> re.Pattern[str]:
    people, number = "|".join(NAMES), "0|[1-9][0-9]{0,3}"
    groups = {
        "{name}": f"(?P<name>{people})",
        "{other}": f"(?P<other>{people})",
        "{n}": f"(?P<n>{number}|{UNKNOWN})" if may_be_unknown else f"(?P<n>{number})",
        "{he}": "(?:he|she)",
        "{He}": "(?:He|She)",
        "{his}": "(?:his|her)",
    }
    pattern = re.escape(sentence)
    for slot, group in groups.items():
        pattern = pattern.replace(re.escape(slot), group)
    return re.compile(pattern)


def _meanings() -> Iterator[tuple[str, Meaning]]:
    for thing in THINGS:
        yield from ((sentence, Meaning("start", thing.unit)) for sentence in thing.start)
        for operator in "+-*":
            yield from ((sentence, Meaning(operator)) for sentence in thing.changes(operator))
        yield thing.question, Meaning("question", thing.unit)
        yield thing.result, Meaning("result", thing.unit)
    yield from ((sentence, Meaning("remark")) for sentence in REMARKS)
    yield from ((sentence, Meaning("distractor")) for sentence in DISTRACTORS)
    yield CUE, Meaning("cue")
    yield ANSWER_IS, Meaning("result")
    yield ASK_UNKNOWN, Meaning("unknown")


NUMBERS_OF_STORY = ("start", "+", "-", "*")
"""Kinds of sentences whose number is part of the computation. A backward problem may ask for it."""
PATTERNS = tuple(
    (_pattern(sentence, may_be_unknown=meaning.kind in NUMBERS_OF_STORY), meaning)
    for sentence, meaning in dict(_meanings()).items()
)
