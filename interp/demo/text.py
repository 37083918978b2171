"""Each stage's result as a section: a sentence and a table, in which every finding stands beside its control.

A share is written in percent with its 95% interval, "36 [31, 42]"; a difference of shares in percentage points.
"""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interp.demo.stages import DEEP, FEATURES, ORACLE, Dictionary
from interp.display import text_table
from interp.rollouts import Evaluation
from interp.stats import Estimate, exact_share
from interp.tracking.drift import TRUSTED
from interp.tracking.verdicts import STRENGTHENED, TOO_FEW_PROMPTS, UNCHANGED, UNDECIDED, WEAKENED

if TYPE_CHECKING:
    import polars as pl

    from interp.demo.plan import Plan
    from interp.features import Roles
    from interp.features.gates import Trial
    from interp.tasks import Chain
    from interp.tracking import Changes, Comparison, Drift
    from interp.tracking.verdicts import LatentVerdicts

WIDTH = 100
"""Columns of a terminal."""
NONE = "-"
CREDIT_CONTROL = "Control (benchmarks/results/credit.json): random latents do no worse; what acts is a format gate."
NO_CREDIT = "No latent has earned a role that credit uses, so deep training is not repeated with feature credit."


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    """Sentences above the table."""
    table: "pl.DataFrame"
    note: str = ""
    """Sentences below the table."""

    def render(self, number: int) -> str:
        """For a terminal: numbered, the table indented."""
        head = textwrap.wrap(f"{number} {self.title}. {self.text}", WIDTH, subsequent_indent="  ")
        table = textwrap.indent(text_table(self.table, rule=False), "  ")
        note = textwrap.wrap(self.note, WIDTH, initial_indent="  ", subsequent_indent="  ")
        return "\n".join([*head, table, *note])


# --- behavior ----------------------------------------------------------------------------------------------------


def base_section(base: Evaluation, task: "Chain", plan: "Plan") -> Section:
    rows = [
        {
            "group": level,
            "depths": f"{depths[0]} to {depths[-1]}",
            "pass rate": percent(rates["pass_rate"]),
            "valid rate": percent(rates["valid_rate"]),
            "direct answers": percent(rates["direct_share"]),
            "valid, of correct": percent(rates["valid_given_success"]),
        }
        for level, depths in task.depths_of_level().items()
        if depths and (rates := last_rates(base, level))
    ]
    text = (
        f"Chains modulo {task.modulus}: 2 + 1 * 2 is answered by steps (2 + 1 = 3 ; 3 * 2 = 1 ; # 1) or directly "
        f"(# 1). Percent of {plan.sizes.answers} answers to {plan.sizes.problems} problems [95% interval]; valid: all "
        "steps right too."
    )
    return Section("The base", text, _frame(rows))


def training_section(evaluations: Mapping[str, Evaluation], plan: "Plan") -> Section:
    rows = [{"trained on": name, **_arm_rates(evaluation)} for name, evaluation in evaluations.items()]
    text = f"{plan.train_steps} steps in each arm, one run each. Accuracy (pass) beside validity:"
    return Section("GRPO", text, _frame(rows))


def credit_section(evaluations: Mapping[str, Evaluation], roles: "Roles") -> Section:
    from interp.credit.role_latents import role_latents

    names = {DEEP: "plain", ORACLE: "oracle: only valid rewarded", FEATURES: "features"}
    rows = [{"credit": label, **_arm_rates(evaluations[name])} for name, label in names.items()]
    counts = Counter(latent.family for latent in role_latents(roles))
    latents = ", ".join(f"{count} {family}" for family, count in counts.items())
    text = f"Feature credit by {latents} latents, one run:"
    return Section("Deep again", text, _frame(rows), CREDIT_CONTROL)


def _arm_rates(evaluation: Evaluation) -> dict[str, str]:
    shallow, deep = (last_rates(evaluation, level) for level in ("shallow", "deep"))
    return {
        "shallow: pass": percent(shallow["pass_rate"]),
        "shallow: valid": percent(shallow["valid_rate"]),
        "deep: pass": percent(deep["pass_rate"]),
        "deep: valid": percent(deep["valid_rate"]),
        "deep: direct": percent(deep["direct_share"]),
    }


def last_rates(evaluation: Evaluation, level: str) -> dict[str, Estimate]:
    """Every measure of one depth group, at the last checkpoint."""
    return evaluation.measures(evaluation.steps[-1], by="level", group=level)


# --- the dictionary ----------------------------------------------------------------------------------------------


def dictionary_section(dictionary: Dictionary) -> Section:
    tsae, quality, recovery = dictionary
    row = {
        "latents": f"{tsae.width:,}",
        "variance explained": quality.fve,
        "active per token": quality.l0.total,
        "dead": quality.firing.dead_share,
        "loss recovered": recovery.from_mean.ce_recovered,
        "held-out tokens": f"{quality.tokens:,}",
    }
    text = "Of the base and the ends of middle and deep. Control: the mean residual, at 0."
    return Section("A temporal SAE", text, _frame([row]))


def roles_section(roles: "Roles") -> Section:
    rows = []
    for family in dict.fromkeys(trial.family for trial in (*roles.trials, *roles.random_trials)):
        candidates, random_latents = (
            [trial for trial in trials if trial.family == family] for trials in (roles.trials, roles.random_trials)
        )
        rows.append(
            {
                "role family": family,
                "candidates": len(_latents(candidates)),
                "not falsified": len(_latents(trial for trial in candidates if trial.passes_falsification)),
                "ablation": len(_latents(trial for trial in candidates if trial.passes_ablation)),
                "role earned": _count_and_share(candidates),
                "control": _count_and_share(random_latents),
            }
        )
    text = "Latents that pass the contrast are candidates for two more gates. Control: random latents."
    return Section("Roles", text, _frame(rows))


def _latents(trials: "Any") -> set[int]:
    return {trial.latent for trial in trials}


def passing_share(trials: "Sequence[Trial]") -> Estimate:
    """Share of latents that pass all gates in some contrast. Each latent counts once."""
    return exact_share(len(_latents(trial for trial in trials if trial.passes_all)), len(_latents(trials)))


def _count_and_share(trials: "Sequence[Trial]") -> str:
    share = passing_share(trials)
    return f"{round(share.value * share.n)} of {share.n}: {percent(share)}%" if share.n else NONE


# --- latents -----------------------------------------------------------------------------------------------------


def tracks_section(changes: "Changes", drift: "Drift", roles: "Roles") -> Section:
    rows = []
    for bucket, verdicts in changes.buckets.items():
        counts = verdicts.counts()
        control = None if changes.control is None else changes.control[bucket].counts()
        is_known = not counts[TOO_FEW_PROMPTS]
        rows.append(
            {
                "group": bucket,
                **{name: counts[name] if is_known else NONE for name in (STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED)},
                "control": control[STRENGTHENED] + control[WEAKENED] if control and is_known else NONE,
                "most certain change": most_certain_change(verdicts, roles),
            }
        )
    text = f"Control: base resampled. {trust(drift)}"
    return Section("Latents in deep training", text, _frame(rows))


def most_certain_change(verdicts: "LatentVerdicts", roles: "Roles") -> str:
    """Role and change of the latent with the smallest q among those that changed."""
    changed = verdicts.most_certain(1)
    if not changed:
        return NONE
    latent = min(changed, key=lambda latent: verdicts.q_F[latent])
    role = roles.role_of(latent)
    return f"{role if role != 'none' else 'no role'} {verdicts.estimate(latent):+.2f}"


def trust(drift: "Drift") -> str:
    """Whether the dictionary can be trusted at every checkpoint."""
    doubtful = [f"{step} ({drift.verdict(step)})" for step in drift.steps if drift.verdict(step) != TRUSTED]
    if not doubtful:
        return "The dictionary is trusted throughout."
    return f"The dictionary is not trusted at step {', '.join(doubtful)}."


def comparison_section(comparison: "Comparison") -> Section:
    latents, rows = comparison.latents(), []
    behavior = {(row["bucket"], row["measure"]): row for row in comparison.behavior().to_dicts()}
    for bucket, sides in latents.buckets.items():
        counts = sides.difference.counts()
        control = None if latents.control is None else latents.control[bucket].difference.counts()
        is_known = not counts[TOO_FEW_PROMPTS]
        rows.append(
            {
                "group": bucket,
                "pass rate": points(behavior[bucket, "pass_rate"]),
                "valid rate": points(behavior[bucket, "valid_rate"]),
                "direct answers": points(behavior[bucket, "direct_share"]),
                "stronger": counts[STRENGTHENED] if is_known else NONE,
                "weaker": counts[WEAKENED] if is_known else NONE,
                UNDECIDED: counts[UNDECIDED] if is_known else NONE,
                "control": control[STRENGTHENED] + control[WEAKENED] if control and is_known else NONE,
            }
        )
    text = "Latents at equal outcomes. Control: middle resampled."
    return Section("Deep less middle, in percentage points", text, _frame(rows))


# --- numbers -----------------------------------------------------------------------------------------------------


def percent(share: Estimate) -> str:
    if not share.n:
        return NONE
    return f"{Estimate(100 * share.value, 100 * share.low, 100 * share.high):.0f}"


def points(row: Mapping[str, Any]) -> str:
    """A row's difference of shares with its interval, in percentage points."""
    if row["difference"] is None:
        return NONE
    value, low, high = (float("nan") if row[end] is None else 100 * row[end] for end in ("difference", "low", "high"))
    return f"{Estimate(value, low, high):+.0f}"


def _frame(rows: Sequence[Mapping[str, Any]]) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame([{name: _text(value) for name, value in row.items()} for row in rows])


def _text(value: Any) -> str:
    if value is None:
        return NONE
    return f"{value:.2f}" if isinstance(value, float) else str(value)
