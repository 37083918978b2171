"""Two checkpoints, or two runs, side by side."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from interp.cli.app import Flat, FlatThroughout, app, say, say_json, warn_of_skipped
from interp.cli.args import World
from interp.tracking.config import AskConfig


@dataclass(frozen=True)
class Compare:
    a: tyro.conf.Positional[Path]
    """A run's directory, of which the last checkpoint is meant; a checkpoint's; or any local Hugging Face directory."""
    b: tyro.conf.Positional[Path]
    """Another."""
    tsae: Path
    """A dictionary's directory: ours, or one that SAELens saved."""
    base: Path | None = None
    """The policy that both came of. Two runs that hold their step 0 know it."""
    world: Annotated[World, Flat] = field(default_factory=World)
    asking: Annotated[AskConfig, Flat, FlatThroughout] = field(default_factory=AskConfig)
    buckets: Path | None = None
    """Problems as `interp bucket --out` measured them on the base (or on A), in place of the task's own buckets."""
    layer: int | None = None
    """Of a dictionary that does not say which it is of."""
    out: Path | None = None
    """Where the readings are kept. Beside the checkpoints of a run if not given. Asked for again, it goes on."""
    corpus: Literal["on-policy", "probe"] = "on-policy"
    """What is shown: on-policy (what each writes) or probe (the same text for both)."""
    measure: Literal["strength", "rate", "height"] = "strength"
    """strength (mean activation), rate (share of tokens at which a latent is on) or height (mean where it is on)."""
    match: tuple[Literal["outcome", "length"], ...] | None = None
    """Tell strengths at one mix of: outcome, length, or both. On-policy of outcome if not given; of none if empty."""
    roles: Path | None = None
    """Roles of its latents (interp roles --out): told beside each."""
    any_policy: bool = False
    """Hold it against policies it was not fitted on too."""
    figure: Path | None = None
    """Draw it, as a page of HTML that opens offline."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    dtype: str = "auto"
    """auto, float32, bfloat16 or float16."""
    json: bool = False
    """Print one JSON object and nothing else."""


@app.command(name="compare")
def compare_command(config: Annotated[Compare, Flat]) -> None:
    """Compare two checkpoints, or two runs: what each does, and which latents are stronger in the one or the other."""
    from interp.features import Roles
    from interp.plots import save
    from interp.report.comparison import compared
    from interp.rollouts import Buckets
    from interp.tracking import compare
    from interp.tracking.comparing import opened
    from interp.tsae import TSAE

    a, b = opened(config.a), opened(config.b)
    task = config.world.open(a.base.path)
    skipped = warn_of_skipped(task)
    comparison = compare(
        TSAE.load(config.tsae),
        a,
        b,
        task,
        config.asking,
        base=config.base,
        buckets=config.buckets and Buckets.load(config.buckets),
        layer=config.layer,
        roles=config.roles and Roles.load(config.roles),
        out=config.out,
        any_policy=config.any_policy,
        device=config.device,
        dtype=config.dtype,
        bar=not config.json,
    )
    asked: dict[str, Any] = {"corpus": config.corpus, "measure": config.measure}
    found = comparison.compared(match=config.match, **asked)
    if config.figure:
        save(comparison.figure(match=config.match, **asked), config.figure)
    if config.json:
        drift = comparison.drift()
        told = {"out": comparison.path, "figure": config.figure, "skipped": skipped, "matched": found.matched}
        told |= {"checkpoints": {name: comparison.tracks.paths[step] for step, name in comparison.names.items()}}
        told |= {"drift": {comparison.names[step]: drift.verdict(step) for step in drift.steps}}
        told |= {"not_fitted_on": [comparison.names[step] for step in drift.unseen]}
        told |= {"behaviour": comparison.behaviour().to_dicts(), "counts": found.counts().to_dicts()}
        told |= {"relations": found.relations().to_dicts()} if found.based else {}
        say_json({**told, "latents": found.table().to_dicts()})
    else:
        unmatched = comparison.compared(match=(), **asked) if found.matched else None
        say(compared(comparison, found, unmatched), "", f"the readings are {comparison.path}")
