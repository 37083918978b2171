"""What a step shows of itself: one flat dictionary, the line of `metrics.jsonl`."""

from collections.abc import Sequence
from typing import Any

import torch

from interp.grpo.advantages import contrasting
from interp.grpo.collect import Collected
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
