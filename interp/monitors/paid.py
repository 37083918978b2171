"""What monitors of a readout look at: the successes that a policy wrote itself, and the readout that pays them."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.credit.base import CreditScheme, RolloutBatch
from interp.credit.readout import ReadoutCredit
from interp.rollouts.record import Rollout
from interp.tasks.base import hash_of


def expect_readout(credit: CreditScheme | None, monitor: str) -> ReadoutCredit:
    """The readout that pays. Refused if something else pays."""
    if not isinstance(credit, ReadoutCredit):
        got = "plain GRPO" if credit is None else type(credit).__name__
        raise BadInput(
            f"the monitor {monitor} expected credit by a readout (interp.credit.ReadoutCredit, --credit latents), got "
            f"{got}: leave the monitor out, or pay by a readout"
        )
    return credit


def own_successes(batch: RolloutBatch, at_most: int | None = None) -> list[int]:
    """The rows of the rewarded rollouts that the policy wrote in this step. With `at_most`, so many drawn at
    random, which are the same whatever the run did before."""
    rows = [
        row
        for row, rollout in enumerate(batch.rollouts)
        if rollout.reward > 0 and rollout.tokens and rollout.replayed_from is None
    ]
    if at_most is None or len(rows) <= at_most:
        return rows
    return sorted(sorted(rows, key=lambda row: _order(batch.seed, batch.rollouts[row], row))[:at_most])


def _order(seed: int, rollout: Rollout, row: int) -> int:
    return hash_of("monitored", seed, rollout.step, rollout.problem, rollout.sample, row)


def rank_correlation(x_B: Float[Tensor, " B"], y_B: Float[Tensor, " B"]) -> float | None:
    """Spearman's. None if there are fewer than two values, or all are equal on one side."""
    from scipy.stats import rankdata

    ranks = [rankdata(values_B.numpy()) for values_B in (x_B, y_B)]
    if len(x_B) < 2 or any(np.ptp(rank_B) == 0 for rank_B in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def is_due(step: int, every: int) -> bool:
    """Whether a monitor that measures every so many steps does so at this one."""
    return step % every == 0
