"""Mutation testing of the rooms that compute: small changes of their code, drawn by a seed; which does no test notice?

    python -m attack.mutants --seed 1 --count 400 --minutes 30        draw and run; repeat to go on after a stop
    python -m attack.mutants --seed 1 --report                        write the counts and the survivors

A mutant counts as killed if a test of the six rooms fails, or takes more than five times as long. Tests of other rooms
are not asked. Survivors are judged by hand in `attack/survivors.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from attack.mutants_draw import ROOMS, draw
from attack.mutants_run import KILLED, SURVIVED, TIMED_OUT, append_line, map_tests, prepare_clone, run_mutant, warm

CHECKOUT = Path(__file__).parent.parent
BUILD = CHECKOUT / "build" / "mutants"
JUDGEMENTS = Path(__file__).parent / "survivors.json"
RESULTS = Path(__file__).parent / "results" / "mutants.json"
CONTROL_EVERY = 50
"""After so many mutants the tests of one run without it: they must pass."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=400, help="mutants to draw over all rooms")
    parser.add_argument("--minutes", type=float, default=30, help="time budget; what is left out is said")
    parser.add_argument("--fresh-of", type=int, nargs="*", default=[], help="seeds whose mutants are not drawn again")
    parser.add_argument("--commit", default="HEAD", help="what is mutated; default: the last commit")
    parser.add_argument("--report", action="store_true", help="write attack/results/mutants.json from what has run")
    args = parser.parse_args()
    if args.report:
        write_report(args.seed, args.fresh_of)
    else:
        run(args.seed, args.count, args.minutes, args.fresh_of, args.commit)


# --- the run -------------------------------------------------------------------------------------------------------


def lines_path(seed: int) -> Path:
    return BUILD / f"seed-{seed}.jsonl"


def read_lines(seed: int) -> list[dict[str, Any]]:
    path = lines_path(seed)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(seed: int, count: int, minutes: float, fresh_of: list[int], commit: str) -> None:
    end = time.monotonic() + 60 * minutes
    without = frozenset(line["key"] for other in fresh_of for line in read_lines(other))
    finished = {line["key"] for line in read_lines(seed)}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        scratch = Path(folder).resolve()
        tree = prepare_clone(CHECKOUT, scratch, commit)
        warm(tree)
        test_map = map_tests(tree, [f"tests/{room}" for room in ROOMS], scratch, BUILD / f"tests-{_version(tree)}.json")
        say(f"{len(test_map.seconds)} tests, {sum(test_map.seconds.values()):.0f} s")
        mutants = draw(tree, count, seed, without)
        counts: Counter[str] = Counter()
        for place, mutant in enumerate(mutants):
            if mutant.key in finished:
                continue
            if time.monotonic() > end:
                say(f"The time is up: {len(mutants) - place} of {len(mutants)} mutants were not run.")
                break
            tests = test_map.tests_of(mutant, tree)
            changed = mutant.applied_to((tree / mutant.file).read_text())
            outcome = run_mutant(mutant, changed, tests, test_map, scratch)
            counts[outcome.outcome] += 1
            append_line(lines_path(seed), mutant.as_record() | vars(outcome) | {"control": False})
            if place % CONTROL_EVERY == 0:
                control = run_mutant(mutant, None, tests, test_map, scratch)
                record = {"key": f"control {place}", "control": True} | vars(control)
                append_line(lines_path(seed), record)
            mark = {KILLED: "killed", TIMED_OUT: "timed out", SURVIVED: "SURVIVED"}[outcome.outcome]
            say(f"{place + 1}/{len(mutants)} {dict(counts)} {outcome.seconds:.1f} s {mark} {mutant.file}:{mutant.line}")


def _version(tree: Path) -> str:
    """The commit's package and tests."""
    command = ["git", "rev-parse", "HEAD:interp", "HEAD:tests"]
    parts = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True).stdout.split()
    return "-".join(part[:8] for part in parts)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


# --- the report ----------------------------------------------------------------------------------------------------


def write_report(seed: int, fresh_of: list[int]) -> None:
    """Counts by room with exact intervals, and the survivors with their judgements."""
    from interp.artifacts import to_json
    from interp.stats import exact_share

    lines = read_lines(seed)
    mutants = [line for line in lines if not line["control"]]
    judgements = json.loads(JUDGEMENTS.read_text()) if JUDGEMENTS.exists() else {}
    rooms = []
    for room in (*ROOMS, "all"):
        outcomes = Counter(line["outcome"] for line in mutants if room in ("all", line["room"]))
        killed, total = outcomes[KILLED] + outcomes[TIMED_OUT], outcomes.total()
        rate = exact_share(killed, total)
        rooms.append({
            "room": room, "mutants": total, "killed": killed, "of them by time": outcomes[TIMED_OUT],
            "share": rate.value, "low": rate.low, "high": rate.high,
        })  # fmt: skip
    survivors = [
        {name: line[name] for name in ("file", "line", "function", "operator", "before", "after")}
        | judgements.get(line["key"], {"judgement": "not judged", "reason": ""})
        for line in mutants
        if line["outcome"] == SURVIVED
    ]
    controls = [line["outcome"] for line in lines if line["control"]]
    result = {
        "seed": seed,
        "not_drawn_again": fresh_of,
        "controls": {"run": len(controls), "passed": controls.count(SURVIVED)},
        "rooms": rooms,
        "survivors": sorted(survivors, key=lambda line: (line["file"], line["line"])),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(to_json(result), indent=1) + "\n")
    for row in rooms:
        interval = f"{row['share']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        say(f"{row['room']:9} {row['killed']:4} of {row['mutants']:4}  {interval}")


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
