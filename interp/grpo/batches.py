"""The batch of one step: which problems are drawn, the rollouts they get, and the advantages of their tokens.

1. draw problems                 `sources.py`; strategies take their shares of them (`strategies/`)
2. sample and verify             a group of rollouts for each
3. assign credit and advantages
4. with `redraw`: repeat until enough groups have different rewards; keep those
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from jaxtyping import Bool, Float
from torch import Tensor

from interp.credit.base import CreditScheme, Learning, RolloutBatch, attach_credit
from interp.grpo.advantages import Advantages, assign_advantages, mixed_groups
from interp.grpo.config import GRPOConfig
from interp.grpo.sources import ProblemSource
from interp.grpo.strategies.base import Adaptive, Draw, Filler, draw_groups, strategy_metrics
from interp.grpo.strategies.hints_as_written import prepend_hints
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import encode_problems, verify_samples
from interp.tasks.base import Task, hash_of


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
    tokens_sampled: int | None = None
    """Tokens that the policy wrote in the step. None: those of `rollouts`."""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """What strategies and a source that learns report of the step."""

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
    strategies: Sequence[Filler] = ()
    """What takes shares of the groups of a batch."""

    def collect(self, policy: Policy, step: int, problems_drawn: int) -> StepBatch:
        """Sample and verify until the batch is full, then assign advantages."""
        objective, size = self.config.objective(), self.config.prompts * self.config.sampling.group
        draws, rollouts = list[Draw](), list[Rollout]()
        usable: list[bool] = []
        tokens_sampled = 0
        for _ in range(self.config.max_draws if objective.redraw else 1):
            new_draws = self._draw(step, problems_drawn)
            new_rollouts, tokens = self._roll_out(policy, step, problems_drawn, new_draws)
            draws, rollouts, tokens_sampled = draws + new_draws, rollouts + new_rollouts, tokens_sampled + tokens
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
        metrics = self._observe(step, draws, rollouts)
        return StepBatch(batch, assigned, mask_BL, problems_drawn, rollouts, tokens_sampled, metrics)

    def state(self) -> dict[str, Tensor]:
        """What credit, source and strategies have learned."""
        return {f"{place}/{name}": tensor for place, part in self._learning() for name, tensor in part.state().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for place, part in self._learning():
            prefix = f"{place}/"
            part.load_state({k.removeprefix(prefix): tensor for k, tensor in state.items() if k.startswith(prefix)})

    def _learning(self) -> list[tuple[str, Learning | Adaptive]]:
        """The parts that learn, with the place of each in the state."""
        parts = {"credit": self.credit} if isinstance(self.credit, Learning) else {}
        return [*parts.items(), *self._adaptive()]

    def _adaptive(self) -> list[tuple[str, Adaptive]]:
        parts = {"source": self.problems, **{f"strategies/{filler.name}": filler for filler in self.strategies}}
        return [(place, part) for place, part in parts.items() if isinstance(part, Adaptive)]

    def _observe(self, step: int, draws: Sequence[Draw], rollouts: Sequence[Rollout]) -> dict[str, float | None]:
        """Have source and strategies learn from the groups of a step; the metrics they report."""
        size = self.config.sampling.group
        groups = [(draw, rollouts[index * size : (index + 1) * size]) for index, draw in enumerate(draws)]
        metrics = strategy_metrics(groups, self.strategies) if self.strategies else {}
        for _, part in self._adaptive():
            metrics |= part.observe(step, groups)
        return metrics

    def _draw(self, step: int, problems_drawn: int) -> list[Draw]:
        config = self.config
        return draw_groups(self.problems, self.strategies, step, problems_drawn, config.prompts, seed=config.seed)

    def _roll_out(
        self, policy: Policy, step: int, problems_drawn: int, draws: Sequence[Draw]
    ) -> tuple[list[Rollout], int]:
        """A group of rollouts for each draw, and the number of tokens that the policy wrote for them."""
        problems, sampling = [draw.problem for draw in draws], self.config.sampling
        prompt_format = self.config.prompt_format
        prompt_ids = encode_problems(policy, problems, prompt_format)
        hinted_ids = [[*ids, *draw.hint] for ids, draw in zip(prompt_ids, draws, strict=True)]
        keys = [hash_of("grpo", step, problems_drawn + index) for index in range(len(draws))]
        samples = policy.sample(hinted_ids, sampling, stop=prompt_format.stop, keys=keys, progress=False)
        tokens_sampled = int(samples.lengths_B.sum())
        if any(draw.trains_hint for draw in draws):
            own_hints = [draw.hint if draw.trains_hint else () for draw in draws]
            samples = prepend_hints(policy, prompt_ids, own_hints, samples, sampling.temperature)
            hinted_ids = [
                plain if draw.trains_hint else ids
                for plain, ids, draw in zip(prompt_ids, hinted_ids, draws, strict=True)
            ]
        rollouts = verify_samples(
            policy, self.task, problems, hinted_ids, samples, prompt_format=prompt_format, run=self.run, step=step,
            hints=[() if draw.trains_hint else draw.hint for draw in draws], progress=False,
        )  # fmt: skip
        rollouts = [self._record(draws[index // sampling.group], rollout) for index, rollout in enumerate(rollouts)]
        return rollouts, tokens_sampled

    def _record(self, draw: Draw, rollout: Rollout) -> Rollout:
        """The record of a rollout, with what its draw made of it: the last of a group may be replayed."""
        if draw.trains_hint:
            return replace(rollout, hint_tokens=0)
        if draw.replay is None or rollout.sample < self.config.sampling.group - 1:
            return rollout
        key = {"run": rollout.run, "step": rollout.step, "sample": rollout.sample}
        return replace(draw.replay, **key, replayed_from=draw.replay.step)

    def _in_mixed_groups(self, rollouts: list[Rollout], policy: Policy) -> list[bool]:
        """For each rollout, whether its group has different rewards. Without `redraw`, every rollout is used."""
        if not self.config.objective().redraw:
            return [True] * len(rollouts)
        batch = self._batch(rollouts, policy)
        # by reward: what a learning scheme takes for luck must be audited too, and one that only weighs tokens decides
        # nothing here, but may take long
        if isinstance(self.credit, Learning) or getattr(self.credit, "only_weighs_tokens", False):
            is_mixed_P = mixed_groups(batch.rewards_B, batch.group)
        else:
            is_mixed_P = self._assign(batch).mixed_groups(batch.group, with_penalty=False)
        return is_mixed_P.repeat_interleave(batch.group).tolist()

    def _assign(self, batch: RolloutBatch) -> Advantages:
        return assign_advantages(batch, self.credit, self.config.objective(), self.config.sampling.max_new_tokens)

    def _batch(self, rollouts: list[Rollout], policy: Policy) -> RolloutBatch:
        group, seed = self.config.sampling.group, self.config.seed
        return RolloutBatch.from_rollouts(
            rollouts, group, policy=policy, base=self.base, seed=seed,
            sampling=self.config.sampling, prompt_format=self.config.prompt_format,
        )  # fmt: skip
