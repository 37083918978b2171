"""A run's directory: its spec, its metrics, and its checkpoints, whole at any moment.

    manifest.json      config, problems, credit, task, fingerprints of base and task
    metrics.jsonl      one line per step
    checkpoint-<k>/    the policy after k updates, an ordinary Hugging Face directory, and the rollouts/ it sampled then
    state/             what it takes to resume bit for bit: weights, moments, and what `loop._save_state` lists
                       (written by interp/training_state.py)
    lock               held by the process that trains

The state is written after the checkpoint of its step, so a run killed between the two writes that checkpoint again.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import (
    MANIFEST,
    BadInput,
    from_json,
    open_or_create,
    read_manifest,
    recover,
    to_json,
    write_manifest,
    writing_dir,
    writing_file,
)
from interp.display import HtmlSummary
from interp.grpo.config import GRPOConfig
from interp.plots import Point, curves
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.series import Series
from interp.tasks.chain.task import task_from_manifest

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.policy import Policy

KIND, CHECKPOINT = "grpo-run", "checkpoint"
METRICS, LOCK, STATE, ROLLOUTS = "metrics.jsonl", "lock", "state", "rollouts"
HEADLINE = {
    "reward": "reward",
    "valid_rate": "valid rate",
    "lucky_share": "lucky share of rewarded",
    "direct_share": "direct share",
    "zero_variance_share": "groups of equal rewards",
}
"""Metrics between 0 and 1 that a summary and a figure show, with their labels."""


@dataclass(frozen=True)
class Run(HtmlSummary):
    """A training run on disk. `interp.grpo.train` returns it, `Run.open` opens an older one."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        read_manifest(path, KIND)
        return cls(Path(path))

    def __repr__(self) -> str:
        return f"Run({self.path}, {len(self.checkpoint_steps())} checkpoints)"

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
        """Its checkpoints, the base first. A chain task is restored with them; any other has to be given again."""
        return Series.from_dir(self.path, task=task_from_manifest(self.manifest.get("task")))

    def policy(self, *, device: str = "auto", dtype: str = "auto") -> "Policy":
        """The policy at the last checkpoint."""
        return self.series.last.load(device=device, dtype=dtype)

    def rollouts(self, step: int) -> Rollouts:
        """The rollouts that the checkpoint of a step sampled in training, with the credit each token received."""
        return Rollouts.load(self.checkpoint(step) / ROLLOUTS)

    def table(self) -> "pl.DataFrame":
        """Metrics of training: a row per step."""
        import polars as pl

        return pl.DataFrame(read_json_lines(self.metrics_path), infer_schema_length=None)

    def summary(self) -> "pl.DataFrame":
        """Headline metrics: a row per checkpoint."""
        import polars as pl

        columns = ["step", *HEADLINE, "length", "entropy_nats_per_token", "kl_to_base"]
        table = self.table()
        if table.is_empty():
            return pl.DataFrame(schema=columns)
        rows = table.filter(pl.col("step").is_in(self.checkpoint_steps()))
        return rows.select(column for column in columns if column in rows.columns)

    def figure(self) -> "go.Figure":
        """Headline metrics by step, as measured on the rollouts of training."""
        rows = self.table().to_dicts()
        lines = {
            label: [Point(row["step"], row[name]) for row in rows if row[name] is not None]
            for name, label in HEADLINE.items()
        }
        return curves({self.name: lines}, x="step", y="share of rollouts or groups")

    @property
    def metrics_path(self) -> Path:
        return self.path / METRICS

    @property
    def state(self) -> Path:
        return self.path / STATE

    def checkpoint(self, step: int) -> Path:
        return self.path / f"checkpoint-{step}"

    def checkpoint_steps(self) -> list[int]:
        """Steps of the complete checkpoints."""
        return sorted(int(p.parent.name.split("-")[1]) for p in self.path.glob(f"checkpoint-*/{MANIFEST}"))


# --- open and lock -----------------------------------------------------------------------------------------------


@contextmanager
def locked_run(path: Path, spec: Mapping[str, Any]) -> Iterator[Run]:
    """The run at `path`, created or opened, and held by this process alone within the block.

    `spec` is what decides how the run goes: config, made_from, problems, credit, task. A run with another spec is
    refused with every field that differs. The system releases the lock when the process ends, however it ends."""
    open_or_create(path, KIND, spec, may_contain=[LOCK])  # another's directory is refused before anything is written
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = (path / LOCK).open("a+")
    except OSError as error:
        raise BadInput(f"{path}: expected a directory that can be written, got: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            holder = handle.read().strip() or "another"
            raise BadInput(f"{path} is in use by process {holder}, which trains it: wait for it or stop it") from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        if open_or_create(path, KIND, spec, may_contain=[LOCK]) is None:
            write_manifest(path, KIND, **to_json(spec))
        yield Run(path)


# --- checkpoints -------------------------------------------------------------------------------------------------


def save_checkpoint(run: Run, policy: "Policy", step: int, rollouts: list[Rollout] | None) -> None:
    """Write the policy after `step` updates, and the rollouts it sampled then, if any. An older checkpoint of the same
    step is replaced."""
    manifest, weights = run.manifest, policy.fingerprint()
    made_from = manifest["made_from"]
    recover(run.checkpoint(step))
    with writing_dir(run.checkpoint(step), overwrite=True) as partial:
        policy.write_files(partial)
        if rollouts is not None:
            config = {"run": run.name, "step": step}
            Rollouts(rollouts, config=config, made_from={**made_from, "policy": weights}).save(partial / ROLLOUTS)
        write_manifest(
            partial,
            CHECKPOINT,
            config=manifest["config"],
            made_from=made_from,
            weights=weights,
            task=manifest["task"],
            step=step,
            run=run.name,
        )


def drop_checkpoint(run: Run, step: int) -> None:
    """Delete a checkpoint. It is renamed first, so that no reader meets half of one."""
    dropped = run.path / f".checkpoint-{step}.dropped"
    shutil.rmtree(dropped, ignore_errors=True)
    run.checkpoint(step).rename(dropped)
    shutil.rmtree(dropped, ignore_errors=True)


# --- metrics -----------------------------------------------------------------------------------------------------


def append_metrics(run: Run, metrics: dict[str, Any]) -> None:
    with run.metrics_path.open("a") as handle:
        handle.write(json.dumps(to_json(metrics)) + "\n")


def truncate_metrics(run: Run, step: int) -> None:
    """Drop the lines from `step` on, which will be measured again, and a last line that a kill cut short."""
    file = run.metrics_path
    recover(file)
    text = "".join(json.dumps(line) + "\n" for line in read_json_lines(file) if line["step"] < step)
    if not file.exists() or file.read_text() != text:
        with writing_file(file) as partial:
            partial.write_text(text)


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """The complete lines of a JSON-lines file; none if there is no file."""
    if not file.exists():
        return []
    lines = file.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
