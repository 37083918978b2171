"""What a dictionary's latents do: roles, earned in three gates."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from interp.artifacts import expect_free
from interp.cli.app import Flat, FlatThroughout, app, say, say_json, warn_of_skipped
from interp.cli.args import OpenedSeries, World
from interp.features.config import RolesConfig


@dataclass(frozen=True)
class EarnRoles:
    tsae: Path
    """A dictionary's directory: ours, or one that SAELens saved."""
    opened: Annotated[OpenedSeries, Flat] = field(default_factory=OpenedSeries)
    world: Annotated[World, Flat] = field(default_factory=World)
    earning: Annotated[RolesConfig, Flat, FlatThroughout] = field(default_factory=RolesConfig)
    rollouts: Path | None = None
    """What the policy wrote, if it is there already (interp roll-out --out). It is asked anew if not given."""
    layer: int | None = None
    """Of a dictionary that does not say which it is of."""
    any_policy: bool = False
    """Earn them in a policy that the dictionary was not fitted on too."""
    out: Path | None = None
    """Keep the roles in this directory, for interp compare and for credit by features (interp grpo)."""
    overwrite: bool = False
    """Replace what is in --out."""


@app.command(name="roles")
def roles_command(config: Annotated[EarnRoles, Flat]) -> None:
    """Earn roles for a dictionary's latents: by contrast, falsification and ablation, on the base of a series."""
    from interp.features import earn_roles
    from interp.report.features import earned
    from interp.rollouts import Rollouts
    from interp.tsae import TSAE

    expect_free(config.out, overwrite=config.overwrite)
    series, opened = config.opened.open(), config.opened
    task = config.world.open(series.base.path)
    skipped = warn_of_skipped(task)
    roles = earn_roles(
        TSAE.load(config.tsae),
        series,
        task,
        config.earning,
        rollouts=config.rollouts and Rollouts.load(config.rollouts),
        layer=config.layer,
        any_policy=config.any_policy,
        device=opened.device,
        dtype=opened.dtype,
        bar=not opened.json,
    )
    if config.out is not None:
        roles.save(config.out, overwrite=config.overwrite)
    if opened.json:
        counts, found = roles.counts().to_dicts(), roles.table().to_dicts()
        told = {"out": config.out, "skipped": skipped, "counts": counts, "missing": roles.missing, "trials": found}
        say_json(told)
    else:
        kept = [] if config.out is None else ["", f"the roles are {config.out}"]
        say(earned(roles), *kept)
