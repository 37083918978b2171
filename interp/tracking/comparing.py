"""Hold one dictionary against two checkpoints, or against the last ones of two runs and the base of both.

It is a track of a series of two, A and B, or of three, with the base before them: each answers the same problems, and
all read the same text, which the first of them wrote. A is asked a second time, as the first of a track always is, so
that there is something in which nothing lies between.
"""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from interp.artifacts import BadInput, Mismatch
from interp.rollouts.buckets import Buckets
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import Task
from interp.tracking.comparison import Comparison
from interp.tracking.config import AskConfig, TrackConfig
from interp.tracking.provenance import expect_one_vocabulary, expect_roles_of
from interp.tracking.tracker import track
from interp.tsae import TSAE

if TYPE_CHECKING:
    from interp.features import Roles

RUN = "comparison"
"""The name of the rollouts' run."""


class Trained(Protocol):
    """A run, that is."""

    @property
    def series(self) -> Series: ...


Subject = str | Path | Checkpoint | Series | Trained
"""A run or a series, of which it is the last checkpoint that is meant; a checkpoint; or a directory of either kind."""


def compare(
    tsae: TSAE,
    a: Subject,
    b: Subject,
    task: Task | None = None,
    config: AskConfig | None = None,
    *,
    base: str | Path | Checkpoint | None = None,
    buckets: Buckets | None = None,
    layer: int | None = None,
    roles: "Roles | None" = None,
    out: str | Path | None = None,
    any_policy: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    bar: bool = True,
) -> Comparison:
    """A run knows its task; plain directories have to be given one. `base` is what both came of: runs that hold their
    step 0 know it. `buckets` are measured on the base, or on A where there is none. `out` is beside the checkpoints of
    B, or of A. Asked for again, what is there is opened; what was stopped goes on."""
    expect_roles_of(roles, tsae.fingerprint())
    one, other = opened(a), opened(b)
    common = common_base(one, other, base)
    members = [*([] if common is None else [common]), one.last, other.last]
    alike = Series.from_dirs([member.path for member in members])
    expect_one_vocabulary(alike)
    task = task if task is not None else one_task(series.task for series in (one, other))
    if task is None:
        raise BadInput("expected a task to ask these checkpoints, got none: compare(tsae, a, b, task)")
    home = other.home or one.home
    if out is None and home is None:
        raise BadInput(
            f"expected a run's directory, or a checkpoint-<step> of one, to keep the readings there; got "
            f"{one.last.path} and {other.last.path}: say where to keep them (out, --out)"
        )
    tracks = track(
        tsae,
        Series(alike.members, run=RUN, home=home),
        task,
        tracking(config or AskConfig()),
        buckets=buckets,
        layer=layer,
        twice=() if common is None else (alike.steps[-2],),
        out=out,
        any_policy=any_policy,
        device=device,
        dtype=dtype,
        bar=bar,
    )
    return Comparison(tracks, alike.steps[-2], alike.steps[-1], roles)


def opened(subject: Subject) -> Series:
    """Of one checkpoint, or of many."""
    if isinstance(subject, Series):
        series = subject
    elif isinstance(subject, Checkpoint):
        series = Series([subject])
    elif isinstance(subject, str | Path):
        path = Path(subject)
        alone = (path / "config.json").exists() or not path.is_dir()
        series = Series.from_dirs([path]) if alone else Series.from_dir(path)
    else:
        series = subject.series
    if not len(series):
        raise BadInput("expected at least one checkpoint to compare, got a series without any")
    return series


def common_base(one: Series, other: Series, named: str | Path | Checkpoint | None) -> Checkpoint | None:
    """What is named, or else what both hold as their step 0. One they do not both come of is refused."""
    known = [series.base for series in (one, other) if len(series) > 1 and series.base.step == 0]
    if named is None and len(known) < 2:
        return None
    base = known[0] if named is None else named if isinstance(named, Checkpoint) else Checkpoint(0, Path(named))
    for own in known:
        if own.path != base.path and (theirs := own.fingerprint()) != (wanted := base.fingerprint()):
            raise Mismatch(
                f"expected runs that came of one base, {base.path} ({wanted}); got one that began with {own.path} "
                f"({theirs}): compare their checkpoints themselves, as directories, or name the base of both "
                "(base, --base)"
            )
    return base


def one_task(known: Iterable[Task | None]) -> Task | None:
    """That of either, if the other was not trained on another."""
    tasks = {task.fingerprint(): task for task in known if task is not None}
    if len(tasks) > 1:
        names = " and ".join(task.name for task in tasks.values())
        raise BadInput(
            f"expected one task to ask both, got runs that were trained on two ({names}): say which, "
            "compare(tsae, a, b, task)"
        )
    return next(iter(tasks.values()), None)


def tracking(config: AskConfig) -> TrackConfig:
    """Of all checkpoints that are compared."""
    if getattr(config, "steps", ()):
        raise BadInput("a comparison is of two checkpoints: expected a config without steps; name their directories")
    return TrackConfig(**{field.name: getattr(config, field.name) for field in fields(AskConfig)})
