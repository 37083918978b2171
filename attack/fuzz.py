"""Verifiers on random and hostile completions: never an error, never over a second, never a wrong verdict.

A completion is a random sequence of the pieces that verifiers look for, of any length, some of them a bomb: powers of
powers, deep brackets, ten thousand lines. Four in ten announce an answer that is right or wrong by construction, and
must be judged so. A verdict of a shipped adversarial table must be the expected one.
"""

import importlib.util
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from attack.outcome import HANG, SILENT, TRACEBACK, WHOLE, Outcome, cases
from attack.processes import run_child

NAME = "fuzz"
BATCH = 200
"""Completions that one child verifies."""
BATCHES = 120
ANNOUNCED_SHARE = 0.4
LIMIT = 1.0
"""Seconds that one verdict may take, alone on the machine. A slow one is measured again."""
PIECES = (
    "The answer is ", "#### ", "\\boxed{", "}", "$", "Answer: ", "A: ", "<answer>", "</answer>", "So ", " = ", " + ",
    " - ", " * ", " / ", "^", "**", "(", ")", "[", "]", "{", "|", "\\frac{", "\\sqrt{", "\\cdot ", "\\left(",
    "\\right)", "x", "y", "pi", "i", "e", "!", "%", ",", ".", ":", ";", "\n", "\n\n", " ", "\t", "wrong", "not ",
    "possibly ", "or ", "and ", "half ", "squared", "dozen", "dollars", "cm", "minus ", "twelve", "eleven hundredths",
    "two ", "\\{", "\\}", "≈", "−", "²", "½", "½%", "１８", "١٨", "\u200b", "\u202e", "\0", "\ud800", "𝟙𝟠", "é", "∞",
    "nan", "inf", "1e999", "0x12", "1_8", "018", "18.0", "+18", "1,800", "1 8", "18%", "18/1", "sqrt(324)", "9+9",
    "2*9", "exp(9)", "9!!", "log", "int", "\\sum_{n=1}^{9}", "\\text{", "\\begin{matrix}", "&", "\\\\", "lambda",
    "__import__('os')", "print(1)", "f'{1}'", "# 3", " ; ", "v 2", "? ",
)  # fmt: skip
BOMBS: tuple[Callable[[Random], str], ...] = (
    lambda r: "\n" * r.choice((100, 8_000, 20_000)),
    lambda r: "(" * r.choice((50, 2_000, 50_000)) + "1" + ")" * r.choice((50, 2_000)),
    lambda r: "\\boxed{" * r.choice((30, 3_000)) + "1",
    lambda r: "9" + "^9" * r.choice((3, 50, 5_000)),
    lambda r: "(" * 3 + "x+1)^9+1)^9+1)^9",
    lambda r: "exp(" * 9 + "9" + ")" * 9,
    lambda r: "\\frac{1}{" * r.choice((20, 2_000)) + "1" + "}" * 20,
    lambda r: "1+" * r.choice((100, 10_000)) + "1",
    lambda r: "1 + 1 = 2\n" * r.choice((100, 3_000)),
    lambda r: "9" * r.choice((100, 5_000, 100_000)),
    lambda r: "the answer is 1. " * r.choice((100, 5_000)),
    lambda r: " " * 50_000,
    lambda r: "1/" * 3_000 + "0",
    lambda r: "10**" * 6 + "10",
    lambda r: "factorial(99999999)",
    lambda r: "$" * 20_000,
    lambda r: "=" * 20_000,
    lambda r: "x" + "+x" * 5_000,
    lambda r: "\\sqrt{" * 300 + "2" + "}" * 300,
    lambda r: "," * 20_000 + "1",
    lambda r: "-" * 20_000 + "1",
    lambda r: "a1" * 20_000,
)
LABELS = (
    "18", "-3", "1/2", "0.5", "2x", "x^2+1", "3x^2", "2pi", "5i", "\\frac{1}{2}x", "(1,2)", "\\{1,2\\}", "50%",
    "1,000,000", "x=3", "yes", "Tuesday", "((x+1)^9+1)^9", "10^{100}", "\\sqrt{2}", "A", "", " ", "18 cm", "{",
    "1e400",
)  # fmt: skip
ANNOUNCEMENTS = (
    "The answer is {}.", "#### {}", "\\boxed{{{}}}", "Answer: {}", "So the final answer is {}.", "A: {}",
    "**Answer:** {}", "16 - 3 = 13\nThe answer is {}.", "Thus, \\boxed{{{}}} is what was asked.", "<answer>{}</answer>",
)  # fmt: skip
RIGHT = (
    ("{a}", "{a}"), ("{a}", "{a}.0"), ("{a}", "${a}"), ("{a}", "{a} dollars"), ("{a}x", "{a}x"), ("x^{a}", "x^{a}"),
    ("\\frac{{{a}}}{{{b}}}", "{a}/{b}"), ("({a},{b})", "({a}, {b})"), ("{a}%", "{a}%"), ("{a}\\pi", "{a}\\pi"),
)  # fmt: skip
"""A label, and an answer that must be rewarded."""
WRONG = (
    ("{a}", "{b}"), ("{a}", "-{a}"), ("{a}", "{a}x"), ("{a}x", "{a}"), ("{a}x", "{a}y"), ("{a}x", "{b}x"),
    ("{a}x", "{a}x^2"), ("{a}x^2", "{a}x^3"), ("{a}\\pi", "{a}"), ("{a}i", "{a}"),
    ("\\frac{{1}}{{{a}}}x", "\\frac{{1}}{{{a}}}y"),
    ("({a},{b})", "\\{{{a},{b}\\}}"), ("({a},{b})", "({b},{a})"), ("{a}", "{a} squared"), ("{a}", "{a} hundredths"),
    ("{a}", "not {a}"), ("{a}", "{a} less than {b}"), ("{a}", "{a}/x"), ("{a}", "{a}-x"), ("x={a}", "x={b}"),
    ("{a}", "{a}k"),
)  # fmt: skip
"""A label, and an answer that must not be rewarded."""
GYM = (
    "puzzle24",
    "countdown",
    "basic_arithmetic",
    "polynomial_equations",
    "simple_equations",
    "game_of_life",
    "rush_hour",
)


def run(seed: int, budget_s: float, workdir: Path, *, only: int | None = None) -> Outcome:
    outcome = Outcome(NAME, seed)
    _run_tables(outcome)
    workdir.mkdir(parents=True, exist_ok=True)
    verifiers = _verifier_names()
    rewarded, slowest = 0, 0.0
    for number in [only] if only is not None else cases(outcome, budget_s, BATCHES):
        name, log = verifiers[number % len(verifiers)], workdir / "fuzz-now.json"
        log.unlink(missing_ok=True)
        ending = run_child(lambda n=number, v=name, f=log: verify_batch(seed, n, v, f), seconds=60)
        if ending.code != 0:
            at = log.read_text()[:600] if log.exists() else ""
            how = HANG if ending.hung or ending.code in (-9, -6) else TRACEBACK
            outcome.add(how, f"{name}, batch {number}: {at}", ending.message or ending.output[-500:])
            continue
        for ended, what, message in ending.value["bad"]:
            outcome.add(ended, f"{name}, batch {number}: {what}", message)
        rewarded, slowest = rewarded + ending.value["rewarded"], max(slowest, ending.value["slowest"])
        outcome.counts[WHOLE] = outcome.counts.get(WHOLE, 0) + BATCH - len(ending.value["bad"])
        outcome.tried += BATCH - len(ending.value["bad"])
        outcome.peak_mb = max(outcome.peak_mb or 0, round(ending.mb, 1))
    outcome.facts |= {"rewarded": rewarded, "slowest verdict in seconds": round(slowest, 3)}
    return outcome


def _run_tables(outcome: Outcome) -> None:
    """The shipped adversarial tables."""

    def work() -> list[tuple[str, str, str]]:
        from interp.tasks.adversarial import run_case_table, shipped_case_tables

        results = []
        for table in shipped_case_tables():
            began = time.process_time()
            judged = run_case_table(table)
            seconds = time.process_time() - began
            for result in judged:
                ending, message = WHOLE, ""
                if not result.passed:
                    ending, message = SILENT, f"expected {result.expected}, got {result.verdict}"
                results.append((ending, f"{result.table}: {result.case}", message))
            if seconds > LIMIT * len(judged):
                results.append((HANG, f"table {table.name}", f"{seconds:.0f} s for {len(judged)} cases"))
        return results

    ending = run_child(work, seconds=120)
    if ending.code != 0:
        outcome.add(HANG if ending.hung else TRACEBACK, "the shipped tables", ending.message)
    for how, what, message in ending.value or []:
        outcome.add(how, what, message)


def _verifier_names() -> list[str]:
    gym = [f"gym:{name}" for name in GYM] if importlib.util.find_spec("reasoning_gym") else []
    return ["text", "chain", "text", "traces", "text", *gym]


def verify_batch(seed: int, number: int, verifier: str, log: Path) -> dict[str, Any]:
    """Verify a batch of completions: those that ended badly, how many were rewarded, and the slowest."""
    rng, verify = Random(f"{seed} {number}"), _verifier(verifier, Random(f"{seed} {number} problem"))
    bad: list[tuple[str, str, str]] = []
    rewarded, slowest = 0, 0.0
    for _ in range(BATCH):
        label, text, expected = (
            announced(rng) if rng.random() < ANNOUNCED_SHARE else (rng.choice(LABELS), completion(rng), None)
        )
        log.write_text(json.dumps({"label": label, "completion": text[:300], "length": len(text)}))
        shown = f"label {label!r}, completion {text[:150]!r} of {len(text):,} characters"
        try:
            seconds, verdict = _timed(verify, label, text)
        except Exception as error:  # noqa: BLE001
            bad.append((TRACEBACK, shown, f"{type(error).__name__}: {error}"[:300]))
            continue
        if seconds > LIMIT:  # once more, since the machine may be busy
            seconds = min(seconds, _timed(verify, label, text)[0])
        slowest = max(slowest, seconds)
        rewarded += bool(verdict)
        if seconds > LIMIT:
            bad.append((HANG, shown, f"{seconds:.1f} s"))
        elif verifier == "text" and expected is not None and verdict != expected:
            bad.append(
                (SILENT, shown, "rewarded, though it is wrong" if verdict else "not rewarded, though it is right")
            )
    return {"bad": bad, "rewarded": rewarded, "slowest": slowest}


def _timed(verify: Callable[[str, str], bool], label: str, text: str) -> tuple[float, bool]:
    began = time.process_time()
    verdict = verify(label, text)
    return time.process_time() - began, verdict


def completion(rng: Random) -> str:
    """A sequence of pieces, most of them short, one in five with a bomb in it."""
    length = rng.choice((1, 3, 6, 12, 30, 200))
    pieces: list[str] = rng.choices(PIECES, k=length)
    if rng.random() < 0.2:
        pieces.insert(rng.randrange(len(pieces) + 1), rng.choice(BOMBS)(rng))
    return "".join(pieces)


def announced(rng: Random) -> tuple[str, str, bool]:
    """A label, a completion that announces an answer, and whether it is the right one."""
    is_right = rng.random() < 0.4
    a, b = rng.sample(range(3, 100), 2)
    label, answer = (text.format(a=a, b=b) for text in rng.choice(RIGHT if is_right else WRONG))
    return label, rng.choice(ANNOUNCEMENTS).format(answer), is_right


def _verifier(name: str, rng: Random) -> Callable[[str, str], bool]:
    from interp.tasks import Chain, GymTask
    from interp.tasks.base import Problem
    from interp.tasks.text.verdicts import verify_text
    from interp.tasks.traces import annotate

    random.seed(0)
    if name == "text":
        return lambda label, text: verify_text(Problem("p", "Janet has 16 eggs. How many?", label), text).correct
    if name == "traces":
        return lambda label, text: bool(annotate(text, "Janet has 16 eggs and 2 more.").steps) and False
    if name == "chain":
        chain = Chain()
        problem = chain.problem("train", 4, rng.randrange(1000))
        return lambda label, text: chain.verify(problem, text).correct
    gym = GymTask(name.removeprefix("gym:"))
    puzzle = gym.problems("train", None, 1)[0]
    return lambda label, text: gym.verify(puzzle, f"<answer>{text}</answer>").correct
