"""Evaluate a policy, or every checkpoint of a series, on the same problems.

Each checkpoint gets its own draws. The measures are pass and valid rate, pass@k by answer and by every step, shares of
formats and shortcuts, and coherence (every step true as written) crossed with validity (every step also the one due);
each overall, by depth and by level. Only measures are kept, so memory is that of one checkpoint's rollouts.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tqdm import tqdm

from interp.artifacts import BadInput, fingerprint, to_json
from interp.checks import Count, Depth, Name, Seed, expect_plausible
from interp.policy.config import Group, NewTokens, Rows, SampleConfig, Temperature
from interp.policy.prompts import PromptFormat, same_prompts
from interp.rollouts.evaluation import GROUPINGS, Evaluation, GroupEstimates
from interp.rollouts.pass_at_k import mean_pass_at_k
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import roll_out
from interp.rollouts.series import Checkpoint, Series
from interp.rollouts.summary import HEADLINE_MEASURES, summarize
from interp.tasks.base import Problem, Task

if TYPE_CHECKING:
    from interp.policy import Policy
    from interp.stats import Estimate


@dataclass(frozen=True)
class EvaluateConfig(PromptFormat):
    """On which problems to evaluate, with how many rollouts each, and which pass@k."""

    split: Name = "eval"
    """train, eval, probe or memorised."""
    problems: Count = 40
    """Problems per level, or as many as a file holds if that is less."""
    levels: tuple[Depth | Name, ...] = ()
    """Depths, or names of levels. Default: every depth of a task that has depths, else all that the split holds."""
    group: Group = 16
    """Completions per problem."""
    k: tuple[Count, ...] = (1, 4, 16)
    """Values of k for pass@k, none above `group`."""
    max_new_tokens: NewTokens = 96
    """Longer completions are cut off, and marked as truncated."""
    temperature: Temperature = 1.0
    """Temperature of sampling. 0 is greedy."""
    rows: Rows = 1024
    """Completions generated at once; less takes less memory."""
    seed: Seed = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_plausible(self)
        if wrong := [k for k in self.k if not 1 <= k <= self.group]:
            raise BadInput(f"k must lie between 1 and group, which is {self.group}; got {wrong[0]}")

    def sampling(self) -> SampleConfig:
        """Settings of sampling."""
        return SampleConfig(self.group, self.max_new_tokens, self.temperature, self.rows, self.seed)


def evaluate(
    policy: "Policy | Checkpoint | Series",
    task: Task,
    config: EvaluateConfig | None = None,
    *,
    problems: Sequence[Problem] | None = None,
    run: str = "base",
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = True,
) -> Evaluation:
    """Measure a policy (as step 0), a checkpoint, or every checkpoint of a series.

    `problems` replace those that `config` selects. Checkpoints are loaded one after another, onto `device`; a policy
    stays where it is."""
    config = same_prompts(config or EvaluateConfig(), _recorded_format(policy), of="the run of these checkpoints")
    if isinstance(policy, Series):
        config.sampling().warn_if_other(policy.sampling, of="the run of these checkpoints")
    problems = _without_repeats(select_problems(task, config) if problems is None else problems)
    if not problems:
        raise BadInput("expected at least one problem, got none")
    if not (loaders := _loaders(policy, device, dtype)):
        raise BadInput("expected at least one checkpoint, got a series without any")
    estimates: dict[tuple[int, str, str], dict[str, Estimate]] = {}
    policies: dict[int, str] = {}
    checkpoints = tqdm(loaders, desc="evaluating", unit="checkpoint", delay=1, leave=False)
    checkpoints.disable = checkpoints.disable or not progress
    for step, load in checkpoints:
        policies[step], measured = _evaluate_one(load(), task, problems, config, run=run, step=step, progress=progress)
        estimates |= {(step, by, group): measures for (by, group), measures in measured.items()}
        headline = {name: f"{measured['all', 'all'][name].value:.2f}" for name in HEADLINE_MEASURES}
        checkpoints.set_postfix(headline, refresh=False)
    made_from = {
        "policy": next(iter(policies.values())),
        "task": task.fingerprint(),
        "problems": fingerprint(json.dumps([to_json(problem) for problem in problems])),
    }
    facts = {"task": task.name, "run": run, "n_problems": len(problems)}
    return Evaluation(estimates, policies=policies, config=to_json(config) | facts, made_from=made_from)


def select_problems(task: Task, config: EvaluateConfig) -> list[Problem]:
    """The problems that a config selects, the same at every call."""
    depths = task.depths
    levels: Sequence[int | str | None] = config.levels or (range(depths[0], depths[1] + 1) if depths else (None,))
    return [problem for level in levels for problem in _problems_at(task, config, level)]


def measure_rollouts(rollouts: Sequence[Rollout], ks: Iterable[int]) -> GroupEstimates:
    """Every measure of a checkpoint's rollouts, by (grouping, group).

    A rollout without a depth or level is counted in `all` alone. Depths are in order; levels stay in the order in
    which their problems came, easiest first."""
    estimates: GroupEstimates = {}
    for by in GROUPINGS:
        groups: dict[int | str, list[Rollout]] = {}
        for rollout in rollouts:
            if (group := "all" if by == "all" else getattr(rollout, by)) is not None:
                groups.setdefault(group, []).append(rollout)
        for group in sorted(groups) if by == "depth" else groups:
            estimates[by, str(group)] = _measure_group(groups[group], sorted(set(ks)))
    return estimates


def _measure_group(rollouts: Sequence[Rollout], ks: Sequence[int]) -> "dict[str, Estimate]":
    (measures,) = summarize(rollouts, "step").estimates.values()
    by_answer = {f"pass_at_{k}": mean_pass_at_k(rollouts, k) for k in ks}
    by_every_step = {f"valid_at_{k}": mean_pass_at_k(rollouts, k, "valid") for k in ks}
    return measures | by_answer | by_every_step


def _evaluate_one(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem],
    config: EvaluateConfig,
    *,
    run: str,
    step: int,
    progress: bool,
) -> tuple[str, GroupEstimates]:
    """The policy's fingerprint and every measure. Its rollouts and weights are freed when this returns."""
    rollouts = roll_out(
        policy, task, problems, config.sampling(),
        run=run, step=step, prompt_format=config.prompt_format, purpose="evaluate", progress=progress,
    )  # fmt: skip
    return rollouts.made_from["policy"], measure_rollouts(rollouts, config.k)


def _problems_at(task: Task, config: EvaluateConfig, level: int | str | None) -> list[Problem]:
    n = config.problems
    if (size := task.size(config.split, level)) is not None:
        n = min(n, size)
        if not n:
            raise BadInput(
                f"{task.name}: expected problems of {config.split}{'' if level is None else f' at level {level!r}'}, "
                "got none: give its lines a split, or choose another (--split)"
            )
    return task.problems(config.split, level, n)


def _without_repeats(problems: Sequence[Problem]) -> list[Problem]:
    """Each problem once: a repeated problem would get the same rollouts again, two rows for one draw."""
    return list({problem.id: problem for problem in problems}.values())


def _recorded_format(policy: "Policy | Checkpoint | Series") -> PromptFormat | None:
    return policy.prompt_format if isinstance(policy, Series) else PromptFormat.of_checkpoint(policy.path)


def _loaders(
    policy: "Policy | Checkpoint | Series", device: str, dtype: str
) -> "list[tuple[int, Callable[[], Policy]]]":
    """Each step with a function that loads its policy, so that one checkpoint at a time is in memory."""
    if isinstance(policy, Checkpoint | Series):
        checkpoints = [policy] if isinstance(policy, Checkpoint) else policy
        return [(checkpoint.step, partial(checkpoint.load, device=device, dtype=dtype)) for checkpoint in checkpoints]
    return [(0, lambda: policy)]
