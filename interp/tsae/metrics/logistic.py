"""Logistic regression of several yes-or-no questions on the same columns, all at once:

    minimise over W, b the sum over questions of  mean_n BCE(x_n W + b, on_n) + l2 / 2 ||W||^2

by L-BFGS from zero, on all rows at once: convex and without chance, so that the same rows give the same answer. The
gradient is written out, that it can be fitted within `torch.inference_mode` as well.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

STEPS = 100


def fit_logistic(
    x_NK: Float[Tensor, "N K"], on_NC: Bool[Tensor, "N C"], l2: float
) -> tuple[Float[Tensor, "K C"], Float[Tensor, " C"]]:
    """Weights and biases, in the precision of `x_NK`. The columns should be standardised: the penalty treats all
    alike."""
    y_NC = on_NC.to(x_NK.dtype)
    theta_LC = x_NK.new_zeros(x_NK.shape[1] + 1, on_NC.shape[1])  # the last row is the bias
    solver = torch.optim.LBFGS(
        [theta_LC], max_iter=STEPS, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        weight_KC = theta_LC[:-1]
        logit_NC = x_NK @ weight_KC + theta_LC[-1]
        off_NC = (logit_NC.sigmoid() - y_NC) / len(x_NK)
        theta_LC.grad = torch.cat([x_NK.T @ off_NC + l2 * weight_KC, off_NC.sum(0, keepdim=True)])
        told = F.binary_cross_entropy_with_logits(logit_NC, y_NC, reduction="sum") / len(x_NK)
        return told + l2 / 2 * weight_KC.square().sum()

    solver.step(loss)  # pyright: ignore[reportArgumentType]
    return theta_LC[:-1], theta_LC[-1]
