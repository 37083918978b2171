"""One small instance of every kind of directory the package writes, finished and unfinished, made by its own commands.

Everything is made twice, with two seeds, so that files can be exchanged between two directories of one kind. It is
kept in the work directory, under the fingerprint of the package's code: a second attack begins at once.
"""

import hashlib
import importlib
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import interp
from attack.processes import Ending, run_child
from attack.stages import STAGES, Place

SEEDS = (0, 1)
NAMES = {
    "grpo": "run",
    "roll-out": "rollouts",
    "bucket": "buckets",
    "evaluate": "evaluation",
    "collect": "store",
    "tsae": "dictionary",
    "track": "tracks",
    "compare": "comparison",
}
"""Directory that each stage writes, where it has another name."""
STOPPED = {
    "grpo": ("interp.grpo.loop", "save_training_state", 2),
    "collect": ("interp.activations.writer", "Writer.add", 2),
    "tsae": ("interp.tsae.fit_run", "save_training_state", 2),
    "track": ("interp.tracking.checkpoint_sums", "CheckpointSums.save", 2),
    "organism": ("interp.organism.training", "save_training_state", 2),
}
"""Where a stage is killed, to leave an unfinished directory: after the n-th call of this function."""


@dataclass(frozen=True)
class Kind:
    """A kind of directory: its instances lie in folders of their own, which are copied and damaged as a whole."""

    name: str
    stage: str
    """The stage that made it."""
    finished: bool = True
    has_manifest: bool = True
    """False for directories as other tools write them."""

    def folder(self, work: Path, seed: int) -> Path:
        return work / f"seed-{seed}" / "kinds" / self.name

    def directory(self, folder: Path) -> Path:
        """What the stage wrote, inside a folder."""
        return folder / NAMES.get(self.stage, self.stage)


KINDS = {
    kind.name: kind
    for kind in (
        *(Kind(NAMES.get(stage, stage), stage) for stage in STAGES),
        *(Kind(f"unfinished-{NAMES.get(stage, stage)}", stage, finished=False) for stage in STOPPED),
        Kind("plain-policy", "organism", has_manifest=False),
        Kind("sae-lens", "tsae", has_manifest=False),
    )
}


def make_all(work: Path) -> None:
    """Make every kind with every seed, unless the work directory has them from the same code."""
    stamp, code = work / "code", _code()
    if stamp.exists() and stamp.read_text() == code:
        return
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for seed in SEEDS:
        for kind in KINDS.values():
            _make(kind, work, seed)
    stamp.write_text(code)


def inputs(work: Path) -> Place:
    """The undamaged inputs of all stages: those of the first seed."""
    return Place(work / f"seed-{SEEDS[0]}" / "inputs", SEEDS[0])


def _make(kind: Kind, work: Path, seed: int) -> None:
    folder, place = kind.folder(work, seed), inputs(work)
    folder.mkdir(parents=True)
    place.root.mkdir(parents=True, exist_ok=True)
    if not kind.has_manifest:
        name = NAMES.get(kind.stage, kind.stage)
        shutil.copytree(KINDS[name].folder(work, seed), folder, dirs_exist_ok=True)
        (kind.directory(folder) / "manifest.json").unlink()
        return
    out = kind.directory(folder)
    work_of = STAGES[kind.stage].run(place, seed, out)
    if kind.finished:
        _expect(run_child(work_of, seconds=120), 0, kind.name)
        if seed == SEEDS[0]:
            shutil.copytree(folder, place.root, dirs_exist_ok=True)
    else:
        _expect(run_child(killed_after(work_of, *STOPPED[kind.stage]), seconds=120), -signal.SIGKILL, kind.name)


def killed_after(work: Callable[[], Any], module: str, qualified: str, calls: int) -> Callable[[], Any]:
    """`work`, killed after the n-th call of a function."""

    def killed() -> Any:
        *owners, name = qualified.split(".")
        owner: Any = importlib.import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        original, count = getattr(owner, name), 0

        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            result = original(*args, **kwargs)
            count += 1
            if count == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, counting)
        return work()

    return killed


def _expect(ending: Ending, code: int, name: str) -> None:
    if ending.code != code:
        raise RuntimeError(f"{name}: expected exit code {code}, got {ending.code}: {ending.message}{ending.output}")


def _code() -> str:
    """Fingerprint of the package's code, and of that which makes these directories."""
    digest = hashlib.sha256()
    sources = [
        *Path(interp.__file__).parent.rglob("*.py"),
        *(Path(__file__).parent / n for n in ("stages.py", "artifacts.py")),
    ]
    for file in sorted(sources):
        digest.update(file.read_bytes())
    return digest.hexdigest()
