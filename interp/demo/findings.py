"""Five findings of the demo, each a sentence with its interval and its control.

Which sentences there are, and in which order, never depends on what came out: only their numbers do.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from interp.demo.answers import ALL, Answers
from interp.demo.stages import BASE, EASY, FEATURES, HARD, MEDIUM, ORACLE, RESAMPLED, WRITTEN
from interp.demo.text import count_and_share, percent, points

if TYPE_CHECKING:
    from interp.features import Roles


def findings(answers: Mapping[str, Answers], roles: "Roles | None" = None) -> Iterator[str]:
    """The findings of the stages that were run."""
    base = answers[BASE]
    if {EASY, HARD} <= set(base.buckets):
        hard, easy = (percent(base.lucky_share(bucket)) for bucket in (HARD, EASY))
        control = percent(answers[RESAMPLED].lucky_share(HARD))
        yield f"Lucky, of the base's right answers: hard {hard}% (base again {control}), easy {easy}%."
    if HARD in answers:
        medium, hard, control = (
            points(answers[name].change_from(base, ALL, "valid_rate")) for name in (MEDIUM, HARD, RESAMPLED)
        )
        yield f"Valid answers, since the base: medium training {medium}, hard {hard}, base again {control} points."
        beyond = points(answers[ORACLE].change_from(answers[HARD], ALL, "valid_rate"))
        yield f"Hard training with only valid answers rewarded: {beyond} points of valid answers beyond plain."
    if roles is not None:
        candidates, random_latents = count_and_share(roles.trials), count_and_share(roles.random_trials)
        yield f"Candidate latents that earn a role: {candidates}; random latents: {random_latents}."
    if FEATURES in answers:
        beyond = points(answers[FEATURES].change_from(answers[WRITTEN], ALL, "valid_rate"))
        yield f"Credit by features, less its control (a format gate): {beyond} points of valid answers."
    elif roles is not None:
        yield "Credit by features was not tried: no latent has a role that it uses."
