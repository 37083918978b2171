"""Five findings of the demo, each a sentence with its interval and its control.

Which sentences there are, and in which order, never depends on what came out: only their numbers do.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from interp.demo.answers import ALL, Answers
from interp.demo.numbers import percent, points
from interp.demo.stages import BASE, CONTROL, DEEP, FEATURES, HARD, MEDIUM, ORACLE, RESAMPLED
from interp.demo.text import count_and_share

if TYPE_CHECKING:
    from interp.features import Roles


def findings(answers: Mapping[str, Answers], roles: "Roles | None" = None) -> Iterator[str]:
    """The findings of the stages that were run."""
    base = answers[BASE]
    if HARD in base.buckets:
        lucky, control = (percent(answers[name].lucky_share(HARD)) for name in (BASE, RESAMPLED))
        yield f"Lucky, of right answers to hard problems: base {lucky}, base again {control}%."
    if HARD in answers:
        medium, hard, control = (
            points(answers[name].change_from(base, ALL, "valid_rate")) for name in (MEDIUM, HARD, RESAMPLED)
        )
        yield f"Valid less base, points: medium {medium}, hard {hard}, base again {control}."
        beyond = points(answers[ORACLE].change_from(answers[HARD], ALL, "valid_rate"))
        yield f"With only valid answers rewarded, hard training changes valid by {beyond} points more."
    if roles is not None:
        candidates, random_latents = count_and_share(roles.trials), count_and_share(roles.random_trials)
        yield f"Candidates that earn a role: {candidates}; random latents: {random_latents}."
    if FEATURES in answers:
        plain, control = (
            points(answers[FEATURES].change_from(answers[name], ALL, "valid_rate")) for name in (DEEP, CONTROL)
        )
        yield f"Credit by features: valid {plain} points over plain, {control} over the parser."
