"""What a credit scheme or a task says of itself in a run's manifest, so that a run goes on only with the very same.

A run's directory: what was configured, what was measured, and the checkpoints, whole at any moment.

    manifest.json      config, prompts, fingerprints of base and task
    metrics.jsonl      one line a step
    checkpoint-<k>/    the policy after k updates, an ordinary Hugging Face directory; beside it the rollouts/ it wrote
    state/             what it takes to go on as if never stopped: weights, moments, step, prompts drawn
    lock               held by the process that trains

The state is written after the checkpoint of its step, so that a run killed between the two writes that one again.
"""

import dataclasses
import fcntl
import json
import os
import shutil
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import (
    MANIFEST,
    BadInput,
    fingerprint,
    fingerprint_tensors,
    from_json,
    flatten,
    read_manifest,
    recover,
    to_json,
    write_manifest,
    writing_dir,
    writing_file,
)
from interp.grpo.config import GRPOConfig
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.series import Series
from interp.tasks.chain.task import revived

if TYPE_CHECKING:
    import polars as pl

    from interp.policy import Policy


def identity_of(value: Any) -> Any:
    """Its kind and its settings: the fields of a dataclass, the attributes of an object, the code of a function."""
    if value is None:
        return None
    if isinstance(value, types.FunctionType):
        return {"kind": value.__qualname__, "settings": {"code": _code(value.__code__), **_enclosed(value)}}
    held = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)} if _is_config(value) else _vars(value)
    return {"kind": type(value).__name__, "settings": {name: _told(item) for name, item in held.items()}}


def _told(value: Any) -> Any:
    """Plain values as they are; whatever has a fingerprint, by that; the rest by what it says of itself."""
    import torch

    if isinstance(value, torch.Tensor):
        return fingerprint_tensors(["tensor"], lambda _: value)
    if callable(own := getattr(value, "fingerprint", None)):
        return own()
    if isinstance(value, Mapping):
        return {str(key): _told(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    plain = value is None or isinstance(value, str | int | float | bool)
    return to_json(value) if plain else identity_of(value)


def _is_config(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _vars(value: Any) -> dict[str, Any]:
    return dict(getattr(value, "__dict__", {}))


def _code(code: types.CodeType) -> str:
    consts = [_code(const) if isinstance(const, types.CodeType) else repr(const) for const in code.co_consts]
    return fingerprint(code.co_code, *code.co_names, *consts)


def _enclosed(function: types.FunctionType) -> dict[str, Any]:
    """What a function has closed over decides what it does too."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: _told(cell.cell_contents) for name, cell in cells}


KIND, CHECKPOINT = "grpo-run", "checkpoint"
METRICS, LOCK, STATE, ROLLOUTS = "metrics.jsonl", "lock", "state", "rollouts"


@dataclass(frozen=True)
class Run:
    path: Path

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        read_manifest(path, KIND)
        return cls(Path(path))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def manifest(self) -> dict[str, Any]:
        return read_manifest(self.path, KIND)

    @property
    def config(self) -> GRPOConfig:
        return from_json(GRPOConfig, self.manifest["config"])

    @property
    def series(self) -> Series:
        """Its checkpoints, the base first. It knows the chain task it was trained on; another has to be given."""
        return Series.from_dir(self.path, task=revived(self.manifest.get("world")))

    def policy(self, *, device: str = "auto", dtype: str = "auto") -> "Policy":
        """As it is at the last checkpoint."""
        return self.series.last.load(device=device, dtype=dtype)

    def rollouts(self, step: int) -> Rollouts:
        """What the checkpoint of a step wrote in that step, with what each token received."""
        return Rollouts.load(self.checkpoint(step) / ROLLOUTS)

    def metrics(self) -> "pl.DataFrame":
        import polars as pl

        return pl.DataFrame(read_lines(self.metrics_path), infer_schema_length=None)

    @property
    def metrics_path(self) -> Path:
        return self.path / METRICS

    def checkpoint(self, step: int) -> Path:
        return self.path / f"checkpoint-{step}"

    @property
    def state(self) -> Path:
        return self.path / STATE

    def kept(self) -> list[int]:
        """Steps of the checkpoints that are whole."""
        return sorted(int(p.parent.name.split("-")[1]) for p in self.path.glob(f"checkpoint-*/{MANIFEST}"))

    def __repr__(self) -> str:
        return f"Run({self.path}, {len(self.kept())} checkpoints)"


def begin(path: Path, config: GRPOConfig, *, making: dict[str, Any], made_from: dict[str, str]) -> Run:
    """Make the directory, or find in it a run of the very same making; another is refused, with what differs.
    `making` is what besides the config decides how the run goes: prompts, credit, the world."""
    recover(path / MANIFEST)
    if (path / MANIFEST).exists():
        found = read_manifest(path, KIND, made_from=made_from)
        before = {"config": found["config"], **{key: found.get(key) for key in making}}
        refuse_changes(path, before, {"config": to_json(config), **to_json(making)})
    else:
        write_manifest(path, KIND, config=config, made_from=made_from, **to_json(making))
    return Run(path)


def refuse_changes(path: Path, before: Any, now: Any) -> None:
    old, new = dict(flatten(before)), dict(flatten(now))
    if changed := [key for key in {**old, **new} if old.get(key) != new.get(key)]:
        shown = "; ".join(f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in changed)
        raise BadInput(f"{path} holds a run of another making: {shown}. Ask for the same, or choose another place.")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the directory for this process alone: the system lets go of the lock when the process ends, however it
    ends."""
    _expect_ours(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = (path / LOCK).open("a+")
    except OSError as error:
        raise BadInput(f"{path}: expected a directory that may be written, got: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            holder = handle.read().strip() or "another"
            raise BadInput(
                f"{path} is being trained in already, by process {holder}: wait for it or stop it"
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _expect_ours(path: Path) -> None:
    """Before anything is put there: a run, or what one killed before it was begun has left, or nothing."""
    if (path / MANIFEST).exists():
        read_manifest(path, KIND)
        return
    found = sorted(os.listdir(path)) if path.is_dir() else []
    if any(name != LOCK and not name.startswith(f".{MANIFEST}.") for name in found):
        raise BadInput(f"{path}: expected a run or an empty directory, got {', '.join(found[:5])}")


def save_checkpoint(run: Run, policy: "Policy", step: int, rows: list[Rollout] | None) -> None:
    """The policy after `step` updates, and what it wrote then, if it was given the time. What a killed run left of the
    same step is replaced."""
    making, weights = run.manifest, policy.fingerprint()
    made_from, facts = making["made_from"], {"world": making["world"], "step": step, "run": run.name}
    recover(run.checkpoint(step))
    with writing_dir(run.checkpoint(step), overwrite=True) as aside:
        policy.write_files(aside)
        if rows is not None:
            rollouts = Rollouts(
                rows, config={"run": run.name, "step": step}, made_from={**made_from, "policy": weights}
            )
            rollouts.save(aside / ROLLOUTS)
        write_manifest(aside, CHECKPOINT, config=making["config"], made_from=made_from, weights=weights, **facts)


def drop_checkpoint(run: Run, step: int) -> None:
    """Out of sight first, so that no reader meets half of one."""
    dropped = run.path / f".checkpoint-{step}.dropped"
    shutil.rmtree(dropped, ignore_errors=True)
    run.checkpoint(step).rename(dropped)
    shutil.rmtree(dropped, ignore_errors=True)


def log(run: Run, metrics: dict[str, Any]) -> None:
    with (run.metrics_path).open("a") as handle:
        handle.write(json.dumps(to_json(metrics)) + "\n")


def forget_after(run: Run, step: int) -> None:
    """Drop the lines of steps that are to be done again, and one cut short by a kill."""
    file = run.metrics_path
    recover(file)
    kept = "".join(json.dumps(line) + "\n" for line in read_lines(file) if line["step"] < step)
    if not file.exists() or file.read_text() != kept:
        with writing_file(file) as aside:
            aside.write_text(kept)


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Of a JSON-lines file; a last line that was cut short is not one."""
    if not file.exists():
        return []
    lines = file.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
