"""The first screen of a report: findings in sentences, each with its control, and the numbers they rest on.

A finding is said only of what was measured, with its interval or its control in the sentence beside it; the sentences
are in a fixed order and never chosen by how strong they are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from interp.dashboard.alarms import alarm_findings
from interp.dashboard.checkpoints import Checkpoints
from interp.dashboard.comparisons import MeasuredComparison, control_count
from interp.dashboard.inputs import Inputs
from interp.dashboard.levels import ALL
from interp.dashboard.tracked import TrackedRun
from interp.features.roles import NONE, Roles
from interp.stats.estimate import Estimate
from interp.stats.shares import exact_share
from interp.tracking.behavior import rate_difference
from interp.tracking.config import ON_POLICY, RESAMPLED
from interp.tracking.drift import TRUSTED
from interp.tracking.verdicts import STRENGTHENED, WEAKENED

Finding = dict[str, str]
RATES = {"valid_rate": "valid rate", "pass_rate": "pass rate", "direct_share": "share of direct answers"}
"""The first that was measured is the finding; the others stand beside it."""
NOT_AGAIN = "A was not sampled again."


def overview(
    inputs: Inputs,
    checkpoints: Checkpoints,
    tracked: Sequence[TrackedRun],
    compared: Sequence[MeasuredComparison],
    learning: list[dict[str, Any]],
    changes: list[dict[str, Any]],
) -> dict[str, Any]:
    """The overview of a report, as its index has it."""
    roles = None if inputs.roles is None else inputs.roles.result
    findings = [finding for each in tracked for finding in track_findings(each, checkpoints)]
    tracked_runs = {each.run for each in tracked if len(each.tracks.steps) > 1}
    findings += rate_findings([row for row in learning if row["run"] not in tracked_runs], checkpoints)
    findings += alarm_findings(inputs.subjects)
    findings += [] if roles is None else [roles_finding(roles)]
    findings += [finding for measured in compared for finding in comparison_findings(measured)]
    verdicts = [row for study in inputs.studies for row in study.verdicts()]
    return {
        "changes": changes,
        "findings": findings,
        "learning": learning,
        "earned": None if roles is None else roles_finding(roles),
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
    counts = [
        tracks.checkpoint_sums(step, corpus).behavior
        for step, corpus in ((base, ON_POLICY), (last, ON_POLICY), (base, RESAMPLED))
    ]
    changes, floors = {}, {}
    for measure in RATES:
        for bucket, prompts in tracks.prompts.items():
            before, after, control = (each.prompt_counts(bucket, measure, prompts) for each in counts)
            if prompts and before.rate.n and after.rate.n:
                changes.setdefault(measure, {})[bucket] = points(rate_difference(before, after))
                floors.setdefault(measure, {})[bucket] = points(rate_difference(before, control))
    if changes:
        headline, *others = changes
        differences = f"{by_bucket(changes[headline])} (percentage points)"
        text = f"{run}, step {base} to {last}: the {RATES[headline]} changed by {differences}."
        beside = [f"{RATES[measure].capitalize()}: {by_bucket(changes[measure])}." for measure in others]
        yield {"text": text, "detail": " ".join([f"The base sampled again: {by_bucket(floors[headline])}.", *beside])}
    strengthened, control, same = (
        {bucket: str(_changed(verdicts.verdict_F)) for bucket, verdicts in part.items()}
        for part in (tracked.changes, tracked.control, tracked.same_text)
    )
    yield {
        "text": f"{run}: latents strengthened or weakened: {by_bucket(strengthened)}.",
        "detail": f"The base sampled again: {by_bucket(control)}. On the same text: {by_bucket(same)}.",
    }
    doubtful = [step for step in tracked.drift.steps if tracked.drift.verdict(step) != TRUSTED]
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
    curves: dict[int, dict[str, dict[str, list[Mapping[str, Any]]]]] = {}
    for row in learning:
        if row["measure"] in RATES:
            curves.setdefault(row["run"], {}).setdefault(row["measure"], {}).setdefault(row["bucket"], []).append(row)
    for run, measures in curves.items():
        texts = {measure: _ends_by_bucket(measures.get(measure, {}), checkpoints) for measure in RATES}
        if not (stated := [measure for measure, ends in texts.items() if ends]):
            continue
        headline, *others = stated
        source = next(iter(measures[headline].values()))[0]["source"]
        beside = [f"{RATES[measure].capitalize()}: {by_bucket(texts[measure])}." for measure in others]
        text = f"{checkpoints.runs[run].name}: the {RATES[headline]} went from {by_bucket(texts[headline])} (percent)."
        yield {"text": text, "detail": " ".join([f"From {source}, intervals over problems, not paired.", *beside])}


def _ends_by_bucket(buckets: Mapping[str, list[Mapping[str, Any]]], checkpoints: Checkpoints) -> dict[str, str]:
    """The rate at both ends, by bucket; over all problems only where there are no buckets."""
    ends = {bucket: sorted(rows, key=lambda row: checkpoints.entries[row["checkpoint"]].step)
            for bucket, rows in buckets.items() if len(rows) > 1}  # fmt: skip
    named = {bucket: rows for bucket, rows in ends.items() if bucket != ALL} or ends
    return {bucket: f"{percent(rows[0])} to {percent(rows[-1])}" for bucket, rows in named.items()}


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
    differences, controls = {}, {}
    for row in rows:
        if row["measure"] in RATES and row["difference"] is not None:
            differences.setdefault(row["measure"], {})[row["bucket"]] = points(
                _estimate(row, "difference", "low", "high")
            )
            if row.get("control") is not None:
                control = _estimate(row, "control", "control_low", "control_high")
                controls.setdefault(row["measure"], {})[row["bucket"]] = points(control)
    if stated := [measure for measure in RATES if measure in differences]:
        headline, *others = stated
        beside = [f"{RATES[measure].capitalize()}: {by_bucket(differences[measure])}." for measure in others]
        floor = f"A sampled again: {by_bucket(controls[headline])}." if headline in controls else NOT_AGAIN
        difference = f"{by_bucket(differences[headline])} (percentage points)"
        text = f"{name}, B less A: the {RATES[headline]} differs by {difference}."
        yield {"text": text, "detail": " ".join([floor, *beside])}
    counts = {bucket: str(_changed(one.difference.verdict_F)) for bucket, one in latents.buckets.items()}
    floors = {bucket: str(control_count(latents, bucket)) for bucket in latents.buckets}
    detail = f"A sampled again: {by_bucket(floors)}." if latents.control else NOT_AGAIN
    yield {"text": f"{name}: latents that differ between A and B: {by_bucket(counts)}.", "detail": detail}


# --- numbers ---------------------------------------------------------------------------------------------------------


def by_bucket(texts: Mapping[str, str]) -> str:
    """Texts by bucket, in one line."""
    return ", ".join(f"{text} on {bucket}" for bucket, text in texts.items())


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
