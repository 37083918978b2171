"""Each stage's result in sentences and at most one table, in which every number stands beside its interval and control.

Differences are paired by problem.
"""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.demo.answers import ALL, Answers
from interp.demo.numbers import NONE, estimate_of, percent, points
from interp.demo.plan import MINUTES, Plan
from interp.demo.stages import BASE, CONTROL, DEEP, DEEP_ORACLE, FEATURES, HARD, RESAMPLED, Dictionary
from interp.demo.study import CREDIT_RESULT, study_sentence
from interp.display import text_table
from interp.stats import Estimate, exact_share
from interp.tasks.base import BUCKETS
from interp.tracking.drift import TRUSTED
from interp.tracking.verdicts import FALSE_DISCOVERY_RATE, STRENGTHENED, TOO_FEW_PROMPTS, WEAKENED

if TYPE_CHECKING:
    import polars as pl

    from interp.features import Roles
    from interp.features.gates import Trial
    from interp.rollouts import Buckets
    from interp.tasks import Chain
    from interp.tracking import Changes, Comparison, Drift
    from interp.tracking.verdicts import LatentVerdicts

WIDTH = 100
"""Columns of a terminal."""
VALID = tuple((bucket, "valid_rate") for bucket in BUCKETS)
TRAINING_COLUMNS = (*VALID, (HARD, "pass_rate"), (HARD, "direct_share"))
"""Bucket and measure of each column of the table of training."""
CREDIT_COLUMNS = (*VALID, (HARD, "pass_rate"), (ALL, "malformed_share"))
WORDS = {"valid_rate": "valid", "pass_rate": "pass", "direct_share": "direct", "malformed_share": "malformed"}


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    """Sentences above the table."""
    table: "pl.DataFrame | None" = None
    note: str = ""
    """Sentences below the table."""

    def render(self, number: int) -> str:
        """For a terminal: numbered, the table indented."""
        lines = textwrap.wrap(f"{number} {self.title}. {self.text}", WIDTH, subsequent_indent="  ")
        if self.table is not None:
            lines.append(textwrap.indent(text_table(self.table, rule=False), "  "))
        return "\n".join([*lines, *textwrap.wrap(self.note, WIDTH, initial_indent="  ", subsequent_indent="  ")])


def opening(plan: Plan) -> str:
    """How long the demo takes, and how it writes numbers."""
    minutes = MINUTES[plan.preset]
    return (
        f"About {minutes} minute{'s' * (minutes > 1)} on two free cores; continues if stopped. Percent [95% interval], "
        "one run an arm."
    )


# --- behavior --------------------------------------------------------------------------------------------------------


def base_section(base: Answers, buckets: "Buckets", task: "Chain", plan: Plan) -> Section:
    rows = [
        {
            "bucket": name,
            "problems": f"{base.n_problems(name)} of {count}",
            "pass": percent(base.rate(name, "pass_rate")),
            "valid": percent(base.rate(name, "valid_rate")),
            "direct": percent(base.rate(name, "direct_share")),
            "lucky, of right answers": percent(base.lucky_share(name)),
        }
        for name, count in buckets.counts().items()
        if name in base.buckets
    ]
    text = (
        f"It answers 2 + 1 * 2 (modulo {task.modulus}) in steps, 2 + 1 = 3 ; 3 * 2 = 1 ; # 1, or directly, # 1. "
        f"{plan.sizes.bucket_answers} answers decide a problem's bucket, {plan.sizes.answers} others the rates. Valid: "
        "every step is right."
    )
    return Section("The base", text, _frame(rows))


def training_section(answers: Mapping[str, Answers], plan: Plan) -> Section:
    base = answers[BASE]
    rows = [{"trained on": name, **_changes(each, base)} for name, each in answers.items() if name != BASE]
    text = f"{plan.sizes.steps} steps on training problems of a bucket. Changes since the base, in points:"
    return Section("GRPO", text, _frame([*rows[1:], rows[0]]))  # the control is last


def _changes(answers: Answers, base: Answers) -> dict[str, str]:
    return {
        f"{bucket}: {WORDS[measure]}": points(answers.change_from(base, bucket, measure))
        for bucket, measure in TRAINING_COLUMNS
        if bucket in base.buckets
    }


def credit_section(answers: Mapping[str, Answers], result: Path = CREDIT_RESULT) -> Section:
    names = {DEEP: "plain", CONTROL: "parser", FEATURES: "features", DEEP_ORACLE: "oracle"}
    rows = [{"credit": label, **_rates(answers[name])} for name, label in names.items()]
    text = (
        "On deep problems success is luck. Paid by how likely it is valid, by the base's likelihood beside latents "
        "(features) or a parser that counts steps (their control):"
    )
    return Section("Credit", text, _frame(rows), study_sentence(result))


def _rates(answers: Answers) -> dict[str, str]:
    return {
        f"{bucket}: {WORDS[measure]}": percent(answers.rate(bucket, measure))
        for bucket, measure in CREDIT_COLUMNS
        if bucket in (*answers.buckets, ALL)
    }


# --- the dictionary --------------------------------------------------------------------------------------------------


def dictionary_section(dictionary: Dictionary) -> Section:
    tsae, quality, recovery = dictionary
    text = (
        f"{tsae.width:,} latents of the base and the ends of training explain {quality.fve:.2f} of the variance of "
        f"held-out tokens, {quality.l0.total:.1f} active, {quality.firing.dead_share:.2f} dead; loss recovered "
        f"{recovery.from_mean.ce_recovered:.2f} (the mean residual: 0)."
    )
    return Section("A temporal SAE", text)


def roles_section(roles: "Roles") -> Section:
    counts = {family: len(roles.latents(family)) for family in dict.fromkeys(trial.family for trial in roles.trials)}
    earned = ", ".join(f"{count} {family}" for family, count in counts.items() if count)
    text = (
        f"{earned or 'None'}: {count_and_share(roles.trials)} of candidate latents pass all gates; of random latents "
        f"{count_and_share(roles.random_trials)}."
    )
    return Section("Roles", text)


def passing_share(trials: "Iterable[Trial]") -> Estimate:
    """Share of latents that pass all gates in some contrast. Each latent counts once."""
    trials = list(trials)
    passing = {trial.latent for trial in trials if trial.passes_all}
    return exact_share(len(passing), len({trial.latent for trial in trials}))


def count_and_share(trials: "Iterable[Trial]") -> str:
    share = passing_share(trials)
    return f"{round(share.value * share.n)} of {share.n}, {percent(share)}%" if share.n else "0 of 0"


# --- latents ---------------------------------------------------------------------------------------------------------


def tracks_section(changes: "Mapping[str, Changes]", drifts: "Mapping[str, Drift]") -> Section:
    rows = []
    for run, of_run in changes.items():
        counts = {f"{bucket} problems": up_and_down(verdicts) for bucket, verdicts in of_run.buckets.items()}
        rows.append({"trained on": run, **counts, "dictionary trusted": trust(drifts[run])})
    control = next(iter(changes.values())).control or {}
    counts = {f"{bucket} problems": up_and_down(verdicts) for bucket, verdicts in control.items()}
    rows.append({"trained on": RESAMPLED, **counts, "dictionary trusted": NONE})
    text = f"Latents up and down since the base, by bucket (false-discovery rate {FALSE_DISCOVERY_RATE}):"
    return Section("Tracks", text, _frame(rows))


def up_and_down(verdicts: "LatentVerdicts") -> str:
    """Number of latents that were strengthened and weakened."""
    counts = verdicts.counts()
    is_known = sum(counts[name] for name in counts if name != TOO_FEW_PROMPTS)
    return f"{counts[STRENGTHENED]} up, {counts[WEAKENED]} down" if is_known else NONE


def trust(drift: "Drift") -> str:
    """Whether the dictionary can be trusted at every checkpoint."""
    doubtful = [str(step) for step in drift.steps if drift.verdict(step) != TRUSTED]
    return f"not at step {', '.join(doubtful)}" if doubtful else "at each step"


def comparison_section(comparison: "Comparison") -> Section:
    latents = comparison.latents()
    rows = [row for row in comparison.behavior().to_dicts() if row["bucket"] == HARD and row["measure"] == "valid_rate"]
    parts = []
    for row in rows:
        control = points(estimate_of(row, "control", "control_low", "control_high"))
        difference = points(estimate_of(row, "difference", "low", "high"))
        parts.append(f"Valid answers to hard problems {difference} points (medium again {control})")
    if HARD in latents.buckets:
        floor = "" if latents.control is None else f" (medium again {up_and_down(latents.control[HARD].difference)})"
        parts.append(f"latents there at equal outcomes {up_and_down(latents.buckets[HARD].difference)}{floor}")
    return Section("Hard less medium", f"{'; '.join(parts)}.")


def _frame(rows: Sequence[Mapping[str, Any]]) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame([{name: str(value) for name, value in row.items()} for row in rows])
