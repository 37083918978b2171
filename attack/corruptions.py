"""A thousand damaged directories, of every kind and in every way: each is refused, or reads as if it were whole.

Each case copies an instance, damages it, and reads it in a child. A third of them first lose their checksums, as an
older directory has none: those may read otherwise (counted apart), but must not end in a traceback or hang.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

from attack.artifacts import KINDS, SEEDS, Kind, inputs, make_all
from attack.damage import DAMAGES, Target, lacks_checksums, make_bombs, strip_checksums
from attack.outcome import HANG, OTHER, REFUSED, SAID, SILENT, TRACEBACK, WHOLE, Outcome, cases
from attack.processes import Ending, run_child
from attack.readings import reading_of

NAME = "corruptions"
CASES = 1000
SECONDS = 20.0
STRIPPED_SHARE = 0.3
MAX_DRAWS = 50
"""Draws of a damage that can be done to a kind."""


@dataclass(frozen=True)
class Undamaged:
    """The reading of a kind as it is."""

    digest: str
    mb: float


@dataclass(frozen=True)
class Case:
    """A damaged folder, ready to be read."""

    kind: Kind
    folder: Path
    damage: str
    what: str
    has_checksums: bool


def run(seed: int, budget_s: float, workdir: Path, *, only: int | None = None) -> Outcome:
    """Damage and read a thousand directories, or the one of number `only`."""
    outcome, work, bombs = Outcome(NAME, seed), workdir / "artifacts", workdir / "bombs"
    make_all(work)
    if not (bombs / "huge.jsonl").exists():
        run_child(lambda: make_bombs(bombs), seconds=120, megabytes=8000)
    undamaged = {name: _read_undamaged(kind, work, workdir) for name, kind in KINDS.items()}
    unnamed = 0
    (workdir / "corruptions.jsonl").unlink(missing_ok=True)
    for number in [only] if only is not None else cases(outcome, budget_s, CASES):
        case = make_case(seed, number, work, workdir, bombs)
        ending = run_child(reading_of(case.kind, case.folder, inputs(work), SEEDS[0]), seconds=SECONDS)
        how, message = judge(case, ending, undamaged[case.kind.name])
        mb = ending.mb - undamaged[case.kind.name].mb if how in (REFUSED, TRACEBACK, HANG) else None
        outcome.add(how, f"{case.kind.name}: {case.what}", message, mb=mb)
        unnamed += how == REFUSED and not _names_place(message, case)
        _log(workdir, number, case, how, message, mb)
    outcome.facts["refusals that name no file"] = unnamed
    return outcome


def make_case(seed: int, number: int, work: Path, workdir: Path, bombs: Path) -> Case:
    """The case of a number: the same at every call."""
    rng, folder = Random(f"{seed} {number}"), workdir / "damaged" / "folder"
    kind = rng.choice(sorted(KINDS.values(), key=lambda kind: kind.name))
    whole = kind.folder(work, SEEDS[0])
    names, weights = list(DAMAGES), [weight for _, weight in DAMAGES.values()]
    is_stripped = rng.random() < STRIPPED_SHARE
    for _ in range(MAX_DRAWS):
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(whole, folder)
        stripped = is_stripped and kind.has_manifest and strip_checksums(folder)
        name = rng.choices(names, weights)[0]
        what = DAMAGES[name][0](rng, Target(folder, kind.folder(work, SEEDS[1]), bombs))
        if what is not None:
            break
    else:
        raise RuntimeError(f"expected a damage that fits {kind.name}, found none")
    has_checksums = kind.has_manifest and not stripped and not lacks_checksums(folder, whole)
    return Case(kind, folder, name, f"{what}{' (checksums removed)' if stripped else ''}", has_checksums)


def judge(case: Case, ending: Ending, undamaged: Undamaged) -> tuple[str, str]:
    """How a case ended, and the message."""
    message = ending.message or ending.output[-1500:]
    if ending.hung:
        return HANG, f"no end after {SECONDS:g} s"
    if ending.code == 0:
        if ending.value == undamaged.digest:
            return WHOLE, ""
        leads_outside = case.damage == "outside" and "is a link" not in case.what  # links are how caches share files
        if _names_place(ending.output, case) and "left out" in ending.output:
            return SAID, ending.output.strip()[-300:]
        return (SILENT if case.has_checksums or leads_outside else OTHER), "another result" + _warning(ending)
    if ending.code == 2 or (ending.code == 1 and _says_diverged(ending)):
        return REFUSED, message
    return TRACEBACK, f"exit code {ending.code}: {message}"


def _says_diverged(ending: Ending) -> bool:
    """Whether the command line ended with its message for a policy that has diverged, and with no other error."""
    lines = ending.output.strip().splitlines()
    return not ending.error and bool(lines) and lines[-1].startswith("interp: ") and "Traceback" not in ending.output


def _warning(ending: Ending) -> str:
    return f" (said: {ending.output.strip()[-300:]})" if ending.output.strip() else ""


def _names_place(message: str, case: Case) -> bool:
    """Whether a refusal or a warning names a file or directory of the folder."""
    return str(case.folder) in message


def _read_undamaged(kind: Kind, work: Path, workdir: Path) -> Undamaged:
    folder = workdir / "damaged" / "folder"
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(kind.folder(work, SEEDS[0]), folder)
    ending = run_child(reading_of(kind, folder, inputs(work), SEEDS[0]), seconds=60)
    if ending.code != 0:
        raise RuntimeError(
            f"{kind.name}: expected an undamaged directory to be read, got: {ending.message}{ending.output}"
        )
    return Undamaged(ending.value, ending.mb)


def _log(workdir: Path, number: int, case: Case, how: str, message: str, mb: float | None) -> None:
    """A line for each case, to look at while the attack runs."""
    row = {"case": number, "kind": case.kind.name, "damage": case.damage, "what": case.what, "ending": how}
    with (workdir / "corruptions.jsonl").open("a") as handle:
        handle.write(json.dumps(row | {"message": message[-600:], "mb": mb}) + "\n")
