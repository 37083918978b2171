"""What monitors of a readout look at: the successes that a policy wrote itself, and the readout that pays them."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
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


def rank_correlations(x_BF: Float[Tensor, "B F"], y_BF: Float[Tensor, "B F"]) -> Float[ndarray, " F"]:
    """Spearman's, of each column; NaN where there are fewer than two values, or all are equal on one side."""
    from scipy.stats import rankdata

    if len(x_BF) < 2:
        return np.full(x_BF.shape[1], np.nan)
    ranks = (rankdata(values_BF.numpy(), axis=0) for values_BF in (x_BF, y_BF))
    x_BF, y_BF = (rank_BF - rank_BF.mean(0) for rank_BF in ranks)
    with np.errstate(invalid="ignore"):
        return (x_BF * y_BF).sum(0) / np.sqrt((x_BF**2).sum(0) * (y_BF**2).sum(0))


def rank_correlation(x_B: Float[Tensor, " B"], y_B: Float[Tensor, " B"]) -> float | None:
    """The same of two series; None for NaN."""
    (correlation,) = rank_correlations(x_B[:, None], y_B[:, None])
    return None if np.isnan(correlation) else float(correlation)


def is_due(step: int, every: int) -> bool:
    """Whether a monitor that measures every so many steps does so at this one."""
    return step % every == 0
