"""Each stage's result in sentences and at most one table, in which every number stands beside its interval and control.

A share is written in percent with its 95% interval, "36 [31, 42]"; a difference of shares in percentage points, paired
by problem.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import parse_json
from interp.demo.answers import ALL, Answers
from interp.demo.plan import MINUTES, Plan
from interp.demo.stages import BASE, DEEP, DEEP_ORACLE, FEATURES, HARD, LIKELIHOOD, RESAMPLED, Dictionary
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
NONE = "-"
VALID = tuple((bucket, "valid_rate") for bucket in BUCKETS)
TRAINING_COLUMNS = (*VALID, (HARD, "pass_rate"), (HARD, "direct_share"))
"""Bucket and measure of each column of the table of training."""
CREDIT_COLUMNS = (*VALID, (HARD, "pass_rate"), (ALL, "malformed_share"))
CREDIT_RESULT = Path("data/results/credit/result.json")
"""Where `interp study credit` puts what it found, and where a clone of the repository has it."""
STUDY_CLAIM = "features-beat-likelihood"
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
    names = {DEEP: "plain", LIKELIHOOD: "likelihood", FEATURES: "and latents", DEEP_ORACLE: "oracle"}
    rows = [{"credit": label, **_rates(answers[name])} for name, label in names.items()]
    text = "On deep problems success is luck. Paid by how likely it is valid, as the base reads it:"
    return Section("Credit", text, _frame(rows), f"{credit_sentence(answers)} {study_sentence(result)}")


def study_sentence(result: Path = CREDIT_RESULT) -> str:
    """What the study of credit has found, if it has been run."""
    if not result.is_file():
        return "The study of it, with seeds (interp study credit), has not been run yet."
    from interp.studies import credit_measures, credit_runs

    study = parse_json(result, "the result of the study of credit")
    verdict = study["verdicts"].get(STUDY_CLAIM, {}).get("verdict", "not judged")
    difference = f"{credit_runs.FEATURES} minus {credit_runs.LIKELIHOOD}: {credit_measures.VALID.name}"
    measured = study["measures"].get(f"{STUDY_CLAIM}: {difference}", {}).get("exact shares", {})
    recovered = points(estimate_of(measured, "value", "low", "high"))
    further = f"; features come {recovered} points further from plain to oracle" if recovered != NONE else ""
    return f"The study of it, with seeds: {verdict}{further}."


def credit_sentence(answers: Mapping[str, Answers]) -> str:
    """What came out of credit by features, beside plain credit and its control."""
    beyond_plain = answers[FEATURES].change_from(answers[DEEP], ALL, "valid_rate")
    beyond_control = answers[FEATURES].change_from(answers[LIKELIHOOD], ALL, "valid_rate")
    if beyond_control.is_positive:
        outcome = "Features do better than their control"
    elif beyond_control.is_negative:
        outcome = "Features do worse than their control"
    else:
        outcome = "Features show no gain over their control"
    return f"{outcome}: valid {points(beyond_control)} points; less plain {points(beyond_plain)}."


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


# --- numbers ---------------------------------------------------------------------------------------------------------


def percent(share: Estimate) -> str:
    if not share.n:
        return NONE
    return f"{Estimate(100 * share.value, 100 * share.low, 100 * share.high):.0f}"


def points(difference: Estimate) -> str:
    """A difference of shares with its interval, in percentage points."""
    if math.isnan(difference.value):
        return NONE
    interval = (difference.low, difference.high) if difference.has_interval else ()
    value, *ends = (round(100 * number) for number in (difference.value, *interval))
    return f"{value:+d} [{ends[0]}, {ends[1]}]" if ends else f"{value:+d}"


def estimate_of(row: Mapping[str, Any], value: str, low: str, high: str) -> Estimate:
    """An estimate from three columns of a table's row, where None is unknown."""
    center, start, end = (math.nan if row.get(name) is None else float(row[name]) for name in (value, low, high))
    return Estimate(center, start, end)


def _frame(rows: Sequence[Mapping[str, Any]]) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame([{name: str(value) for name, value in row.items()} for row in rows])
