"""What a step shows of itself: one flat dictionary, the line of `metrics.jsonl`.

Where metrics may go besides the run's own file: callables that take (step, metrics). Off unless asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from interp.artifacts import BadInput
from interp.grpo.advantages import Collected, contrasting
from interp.rollouts.record import Rollout


def measured(collected: Collected, group: int) -> dict[str, Any]:
    """Of all that was sampled in the step; `mixed_groups` and the gate are of the batch that is trained on."""
    rows = collected.rows
    rewards_B = torch.tensor([row.reward for row in rows])
    rewarded_PG = rewards_B.view(-1, group) > 0
    rewarded = [row for row in rows if row.reward > 0]
    judged = [row for row in rows if row.valid is not None]
    alike_P = ~contrasting(rewards_B, group)
    return {
        "reward": float(rewards_B.mean()),
        "pass_rate": _share(rows, [row.correct for row in rows]),
        "valid_rate": _share(judged, [row.valid for row in judged]),
        "lucky_share": _share(rewarded, [row.lucky for row in rewarded]),
        "direct_share": _share(rows, [row.format == "direct" for row in rows]),
        "malformed_share": _share(rows, [row.format == "malformed" for row in rows]),
        "truncated_share": _share(rows, [row.truncated for row in rows]),
        "length": sum(len(row.tokens) for row in rows) / len(rows),
        "entropy_nats_per_token": _mean([e for row in rows for e in row.entropies]),
        "zero_variance_share": float(alike_P.float().mean()),
        "all_right_share": float(rewarded_PG.all(1).float().mean()),
        "lone_success_share": float((rewarded_PG.sum(1) == 1).float().mean()),
        "mixed_groups": int(contrasting(collected.settled.earned_B, group).sum()),
        "groups_drawn": len(rows) // group,
        "gate": float(collected.settled.credit.gate_B.mean()),
        "tokens": sum(len(row.tokens) for row in rows),
    }


def _share(of: Sequence[Rollout], held: Sequence[bool | None]) -> float | None:
    return sum(map(bool, held)) / len(of) if of else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


Sink = Callable[[int, Mapping[str, Any]], None]


def tensorboard(directory: str | Path) -> Sink:
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


def wandb(project: str, **settings: Any) -> Sink:
    """Offline unless `mode` says otherwise: `wandb sync` sends what was written."""
    try:
        import wandb as service  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadInput("the W&B sink needs wandb: pip install wandb") from error
    options: dict[str, Any] = {"mode": "offline"} | settings
    run = service.init(project=project, **options)

    def write(step: int, metrics: Mapping[str, Any]) -> None:
        run.log({name: value for name, value in metrics.items() if value is not None}, step=step)

    return write
