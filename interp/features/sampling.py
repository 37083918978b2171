"""What a policy does without a latent, or with it doubled: problems answered anew, with the same draws of chance.

Where `ablation.py` asks how much less likely what was written would have been, here the policy goes its own way: how
often it then works an answer out validly, is right, answers at once. Every row has the numbers it was drawn from in
the clean run, so that a latent that does nothing changes nothing. Edited are the last token of the prompt and all
after it. Beside each latent stand its nearest matches, as frequent and as strong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from interp.bootstrap import resampled
from interp.features.ablation import Mean, scaled
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.policy.residual import Edit, splicing
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import answered
from interp.tasks.base import Problem, Task, evenly
from interp.tsae import TSAE

DRAWS = 400
PURPOSE = "roles, played"
MEASURES: dict[str, Callable[[Rollout], float]] = {
    "valid": lambda row: float(row.valid is True),
    "correct": lambda row: float(row.correct),
    "direct": lambda row: float(row.format == "direct"),
}
"""Valid is what was judged to be: a rate over all answers. Where none of the clean run could be judged, it is NaN."""


@dataclass(frozen=True)
class Played:
    """What one edit of one latent does: how much more often the policy is valid, is right, answers at once."""

    latent: int
    match_of: int | None
    """The latent that this one is the match of; None where it is the one that has earned a role."""
    scale: float
    valid: Mean
    correct: Mean
    direct: Mean


@dataclass(frozen=True)
class Stage:
    policy: Policy
    tsae: TSAE
    layer: int
    task: Task
    problems: Sequence[Problem]
    sampling: SampleConfig
    clean_PM: Float[ndarray, "P M"]
    """The rate of each measure at each problem, with nothing changed."""

    @classmethod
    def set(
        cls, policy: Policy, tsae: TSAE, layer: int, task: Task, rows: Sequence[Rollout], count: int, group: int
    ) -> "Stage":
        """`count` of the problems that rollouts answer (all, if there are fewer), evenly from among them."""
        chosen, sampling = evenly(problems_of(rows), count), SampleConfig(group=group, rows=1024)
        clean = played(policy, task, chosen, sampling)
        clean_PM = rates(clean, sampling.group)
        if all(row.valid is None for row in clean):
            clean_PM[:, list(MEASURES).index("valid")] = np.nan
        return cls(policy, tsae, layer, task, chosen, sampling, clean_PM)

    def play(self, latent: int, scale: float, *, match_of: int | None = None) -> Played:
        edit = at_the_end(scaled(self.tsae, latent, scale))
        with splicing(self.policy.model, self.layer, edit):
            edited = played(self.policy, self.task, self.problems, self.sampling)
        edited_PM = rates(edited, self.sampling.group)
        shifts = [shift(change_P) for change_P in (edited_PM - self.clean_PM).T]
        return Played(latent, match_of, scale, *shifts)


def problems_of(rows: Sequence[Rollout]) -> list[Problem]:
    """Those that rollouts answer, in order."""
    found = {row.problem: row for row in rows}.values()
    return [Problem(row.problem, row.prompt, row.label, row.split, row.depth, row.bucket) for row in found]


def played(policy: Policy, task: Task, problems: Sequence[Problem], sampling: SampleConfig) -> list[Rollout]:
    return answered(policy, task, problems, sampling, run="roles", step=0, purpose=PURPOSE, bar=False)


def rates(rows: Sequence[Rollout], group: int) -> Float[ndarray, "P M"]:
    told = np.array([[measure(row) for measure in MEASURES.values()] for row in rows])
    return told.reshape(-1, group, len(MEASURES)).mean(1)


def shift(change_P: Float[ndarray, " P"]) -> Mean:
    """A mean over problems, and what other draws of problems make of it."""
    draws_BP = resampled(len(change_P), DRAWS, 0).numpy().astype(float)
    low, high = np.percentile(draws_BP @ change_P / len(change_P), [2.5, 97.5])
    return Mean(float(change_P.mean()), float(low), float(high))


def at_the_end(edit: Edit) -> Edit:
    """At the last position of each forward alone: the prompt's last token, then every token that is written."""

    def edited(x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        x_BLD[:, -1:] = edit(x_BLD[:, -1:].clone())
        return x_BLD

    return edited
