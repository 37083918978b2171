"""The batch of one step: which problems are drawn, the rollouts they get, and the advantages of their tokens.

1. draw problems                 a function of how many were drawn before, so that a resumed run draws the same
2. sample and verify             a group of rollouts for each
3. assign credit and advantages
4. with `redraw`: repeat until enough groups have different rewards; keep those
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput, fingerprint, to_json
from interp.credit.base import CreditScheme, Learning, RolloutBatch, attach_credit
from interp.grpo.advantages import Advantages, assign_advantages
from interp.grpo.config import GRPOConfig
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import encode_problems, verify_samples
from interp.tasks.base import BUCKETS, Problem, Task, hash_of, seeded_rng

PROBLEMS_PER_SEED = 10**9
"""Indices that one seed has for itself, where a task generates problems without end: no two seeds share a problem."""
Level = str | int
Problems = Level | Sequence[Level] | Sequence[Problem] | None


# --- problems ----------------------------------------------------------------------------------------------------


class ProblemSource(Protocol):
    def __call__(self, step: int, already_drawn: int, n: int) -> list[Problem]:
        """The next `n` problems, after `already_drawn` problems."""
        ...

    def spec(self) -> Any:
        """What decides which problems are drawn, for the manifest of the run."""
        ...


def problem_source(task: Task, problems: Problems, *, steps: int, seed: int) -> ProblemSource:
    """Problems of one level of a task, of several levels in turn, of the whole training split (None), or of a list."""
    if isinstance(problems, str | int):
        problems = [problems]
    for level in problems or ():
        if level in BUCKETS and level not in task.levels:
            raise BadInput(
                f"expected a level of {task.name}, got {level!r}, the name of a measured bucket: pass its problems, "
                f"buckets.problems({level!r}) with buckets = interp.rollouts.bucket(base, task)"
            )
    if problems is not None and (not problems or isinstance(problems[0], Problem)):
        return ProblemList(problems, seed=seed)  # pyright: ignore[reportArgumentType]
    return TaskProblems(task, problems or (), steps=steps, seed=seed)  # pyright: ignore[reportArgumentType]


class TaskProblems:
    """Training problems of a task. With several levels, each has an equal share of the steps, in turn."""

    def __init__(self, task: Task, levels: Sequence[Level], *, steps: int, seed: int) -> None:
        self.task, self.levels, self.steps, self.seed = task, tuple(levels), steps, seed
        self.finite = {level: self._all_problems(level) for level in self.levels or (None,)}

    def __call__(self, step: int, already_drawn: int, n: int) -> list[Problem]:
        level = self.levels[min(step * len(self.levels) // self.steps, len(self.levels) - 1)] if self.levels else None
        if (problems := self.finite[level]) is not None:
            return draw_from_epochs(problems, already_drawn, n, self.seed)
        return self.task.problems("train", level, n, start=self.seed * PROBLEMS_PER_SEED + already_drawn)

    def spec(self) -> Any:
        return {"task": self.task.name, "levels": list(self.levels)}

    def _all_problems(self, level: Level | None) -> list[Problem] | None:
        """All problems of a level, or None if the task generates them without end."""
        count = self.task.size("train", level)
        if count is None:
            self.task.problem("train", level, 0)  # the task refuses a level it does not have
            return None
        if not count:
            raise BadInput(
                f"expected a level with training problems, got {level!r}, of which {self.task.name} has none: "
                "choose another level"
            )
        return self.task.problems("train", level, count)


class ProblemList:
    """Given problems, in a new order for each pass over them."""

    def __init__(self, problems: Sequence[Problem], *, seed: int) -> None:
        if not problems:
            raise BadInput("expected at least one problem to train on, got an empty list: is the bucket empty?")
        self.problems, self.seed = list(problems), seed

    def __call__(self, step: int, already_drawn: int, n: int) -> list[Problem]:
        return draw_from_epochs(self.problems, already_drawn, n, self.seed)

    def spec(self) -> Any:
        return {"problems": len(self.problems), "content": fingerprint(*(str(to_json(p)) for p in self.problems))}


def draw_from_epochs(problems: Sequence[Problem], already_drawn: int, n: int, seed: int) -> list[Problem]:
    """The next `n` of an endless series of shuffled passes over `problems`, after `already_drawn` problems."""
    chosen: list[Problem] = []
    while len(chosen) < n:
        epoch, start = divmod(already_drawn + len(chosen), len(problems))
        order = list(problems)
        seeded_rng("epoch", seed, epoch).shuffle(order)
        chosen += order[start : start + n - len(chosen)]
    return chosen


# --- rollouts ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepBatch:
    """What one step sampled, and what its update learns from."""

    rollout_batch: RolloutBatch
    """The rollouts that the update learns from."""
    advantages: Advantages
    loss_mask_BL: Bool[Tensor, "B L"]
    """The tokens that count in the loss."""
    problems_drawn: int
    """Problems drawn since the run began."""
    rollouts: list[Rollout]
    """All rollouts of the step. Those in the batch carry their credit; in the others it is None."""

    @property
    def advantages_BL(self) -> Float[Tensor, "B L"]:
        return self.advantages.advantages_BL


@dataclass(frozen=True)
class Collector:
    """Makes the batch of each step of a run."""

    task: Task
    problems: ProblemSource
    config: GRPOConfig
    credit: CreditScheme | None
    run: str
    """The name of the run, in the records of its rollouts."""
    base: Policy | None = None
    """The frozen policy that training began from, for schemes that have it read."""

    def collect(self, policy: Policy, step: int, problems_drawn: int) -> StepBatch:
        """Sample and verify until the batch is full, then assign advantages."""
        objective, size = self.config.objective(), self.config.prompts * self.config.sampling.group
        rollouts: list[Rollout] = []
        usable: list[bool] = []
        for _ in range(self.config.max_draws if objective.redraw else 1):
            rollouts += self._roll_out(policy, step, problems_drawn)
            problems_drawn += self.config.prompts
            usable += self._in_mixed_groups(rollouts[len(usable) :], policy)
            if sum(usable) >= size:
                break
        chosen = [index for index, use in enumerate(usable) if use][:size]
        # where no group is mixed, the first one stands for the batch: its advantages are zero
        batch = self._batch([rollouts[i] for i in chosen] or rollouts[: self.config.sampling.group], policy)
        if isinstance(self.credit, Learning):
            self.credit.observe(batch)
        assigned = self._assign(batch)
        for index, rollout in zip(chosen, attach_credit(batch, assigned.credit, assigned.advantages_BL), strict=False):
            rollouts[index] = rollout
        mask_BL = batch.mask_BL & ~batch.truncated_B[:, None] if objective.mask_truncated else batch.mask_BL
        return StepBatch(batch, assigned, mask_BL, problems_drawn, rollouts)

    def _roll_out(self, policy: Policy, step: int, problems_drawn: int) -> list[Rollout]:
        problems = self.problems(step, problems_drawn, self.config.prompts)
        prompt_format = self.config.prompt_format
        prompt_ids = encode_problems(policy, problems, prompt_format)
        keys = [hash_of("grpo", step, problems_drawn + index) for index in range(len(problems))]
        samples = policy.sample(prompt_ids, self.config.sampling, stop=prompt_format.stop, keys=keys, progress=False)
        return verify_samples(
            policy, self.task, problems, prompt_ids, samples,
            prompt_format=prompt_format, run=self.run, step=step, progress=False,
        )  # fmt: skip

    def _in_mixed_groups(self, rollouts: list[Rollout], policy: Policy) -> list[bool]:
        """For each rollout, whether its group has different rewards. Without `redraw`, every rollout is used."""
        if not self.config.objective().redraw:
            return [True] * len(rollouts)
        batch = self._batch(rollouts, policy)
        is_mixed_P = self._assign(batch).mixed_groups(batch.group, with_penalty=False)
        return is_mixed_P.repeat_interleave(batch.group).tolist()

    def _assign(self, batch: RolloutBatch) -> Advantages:
        return assign_advantages(batch, self.credit, self.config.objective(), self.config.sampling.max_new_tokens)

    def _batch(self, rollouts: list[Rollout], policy: Policy) -> RolloutBatch:
        group, seed = self.config.sampling.group, self.config.seed
        return RolloutBatch.from_rollouts(rollouts, group, policy=policy, base=self.base, seed=seed)
