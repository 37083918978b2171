"""Metrics of a step, as one flat dictionary and a line of `metrics.jsonl`; and sinks, callables `(step, metrics)` that
send them elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange

from interp.artifacts import BadInput
from interp.grpo.advantages import mixed_groups
from interp.grpo.batches import StepBatch


def step_metrics(step: StepBatch, group: int) -> dict[str, Any]:
    """Metrics of all rollouts that the policy wrote in a step. Those of groups count replayed ones too; `mixed_groups`
    and `gate` are of the batch that is trained on.

    A share of no rollouts is None, not zero."""
    rewards_B = torch.tensor([rollout.reward for rollout in step.rollouts])
    rewarded_PG = rearrange(rewards_B, "(P G) -> P G", G=group) > 0
    is_own_B = torch.tensor([rollout.replayed_from is None for rollout in step.rollouts])
    rollouts = [rollout for rollout in step.rollouts if rollout.replayed_from is None]
    lucky = [rollout.lucky for rollout in rollouts if rollout.reward > 0]
    return {
        "reward": float(rewards_B[is_own_B].mean()),
        "pass_rate": _share([rollout.correct for rollout in rollouts]),
        "valid_rate": _share([rollout.valid for rollout in rollouts if rollout.valid is not None]),
        "lucky_share": None if all(each is None for each in lucky) else _share(lucky),
        "direct_share": _share([rollout.format == "direct" for rollout in rollouts]),
        "malformed_share": _share([rollout.format == "malformed" for rollout in rollouts]),
        "truncated_share": _share([rollout.truncated for rollout in rollouts]),
        "length": sum(len(rollout.tokens) for rollout in rollouts) / len(rollouts),
        "entropy_nats_per_token": _mean([entropy for rollout in rollouts for entropy in rollout.entropies]),
        "zero_variance_share": float((~mixed_groups(rewards_B, group)).float().mean()),
        "all_right_share": float(rewarded_PG.all(1).float().mean()),
        "lone_success_share": float((rewarded_PG.sum(1) == 1).float().mean()),
        "mixed_groups": int(step.advantages.mixed_groups(group).sum()),
        "groups_drawn": len(step.rollouts) // group,
        "gate": float(step.advantages.credit.gate_B.mean()),
        **_payment(step),
        **step.advantages.credit.facts,
        **step.metrics,
        "tokens": step.tokens_sampled or sum(len(rollout.tokens) for rollout in rollouts),
    }


def _payment(step: StepBatch) -> dict[str, Any]:
    """Of the reward that is paid for the policy's own answers, turned rewards and bonuses among it, the share that goes
    to valid ones (None where credit adds advantages beside it); the shares of rollouts turned and screened out."""
    batch, credit = step.rollout_batch, step.advantages.credit
    is_judged_B = torch.tensor([row.valid is not None and row.replayed_from is None for row in batch.rollouts])
    is_valid_B = torch.tensor([bool(rollout.valid) for rollout in batch.rollouts])
    counts_B = torch.ones_like(is_valid_B) if credit.counts_B is None else credit.counts_B
    paid_B = step.advantages.gated_rewards_B.clamp(min=0) * (counts_B & is_judged_B)
    has_pay = credit.added_B is None and bool(paid_B.sum() > 0)
    return {
        "paid_valid_share": float((paid_B * is_valid_B).sum() / paid_B.sum()) if has_pay else None,
        "turned_share": float((credit.gate_B < 0).float().mean()),
        "screened_share": float((~counts_B).float().mean()),
    }


def _share(flags: Sequence[bool | None]) -> float | None:
    return sum(map(bool, flags)) / len(flags) if flags else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


Sink = Callable[[int, Mapping[str, Any]], None]


def tensorboard(directory: str | Path) -> Sink:
    """Writes metrics as TensorBoard events."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # pyright: ignore[reportPrivateImportUsage]
    except ImportError as error:
        raise BadInput("the TensorBoard sink needs tensorboard: pip install tensorboard") from error
    writer = SummaryWriter(str(directory))

    def write(step: int, metrics: Mapping[str, Any]) -> None:
        for name, value in metrics.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, step)
        writer.flush()

    return write


def wandb(project: str, *, mode: Literal["offline", "online", "disabled"] = "offline") -> Sink:
    """Writes metrics for Weights & Biases. In mode "offline" nothing is sent until `wandb sync`."""
    try:
        import wandb as service  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadInput("the W&B sink needs wandb: pip install wandb") from error
    run = service.init(project=project, mode=mode)

    def write(step: int, metrics: Mapping[str, Any]) -> None:
        run.log({name: value for name, value in metrics.items() if value is not None}, step=step)

    return write
