"""Write the numbers of README.md, docs/findings.md and LOG.md from the result files; with --check, refuse stale texts.

A region between `<!-- begin: NAME -->` and `<!-- end: NAME -->` is made by the function of that name below. Nothing in
such a region is typed by hand.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interp.studies import STUDIES

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "data" / "results"
JUDGED = [name for name, study in STUDIES.items() if study.claims and (RESULTS / name / "result.json").exists()]
"""Studies with a committed result: claims are committed before there is one."""
CARRIES_OVER = (
    # finding; study of chains, claim, measure; claim and measure of the study of words
    ("medium problems teach more than easy ones",
     ("difficulty", "inverted-u", "medium minus easy"), ("inverted-u", "medium minus easy")),
    ("medium problems teach more than hard ones",
     ("difficulty", "inverted-u", "medium minus hard"), ("inverted-u", "medium minus hard")),
    ("training on the deepest problems harms easy ones",
     ("difficulty", "hard-harms", "deep, grpo: change at depths 1-3"),
     ("deep-harms", "deep: change in valid rate on easy problems")),
    ("training on what is hard by pass rate harms easy ones", None,
     ("hard-harms", "hard: change in valid rate on easy problems")),
    ("P(lucky, given success) is higher on deep problems than on medium ones",
     ("difficulty", "luck-is-the-channel", "their difference"), ("luck-is-the-channel", "their difference")),
    ("paid for valid answers alone, deep problems harm easy ones less",
     ("difficulty", "luck-is-the-channel", "valid-only minus plain at depths 1-3"),
     ("luck-is-the-channel", "valid-only minus plain, easy problems")),
    ("deep problems make answers direct", None, ("deep-shortens", "deep: change in direct share")),
    ("deep problems strengthen latents of direct answers, on the policy's own text",
     ("features", "hard-direct", "on-policy strength"), ("deep-direct", "on-policy strength")),
    ("the same on fixed text", ("features", "hard-direct", "fixed strength"), ("deep-direct", "fixed strength")),
    ("medium problems strengthen latents of deliberation, on fixed text",
     ("features", "medium-deliberative", "fixed strength"), ("medium-deliberative", "fixed strength")),
)  # fmt: skip
"""What of the findings on chains was asked of word problems, and by which measures."""
WORDS_COLUMNS = {"words": "words, 3 M parameters", "words-smollm2": "words, SmolLM2-135M"}
HEADLINES = (
    # study, claim, measures shown, limit
    ("difficulty", "inverted-u", ("medium minus easy", "pass rate: medium minus easy"), "in pass rate the U is small"),
    ("difficulty", "hard-harms", ("deep, grpo: change at depths 1-3", "pass rate: deep, grpo: change at depths 1-3"),
     "the pass rate falls less; over all depths it does not fall"),
    ("difficulty", "harm-under-any-loss", ("deep, dr-grpo: change at depths 1-3",), "one seed in five heals instead"),
    ("difficulty", "luck-is-the-channel", ("P(lucky | success) on hard", "valid-only: change at depths 1-3"),
     "that success on deep problems is luck is built into the organism"),
    ("difficulty", "ceiling", ("oracle: change at depths 1-3", "pass rate: oracle: change at depths 1-3"),
     "an oracle, not a method"),
    ("dictionary", "slow-and-rare", ("interp", "matryoshka"), "sorting BatchTopK afterwards finds as many"),
    ("dictionary", "slow-facts", ("interp", "matryoshka"), "random weights, read the same way, reach nearly as much"),
    ("dictionary", "smoothness-is-moved",
     ("slow block, ours minus Matryoshka's", "whole dictionary"),
     "autocorrelation, higher is smoother; by the paper's measure ours is rougher"),
    ("roles", "cue-precise", ("precision",), "the truth shares its intervention with the ablation gate"),
    ("roles", "computation-precise", ("precision",), "reasoning and direct answers have no truth yet"),
    ("words", "hard-harms", ("hard: change in valid rate on easy problems",),
     "a model of 3 M parameters; deep problems, where success is luck, do harm: P(lucky, given success) decides"),
    ("features", "hard-direct", ("fixed strength", "on-policy strength"), "on its own text, not on fixed text"),
    ("features", "hard-valid-alone", ("fixed strength", "causal strength"), "by ablation: small denominators"),
)  # fmt: skip


def result(study: str) -> dict[str, Any]:
    return json.loads((RESULTS / study / "result.json").read_text())


def benchmark(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def table(head: list[str], rows: list[list[str]]) -> str:
    """Rows under their head as Markdown; a bar inside a cell is escaped."""
    lines = [[cell.replace("|", "\\|") for cell in cells] for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def interval(estimate: dict[str, Any]) -> str:
    """A value with its interval, as it stands in a table; empty where there is none."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return ""
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def found() -> str:
    """The headline claims of README.md: verdicts, the measures they rest on, and what limits them."""
    rows = []
    for study, claim, names, limit in HEADLINES:
        data = result(study)
        verdicts = data["verdicts"][claim]
        measures = "; ".join(f"{name} {interval(measured(data, claim, name))}" for name in names)
        rows.append([data["texts"][claim], verdicts["verdict"], verdicts["any shape"], measures, limit, link(study)])
    head = [
        "claim",
        "verdict",
        "without assumptions on seeds",
        "measured (exact or t intervals)",
        "limit",
        "study",
    ]
    return table(head, rows)


def measured(data: dict[str, Any], claim: str, name: str) -> dict[str, Any]:
    readings = data["measures"][f"{claim}: {name}"]
    return readings["exact shares"]


def link(study: str, top: str = "") -> str:
    return f"[{study}]({top}data/results/{study}/README.md)"


def speed() -> str:
    """How fast the two training loops are beside their peers, in the same run."""
    rows = []
    grpo, tsae = benchmark("grpo-step"), benchmark("tsae")
    rows.append(["GRPO step, organism, 32 x 8 rollouts", grpo["peer"], f"{grpo['ratio']:.2f}", grpo["device"]])
    for setting, figures in tsae["settings"].items():
        speeds = figures["tokens_per_second"]
        for ours, theirs in (("contrast off", "SAELens Matryoshka"), ("contrast on", "SAELens, dense contrast")):
            ratio = f"{speeds[ours] / speeds[theirs]:.2f}"
            rows.append([f"T-SAE step, {ours}, {setting}", theirs, ratio, tsae["device"]])
    return table(["what", "peer", "times as fast as the peer", "device"], rows)


def all_claims() -> str:
    """Every claim of every study with its verdicts and p-values."""
    parts = []
    for study in JUDGED:
        data = result(study)
        head = ["claim", "as registered", "corrected", "any shape", "p", "p after Holm"]
        rows = [[data["texts"][name], one["as registered"], one["corrected"], one["any shape"], *p_values(one)]
                for name, one in data["verdicts"].items()]  # fmt: skip
        parts.append(f"## {study.capitalize()}\n\n{data['claim']}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def carries_over() -> str:
    """Findings on chains beside the same on word problems: values with their intervals, and the claim's verdict."""

    def cell(study: str, claim: str, name: str) -> str:
        data = result(study)
        return f"{interval(measured(data, claim, name)) or 'no such latents'}, {data['verdicts'][claim]['verdict']}"

    columns = {study: title for study, title in WORDS_COLUMNS.items() if (RESULTS / study / "result.json").exists()}
    rows = [
        [finding, cell(*of_chains) if of_chains else "", *(cell(study, *of_words) for study in columns)]
        for finding, of_chains, of_words in CARRIES_OVER
    ]
    return table(["finding", "chains", *columns.values()], rows)


def changed() -> str:
    """Claims whose verdict after correction is not the registered one."""
    rows = []
    for study in JUDGED:
        data = result(study)
        for name, one in data["verdicts"].items():
            if one["corrected"] != one["as registered"]:
                rows.append([study, name, one["as registered"], one["corrected"], p_values(one)[1]])
    return table(["study", "claim", "as registered", "corrected", "p after Holm"], rows)


def modes() -> str:
    """What seeds that agree leave open, by their number."""
    counts = (3, 5, 8, 14)
    cells = [f"{1 - 0.05 ** (1 / n):.0%}" for n in counts]  # 0.95 = 1 - (1 - share)^n
    return table(["seeds that agree", *map(str, counts)], [["may miss a mode of up to this share of seeds", *cells]])


def p_values(verdicts: dict[str, Any]) -> list[str]:
    def text(p: float | None) -> str:
        return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"

    return [text(verdicts[key].get("exact shares")) for key in ("p", "p after Holm")]


REGIONS: dict[str, Callable[[], str]] = {
    "found": found,
    "speed": speed,
    "all-claims": all_claims,
    "modes": modes,
    "changed": changed,
    "carries-over": carries_over,
}
PAGES = ("README.md", "docs/findings.md", "LOG.md")


def filled(text: str) -> str:
    def fill(match: re.Match[str]) -> str:
        return f"<!-- begin: {match[1]} -->\n{REGIONS[match[1]]()}\n<!-- end: {match[1]} -->"

    return re.sub(r"<!-- begin: ([\w-]+) -->\n.*?<!-- end: \1 -->", fill, text, flags=re.DOTALL)


def main() -> int:
    stale = []
    for page in PAGES:
        path = ROOT / page
        text = path.read_text()
        if (new := filled(text)) != text:
            stale.append(page)
            if "--check" not in sys.argv:
                path.write_text(new)
    if stale and "--check" in sys.argv:
        sys.stderr.write(f"{', '.join(stale)}: expected the numbers of the result files; run python docs/fill.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
