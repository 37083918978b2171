"""Compare two checkpoints, or the last checkpoints of two runs, with one dictionary.

A comparison is a track of two checkpoints, A and B, or of three, with their base first: each answers the same problems,
and all are measured on the same text, which the first of them wrote. The first and A are sampled a second time, as a
control in which nothing changed.
"""

import warnings
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from interp.artifacts import BadInput, Mismatch, same_fingerprint
from interp.policy.adapter_files import is_adapter
from interp.rollouts.buckets import Buckets
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import Task
from interp.tracking.comparison import Comparison
from interp.tracking.config import CompareConfig, TrackConfig
from interp.tracking.provenance import expect_one_vocabulary, expect_roles_of
from interp.tracking.tracker import track
from interp.tsae import TSAE

if TYPE_CHECKING:
    from interp.features import Roles

RUN = "comparison"
"""Name of the run in the records of the rollouts."""


class HasSeries(Protocol):
    """A run of training."""

    @property
    def series(self) -> Series: ...


Subject = str | Path | Checkpoint | Series | HasSeries
"""A checkpoint; a run or a series, which stands for its last checkpoint; or a directory of either."""


def compare(
    tsae: TSAE,
    a: Subject,
    b: Subject,
    task: Task | None = None,
    config: CompareConfig | None = None,
    *,
    base: str | Path | Checkpoint | None = None,
    buckets: Buckets | None = None,
    layer: int | None = None,
    roles: "Roles | None" = None,
    out: str | Path | None = None,
    allow_unrelated_policies: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = True,
) -> Comparison:
    """Measure A and B on the same problems and the same text, beside their base.

    The task is that of the runs, unless another is given. `base` is the policy both began with; two runs that hold the
    same step 0 know it. `buckets` are measured on the base, or on A without one. `out` is by default beside the
    checkpoints of B, or of A. Repeated calls open what is finished and continue what was stopped."""
    expect_roles_of(roles, tsae.fingerprint())
    series_a, series_b = (
        open_series(subject, base.path if isinstance(base, Checkpoint) else base) for subject in (a, b)
    )
    common = common_base(series_a, series_b, base)
    members = [*([] if common is None else [common]), series_a.last, series_b.last]
    compared = Series.from_dirs(members)
    expect_one_vocabulary(compared)
    task = task if task is not None else common_task(series.task for series in (series_a, series_b))
    if task is None:
        raise BadInput("expected a task for these checkpoints, got none: compare(tsae, a, b, task)")
    formats = {each for each in (series_a.prompt_format, series_b.prompt_format) if each is not None}
    if len(formats) > 1:
        warnings.warn("the runs of A and B put their problems in two ways: both are asked as B was", stacklevel=2)
    directory = series_b.directory or series_a.directory
    if out is None and directory is None:
        raise BadInput(
            f"expected a run's directory, or a checkpoint-<step> of one, to keep the tracks there; got "
            f"{series_a.last.path} and {series_b.last.path}: say where to keep them (out, --out)"
        )
    tracks = track(
        tsae,
        Series(compared.checkpoints, run=RUN, directory=directory),
        task,
        as_track_config(config or CompareConfig()),
        buckets=buckets,
        layer=layer,
        resampled_steps=() if common is None else (compared.steps[-2],),
        out=out,
        allow_unrelated_policies=allow_unrelated_policies,
        device=device,
        dtype=dtype,
        progress=progress,
    )
    return Comparison(tracks, compared.steps[-2], compared.steps[-1], roles)


def open_series(subject: Subject, base: str | Path | None = None) -> Series:
    """The series of a run or directory; of a single checkpoint, a series of one. LoRA adapters are merged into `base`,
    or into what their configs name."""
    if isinstance(subject, Series):
        series = subject
    elif isinstance(subject, Checkpoint):
        series = Series([subject])
    elif isinstance(subject, str | Path):
        path = Path(subject)
        is_checkpoint = (path / "config.json").exists() or is_adapter(path) or not path.is_dir()
        if is_checkpoint:
            series = Series.from_dirs([path], base=base)
        else:
            has_adapters = any(map(is_adapter, path.glob("checkpoint-*")))
            series = Series.from_dir(path, base=base if has_adapters else None)
    else:
        series = subject.series
    if not len(series):
        raise BadInput("expected at least one checkpoint to compare, got a series without any")
    return series


def common_base(a: Series, b: Series, base: str | Path | Checkpoint | None) -> Checkpoint | None:
    """The base that was named, or else step 0 of both runs, if both hold theirs. Refused if a run began with
    another."""
    first = [series.base for series in (a, b) if len(series) > 1 and series.base.step == 0]
    if base is None and len(first) < 2:
        return None
    common = first[0] if base is None else base if isinstance(base, Checkpoint) else Checkpoint(0, Path(base))
    for own in first:
        if own.path == common.path:
            continue
        if not same_fingerprint(expected := common.fingerprint(), got := own.fingerprint()):
            raise Mismatch(
                f"expected runs with one base, {common.path} ({expected}); got one that began with {own.path} ({got}): "
                "compare their checkpoints themselves, as directories, or name the base of both (base, --base)"
            )
    return common


def common_task(tasks: Iterable[Task | None]) -> Task | None:
    """The task of both runs, or of the one that knows it."""
    by_fingerprint = {task.fingerprint(): task for task in tasks if task is not None}
    if len(by_fingerprint) > 1:
        names = " and ".join(task.name for task in by_fingerprint.values())
        raise BadInput(
            f"expected one task for both, got runs that were trained on two ({names}): name one, "
            "compare(tsae, a, b, task)"
        )
    return next(iter(by_fingerprint.values()), None)


def as_track_config(config: CompareConfig) -> TrackConfig:
    if getattr(config, "steps", ()):
        raise BadInput(
            "expected a config without steps, since a comparison is of two checkpoints; got "
            f"{list(getattr(config, 'steps', ()))}: name the directories of A and B"
        )
    return TrackConfig(**{field.name: getattr(config, field.name) for field in fields(CompareConfig)})
