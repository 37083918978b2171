"""docs/attack.md, made from the files in `attack/results`. `python -m attack.report --check` refuses a stale page."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attack.outcome import FAILED, HANG, LOST, OTHER, REFUSED, SAID, SILENT, TRACEBACK, WHOLE, load_results

PAGE = Path(__file__).parent.parent / "docs" / "attack.md"
HEAD = (
    "attack",
    "date",
    "version",
    "commit",
    "seed",
    "tried",
    WHOLE,
    REFUSED,
    SAID,
    LOST,
    SILENT,
    TRACEBACK,
    HANG,
    "peak MB",
)
LISTED = 20
"""Failures of an attack that the page lists."""
ATTACKED = {
    "corruptions": "directories of every kind, damaged in every way and read again; a damaged one reads as if it were "
    "whole, or is refused",
    "kills": "every command that writes, killed or interrupted anywhere and run again; it ends in the same bits",
    "pairs": "two processes with one place and two seeds; one result, one refusal",
    "disks": "a full disk, or a place that may not be written; it is named, and nothing is lost",
    "fuzz": "verifiers on random and hostile completions; never an error, never over a second",
    "flags": "hostile values of every flag; refused, or run to an end",
    "working_directory": "commands run where files are named like modules; none of them is run",
}
"""What each attack does, and what it expects."""


def as_markdown(results: Sequence[dict[str, Any]]) -> str:
    """The page: a table with a row per attack, and the cases that must be mended."""
    order = {name: i for i, name in enumerate(ATTACKED)}
    mutants = [result for result in results if "rooms" in result]
    results = [result for result in results if "counts" in result]
    results = sorted(results, key=lambda result: order.get(result["name"], len(order)))
    rows = [_row(result) for result in results]
    lines = ["# Attacks", "", *_introduction(), "", *_table(HEAD, rows), ""]
    lines += [f"- *{name}*: {ATTACKED[name]}." for name in order]
    if apart := [result for result in results if result.get("counts", {}).get(OTHER)]:
        lines += ["", "## Directories without checksums", ""]
        lines += [
            f"- *{one['name']}*: {one['counts'][OTHER]} more read otherwise and had no checksums: those of other "
            "tools, of older versions, and those whose checksums the attack removed."
            for one in apart
        ]
    lines += [line for result in mutants for line in _mutant_lines(result)]
    if any(result.get("failures") for result in results):
        lines += ["", "## To be mended", ""]
    for result in results:
        lines += [_failure_line(result["name"], one) for one in result.get("failures", [])[:LISTED]]
        if (more := len(result.get("failures", [])) - LISTED) > 0:
            lines.append(f"- {result['name']}: {more} more in `attack/results/{result['name']}.json`")
    return "\n".join(lines) + "\n"


def _introduction() -> list[str]:
    return [
        "`make attack` tries to break the package, for half an hour by default (`make attack SECONDS=300`:",
        "less). It is not part of the tests. This page is made from `attack/results/*.json`, one file for",
        "each attack.",
        "",
        "Every case ends in one of these ways. Whole: the result is what it would have been without the",
        "attack. Refused: an error that says what was expected, and exit code 2. Said: another result, and a",
        "warning that names the file and what is left out of it. The others must be 0. Lost: finished work is",
        "gone, or leftovers lie beside it. Silent: another result, without a word. Traceback: any other error.",
        "Hang: no end within the limit. Peak MB is the most memory that a case took before it ended, beyond",
        "what the same takes without the attack.",
    ]


def _row(result: dict[str, Any]) -> list[str]:
    counts = [str(result["counts"].get(name, 0)) for name in (WHOLE, REFUSED, SAID, *FAILED)]
    peak = "" if result["peak_mb"] is None else f"{result['peak_mb']:.0f}"
    commit = f"`{result['commit']}`" if result["commit"] else ""
    seed = str(result["seed"])
    return [result["name"], result["date"], str(result["version"]), commit, seed, str(result["tried"]), *counts, peak]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _mutant_lines(result: dict[str, Any]) -> list[str]:
    """Shares of mutants killed, by room, and those that survived."""
    lines = [
        *("", "## Mutants", ""),
        "A mutant is the package with one small change, drawn at random. It is killed if a test fails or takes too",
        f"long. Seed {result['seed']}; intervals are exact 95% ones. Made by `python -m attack.mutants`.",
        "",
    ]
    rows = [
        [
            row["room"],
            str(row["mutants"]),
            str(row["killed"]),
            f"{row['share']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
        ]
        for row in result["rooms"]
        if row["mutants"]
    ]
    lines += _table(("room", "mutants", "killed", "share killed"), rows)
    survivors = [
        [
            f"{one['file']}:{one['line']}",
            _code(one["before"]),
            _code(one["after"]),
            f"{one['judgement']} {one['reason']}",
        ]
        for one in result["survivors"]
    ]
    if survivors:
        lines += ["", "Survivors:", "", *_table(("where", "before", "after", "judgement"), survivors)]
    return lines


def _code(text: str) -> str:
    return "`" + " ".join(text.split())[:80].replace("|", "\\|").replace("`", "'") + "`"


def _failure_line(name: str, failure: dict[str, Any]) -> str:
    text = f"{failure['what']}: {failure['message'][-200:]}".replace("\n", " ").replace("|", "\\|").replace("`", "'")
    return f"- {name} {failure['case']}, {failure['ending']}: `{text}`"


def write_report() -> None:
    PAGE.write_text(as_markdown(load_results()))


def main() -> None:
    if "--check" not in sys.argv:
        return write_report()
    if not PAGE.exists() or PAGE.read_text() != as_markdown(load_results()):
        sys.stderr.write(f"{PAGE} is not what attack/results says: run python -m attack.report\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
