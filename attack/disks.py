"""A disk that is full, or a place that may not be written, for every command that writes.

The disk is a small tmpfs where this user may mount one, else a limit on the size of files. The command ends with exit
code 2 and names the place, files that were there stay, and with room again the same command ends in the same bits.
"""

import json
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from attack.artifacts import NAMES, inputs, make_all
from attack.outcome import HANG, LOST, REFUSED, SILENT, TRACEBACK, WHOLE, Outcome, cases
from attack.processes import Ending, run_child
from attack.stages import STAGES, Place, Stage
from attack.trees import Tree, differences, read_tree

NAME = "disks"
CASES = 110
SECONDS = 60.0
NOBODY = 65534
MB = 2**20


def run(seed: int, budget_s: float, workdir: Path, *, only: int | None = None) -> Outcome:
    outcome, work = Outcome(NAME, seed), workdir / "artifacts"
    make_all(work)
    place, wholes = inputs(work), {}
    (workdir / "disks.jsonl").unlink(missing_ok=True)
    with small_disk(workdir / "disk") as disk:
        outcome.facts["disk"] = "a tmpfs" if disk else "a limit on the size of files"
        folder = (workdir / "disk" if disk else workdir / "limited") / "folder"
        for number in [only] if only is not None else cases(outcome, budget_s, CASES):
            rng, stage = Random(f"{seed} {number}"), list(STAGES.values())[number % len(STAGES)]
            if stage.name not in wholes:
                wholes[stage.name] = _whole(stage, place, folder, disk)
            read_only = os.geteuid() == 0 and rng.random() < 0.2
            attack = _read_only if read_only else _full
            how, what, message = attack(stage, place, folder, disk, wholes[stage.name], rng)
            outcome.add(how, f"{stage.name}: {what}", message)
            with (workdir / "disks.jsonl").open("a") as handle:
                row = {"case": number, "ending": how, "what": f"{stage.name}: {what}", "message": message}
                handle.write(json.dumps(row) + "\n")
    return outcome


@contextmanager
def small_disk(path: Path) -> Iterator[Callable[[int], None] | None]:
    """A function that sets the size of the disk at `path`, in bytes; None if none can be mounted."""
    path.mkdir(parents=True, exist_ok=True)

    def mount(*words: str) -> bool:
        return subprocess.run(["mount", "-t", "tmpfs", *words, "none", str(path)], capture_output=True).returncode == 0

    if not (os.geteuid() == 0 and mount("-o", "size=64m")):
        yield None
        return
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(path)], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=False)


def _out(stage: Stage, folder: Path) -> Path:
    return folder / NAMES.get(stage.name, stage.name)


def _fresh(folder: Path, disk: Callable[[int], None] | None) -> None:
    if disk:
        disk(64 * MB)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "precious").write_text("mine")


def _whole(stage: Stage, place: Place, folder: Path, disk: Callable[[int], None] | None) -> tuple[Tree, int]:
    """The files that the stage writes, and their bytes in whole pages."""
    _fresh(folder, disk)
    ending = run_child(stage.run(place, 0, _out(stage, folder)), seconds=SECONDS)
    if ending.code != 0:
        raise RuntimeError(f"{stage.name}: expected exit code 0, got {ending.code}: {ending.message}{ending.output}")
    return read_tree(folder), sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*"))


def _full(
    stage: Stage,
    place: Place,
    folder: Path,
    disk: Callable[[int], None] | None,
    whole: tuple[Tree, int],
    rng: Random,
) -> tuple[str, str, str]:
    tree, size = whole
    room = int(size * rng.uniform(0.0, 1.1))
    _fresh(folder, disk)
    work = stage.run(place, 0, _out(stage, folder))
    if disk:
        disk(max(16_384, room // 4096 * 4096))  # a size of 0 is no limit
        ending = run_child(work, seconds=SECONDS)
        disk(64 * MB)
    else:
        ending = run_child(_with_limit(work, room // 3), seconds=SECONDS)
    what = f"a disk with {room:,} bytes of {size:,}"
    if ending.code != 0 and (bad := _bad_refusal(ending, folder)):
        return bad[0], what, bad[1]
    again = run_child(work, seconds=SECONDS)
    return _compare(again, ending, stage, folder, tree, what)


def _with_limit(work: Callable[[], Any], size: int) -> Callable[[], Any]:
    def limited() -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(1024, size), resource.RLIM_INFINITY))
        return work()

    return limited


def _read_only(
    stage: Stage,
    place: Place,
    folder: Path,
    disk: Callable[[int], None] | None,
    whole: tuple[Tree, int],
    rng: Random,
) -> tuple[str, str, str]:
    """A place that another user owns: the child becomes nobody."""
    _fresh(folder, disk)
    what, out = "a place that may not be written", _out(stage, folder)
    if rng.random() < 0.5:
        out.mkdir()
        what = "an empty directory that may not be written"
    work = stage.run(place, 0, out)

    def as_nobody() -> Any:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return work()

    before = read_tree(folder)
    with _open_to_all(folder, *folder.parents, place.root, *place.root.parents, *place.root.rglob("*")):
        ending = run_child(as_nobody, seconds=SECONDS)
    if bad := _bad_refusal(ending, folder):
        return bad[0], what, bad[1]
    lost = read_tree(folder) != before
    return (LOST if lost else REFUSED), what, "the place is not as it was" if lost else ""


@contextmanager
def _open_to_all(*paths: Path) -> Iterator[None]:
    """Within the block, any user may read these paths. Afterwards their modes are as they were."""
    modes = {path: path.stat().st_mode for path in paths if path.exists()}
    try:
        for path, mode in modes.items():
            with suppress(OSError):
                path.chmod(mode | (0o555 if path.is_dir() else 0o444))
        yield
    finally:
        for path, mode in modes.items():
            with suppress(OSError):
                path.chmod(stat.S_IMODE(mode))


def _bad_refusal(ending: Ending, folder: Path) -> tuple[str, str] | None:
    said = ending.message + ending.output[-800:]
    if ending.hung:
        return HANG, f"no end after {SECONDS:g} s"
    if ending.code != 2:
        return TRACEBACK, f"exit code {ending.code}: {said}"
    if str(folder) not in said:
        return TRACEBACK, f"a refusal that does not name the place: {said}"
    if not (folder / "precious").exists():
        return LOST, "the file beside the place is gone"
    return None


def _compare(again: Ending, first: Ending, stage: Stage, folder: Path, tree: Tree, what: str) -> tuple[str, str, str]:
    said = again.message + again.output[-600:]
    is_repeat = not stage.resumes and first.code == 0 and again.code == 2 and "exists already" in said
    if again.hung:
        return HANG, what, "with room again: no end"
    if again.code != 0 and not is_repeat:
        return (LOST if again.code == 2 else TRACEBACK), what, f"with room again: exit code {again.code}: {said}"
    missing, more, other = differences(read_tree(folder), tree)
    if missing or more:
        return LOST, what, f"with room again: missing {missing}, left over {more}"
    if other:
        return SILENT, what, f"with room again: other content of {other}"
    return (REFUSED if first.code else WHOLE), what, ""
