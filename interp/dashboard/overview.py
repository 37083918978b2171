"""The first screen of a report: findings in sentences, each with its control, and the numbers they rest on.

A finding is said only of what was measured, with its interval or its control in the sentence beside it; the sentences
are in a fixed order and never chosen by how strong they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interp.dashboard.checkpoints import Checkpoints
from interp.dashboard.comparisons import MeasuredComparison, control_count
from interp.dashboard.inputs import Inputs
from interp.dashboard.tracked import TrackedRun
from interp.features.roles import NONE, Roles
from interp.stats.estimate import Estimate
from interp.stats.shares import exact_share
from interp.tracking.behavior import rate_difference
from interp.tracking.config import ON_POLICY, RESAMPLED
from interp.tracking.verdicts import STRENGTHENED, WEAKENED

Finding = dict[str, str]
RATES = {"pass_rate": "pass rate", "valid_rate": "valid rate", "direct_share": "share of direct answers"}


def overview(
    inputs: Inputs,
    checkpoints: Checkpoints,
    tracked: Sequence[TrackedRun],
    compared: Sequence[MeasuredComparison],
    learning: list[dict[str, Any]],
) -> dict[str, Any]:
    """The overview of a report, as its index has it."""
    roles = None if inputs.roles is None else inputs.roles.result
    findings = [finding for each in tracked for finding in track_findings(each, checkpoints)]
    tracked_runs = {each.run for each in tracked if len(each.tracks.steps) > 1}
    findings += rate_findings([row for row in learning if row["run"] not in tracked_runs], checkpoints)
    findings += [] if roles is None else [roles_finding(roles)]
    findings += [finding for measured in compared for finding in comparison_findings(measured)]
    verdicts = [row for study in inputs.studies for row in study.verdicts()]
    return {
        "findings": findings,
        "learning": learning,
        "roles": [row for each in tracked for row in role_rows(each, roles)],
        "verdicts": verdicts,
    }


# --- tracks ----------------------------------------------------------------------------------------------------------


def track_findings(tracked: TrackedRun, checkpoints: Checkpoints) -> Iterator[Finding]:
    """What training changed in the rates of each bucket, paired by problem, and in how many latents."""
    tracks = tracked.tracks
    if len(tracks.steps) < 2:
        return
    run, (base, last) = checkpoints.runs[tracked.run].name, (tracks.steps[0], tracks.steps[-1])
    before, after, control = (
        tracks.checkpoint_sums(step, corpus).behavior
        for step, corpus in ((base, ON_POLICY), (last, ON_POLICY), (base, RESAMPLED))
    )
    for measure, name in RATES.items():
        texts, controls = [], []
        for bucket, prompts in tracks.prompts.items():
            counts = [each.prompt_counts(bucket, measure, prompts) for each in (before, after, control)]
            if prompts:
                texts.append(f"{points(rate_difference(counts[0], counts[1]))} on {bucket}")
                controls.append(f"{points(rate_difference(counts[0], counts[2]))} on {bucket}")
        if texts:
            yield {
                "text": f"{run}: the {name} changed by {', '.join(texts)} (percentage points, step {base} to {last}).",
                "detail": f"The base sampled again: {', '.join(controls)}.",
            }
    counts = [f"{_changed(verdicts.verdict_F)} on {bucket}" for bucket, verdicts in tracked.changes.items()]
    floors = [f"{_changed(verdicts.verdict_F)} on {bucket}" for bucket, verdicts in tracked.control.items()]
    same = [f"{_changed(verdicts.verdict_F)} on {bucket}" for bucket, verdicts in tracked.same_text.items()]
    yield {
        "text": f"{run}: latents strengthened or weakened: {', '.join(counts)}.",
        "detail": f"The base sampled again: {', '.join(floors)}. On the same text: {', '.join(same)}.",
    }
    doubtful = [step for step in tracked.drift.steps if tracked.drift.verdict(step) != "trust"]
    if doubtful:
        reasons = "; ".join(f"step {step}: {tracked.drift.reason(step)}" for step in doubtful)
        yield {"text": f"{run}: the dictionary is not trusted at every checkpoint.", "detail": f"{reasons}."}


def role_rows(tracked: TrackedRun, roles: Roles | None) -> Iterator[dict[str, Any]]:
    """For each bucket and family: how many latents were strengthened, weakened, and change in the control."""
    if roles is None:
        return
    families = {family: roles.latents(family) for family in dict.fromkeys(trial.family for trial in roles.trials)}
    for bucket, verdicts in tracked.changes.items():
        for family, latents in families.items():
            verdict = verdicts.verdict_F[latents]
            control = _changed(tracked.control[bucket].verdict_F[latents]) if bucket in tracked.control else None
            yield {
                "run": tracked.run,
                "bucket": bucket,
                "family": family,
                "latents": len(latents),
                "strengthened": int((verdict == STRENGTHENED).sum()),
                "weakened": int((verdict == WEAKENED).sum()),
                "control": control,
            }


def _changed(verdict_F: np.ndarray) -> int:
    return int(np.isin(verdict_F, (STRENGTHENED, WEAKENED)).sum())


# --- rates, roles, comparisons ---------------------------------------------------------------------------------------


def rate_findings(learning: Iterable[Mapping[str, Any]], checkpoints: Checkpoints) -> Iterator[Finding]:
    """Rates at the first and the last checkpoint of each run, where no tracks compare them."""
    curves: dict[tuple[int, str], dict[str, list[Mapping[str, Any]]]] = {}
    for row in learning:
        if row["measure"] in RATES:
            curves.setdefault((row["run"], row["measure"]), {}).setdefault(row["bucket"], []).append(row)
    for (run, measure), buckets in curves.items():
        ends = {bucket: sorted(rows, key=lambda row: checkpoints.entries[row["checkpoint"]].step)
                for bucket, rows in buckets.items() if len(rows) > 1}  # fmt: skip
        texts = [f"{percent(rows[0])} to {percent(rows[-1])} on {bucket}" for bucket, rows in ends.items()]
        if texts:
            source = next(iter(ends.values()))[0]["source"]
            yield {
                "text": f"{checkpoints.runs[run].name}: the {RATES[measure]} went from {', '.join(texts)} (percent).",
                "detail": f"From {source}, with 95% intervals over problems, not paired.",
            }


def roles_finding(roles: Roles) -> Finding:
    """How many latents earned a role, beside random latents."""
    shares = []
    for trials in (roles.trials, roles.random_trials):
        latents = {trial.latent for trial in trials}
        shares.append(exact_share(len({trial.latent for trial in trials if trial.passes_all}), len(latents)))
    families = {family: len(roles.latents(family)) for family in dict.fromkeys(trial.family for trial in roles.trials)}
    earned = ", ".join(f"{count} {family}" for family, count in families.items() if count and family != NONE)
    candidates, random_latents = shares
    return {
        "text": f"Latents that earned a role: {earned or 'none'} ({count_of(candidates)} candidates).",
        "detail": f"Latents drawn at random, through the same gates: {count_of(random_latents)}.",
    }


def comparison_findings(measured: MeasuredComparison) -> Iterator[Finding]:
    """B less A in rates and latents, beside A sampled again."""
    name, rows, latents = measured.name, measured.behavior, measured.latents
    for measure, label in RATES.items():
        chosen = [row for row in rows if row["measure"] == measure and row["difference"] is not None]
        texts, controls = (
            [f"{points(_estimate(row, *names))} on {row['bucket']}" for row in chosen if row.get(names[0]) is not None]
            for names in (("difference", "low", "high"), ("control", "control_low", "control_high"))
        )
        if texts:
            detail = f"A sampled again: {', '.join(controls)}." if controls else "A was not sampled again."
            yield {"text": f"{name}: {label}, B less A: {', '.join(texts)} (percentage points).", "detail": detail}
    counts, floors = [], []
    for bucket, one in latents.buckets.items():
        counts.append(f"{_changed(one.difference.verdict_F)} on {bucket}")
        floors.append(f"{control_count(latents, bucket)} on {bucket}")
    detail = f"A sampled again: {', '.join(floors)}." if latents.control else "A was not sampled again."
    yield {"text": f"{name}: latents that differ between A and B: {', '.join(counts)}.", "detail": detail}


# --- numbers ---------------------------------------------------------------------------------------------------------


def points(difference: Estimate) -> str:
    """A difference of shares with its interval, in percentage points."""
    numbers = (100 * difference.value, 100 * difference.low, 100 * difference.high)
    return f"{Estimate(*numbers, difference.n):+.1f}"


def percent(row: Mapping[str, Any]) -> str:
    numbers = [None if row[name] is None else 100 * row[name] for name in ("value", "low", "high")]
    return f"{Estimate(*numbers):.0f}"  # pyright: ignore[reportArgumentType]


def count_of(share: Estimate) -> str:
    """A share of counted items: "3 of 20, 15% [3, 38]"."""
    if not share.n:
        return "none of 0"
    return f"{round(share.value * share.n)} of {share.n}, {percent(vars_of(share))}%"


def vars_of(estimate: Estimate) -> dict[str, float]:
    return {name: getattr(estimate, name) for name in ("value", "low", "high")}


def _estimate(row: Mapping[str, Any], *names: str) -> Estimate:
    return Estimate(*(row.get(name) for name in names))  # pyright: ignore[reportArgumentType]
