"""A dictionary held against every checkpoint of a series."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from interp.cli.app import Flat, FlatThroughout, app, say, say_json, warn_of_skipped
from interp.cli.args import OpenedSeries, World
from interp.tracking.config import TrackConfig


@dataclass(frozen=True)
class Track:
    tsae: Path
    """A dictionary's directory: ours, or one that SAELens saved."""
    opened: Annotated[OpenedSeries, Flat] = field(default_factory=OpenedSeries)
    world: Annotated[World, Flat] = field(default_factory=World)
    tracking: Annotated[TrackConfig, Flat, FlatThroughout] = field(default_factory=TrackConfig)
    buckets: Path | None = None
    """Problems as `interp bucket --out` measured them on the base, in place of the task's own buckets."""
    layer: int | None = None
    """Of a dictionary that does not say which it is of."""
    out: Path | None = None
    """Where the tracks are kept. Beside the checkpoints of a --series if not given. Asked for again, it goes on."""
    corpus: Literal["on-policy", "probe"] = "on-policy"
    """What is shown: on-policy (what each checkpoint writes) or probe (the same text for all)."""
    measure: Literal["strength", "rate", "height"] = "strength"
    """strength (mean activation), rate (share of tokens at which a latent is on) or height (mean where it is on)."""
    over: Literal["end", "slope"] = "end"
    """end (the last checkpoint less the base) or slope (of the line through all)."""
    match: tuple[Literal["outcome", "length"], ...] = ()
    """Tell strengths at the base's mix of: outcome, length, or both."""
    roles: Path | None = None
    """Roles of its latents (interp roles --out): what changed is told by role too."""
    latents: tuple[int, ...] = ()
    """Show where these are on, too."""
    by: Literal["role", "place", "outcome"] = "role"
    """Where latents are on: by role (what a token does), place (how far on it is) or outcome (how the answer ended)."""
    any_policy: bool = False
    """Hold it against policies it was not fitted on too."""


@app.command(name="track")
def track_command(config: Annotated[Track, Flat]) -> None:
    """Track a dictionary's latents through a series: which of them each bucket strengthened, and how sure that is."""
    from interp.features import Roles
    from interp.report.tracking import fits, places, tracked
    from interp.rollouts import Buckets
    from interp.tracking import track
    from interp.tracking.activation_sums import expect_latents
    from interp.tracking.provenance import expect_roles_of
    from interp.tsae import TSAE

    tsae, roles = TSAE.load(config.tsae), config.roles and Roles.load(config.roles)
    expect_latents(config.latents, tsae.width)
    expect_roles_of(roles, tsae.fingerprint())
    series, opened = config.opened.open(), config.opened
    task = config.world.open(series.base.path)
    skipped = warn_of_skipped(task)
    tracks = track(
        tsae,
        series,
        task,
        config.tracking,
        buckets=config.buckets and Buckets.load(config.buckets),
        layer=config.layer,
        out=config.out,
        any_policy=config.any_policy,
        device=opened.device,
        dtype=opened.dtype,
        bar=not opened.json,
    )
    drift = tracks.drift()
    told: dict[str, Any] = {"out": tracks.path, "skipped": skipped, "left_out": tracks.skipped}
    told |= {"drift": {step: drift.verdict(step) for step in drift.steps}, "not_fitted_on": drift.unseen}
    lines = [fits(drift), "", f"the tracks are {tracks.path}"]
    if config.latents:
        shown = tracks.profile(by=config.by, latents=config.latents, corpus=config.corpus)
        told, lines = {**told, "profile": shown.to_dicts()}, [places(shown, config.by, config.corpus), "", *lines]
    if len(tracks.steps) < 2:
        told, lines = {**told, "counts": [], "latents": []}, [*lines, "one checkpoint has no changes"]
    else:
        asked = {"corpus": config.corpus, "measure": config.measure, "over": config.over, "match": config.match}
        changes = tracks.changes(**asked, roles=roles)
        told |= {"counts": changes.counts().to_dicts(), "latents": changes.table().to_dicts()}
        told |= {} if changes.role_F is None else {"by_role": changes.by_role().to_dicts()}
        lines = [tracked(changes), "", *lines]
    return say_json(told) if opened.json else say(*lines)
