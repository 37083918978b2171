"""Logistic regression of several binary labels on the same columns, all at once:

    minimise over W, b   sum over labels c of  mean_n BCE(x_n W_c + b_c, on_nc) + l2 / 2 ||W_c||^2

by L-BFGS from zero, on all rows at once. The problem is convex and the solver deterministic, so the same rows give the
same result. The gradient is written out, so that it also runs within `torch.inference_mode`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

STEPS = 100


def fit_logistic(
    x_NK: Float[Tensor, "N K"], on_NC: Bool[Tensor, "N C"], l2: float
) -> tuple[Float[Tensor, "K C"], Float[Tensor, " C"]]:
    """Weights and biases, in the precision of `x_NK`. Standardize the columns first: one penalty holds for all."""
    y_NC = on_NC.to(x_NK.dtype)
    theta_LC = x_NK.new_zeros(x_NK.shape[1] + 1, on_NC.shape[1])  # the last row is the bias
    solver = torch.optim.LBFGS(
        [theta_LC], max_iter=STEPS, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        weight_KC = theta_LC[:-1]
        logit_NC = x_NK @ weight_KC + theta_LC[-1]
        grad_NC = (logit_NC.sigmoid() - y_NC) / len(x_NK)
        theta_LC.grad = torch.cat([x_NK.T @ grad_NC + l2 * weight_KC, grad_NC.sum(0, keepdim=True)])
        bce = F.binary_cross_entropy_with_logits(logit_NC, y_NC, reduction="sum") / len(x_NK)
        return bce + l2 / 2 * weight_KC.square().sum()

    solver.step(closure)  # pyright: ignore[reportArgumentType]
    return theta_LC[:-1], theta_LC[-1]
