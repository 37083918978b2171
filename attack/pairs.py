"""Two processes with one place and two seeds, for every command that writes: one result and one refusal.

The second starts at a random moment of the first. The result must be whole, and that of the winner alone, bit for bit.
"""

import json
import shutil
import time
from pathlib import Path
from random import Random

from attack.artifacts import NAMES, inputs, make_all
from attack.outcome import HANG, LOST, REFUSED, SILENT, TRACEBACK, Outcome, cases
from attack.processes import Ending, run_child, start, wait
from attack.stages import STAGES, Place, Stage
from attack.trees import Tree, differences, read_tree

NAME = "pairs"
CASES = 150
SECONDS = 60.0
SEEDS = (0, 1)


def run(seed: int, budget_s: float, workdir: Path, *, only: int | None = None) -> Outcome:
    outcome, work, folder = Outcome(NAME, seed), workdir / "artifacts", workdir / "pair" / "folder"
    make_all(work)
    place = inputs(work)
    alone: dict[str, tuple[list[Tree], float]] = {}
    (workdir / "pairs.jsonl").unlink(missing_ok=True)
    for number in [only] if only is not None else cases(outcome, budget_s, CASES):
        rng, stage = Random(f"{seed} {number}"), list(STAGES.values())[number % len(STAGES)]
        if stage.name not in alone:
            alone[stage.name] = _alone(stage, place, folder)
        trees, seconds = alone[stage.name]
        delay = rng.choice((0.0, rng.uniform(0, seconds)))
        endings = _together(stage, place, folder, delay)
        how, message = judge(endings, read_tree(folder), trees)
        outcome.add(how, f"{stage.name}: the second {delay:.2f} s after the first", message)
        with (workdir / "pairs.jsonl").open("a") as handle:
            row = {"case": number, "stage": stage.name, "ending": how, "message": message}
            said = [one.message or one.output[-300:] for one in endings]
            handle.write(json.dumps(row | {"codes": [one.code for one in endings], "said": said}) + "\n")
    return outcome


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _out(stage: Stage, folder: Path) -> Path:
    return folder / NAMES.get(stage.name, stage.name)


def _alone(stage: Stage, place: Place, folder: Path) -> tuple[list[Tree], float]:
    """The files of each seed's result, made alone, and the seconds it takes."""
    trees, seconds = [], 0.0
    for seed in SEEDS:
        _fresh(folder)
        ending = run_child(stage.run(place, seed, _out(stage, folder)), seconds=SECONDS)
        if ending.code != 0:
            raise RuntimeError(
                f"{stage.name}: expected exit code 0, got {ending.code}: {ending.message}{ending.output}"
            )
        trees.append(read_tree(folder))
        seconds = ending.seconds
    return trees, seconds


def _together(stage: Stage, place: Place, folder: Path, delay: float) -> list[Ending]:
    _fresh(folder)
    scratch = [folder.with_name(f"scratch-{seed}") for seed in SEEDS]
    pids = []
    for seed in SEEDS:
        pids.append(start(stage.run(place, seed, _out(stage, folder)), scratch[seed], seconds=SECONDS))
        time.sleep(delay if seed == SEEDS[0] else 0)
    return [wait(pid, where, seconds=SECONDS) for pid, where in zip(pids, scratch, strict=True)]


def judge(endings: list[Ending], tree: Tree, alone: list[Tree]) -> tuple[str, str]:
    """One must have ended well, the other must have been refused, and the files must be those of the first."""
    codes = [one.code for one in endings]
    if None in codes:
        return HANG, f"exit codes {codes}"
    if set(codes) - {0, 2}:
        said = " | ".join(one.message + one.output[-400:] for one in endings if one.code not in (0, 2))
        return TRACEBACK, f"exit codes {codes}: {said}"
    if codes == [0, 0]:
        return LOST, "both ended with exit code 0, and one result is gone"
    if codes == [2, 2]:
        return LOST, "both were refused: " + " | ".join(one.output[-300:] for one in endings)
    missing, more, other = differences(tree, alone[codes.index(0)])
    if missing or other:
        return SILENT, f"the winner's files are not those of a lone run: {', '.join(missing + other)}"
    if more:
        return LOST, f"left over: {', '.join(more)}"
    return REFUSED, ""
