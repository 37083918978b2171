"""Tables of adversarial completions, each with the verdict it must get: a verifier is only as good as its worst case.

A table is JSONL, named for its verifier. A case states a prompt, the labelled answer, a completion, and under
`expect` the fields of the verdict that matter in it.
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


@dataclass(frozen=True, slots=True)
class CaseResult:
    table: str
    case: str
    expected: dict[str, Any]
    got: dict[str, Any]

    @property
    def agreed(self) -> bool:
        return self.expected == self.got


def shipped_tables() -> list[Path]:
    """That of reasoning-gym only where it is installed: it is an extra."""
    tables = sorted(package_data("adversarial").glob("*.jsonl"))
    return [table for table in tables if table.stem != "gym" or importlib.util.find_spec("reasoning_gym")]


def run_table(table: Path) -> list[CaseResult]:
    if not table.exists():
        raise BadInput(f"{table}: expected a table of cases, got no such file")
    if table.stem not in VERIFIERS:
        raise BadInput(f"{table}: a table is named for its verifier, one of {', '.join(VERIFIERS)}; got {table.stem!r}")
    return [run_case(table.stem, json.loads(line)) for line in table.read_text().splitlines() if line.strip()]


def run_case(verifier: str, case: dict[str, Any]) -> CaseResult:
    verdict = VERIFIERS[verifier](case)
    got = {name: _field(verdict, name) for name in case["expect"]}
    return CaseResult(verifier, case["case"], case["expect"], got)


def _field(verdict: Verdict | Trace, name: str) -> Any:
    if name in ("holds", "follows"):
        return [getattr(step, name) for step in verdict.steps]
    return getattr(verdict, name)


def _chain(case: dict[str, Any]) -> Verdict:
    task = from_json(Chain, case.get("chain", {}))
    return task.verify(Problem(case["case"], case["prompt"], case["answer"]), case["completion"])


def _math(case: dict[str, Any]) -> Verdict:
    return verify_text(Problem(case["case"], case["prompt"], case["answer"]), case["completion"])


def _gym(case: dict[str, Any]) -> Verdict:
    return GymTask(case["dataset"]).verify(Problem(case["id"], case["prompt"], case["answer"]), case["completion"])


def _traces(case: dict[str, Any]) -> Trace:
    return annotate(case["completion"], case["prompt"])


VERIFIERS: dict[str, Callable[[dict[str, Any]], Verdict | Trace]] = {
    "chain": _chain,
    "math": _math,
    "gym": _gym,
    "traces": _traces,
}
