"""What the demo found, in sentences and short tables with their intervals: for the terminal and for its page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.credit.role_latents import JUDGING, bearers_of
from interp.report.terminal import grid
from interp.rollouts import Evaluation
from interp.rollouts.intervals import Share, exact
from interp.tracking.changes import FEW, RARE, STRENGTHENED, UNCHANGED, UNDECIDED, WEAKENED
from interp.tracking.drift import TRUSTED
from interp.tracking.plots import surest

if TYPE_CHECKING:
    from interp.features import Roles, Trial
    from interp.tracking import Changes, Comparison, Drift
    from interp.tracking.changes import Judged
    from interp.tsae import Quality

HARD = "hard"
WHAT_IS_EARNED = (
    "What are its latents for? Each is held to what the verifier knows of tokens on the base's own answers, tried on\n"
    "tokens alone, on shuffled order and on another surface, and taken away. Three gates; chance goes through them too."
)
WHAT_IS_TRACKED = (
    "What became of them while the policy was trained on hard problems? Each latent's strength in what every\n"
    "checkpoint writes, less the base's; at a false-discovery rate of 0.05."
)
WHAT_IS_COMPARED = (
    "And what sets hard training apart from medium? A was trained on medium problems, B on hard ones; both answer\n"
    "the same. Latents are told at one mix of outcomes, and A is asked a second time, where nothing has changed:"
)
CONTROLLED = (
    "With a control, on three seeds, other latents in their places did no worse (benchmarks/results/credit.json): do "
    "not take what is seen here for the roles' doing."
)
NO_CREDIT = (
    "No latent has earned a role that credit could go by (reasoning, computation, shortcut): hard is not run again.\n"
    "That is an outcome. A larger dictionary, or one fitted for longer (--learn), may have some."
)


def rate(end: Evaluation, bucket: str, measure: str = "valid_rate") -> Share:
    """Of the last checkpoint."""
    return end.at(end.steps[-1], by="bucket", group=bucket)[measure]


def less(one: Share, other: Share) -> str:
    """The one less the other, each with its own interval (Newcombe, unpaired: both were asked the same problems, which
    would only make it narrower)."""
    value = one.value - other.value
    below = ((one.value - one.low) ** 2 + (other.high - other.value) ** 2) ** 0.5
    above = ((one.high - one.value) ** 2 + (other.value - other.low) ** 2) ** 0.5
    return f"{value:+.2f} [{value - below:+.2f}, {value + above:+.2f}]"


def trained(ends: Mapping[str, Evaluation]) -> str:
    """What became of easy problems: of the base, medium, hard, and hard where only valid answers are paid."""
    base, medium, hard, paid = (rate(end, "easy") for end in list(ends.values())[:4])
    return (
        f"Of the base's answers to easy problems {base} are valid. What training adds to that:\n"
        f"on medium problems {less(medium, base)}, on hard ones {less(hard, base)},\n"
        f"on hard ones where only valid answers are paid {less(paid, base)}."
    )


def explained(found: "Quality") -> str:
    """How much of the residual it is, and how sparse."""
    kept = found.recovered and found.recovered.ce_recovered
    told = [] if found.fve is None else [f"It explains {found.fve:.3f} of the variance of other problems' residuals"]
    told += [] if kept is None else [f"{kept:.3f} of the loss is kept where it stands in for them"]
    active = (
        f"{found.l0.total:.1f} latents are on at a token in the mean; {found.firing.dead_share:.2f} of all never are."
    )
    return f"{', and '.join(told)}.\n{active}" if told else active


def roles_earned(roles: "Roles") -> str:
    """How many, of what; and how often latents drawn at random would have."""
    earned = Counter(roles.of(latent) for latent in {trial.latent for trial in roles.trials if trial.passed})
    of_what = ", ".join(f"{count} {family}" for family, count in earned.most_common())
    told, drawn = passing(roles.trials), passing(roles.random)
    tried = "None tells anything apart, so none was tried further"
    if told.n:
        tried = f"Of the {told.n} that tell something apart and were tried further, {told} passed all three gates"
    count = f"{sum(earned.values())} of {roles.width:,} latents have earned a role{of_what and f' ({of_what})'}"
    return f"{count}.\n{tried};\nof {drawn.n} drawn at random, {drawn}."


def passing(trials: "Sequence[Trial]") -> Share:
    """Of the latents held to any contrast, the share that passed one: each latent counts once."""
    tried, passed = {trial.latent for trial in trials}, {trial.latent for trial in trials if trial.passed}
    if not tried:
        return Share(float("nan"), 0.0, 1.0, 0)
    return Share(len(passed) / len(tried), *exact(len(passed), len(tried)), len(tried))


def went(changes: "Changes", bucket: str, roles: "Roles") -> str:
    """Of one bucket: how many latents were strengthened and weakened, and the surest of each sign."""
    found = changes.buckets[bucket]
    if (counts := found.counts())[FEW]:
        return f"On {bucket} problems there are too few prompts to tell what became of the latents."
    judged = len(found.verdict_F) - counts[RARE]
    again = None if changes.control is None else changes.control[bucket].counts()
    control = again and f" (the base asked again: {again[STRENGTHENED]} and {again[WEAKENED]})"
    told = (
        f"On {bucket} problems, of {judged} latents that are not too rare: {counts[STRENGTHENED]} strengthened, "
        f"{counts[WEAKENED]} weakened{control or ''}."
    )
    first = [_told(found, latent, roles) for latent in surest(found, 1)]
    return f"{told}\nThe surest: {'; '.join(first)}." if first else told


def by_role(changes: "Changes", roles: "Roles") -> str:
    """What became of the latents with a role, bucket by bucket."""
    earned = {latent: roles.of(latent) for latent in sorted({t.latent for t in roles.trials if t.passed})}
    names, rows = (STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED, RARE), []
    for bucket, found in changes.buckets.items():
        for role in dict.fromkeys(earned.values()):
            verdicts = Counter(found.verdict_F[latent] for latent in earned if earned[latent] == role)
            rows.append([bucket, role, verdicts.total(), *(verdicts[name] for name in names)])
    return grid(["bucket", "role", "latents", *names], rows) if rows else "No latent has a role to be told by."


def trusted(drift: "Drift") -> str:
    """Whether the dictionary is to be believed, all the way."""
    doubted = {step: verdict for step in drift.steps if (verdict := drift.verdict(step)) != TRUSTED}
    if not doubted:
        return f"The dictionary fits all {len(drift.steps)} checkpoints."
    told = ", ".join(f"step {at} ({why})" for at, why in doubted.items())
    return f"The dictionary is not to be trusted at {told}."


def set_apart(comparison: "Comparison") -> str:
    """Bucket by bucket, in a line each: what B does more of, and how many of its latents are stronger and weaker."""
    found, rows = comparison.compared(), []
    behaviour = {(row["bucket"], row["measure"]): row for row in comparison.behaviour().to_dicts()}
    for bucket, sides in found.buckets.items():
        between = sides.between.counts()
        again = None if found.control is None else found.control[bucket].between.counts()
        told = [_ranged(behaviour[bucket, measure]) for measure in ("valid_rate", "direct_share")]
        few = between[FEW] > 0
        counts = ["-"] * 2 if few else [between[STRENGTHENED], between[WEAKENED]]
        control = "-" if few or again is None else again[STRENGTHENED] + again[WEAKENED]
        rows.append([bucket, *told, *counts, control, f"{sides.between.change.common:.2f}"])
    head = ["bucket", "valid, B less A", "direct, B less A", "stronger in B", "weaker in B", "A again", "compared"]
    return grid(head, rows)


def apart_in_words(comparison: "Comparison", bucket: str = HARD) -> str:
    behaviour = {(row["bucket"], row["measure"]): row for row in comparison.behaviour().to_dicts()}
    valid, direct = (_ranged(behaviour[bucket, measure]) for measure in ("valid_rate", "direct_share"))
    found = comparison.compared()
    counts = found.buckets[bucket].between.counts()
    said = f"On {bucket} problems, B less A: valid answers {valid}, answers given at once {direct}."
    if counts[FEW]:
        return f"{said}\nAt one mix of outcomes nothing can be told of latents there: too few prompts have it in both."
    again = found.control and found.control[bucket].between.counts()
    control = f" (A asked again: {again[STRENGTHENED]} and {again[WEAKENED]})" if again else ""
    return (
        f"{said}\nLatents at one mix of outcomes: {counts[STRENGTHENED]} stronger in B, {counts[WEAKENED]} "
        f"weaker{control}."
    )


def what_credit_reads(roles: "Roles") -> str:
    """Before hard is trained once more."""
    bearers = bearers_of(roles)
    of_what = ", ".join(f"{n} of {family}" for family, n in Counter(bearer.family for bearer in bearers).items())
    missing = [family for family in JUDGING if not any(bearer.family == family for bearer in bearers)]
    asks = f"\nNone has earned {' or '.join(missing)}, so no reward hangs on that." if missing else ""
    return f"Now hard once more, with credit by what {len(bearers)} latents show in each answer: {of_what}.{asks}"


def credited(hard: Evaluation, paid: Evaluation, seen: Evaluation) -> str:
    """Hard training as it is, where the verifier says what is paid, and where latents do: one run of each."""
    lines = [
        "What credit by latents adds to plain training on hard problems, and what paying valid answers alone does:"
    ]
    asked = (("valid", "easy", "valid_rate"), ("valid", "hard", "valid_rate"), ("right", "hard", "pass_rate"))
    for what, bucket, measure in asked:
        plain, ceiling, ours = (rate(end, bucket, measure) for end in (hard, paid, seen))
        told = f"{less(ours, plain)} and {less(ceiling, plain)}"
        lines.append(f"{what} answers to {bucket} problems, {plain}: {told};")
    return "\n".join([*lines, "one run of each: a demo, not a study.", CONTROLLED])


def _told(found: "Judged", latent: int, roles: "Roles") -> str:
    change, role = found.change, roles.of(latent)
    value, low, high = (float(held[latent]) for held in (change.value_F, change.low_F, change.high_F))
    bounds = "" if np.isnan(low) else f" [{low:+.3f}, {high:+.3f}]"
    return f"latent {latent} ({role if role != 'none' else 'no role'}), {value:+.3f}{bounds}"


def _ranged(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return "-" if row["difference"] is None else f"{row['difference']:+.2f}"
    return f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
