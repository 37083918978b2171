"""A run's directory: its spec, its metrics, and its checkpoints, whole at any moment.

    manifest.json      config, problems, credit, task (of a file, its place too), fingerprints of base and task; and
                       which monitors looked at the run, from which step on
    metrics.jsonl      one line per step
    checkpoint-<k>/    the policy after k updates, an ordinary Hugging Face directory, and the rollouts/ it sampled then
    state/             what it takes to resume bit for bit: weights, moments, and what `loop._save_state` lists
                       (written by interp/training_state.py)

The state is written after the checkpoint of its step, so a run killed between the two writes that checkpoint again.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import (
    MANIFEST,
    BadInput,
    append_line,
    fingerprint_config,
    from_json,
    locked,
    log_line,
    open_artifact,
    open_or_create,
    read_lines,
    read_manifest,
    reading,
    recover,
    recover_inside,
    refusing_failed_writes,
    remove_dir,
    to_json,
    with_checksum,
    write_json,
    write_manifest,
    writing_dir,
    writing_file,
)
from interp.display import HtmlSummary
from interp.grpo.config import GRPOConfig
from interp.plots import Point, curves
from interp.policy.fingerprints import weights_of
from interp.policy.prompts import PromptFormat
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.recorded_checkpoints import (
    CHECKPOINTS,
    checksum_of,
    expect_recorded,
    missing_checkpoints,
    recorded_checkpoints,
)
from interp.rollouts.series import Series, find_checkpoints
from interp.tasks.reopening import SOURCE, reopen_task

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.policy import Policy

KIND, CHECKPOINT = "grpo-run", "checkpoint"
METRICS, STATE, ROLLOUTS = "metrics.jsonl", "state", "rollouts"
SPEC = ("config", "made_from", "problems", "credit", "task")
"""Entries of a run's manifest that decide how it goes."""
MONITORS = "monitors"
"""Entry of a manifest for what looked at the run: monitors change nothing in it, so they may change."""
OLD_LOCK = "lock"
"""A file in the runs of earlier versions, whose lock lay inside."""
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
        with reading(self.path, "a run with its config"):
            return from_json(GRPOConfig, self.manifest["config"])

    @property
    def series(self) -> Series:
        """Its checkpoints, the base first, with its task. A file of problems that is gone or has changed is left out
        with a warning, and a task of your own class has to be given again."""
        try:
            task = reopen_task(self.manifest)
        except BadInput as error:
            warnings.warn(f"{self.path}: its task is left out. {error}", stacklevel=2)
            task = None
        return Series.from_dir(self.path, task=task)

    def policy(self, *, device: str = "auto", dtype: str = "auto") -> "Policy":
        """The policy at the last checkpoint."""
        return self.series.last.load(device=device, dtype=dtype)

    def rollouts(self, step: int) -> Rollouts:
        """The rollouts that the checkpoint of a step sampled in training, with the credit each token received."""
        path = self.checkpoint(step) / ROLLOUTS
        checkpoint = open_artifact(self.checkpoint(step), CHECKPOINT)
        if (manifest := f"{ROLLOUTS}/{MANIFEST}") in checkpoint.records:
            checkpoint.file(manifest)  # those of another run would be whole in themselves
        rollouts = Rollouts.load(path)
        if (got := rollouts.config.get("step")) != step:
            raise BadInput(f"{path}: expected the rollouts of step {step}, got those of step {got}: put them back")
        return rollouts

    def table(self) -> "pl.DataFrame":
        """Metrics of training: a row per step."""
        import polars as pl

        return pl.DataFrame(self.metrics(), infer_schema_length=None)

    def metrics(self) -> list[dict[str, Any]]:
        """Metrics of training: a mapping per step."""
        with reading(self.metrics_path, "one line of metrics per step"):
            lines: list[dict[str, Any]] = []
            for line in read_lines(self.metrics_path, owner=self.owner):
                if line["step"] != len(lines):
                    raise ValueError(f"step {line['step']!r:.60} after {len(lines)} steps")
                lines.append(line)
            return lines

    def alarms(self) -> "pl.DataFrame":
        """Alarms of the run's monitors, the first raised first: the monitor, since when and until when the alarm stood
        (None: it still stands), and the value and its limit when it was raised (a value of None was no number)."""
        import polars as pl

        schema = {"monitor": pl.String, "since": pl.Int64, "until": pl.Int64, "value": pl.Float64, "limit": pl.Float64}
        rows: list[dict[str, Any]] = []
        metrics, own = self.metrics(), self.manifest.get(MONITORS, [])
        for name in dict.fromkeys(name for entry in own for name in entry["settings"]):
            stood = None
            for line in metrics:
                since = line.get(f"{name}_alarm")
                if stood is not None and since != stood:
                    rows[-1]["until"] = line["step"]
                if since is not None and since != stood:
                    value, limit = line.get(name), line.get(f"{name}_limit")
                    rows.append({"monitor": name, "since": since, "until": None, "value": value, "limit": limit})
                stood = since
        return pl.DataFrame(sorted(rows, key=lambda row: row["since"]), schema=schema)

    def missing_metrics(self) -> str | None:
        """What is wrong if there are fewer lines of metrics than steps were taken until the last checkpoint."""
        last, lines = max(self.checkpoint_steps(), default=0), len(self.metrics())
        if lines >= last:
            return None
        return (
            f"{self.metrics_path}: expected metrics of {last} steps, up to the last checkpoint; got {lines}: "
            "copy it again"
        )

    @property
    def owner(self) -> str:
        """Whose lines of metrics count: those of this run, not those of another one that is as long."""
        manifest = self.manifest
        return fingerprint_config({name: manifest.get(name) for name in SPEC})

    def summary(self) -> "pl.DataFrame":
        """Headline metrics: a row per checkpoint."""
        import polars as pl

        columns = ["step", *HEADLINE, "length", "entropy_nats_per_token", "kl_to_base"]
        table = self.table()
        missing = missing_checkpoints(self.path, recorded_checkpoints(self.path), self.checkpoint_steps())
        for sentence in filter(None, (self.missing_metrics(), *(sentence for _, sentence in missing))):
            warnings.warn(sentence, stacklevel=2)
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
        return [each.step for each in find_checkpoints(self.path) if (each.path / MANIFEST).exists()]


# --- open and lock -----------------------------------------------------------------------------------------------


@contextmanager
def locked_run(path: Path, spec: Mapping[str, Any], *, source: Mapping[str, Any] | None = None) -> Iterator[Run]:
    """The run at `path`, created or opened, and held by this process alone within the block.

    `spec` is what decides how the run goes: config, made_from, problems, credit, task. A run with another spec is
    refused with every field that differs. `source` says where the task's problems are; it may change."""
    # another's directory is refused before its lock is taken
    open_or_create(path, KIND, spec, may_contain=[OLD_LOCK])
    with locked(path):
        if open_or_create(path, KIND, spec, may_contain=[OLD_LOCK]) is None:
            write_manifest(path, KIND, **to_json(spec), **_source_entry(source), files={})
        recover_inside(path)
        yield Run(path)


def _source_entry(source: Mapping[str, Any] | None) -> dict[str, Any]:
    """The entry of a manifest for the place of the problems, left out of tasks that have none."""
    return {} if source is None else {SOURCE: to_json(source)}


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
            prompts = PromptFormat.from_config(manifest["config"])
            config = {"run": run.name, "step": step, "sampling": manifest["config"].get("sampling"), **to_json(prompts)}
            Rollouts(rollouts, config=config, made_from={**made_from, "policy": weights}).save(partial / ROLLOUTS)
        write_manifest(
            partial,
            CHECKPOINT,
            config=manifest["config"],
            made_from=made_from,
            weights=weights_of(weights),
            task=manifest["task"],
            **_source_entry(manifest.get(SOURCE)),
            step=step,
            run=run.name,
        )
    _record_checkpoints(run, _checksums(run))


def drop_checkpoint(run: Run, step: int) -> None:
    _record_checkpoints(run, {other: checksum for other, checksum in _checksums(run).items() if other != step})
    remove_dir(run.checkpoint(step))


def _checksums(run: Run) -> dict[int, str]:
    """The checksum of the manifest of each checkpoint on disk, by its step."""
    return {step: checksum_of(read_manifest(run.checkpoint(step), CHECKPOINT)) for step in run.checkpoint_steps()}


def _record_checkpoints(run: Run, checksums: Mapping[int, str]) -> None:
    """List the checkpoints in the manifest of the run, so that one that goes missing or is exchanged is noticed."""
    listed = {CHECKPOINTS: {str(step): checksum for step, checksum in sorted(checksums.items())}}
    write_json(run.path / MANIFEST, with_checksum(run.manifest | listed))


def record_monitors(run: Run, step: int, settings: Mapping[str, Any]) -> None:
    """Note in the manifest of the run which monitors look at it from `step` on."""
    recorded = run.manifest.get(MONITORS, [])
    entries = [entry for entry in recorded if entry["from_step"] < step]
    if to_json(settings) != (entries[-1]["settings"] if entries else {}):
        entries = [*entries, {"from_step": step, "settings": to_json(settings)}]
    if entries != recorded:
        write_json(run.path / MANIFEST, with_checksum(run.manifest | {MONITORS: entries}))


def expect_whole(run: Run) -> None:
    """Refuse a run that lacks a checkpoint that its manifest lists, or lines of metrics."""
    recorded = recorded_checkpoints(run.path)
    for _, sentence in missing_checkpoints(run.path, recorded, run.checkpoint_steps()):
        raise BadInput(sentence)
    for step in recorded:
        expect_recorded(run.checkpoint(step), step, recorded)
    if (sentence := run.missing_metrics()) is not None:
        raise BadInput(sentence)


def expect_checkpoints(run: Run, steps: Iterable[int]) -> None:
    """Refuse a run that lacks one of these checkpoints, or has another in the place of one. The last will be written
    again, so it need not be the one that is listed."""
    present, steps = run.checkpoint_steps(), list(steps)
    if missing := [step for step in steps if step not in present]:
        raise BadInput(
            f"{run.path}: expected the checkpoints of a run that was stopped later, got no checkpoint-{missing[0]}: "
            "put it back, or train in another place (out, --out)"
        )
    recorded = recorded_checkpoints(run.path)
    for step in steps[:-1]:
        expect_recorded(run.checkpoint(step), step, recorded)


# --- metrics -----------------------------------------------------------------------------------------------------


def append_metrics(run: Run, metrics: dict[str, Any]) -> None:
    append_line(run.metrics_path, metrics, owner=run.owner)


def sync_metrics(run: Run) -> None:
    """Have the metrics on disk before the state that says that they were measured."""
    with refusing_failed_writes(run.metrics_path), run.metrics_path.open("a") as handle:
        os.fsync(handle.fileno())


def truncate_metrics(run: Run, step: int) -> None:
    """Drop the lines from `step` on, which will be measured again, and a last line that a kill cut short. Refused if a
    line before `step` is missing."""
    file = run.metrics_path
    recover(file)
    lines = [line for line in run.metrics() if line["step"] < step]
    text = "".join(log_line(line, owner=run.owner) for line in lines)
    if (got := [line["step"] for line in lines]) != list(range(step)):
        raise BadInput(
            f"{file}: expected a line for each of the {step} steps done, got {len(got)}: put it back, or train in "
            "another place (out, --out)"
        )
    if not file.exists() or file.read_text() != text:
        with writing_file(file) as partial:
            partial.write_text(text)
