"""Tables of adversarial completions, each with the verdict that the verifier must give.

A table is a JSONL file named for its verifier (`chain`, `words`, `math`, `gym`, `traces`), up to an underscore:
`math_right` and `math_wrong` are for `math`. One line is one case:

    {"case": name, "prompt": ..., "answer": ..., "completion": ..., "expect": {field of the verdict: value}}

`holds` and `follows` under `expect` are lists, one value per written step. Lines for `chain` and
`words` may add an entry of that name (options of the task), lines for `gym` add `dataset` and `id`.
"""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput, from_json, package_data
from interp.tasks.base import Problem, Verdict
from interp.tasks.chain import Chain
from interp.tasks.gym import GymTask
from interp.tasks.text.verdicts import verify_text
from interp.tasks.traces import Trace, annotate
from interp.tasks.words import Words


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The expected and the actual verdict on one case."""

    table: str
    case: str
    expected: dict[str, Any]
    verdict: dict[str, Any]
    """The same fields of the verifier's verdict."""

    @property
    def passed(self) -> bool:
        return self.expected == self.verdict


def shipped_case_tables() -> list[Path]:
    """The tables that come with the package; the one for reasoning-gym only where that extra is installed."""
    tables = sorted(package_data("adversarial").glob("*.jsonl"))
    return [table for table in tables if table.stem != "gym" or importlib.util.find_spec("reasoning_gym")]


def run_case_table(table: Path) -> list[CaseResult]:
    """The result of every case in a table."""
    if not table.exists():
        raise BadInput(f"{table}: expected a table of cases, got no such file")
    verifier = table.stem.partition("_")[0]
    if verifier not in VERIFIERS:
        raise BadInput(f"{table}: a table is named for its verifier, one of {', '.join(VERIFIERS)}; got {table.stem!r}")
    cases = [json.loads(line) for line in table.read_text(encoding="utf-8").split("\n") if line.strip()]
    return [run_case(verifier, case, table.stem) for case in cases]


def run_case(verifier: str, case: dict[str, Any], table: str = "") -> CaseResult:
    """Verify the completion of one case; its result has the fields that the case lists."""
    verdict = VERIFIERS[verifier](case)
    fields = {name: _field(verdict, name) for name in case["expect"]}
    return CaseResult(table or verifier, case["case"], case["expect"], fields)


def _field(verdict: Verdict | Trace, name: str) -> Any:
    if name in ("holds", "follows"):
        return [getattr(step, name) for step in verdict.steps]
    return getattr(verdict, name)


def _verify_chain(case: dict[str, Any]) -> Verdict:
    task = from_json(Chain, case.get("chain", {}))
    return task.verify(Problem(case["case"], case["prompt"], case["answer"]), case["completion"])


def _verify_words(case: dict[str, Any]) -> Verdict:
    task = from_json(Words, case.get("words", {}))
    return task.verify(Problem(case["case"], case["prompt"], case["answer"]), case["completion"])


def _verify_math(case: dict[str, Any]) -> Verdict:
    return verify_text(Problem(case["case"], case["prompt"], case["answer"]), case["completion"])


def _verify_gym(case: dict[str, Any]) -> Verdict:
    return GymTask(case["dataset"]).verify(Problem(case["id"], case["prompt"], case["answer"]), case["completion"])


def _annotate(case: dict[str, Any]) -> Trace:
    return annotate(case["completion"], case["prompt"])


VERIFIERS: dict[str, Callable[[dict[str, Any]], Verdict | Trace]] = {
    "chain": _verify_chain,
    "words": _verify_words,
    "math": _verify_math,
    "gym": _verify_gym,
    "traces": _annotate,
}
