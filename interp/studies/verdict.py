"""What a study says: a claim and its rule, written before the runs, and the verdict, which is what came out."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import to_json, write_json, writing_file
from interp.studies.estimates import Estimate

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"
Named = dict[str, Estimate]


@dataclass(frozen=True)
class Claim:
    name: str
    claim: str
    prediction: str
    rule: str


@dataclass(frozen=True)
class Judged:
    claim: Claim
    verdict: str
    measures: Named


def all_above(estimates: Sequence[Estimate]) -> str:
    """Supported where every interval lies above zero, not supported where one lies below."""
    if any(estimate.below for estimate in estimates):
        return NOT_SUPPORTED
    return SUPPORTED if all(estimate.above for estimate in estimates) else INCONCLUSIVE


def keep(out: Path, judged: Sequence[Judged], text: str, **told: Any) -> None:
    """result.json, with what every study says beside what is `told`, and the table. The command that made it, and the
    packages it was made with, are to be among what is told."""
    result = {
        "prediction": {j.claim.name: j.claim.prediction for j in judged},
        "verdict": {j.claim.name: j.verdict for j in judged},
        "measures": {f"{j.claim.name}: {name}": found for j in judged for name, found in j.measures.items()},
        "date": datetime.date.today().isoformat(),
    }
    write_json(out / "result.json", to_json({**told, **result}))
    with writing_file(out / "README.md") as aside:
        aside.write_text(text)


def cell(found: Estimate, digits: int = 2) -> str:
    """As it stands in a table."""
    if found.value is None:
        return ""
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def sections(judged: Sequence[Judged]) -> list[str]:
    """As Markdown: claim, verdict, prediction, measures, rule."""
    lines: list[str] = []
    for j in judged:
        lines += ["", f"### {j.claim.claim}", "", f"**{j.verdict.capitalize()}.** Predicted: {j.claim.prediction}", ""]
        lines += [f"- {name}: {found} (n = {found.n})" for name, found in j.measures.items()]
        lines += ["", f"*Rule.* {j.claim.rule}"]
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
