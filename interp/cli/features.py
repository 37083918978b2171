"""What a dictionary's latents are for: roles, earned in three gates."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from interp.checks import Layer
from interp.cli.app import Args, Flat, FlatThroughout, app, explain, report_skipped, say, say_json, say_saved
from interp.cli.args import OutputArgs, SeriesArgs, TaskArgs, expect_affordable
from interp.cli.tables import join_interval
from interp.display import text_table
from interp.features.config import RolesConfig

if TYPE_CHECKING:
    import polars as pl

    from interp.features import Roles

LATENTS_SHOWN = 5
"""Latents of each role, those with the largest AUROC."""
BEHAVIOR = ("valid_chain", "right_answer", "direct_answer")
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class EarnRoles(Args):
    tsae: Path
    """The dictionary's directory: ours, or one that SAELens saved."""
    series: Annotated[SeriesArgs, Flat] = field(default_factory=SeriesArgs)
    task: Annotated[TaskArgs, Flat] = field(default_factory=TaskArgs)
    earning: Annotated[RolesConfig, Flat, FlatThroughout] = field(default_factory=RolesConfig)
    rollouts: Path | None = None
    """Rollouts of the policy, as `interp roll-out --out` saves them. Default: sample new ones."""
    layer: Layer | None = None
    """The dictionary's layer, if the dictionary does not say."""
    allow_unrelated_policies: bool = False
    """Allow a dictionary that was not fitted on this policy."""
    output: Annotated[OutputArgs, Flat] = field(default_factory=OutputArgs)


@app.command(name="roles")
def roles_command(config: Annotated[EarnRoles, Flat]) -> None:
    """Find latents that earn a role, by contrast, falsification and ablation, on the base of a series."""
    from interp.features import earn_roles
    from interp.features.roles import KIND
    from interp.rollouts import Rollouts
    from interp.tsae import TSAE

    policy, output = config.series, config.output
    with output.reserve(KIND):
        series = policy.open()
        task = config.task.open(series.base.path)
        skipped = report_skipped(task)
        expect_affordable(task, config.earning.sampling, config.earning.problems, config.earning.levels or task.levels)
        roles = earn_roles(
            TSAE.load(config.tsae),
            series,
            task,
            config.earning,
            rollouts=config.rollouts and Rollouts.load(config.rollouts),
            layer=config.layer,
            allow_unrelated_policies=config.allow_unrelated_policies,
            device=policy.device,
            dtype=policy.dtype,
            progress=not policy.json,
        )
        output.save(roles)
    if policy.json:
        missing = {"out": output.out, "skipped": skipped, "missing_contrasts": roles.missing_contrasts}
        summary, table = roles.summary().to_dicts(), roles.table().to_dicts()
        return say_json({**missing, "summary": summary, "table": table})
    _say_roles(roles)
    return say_saved(output.out)


def _say_roles(roles: "Roles") -> None:
    import polars as pl

    say(f"{roles}")
    gates = "Number of latents of each family that pass each gate. Random latents are the control."
    explain(gates, text_table(roles.summary()))
    if any(trial.passes_all for trial in roles.trials):
        passed = roles.table().filter(pl.col("group") == "candidate", pl.col("passes_all"))
        _say_role_latents(_largest_auroc(passed))
    else:
        explain("No latent has earned a role.")
    if roles.rollout_effects:
        _say_rollout_effects(roles)
    if roles.missing_contrasts:
        explain(f"Contrasts with too few tokens: {', '.join(roles.missing_contrasts)}.")


def _largest_auroc(passed: "pl.DataFrame") -> "pl.DataFrame":
    by_auroc = passed.sort("auroc", descending=True, maintain_order=True)
    return by_auroc.group_by("family", maintain_order=True).head(LATENTS_SHOWN)


def _say_role_latents(rows: "pl.DataFrame") -> None:
    import polars as pl

    effect = "ablation_difference"
    effects = _join(rows, effect)
    columns = ["family", "latent", "contrast", "auroc", "ablation", effect, "largest_matched_ablation"]
    explain(
        f"Latents with a role, at most {LATENTS_SHOWN} of each (all of them: --json). Ablation: change in the log-"
        "odds of the role's tokens without the latent, in nats; the same less that of other tokens; and the "
        "largest of its matches, the control.",
        text_table(effects.select(columns), digits=2),
    )
    behavior = rows.filter(pl.any_horizontal(pl.col(f"ablated_{name}").is_not_null() for name in BEHAVIOR))
    if behavior.is_empty():
        return
    for name in BEHAVIOR:
        behavior = _join(_join(behavior, f"ablated_{name}"), f"matched_{name}", has_interval=False)
    columns = ["family", "latent", *(f"{edit}_{name}" for name in BEHAVIOR for edit in ("ablated", "matched"))]
    explain(
        "How much likelier ablation makes valid chains, right answers and direct answers, in nats per token, beside "
        "the mean of its matches:",
        text_table(behavior.select(columns), digits=2),
    )


def _join(rows: "pl.DataFrame", column: str, *, has_interval: bool = True) -> "pl.DataFrame":
    """The rows with a measure and its interval as one text."""
    import polars as pl

    if not has_interval:
        nothing = pl.lit(None, pl.Float64)
        rows = rows.with_columns(nothing.alias(f"{column}_low"), nothing.alias(f"{column}_high"))
    without_nan = rows.with_columns(pl.col(f"{column}{end}").fill_nan(None) for end in ("", "_low", "_high"))
    joined = join_interval(without_nan, column, f"{column}_low", f"{column}_high", spec="+.2f")
    return joined.with_columns(
        pl.when(without_nan[column].is_null()).then(pl.lit(NOT_MEASURED)).otherwise(column).alias(column)
    )


def _say_rollout_effects(roles: "Roles") -> None:
    from interp.display import text_columns

    latents = [effect.latent for effect in roles.rollout_effects if effect.match_of is None][: 4 * LATENTS_SHOWN]
    rows = [
        [
            effect.latent if effect.match_of is None else f"match of {effect.match_of}",
            roles.role_of(effect.latent) if effect.match_of is None else "",
            "ablated" if effect.scale < 1 else "doubled",
            effect.valid,
            effect.correct,
            effect.direct,
        ]
        for effect in roles.rollout_effects
        if effect.latent in latents or effect.match_of in latents
    ]
    head = ["latent", "role", "edit", "valid rate", "pass rate", "direct share"]
    text = "Changes in what the policy writes with a latent ablated or doubled, beside the nearest match:"
    explain(text, text_columns(head, rows))
