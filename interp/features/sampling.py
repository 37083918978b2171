"""Sampling with one latent ablated or doubled: problems answered again, with the same random numbers.

`interp.features.ablation` measures how much less likely the written text would have been. Here the policy writes text,
and the rates of valid, correct and direct answers are compared. Every rollout uses the random numbers of the
unedited one, so that a latent without effect changes nothing. The last token of the prompt and all tokens after it are
edited. The control of each latent is its nearest match, with a similar firing rate and activation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from einops import reduce
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from interp.features.ablation import scale_latent
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.policy.prompts import PLAIN, PromptFormat
from interp.policy.residual import ResidualEdit, splice_residual
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import sample_rollouts
from interp.stats.bootstrap import DRAWS, resampled_prompts
from interp.stats.estimate import Estimate
from interp.stats.percentiles import percentile_estimate
from interp.tasks.base import Problem, Task, evenly_spaced
from interp.tsae import TSAE

PURPOSE = "roles, played"
"""Seeds the random numbers of every rollout."""
MEASURES: dict[str, Callable[[Rollout], float]] = {
    "valid": lambda row: float(row.valid is True),
    "correct": lambda row: float(row.correct),
    "direct": lambda row: float(row.format == "direct"),
}
"""Rates over all answers. `valid` counts what was judged valid; it is NaN where no unedited answer could be judged."""


@dataclass(frozen=True)
class RolloutEffect:
    """Change in the rate of valid, correct and direct answers under one edit of one latent."""

    latent: int
    match_of: int | None
    """The latent with a role that this one is the match of; None if this latent has the role itself."""
    scale: float
    valid: Estimate
    correct: Estimate
    direct: Estimate


@dataclass(frozen=True)
class AblatedSampling:
    """Problems that a policy has answered without an edit, to be answered again with edits."""

    tsae: TSAE
    policy: Policy
    layer: int
    task: Task
    problems: Sequence[Problem]
    sampling: SampleConfig
    clean_PM: Float[ndarray, "P M"]
    """Rate of each measure at each problem, without an edit."""
    prompt_format: PromptFormat = PLAIN

    @classmethod
    def prepare(
        cls,
        tsae: TSAE,
        policy: Policy,
        layer: int,
        task: Task,
        rows: Sequence[Rollout],
        count: int,
        sampling: SampleConfig,
        prompt_format: PromptFormat = PLAIN,
    ) -> "AblatedSampling":
        """Answer `count` of the rollouts' problems, evenly spaced (all, if there are fewer)."""
        problems = evenly_spaced(answered_problems(rows), count)
        clean = sample_answers(policy, task, problems, sampling, prompt_format)
        clean_PM = outcome_rates(clean, sampling.group)
        if all(row.valid is None for row in clean):
            clean_PM[:, list(MEASURES).index("valid")] = np.nan
        return cls(tsae, policy, layer, task, problems, sampling, clean_PM, prompt_format)

    def run(self, latent: int, scale: float, *, match_of: int | None = None) -> RolloutEffect:
        """Answer the problems with one latent scaled."""
        edit = at_last_position(scale_latent(self.tsae, latent, scale))
        with splice_residual(self.policy.model, self.tsae.at(self.layer), edit):
            edited = sample_answers(self.policy, self.task, self.problems, self.sampling, self.prompt_format)
        change_PM = outcome_rates(edited, self.sampling.group) - self.clean_PM
        return RolloutEffect(latent, match_of, scale, *(estimate_shift(change_P) for change_P in change_PM.T))


def answered_problems(rows: Sequence[Rollout]) -> list[Problem]:
    """The problems that rollouts answer, each once, in order."""
    by_problem = {row.problem: row for row in rows}.values()
    return [Problem(row.problem, row.prompt, row.label, row.split, row.depth, row.level) for row in by_problem]


def sample_answers(
    policy: Policy,
    task: Task,
    problems: Sequence[Problem],
    sampling: SampleConfig,
    prompt_format: PromptFormat = PLAIN,
) -> list[Rollout]:
    return sample_rollouts(
        policy, task, problems, sampling,
        run="roles", step=0, prompt_format=prompt_format, purpose=PURPOSE, progress=False,
    )  # fmt: skip


def outcome_rates(rows: Sequence[Rollout], group: int) -> Float[ndarray, "P M"]:
    """Rate of each measure at each problem."""
    outcome_BM = np.array([[measure(row) for measure in MEASURES.values()] for row in rows])
    return reduce(outcome_BM, "(P G) M -> P M", "mean", G=group)


def estimate_shift(change_P: Float[ndarray, " P"]) -> Estimate:
    """Mean change over problems, with its percentile interval over resampled problems."""
    counts_BP = resampled_prompts(len(change_P), DRAWS, 0).numpy().astype(float)
    return percentile_estimate(float(change_P.mean()), counts_BP @ change_P / len(change_P), len(change_P))


def at_last_position(edit: ResidualEdit) -> ResidualEdit:
    """The edit at the last position of each forward pass only: the prompt's last token, then every written one."""

    def edit_last(x_BLD: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        x_BLD[:, -1:] = edit(x_BLD[:, -1:].clone())
        return x_BLD

    return edit_last
