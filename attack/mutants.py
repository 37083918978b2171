"""Mutation testing of the rooms that compute: small changes of their code, drawn by a seed; which does no test notice?

    python -m attack.mutants --seed 1 --count 400 --minutes 30        draw and run; repeat to go on after a stop
    python -m attack.mutants --seed 1 --report                        write the counts and the survivors

A mutant counts as killed if a test of its own room fails, or takes more than five times as long: its tests are those of
the room that execute its line, the fast ones first, for at most a minute. What only slower tests, or tests of other
rooms would notice counts as a survivor. Survivors are judged by hand in `attack/survivors.json`.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from attack.mutants_draw import EXPORTS, ROOMS, Mutant, draw
from attack.mutants_run import KILLED, SURVIVED, TIMED_OUT, Outcome, Runner, append_line, map_tests, prepare_clone, warm
from attack.mutants_tests import TestMap

CHECKOUT = Path(__file__).parent.parent
BUILD = CHECKOUT / "build" / "mutants"
JUDGEMENTS = Path(__file__).parent / "survivors.json"
RESULTS = Path(__file__).parent / "results" / "mutants.json"
CONTROL_EVERY = 25
"""After so many mutants the tests of one run without it: they must pass."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=400, help="mutants to draw over all rooms")
    parser.add_argument("--minutes", type=float, default=30, help="time budget; what is left out is said")
    parser.add_argument("--each", type=float, default=60, help="seconds of tests that each mutant is run against")
    parser.add_argument(
        "--part", default="1/1", help="2/3: every third mutant, from the second on; processes may share"
    )
    parser.add_argument("--fresh-of", type=int, nargs="*", default=[], help="seeds whose mutants are not drawn again")
    parser.add_argument("--commit", default="HEAD", help="what is mutated; default: the last commit")
    parser.add_argument("--again", action="store_true", help="run survivors against the tests left out for time")
    parser.add_argument("--report", action="store_true", help="write attack/results/mutants.json from what has run")
    args = parser.parse_args()
    if args.report:
        write_report(args.seed, args.fresh_of)
    else:
        run(args)


# --- the run -------------------------------------------------------------------------------------------------------


def lines_path(seed: int) -> Path:
    return BUILD / f"seed-{seed}.jsonl"


def read_lines(seed: int) -> list[dict[str, Any]]:
    path = lines_path(seed)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def latest(seed: int) -> list[dict[str, Any]]:
    """The last line of each mutant."""
    return list({line["key"]: line for line in read_lines(seed) if not line["control"]}.values())


def run(args: argparse.Namespace) -> None:
    end = time.monotonic() + 60 * args.minutes
    without = frozenset(line["key"] for other in args.fresh_of for line in read_lines(other))
    folders = [f"tests/{room}" for room in ROOMS]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        scratch = Path(folder).resolve()
        tree = prepare_clone(CHECKOUT, scratch, args.commit)
        warm(tree)
        test_map = map_tests(tree, folders, scratch, BUILD / f"tests-{_version(tree)}.json")
        say(f"{len(test_map.seconds)} tests, {sum(test_map.seconds.values()):.0f} s")
        part, parts = map(int, args.part.split("/"))
        survivors = [Mutant.from_record(line) for line in latest(args.seed) if line["outcome"] == SURVIVED]
        mutants = survivors if args.again else draw(tree, args.count, args.seed, without)
        mutants = mutants[part - 1 :: parts]
        Runner(scratch, lambda runner: run_all(mutants, runner, test_map, args, end)).start(folders)


def run_all(mutants: list[Mutant], runner: Runner, test_map: TestMap, args: argparse.Namespace, end: float) -> None:
    """Run the mutants that have no line yet, and write a line for each."""
    path, counts, sound = lines_path(args.seed), Counter[str](), dict[str, bool]()
    earlier = {line["key"]: line for line in read_lines(args.seed)}
    for place, mutant in enumerate(mutants):
        if mutant.key in earlier and not args.again:
            continue
        if time.monotonic() > end:
            say(f"The time is up: {len(mutants) - place} of {len(mutants)} mutants were not run.")
            break
        tests = test_map.tests_of(mutant, runner.tree, math.inf if args.again else args.each)
        if args.again and EXPORTS not in mutant.names:
            tests = tests[earlier[mutant.key]["tests"] :]  # the others have been asked
        seconds = sum(test_map.seconds[test] for test in tests)
        changed = mutant.applied_to((runner.tree / mutant.file).read_text())
        outcome = run_until_sound(mutant, changed, tests, seconds, runner, sound)
        counts[outcome.outcome] += 1
        append_line(path, mutant.as_record() | vars(outcome) | {"control": False})
        if place % CONTROL_EVERY == CONTROL_EVERY - 1:
            control = runner.run(mutant, None, tests, seconds)
            append_line(path, {"key": f"control of {mutant.key}", "control": True} | vars(control))
        mark = outcome.outcome.upper() if outcome.outcome == SURVIVED else outcome.outcome
        say(f"{place + 1}/{len(mutants)} {dict(counts)} {outcome.seconds:.1f} s {mark} {mutant.file}:{mutant.line}")


def run_until_sound(
    mutant: Mutant, changed: str, tests: list[str], seconds: float, runner: Runner, sound: dict[str, bool]
) -> Outcome:
    """Run the tests of a mutant. A test counts as its killer only if it passes alone without it; one that does not is
    left out. `sound` remembers which do."""
    while True:
        tests = [test for test in tests if sound.get(test, True)]
        outcome = runner.run(mutant, changed, tests, seconds)
        if outcome.outcome != KILLED or outcome.by not in tests:
            return outcome
        if outcome.by not in sound:
            sound[outcome.by] = runner.run(mutant, None, [outcome.by], seconds).outcome == SURVIVED
        if sound[outcome.by]:
            return outcome


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
    mutants = latest(seed)
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
