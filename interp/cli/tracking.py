"""Latents through a series of checkpoints, and two checkpoints or runs compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from interp.checks import CountOrZero, Layer, Name
from interp.cli.app import Args, Flat, FlatThroughout, app, explain, report_skipped, say, say_json, say_saved
from interp.cli.args import Dtype, SeriesArgs, TaskArgs, expect_affordable
from interp.cli.tables import drop_zero_columns, join_interval, most_certain
from interp.display import text_table
from interp.tracking.config import CompareConfig, TrackConfig

if TYPE_CHECKING:
    import polars as pl

    from interp.tracking import Changes, Comparison, Drift, LatentComparison

Corpus = Literal["on-policy", "probe"]
Measure = Literal["mean_activation", "firing_rate", "mean_when_active"]
LATENTS_SHOWN = 3
"""Most certain latents of each verdict in each bucket."""


@dataclass(frozen=True)
class Track(Args):
    tsae: Path
    """The dictionary's directory: ours, or one that SAELens saved."""
    series: Annotated[SeriesArgs, Flat] = field(default_factory=SeriesArgs)
    task: Annotated[TaskArgs, Flat] = field(default_factory=TaskArgs)
    tracking: Annotated[TrackConfig, Flat, FlatThroughout] = field(default_factory=TrackConfig)
    buckets: Path | None = None
    """A result of `interp bucket --out`, measured on the base. Its buckets replace the task's own levels."""
    layer: Layer | None = None
    """The dictionary's layer, if the dictionary does not say."""
    out: Path | None = None
    """Directory for the tracks. Default: beside the checkpoints of a --series. A repeated command continues there."""
    corpus: Corpus = "on-policy"
    """on-policy (each checkpoint's own text) or probe (the same text for all)."""
    measure: Measure = "mean_activation"
    """mean_activation, firing_rate (share of tokens where the latent is active) or mean_when_active."""
    over: Literal["end", "slope"] = "end"
    """end (the last checkpoint less the base) or slope (rise of the line through all checkpoints)."""
    match: tuple[Literal["outcome", "length"], ...] = ()
    """Compare each prompt with itself within rollouts of one outcome, of like length, or of both."""
    roles: Path | None = None
    """Roles of the latents, as `interp roles --out` saves them. Changes are counted by role too."""
    latents: tuple[CountOrZero, ...] = ()
    """Latents for which to show where they are active."""
    by: Literal["role", "position", "outcome"] = "role"
    """Where --latents are active: by role of the token, by its position, or by outcome of the rollout."""
    allow_unrelated_policies: bool = False
    """Allow a dictionary that was fitted on other policies."""


@app.command(name="track")
def track_command(config: Annotated[Track, Flat]) -> None:
    """Track latents through a series: which of them are strengthened in each bucket, with intervals and controls."""
    from interp.features import Roles
    from interp.rollouts import Buckets
    from interp.tracking import track
    from interp.tracking.activation_sums import expect_latents
    from interp.tracking.provenance import expect_roles_of
    from interp.tsae import TSAE

    tsae, roles = TSAE.load(config.tsae), config.roles and Roles.load(config.roles)
    expect_latents(config.latents, tsae.width)
    expect_roles_of(roles, tsae.fingerprint())
    series = config.series.open()
    task = config.task.open(series.base.path)
    skipped = report_skipped(task)
    expect_affordable(task, config.tracking.sampling, config.tracking.problems, config.tracking.levels or task.levels)
    tracks = track(
        tsae,
        series,
        task,
        config.tracking,
        buckets=config.buckets and Buckets.load(config.buckets),
        layer=config.layer,
        out=config.out,
        allow_unrelated_policies=config.allow_unrelated_policies,
        device=config.series.device,
        dtype=config.series.dtype,
        progress=not config.series.json,
    )
    drift, changes, breakdown = tracks.drift(), None, None
    if len(tracks.steps) > 1:
        changes = tracks.changes(
            corpus=config.corpus, measure=config.measure, over=config.over, match=config.match, roles=roles
        )
    if config.latents:
        breakdown = tracks.breakdown(by=config.by, latents=config.latents, corpus=config.corpus)
    if config.series.json:
        result: dict[str, Any] = {"out": tracks.path, "skipped": skipped, "skipped_checkpoints": tracks.skipped}
        result |= {"summary": [] if changes is None else changes.summary().to_dicts()}
        result |= {} if changes is None or roles is None else {"by_role": changes.summary(by_role=True).to_dicts()}
        result |= {} if breakdown is None else {"breakdown": breakdown.to_dicts()}
        table = [] if changes is None else changes.table().to_dicts()
        return say_json({**result, "drift": drift.summary().to_dicts(), "table": table})
    say(f"{tracks}")
    if changes is None:
        explain("There is one checkpoint, so there are no changes.")
    else:
        _say_changes(changes)
    if breakdown is not None:
        _say_breakdown(breakdown, config)
    _say_drift(drift)
    return say_saved(tracks.path)


def _say_changes(changes: "Changes") -> None:
    from interp.tracking.changes import BASE_RESAMPLED, SAME_TEXT
    from interp.tracking.verdicts import STRENGTHENED, VERDICTS, WEAKENED

    controls = []
    if changes.control is not None:
        controls.append("Control: base resampled, where nothing changed but the draw.")
    if changes.same_text is not None:
        controls.append("Same text: the change on text that the base wrote, where no other text can be the reason.")
    verdicts = _verdicts_on(changes.measure, changes.corpus, changes.match, "since the base")
    explain(" ".join([verdicts, *controls]), text_table(drop_zero_columns(changes.summary(), VERDICTS), digits=2))
    if changes.role_F is not None:
        import polars as pl

        by_role = changes.summary(by_role=True)
        by_role = by_role.filter(~pl.col("comparison").is_in([BASE_RESAMPLED, SAME_TEXT]))
        by_role = drop_zero_columns(by_role.select("bucket", "role", *VERDICTS), VERDICTS)
        explain("The same by role:", text_table(by_role))
    rows = most_certain(changes.table(), (STRENGTHENED, WEAKENED), LATENTS_SHOWN)
    if rows.is_empty():
        return explain("No latent was strengthened or weakened.")
    rows = join_interval(rows.drop("prompts", "p"), "change")
    if changes.same_text is not None:
        rows = join_interval(rows, "same_text_change", "same_text_low", "same_text_high")
    text = f"The most certain changes, at most {LATENTS_SHOWN} of each sign in a bucket (all of them: --json):"
    return explain(text, text_table(rows))


def _verdicts_on(measure: str, corpus: str, match: Sequence[str], change: str) -> str:
    from interp.tracking.verdicts import FALSE_DISCOVERY_RATE

    matched = f", matched by {' and '.join(match)}" if match else ""
    return (
        f"Number of latents by the verdict on their {measure.replace('_', ' ')} {change} ({corpus} text{matched}, "
        f"false-discovery rate {FALSE_DISCOVERY_RATE:g})."
    )


def _say_breakdown(breakdown: "pl.DataFrame", config: Track) -> None:
    import polars as pl

    if breakdown.is_empty():
        return explain(f"The latents are active nowhere: nothing was written ({config.corpus} text).")
    steps, buckets = (breakdown[name].unique(maintain_order=True) for name in ("step", "bucket"))
    ends = breakdown.filter(pl.col("step").is_in([steps[0], steps[-1]]))
    ends = ends.sort("latent", pl.col("bucket").cast(pl.Enum(buckets)), maintain_order=True)
    text = f"Where the latents are active, by {config.by}, at the first and the last checkpoint (all: --json):"
    return explain(text, text_table(ends.select("latent", "bucket", pl.exclude("latent", "bucket"))))


def _say_drift(drift: "Drift", names: Mapping[int, str] | None = None) -> None:
    """`names` of the checkpoints are used in place of their steps."""
    import polars as pl

    limits, frame = drift.thresholds, drift.summary()
    if names is not None:
        checkpoints = pl.Series("step", [names[step] for step in drift.steps])
        frame = frame.with_columns(checkpoints).rename({"step": "checkpoint"})
    explain(
        "Whether the dictionary can be trusted on each checkpoint, from its lowest fits over corpora and buckets. "
        f"Trusted: at least {limits.min_fve:g} of the variance explained, unexplained variance at most "
        f"{limits.max_unexplained_ratio:g} times that of the base, and KL recovered at least "
        f"{limits.min_kl_recovered:g} where it was measured.",
        text_table(frame),
    )
    if drift.unfitted_steps:
        unfitted = ", ".join(str(step) if names is None else names[step] for step in drift.unfitted_steps)
        explain(f"The dictionary was not fitted on checkpoint {unfitted}: it may have no latent for what is new there.")


@dataclass(frozen=True)
class Compare(Args):
    a: tyro.conf.Positional[Path]
    """A run's directory (its last checkpoint is used), a checkpoint's, or any local Hugging Face directory."""
    b: tyro.conf.Positional[Path]
    """Another one."""
    tsae: Path
    """The dictionary's directory: ours, or one that SAELens saved."""
    base: Path | None = None
    """The policy that both were trained from. Default: step 0 of the runs, if they have it."""
    task: Annotated[TaskArgs, Flat] = field(default_factory=TaskArgs)
    comparison: Annotated[CompareConfig, Flat, FlatThroughout] = field(default_factory=CompareConfig)
    buckets: Path | None = None
    """A result of `interp bucket --out`, measured on the base (or on A). Its buckets replace the task's own levels."""
    layer: Layer | None = None
    """The dictionary's layer, if the dictionary does not say."""
    out: Path | None = None
    """Directory for the sums. Default: beside the checkpoints of a run. A repeated command continues there."""
    corpus: Corpus = "on-policy"
    """on-policy (each checkpoint's own text) or probe (the same text for both)."""
    measure: Measure = "mean_activation"
    """mean_activation, firing_rate (share of tokens where the latent is active) or mean_when_active."""
    match: tuple[Literal["outcome", "length"], ...] | None = None
    """Compare each prompt with itself within rollouts of one outcome, of like length, or of both. Default: outcome on
    on-policy text; give the flag without a value to match nothing."""
    roles: Path | None = None
    """Roles of the latents, as `interp roles --out` saves them, to show beside each latent."""
    allow_unrelated_policies: bool = False
    """Allow a dictionary that was fitted on other policies."""
    figure: Path | None = None
    """Save a figure here, as one HTML file that opens offline."""
    device: Name = "auto"
    """auto, cpu, cuda or mps."""
    dtype: Dtype = "auto"
    """Precision of the weights. auto: that in which they are stored, and float32 on the CPU."""
    json: bool = False
    """Print one JSON object and nothing else."""


@app.command(name="compare")
def compare_command(config: Annotated[Compare, Flat]) -> None:
    """Compare two checkpoints, or two runs: their behavior, and which latents are stronger in one of them."""
    from interp.features import Roles
    from interp.plots import save
    from interp.rollouts import Buckets
    from interp.tracking import compare
    from interp.tracking.comparing import open_series
    from interp.tsae import TSAE

    a, b = open_series(config.a, config.base), open_series(config.b, config.base)
    task = config.task.open(a.base.path)
    skipped = report_skipped(task)
    expect_affordable(
        task, config.comparison.sampling, config.comparison.problems, config.comparison.levels or task.levels
    )
    comparison = compare(
        TSAE.load(config.tsae),
        a,
        b,
        task,
        config.comparison,
        base=config.base,
        buckets=config.buckets and Buckets.load(config.buckets),
        layer=config.layer,
        roles=config.roles and Roles.load(config.roles),
        out=config.out,
        allow_unrelated_policies=config.allow_unrelated_policies,
        device=config.device,
        dtype=config.dtype,
        progress=not config.json,
    )
    latents = comparison.latents(corpus=config.corpus, measure=config.measure, match=config.match)
    if config.figure:
        save(comparison.figure(corpus=config.corpus, measure=config.measure, match=config.match), config.figure)
    if config.json:
        drift = comparison.drift().summary().to_dicts()
        result: dict[str, Any] = {"out": comparison.path, "figure": config.figure, "skipped": skipped}
        result |= {"checkpoints": {name: comparison.tracks.paths[step] for step, name in comparison.names.items()}}
        result |= {"match": latents.match, "behavior": comparison.behavior().to_dicts()}
        result |= {"summary": latents.summary().to_dicts()}
        result |= {"relations": latents.relations().to_dicts()} if latents.has_base else {}
        return say_json({**result, "drift": drift, "table": latents.table().to_dicts()})
    say(*(f"{name:4}  {comparison.tracks.paths.get(step, step)}" for step, name in comparison.names.items()))
    _say_behavior(comparison)
    unmatched = comparison.latents(corpus=config.corpus, measure=config.measure, match=()) if latents.match else None
    _say_latents(latents, unmatched)
    _say_drift(comparison.drift(), comparison.names)
    return say_saved(comparison.path)


def _say_behavior(comparison: "Comparison") -> None:
    frame = comparison.behavior().drop("p")
    for name in ("base", "a", "b"):
        if name in frame.columns:
            frame = join_interval(frame, name, f"{name}_low", f"{name}_high", spec=".2f")
    frame, text = (
        join_interval(frame, "difference", spec="+.2f"),
        "Behavior: rates, and B less A paired by prompt, with q over all rows.",
    )
    if "control" in frame.columns:
        frame = join_interval(frame, "control", "control_low", "control_high", spec="+.2f")
        text += " Control: a second set of A's rollouts less the first, where nothing changed but the draw."
    explain(text, text_table(frame.rename({"a": "A", "b": "B", "difference": "B less A"})))


def _say_latents(latents: "LatentComparison", unmatched: "LatentComparison | None") -> None:
    """`unmatched` is the same comparison without matching, to show beside the matched one."""
    from interp.tracking.latent_comparison import RELATIONS
    from interp.tracking.verdicts import STRENGTHENED, VERDICTS, WEAKENED

    verdicts = _verdicts_on(latents.measure, latents.corpus, latents.match, "in B less A")
    control = "Control: A resampled, where nothing changed but the draw." if latents.control else "There is no control."
    explain(f"{verdicts} {control}", text_table(drop_zero_columns(latents.summary(), VERDICTS), digits=2))
    if unmatched is not None:
        explain("The same without matching:", text_table(drop_zero_columns(unmatched.summary(), VERDICTS), digits=2))
    if latents.has_base:
        explain(
            "Number of latents by how they changed since the base. Only in A: changed in A and not in B, and A and B "
            "differ significantly.",
            text_table(drop_zero_columns(latents.relations(), RELATIONS), digits=2),
        )
    rows = most_certain(latents.table(), (STRENGTHENED, WEAKENED), LATENTS_SHOWN)
    if rows.is_empty():
        return explain("No latent differs significantly between A and B.")
    for side in ("a", "b") if latents.has_base else ():
        rows = join_interval(rows, f"{side}_change", f"{side}_low", f"{side}_high")
    rows = join_interval(rows, "difference")
    columns = ["bucket", "latent", "role", "a_change", "b_change", "difference", "q", "relation"]
    rows = rows.select([name for name in columns if name in rows.columns]).rename({"difference": "B less A"})
    text = f"The most certain differences, at most {LATENTS_SHOWN} of each sign in a bucket (all of them: --json):"
    return explain(text, text_table(rows))
