"""The command line: `python -m attack --seconds 1800 --seed 0 --only corruptions`."""

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from attack.outcome import Outcome
from attack.processes import warm
from attack.report import write_report

ATTACKS = {
    "corruptions": 0.34,
    "kills": 0.3,
    "pairs": 0.14,
    "disks": 0.06,
    "fuzz": 0.06,
    "flags": 0.06,
    "working_directory": 0.04,
}
"""The attacks in their order, each with its share of the time."""
ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser("python -m attack", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800, help="time for all attacks together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=ATTACKS, nargs="*", help="these attacks alone")
    parser.add_argument("--case", type=int, help="one case of an attack alone, to see how it ends")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "attack", help="directory for what is attacked")
    parser.add_argument("--dry", action="store_true", help="write no results")
    options = parser.parse_args()
    names = [name for name in options.only or ATTACKS if importlib.util.find_spec(f"attack.{name}")]
    modules: dict[str, ModuleType] = {name: importlib.import_module(f"attack.{name}") for name in names}
    share = sum(ATTACKS[name] for name in names)
    options.work.mkdir(parents=True, exist_ok=True)
    warm()
    failed = 0
    for name, module in modules.items():
        budget = options.seconds * ATTACKS[name] / share
        more = {"only": options.case} if options.case is not None else {}
        outcome = module.run(options.seed, budget, options.work.absolute(), **more)
        _say(outcome)
        failed += outcome.failed
        if not options.dry and options.case is None:
            outcome.save()
            write_report()
    sys.exit(1 if failed else 0)


def _say(outcome: Outcome) -> None:
    for failure in outcome.failures:
        sys.stderr.write(f"{outcome.name} {failure.case}: {failure.ending}: {failure.what}: {failure.message}\n")
    peak = "" if outcome.peak_mb is None else f", at most {outcome.peak_mb:.0f} MB"
    sys.stderr.write(f"{outcome.name}: {outcome.tried} tried in {outcome.seconds:.0f} s{peak}: {outcome.counts}\n")
