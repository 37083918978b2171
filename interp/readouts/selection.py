"""A few numbers out of many: those that together tell valid answers from lucky ones.

Few latents can be looked at one by one. As many random directions, chosen in the same way, are their control.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.policy.policy import Policy
from interp.readouts.columns import label_rollouts
from interp.readouts.logistic import Logistic, fit_logistic
from interp.readouts.sources import Latents, Source
from interp.rollouts.record import Rollout


def choose_columns(
    x_BF: Float[Tensor, "B F"],
    is_valid_B: Bool[Tensor, " B"],
    n: int,
    *,
    beside_BG: Float[Tensor, "B G"] | None = None,
    ridge: float = 0.1,
) -> list[int]:
    """The `n` columns that go best with validity together, the best first; fewer if fewer vary.

    One is added at a time: the column most correlated with what a regression on those before, and on the columns that
    stand `beside` them, leaves unexplained."""
    x_BF = x_BF.double()
    beside_BG = x_BF[:, :0] if beside_BG is None else beside_BG.double()
    varies_F = (x_BF != x_BF[:1]).any(0)
    z_BF = torch.where(varies_F, (x_BF - x_BF.mean(0)) / x_BF.std(0, correction=0), 0.0)
    chosen: list[int] = []
    for _ in range(min(n, int(varies_F.sum()))):
        fit = fit_beside(x_BF[:, chosen], beside_BG, is_valid_B, ridge)
        p_B = fit.log_odds(torch.cat([beside_BG, x_BF[:, chosen]], 1)).sigmoid()
        size_F = (z_BF.T @ (is_valid_B.double() - p_B)).abs().masked_fill(~varies_F, -1.0)
        size_F[chosen] = -1.0
        chosen.append(int(size_F.argmax()))
    return chosen


def fit_beside(
    x_BF: Float[Tensor, "B F"], beside_BG: Float[Tensor, "B G"], is_valid_B: Bool[Tensor, " B"], ridge: float
) -> Logistic:
    """The regression of validity on `beside` and `x`, in this order. Each of the two has the same say."""
    widths = (beside_BG.shape[1], x_BF.shape[1])
    scale_F = torch.cat([torch.full((width,), max(width, 1) ** -0.5) for width in widths])
    return fit_logistic(torch.cat([beside_BG, x_BF], 1), is_valid_B, scale_F=scale_F, ridge=ridge)


def choose_latents(
    source: Latents, reader: Policy, rollouts: Sequence[Rollout], n: int, *, beside: Sequence[Source] = ()
) -> list[int]:
    """The `n` latents that best tell valid rollouts from the others, beside other sources.

    `replace(source, tsae=source.tsae.select_latents(chosen))` reads them alone."""
    labels = label_rollouts([*beside, source], reader, rollouts)
    if not labels.has_both_kinds:
        raise BadInput(
            f"expected rollouts that can be read, valid ones and others; got {int(labels.is_valid_A.sum())} valid of "
            f"{len(labels)}: use more rollouts, or add `lucky_edits`"
        )
    others, own = labels.columns.split(len(beside))
    return choose_columns(own.x_BF, labels.is_valid_A, n, beside_BG=others.x_BF)
