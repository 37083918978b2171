"""What a study says: a claim and its rule, written before the runs, and the verdict, which is what came out."""

from collections.abc import Sequence
from dataclasses import dataclass

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
