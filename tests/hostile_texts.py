"""Hostile texts, seeded: what a verifier may be asked to read. They are long, deep, huge or ambiguous."""

import random
import string
from collections.abc import Iterator

SYMBOLS = string.printable + "×÷−–½¾٣４②∧∨¬→↔√π∞°’\u200b\u202e\xa0🙂"
PIECES = (
    *("1+", "1,", "1 ", "1, ", "1/", "1=", "1e", "1_", "1.", "0.", "9**"),
    *("9^", "9!", "-", "- ", "+", "~", "not ", "(", "[", "{"),
    *("()", "[]", "{}", "(1)", "[1],", "x*", "x+", "x**"),
    *("(x+1)*", "exp(", "sin(", "sqrt(", "\\frac{", "\\boxed{", "<<", ">>"),
    *("A: 1\n", "#### 1\n", "the answer is 1 ", "<answer>", "</answer>", "\n", "\n\n"),
    *(" ", "\t", "\r\n", "= ", "== ", "1 of "),
    *("1 eggs ", "1% ", "$1 ", "1 1/2 ", "1:1 ", "a=1,", "A=1,", "P∨"),
    *("¬", "P∧(", "(P→", "A → ", "R2 ", "R' ", "A+1 ", "up "),
    *("Move disk 1 from Peg 1 to Peg 2\n", "0 1\n", "0 ", '"a",', '["a"],', '{"a":', "move(a, b"),
    *("'", '"', "\\", "/", "* ", "^"),
)  # fmt: skip
"""Pieces that are repeated, alone or in pairs."""
BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ("exp(", ")"), ("[1,", "]"), ('{"a":', "}"))
BOMBS = (
    *(
        "exp(exp(exp(9)))",
        "9**9**9",
        "9**(9**9)",
        "(2**64)**64",
        "factorial(10**9)",
        "9!!!!!!!!",
        "1e999999999",
        "1e-999999999",
    ),
    *("0x" + "f" * 4900, "9" * 4900, "-" + "9" * 300, "0." + "9" * 4900, "1/" + "9" * 4900, "1_" * 2400 + "1"),
    *("R999999999", "A+999999999", "999999999R", "range(10**9)", "[0]*10**9", "'a'*10**9", "[i for i in range(10**9)]"),
    *(
        "nan",
        "NaN",
        "inf",
        "-inf",
        "oo",
        "zoo",
        "[NaN]",
        "[1e999]",
        "null",
        "true",
        "{}",
        "[]",
        "[[]]",
        "__import__('os')",
    ),
    *(
        "sin(" * 25 + "x" + ")" * 25,
        "(" * 25 + "x+1" + ")**9" * 25,
        "x**x**x**x",
        "(sin(x)**2+cos(x)**2)**99",
        "x**9999999",
    ),
    *("(x+1)**99*(x+2)**99", "∨".join("PQRSTUVWXYZABCDEFGHIJKLMNO"), "∨".join("P" * n for n in range(1, 90))),
    *("lambda: 1", "f'{9**9**9}'", "1 if 1 else 2", "(x:=9)", "await x", "print(1)", "9 .real", "١٢٣", "２４"),
)
"""Short texts of unbounded cost, or of no value."""


def hostile_texts(seed: int, count: int, length: int, seeds: tuple[str, ...] = ()) -> Iterator[str]:
    """All bombs, then random texts of at most `length` characters. `seeds` are texts that some of them grow from."""
    rng = random.Random(seed)
    yield from (bomb[:length] for bomb in BOMBS)
    for _ in range(count):
        yield _random_text(rng, length, seeds)[:length]


def _random_text(rng: random.Random, length: int, seeds: tuple[str, ...]) -> str:
    size = int(length ** rng.uniform(0.3, 1))
    match rng.randrange(6):
        case 0:  # one piece, again and again
            return _filled(rng.choice(PIECES), size)
        case 1:  # two pieces, in turn
            return _filled(rng.choice(PIECES) + rng.choice(PIECES), size)
        case 2:  # opened and closed
            opening, closing = rng.choice(BRACKETS)
            depth = size // len(opening + closing)
            return opening * depth + rng.choice(["1", "x", "", "P"]) + closing * depth
        case 3:  # anything
            return "".join(rng.choices(SYMBOLS, k=size))
        case 4:  # pieces in any order
            return "".join(rng.choices(PIECES, k=max(1, size // 4)))
    seed = rng.choice([*seeds, "1"])
    return rng.choice([_filled(seed + rng.choice(PIECES), size), seed + _filled(rng.choice(PIECES), size)])


def _filled(piece: str, size: int) -> str:
    return piece * (size // len(piece) + 1)
