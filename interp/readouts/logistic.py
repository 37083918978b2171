"""Logistic regression with a ridge penalty: the log-odds that a text is valid, from numbers read off it.

    log-odds = bias + sum_f weight_f (x_f - mean_f) / std_f * scale_f

`scale` divides the columns of a source by the square root of their number. Under one penalty, each source then has the
same say before the first label is seen: a thousand latents cannot drown two numbers of likelihood.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MAX_STEPS = 60
TOLERANCE = 1e-5
"""A step from which less is expected is the last one. What is left after it is about its square."""
MIN_STD = 1e-6
"""Columns that vary less than this are left out."""
MIN_HALF = 64
"""Columns of a product from which on it is made in halves."""


@dataclass(frozen=True)
class Logistic:
    """A fitted regression, in float64."""

    mean_F: Float[Tensor, " F"]
    std_F: Float[Tensor, " F"]
    """Infinite for columns that did not vary."""
    weight_F: Float[Tensor, " F"]
    bias: Float[Tensor, ""]

    def standardize(self, x_BF: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        return (x_BF.double() - self.mean_F) / self.std_F

    def log_odds(self, x_BF: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
        """NaN where a number is NaN."""
        return self.standardize(x_BF) @ self.weight_F + self.bias

    def with_base_rate(self, fitted_on: float, base_rate: float) -> "Logistic":
        """For texts of which another share is valid than of those it was fitted on."""
        shift = torch.logit(torch.tensor(base_rate).double()) - torch.logit(torch.tensor(fitted_on).double())
        return Logistic(self.mean_F, self.std_F, self.weight_F, self.bias + shift)


def fit_logistic(
    x_BF: Float[Tensor, "B F"],
    is_valid_B: Bool[Tensor, " B"],
    *,
    scale_F: Float[Tensor, " F"] | None = None,
    ridge: float = 1.0,
    weight_B: Float[Tensor, " B"] | None = None,
) -> Logistic:
    """The regression of least `sum_b weight_b loss_b + ridge / 2 |weights|^2`. Texts of both kinds are needed."""
    x_BF, y_B = x_BF.double(), is_valid_B.double()
    weight_B = torch.ones_like(y_B) if weight_B is None else weight_B.double()
    scale_F = torch.ones_like(x_BF[0]) if scale_F is None else scale_F.double()
    differs_F = (x_BF != x_BF[:1]).any(0)  # of a thousand latents few are ever active where they are read
    x_BV = x_BF[:, differs_F]
    mean_V = x_BV.mean(0)
    std_V = x_BV.std(0, correction=0) if len(mean_V) else mean_V
    std_V = torch.where(std_V > MIN_STD, std_V, torch.inf)
    z_BV = (x_BV - mean_V) / std_V * scale_F[differs_F]
    in_span = len(z_BV) < z_BV.shape[1]  # then the weights lie in the span of the rows
    weight_V, bias = (_fit_in_span if in_span else _newton)(z_BV, y_B, weight_B, ridge)
    mean_F = x_BF[0].masked_scatter(differs_F, mean_V)
    std_F = torch.full_like(mean_F, torch.inf).masked_scatter(differs_F, std_V)
    weight_F = torch.zeros_like(mean_F).masked_scatter(differs_F, weight_V)
    return Logistic(mean_F, std_F, weight_F * scale_F, bias)


def _fit_in_span(z_BF: Tensor, y_B: Tensor, weight_B: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The same fit in as many coordinates as there are rows, from the products of rows alone."""
    squares_R, axes_BR = torch.linalg.eigh(z_BF @ z_BF.T)
    singular_R = squares_R.clamp(min=0).sqrt()
    is_used_R = singular_R > 1e-9 * singular_R.max()
    axes_BR, singular_R = axes_BR[:, is_used_R], singular_R[is_used_R]
    weight_R, bias = _newton(axes_BR * singular_R, y_B, weight_B, ridge)
    return z_BF.T @ (axes_BR @ (weight_R / singular_R)), bias


def _newton(z_BF: Tensor, y_B: Tensor, weight_B: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Weights and bias, by Newton's method with halved steps. The bias has no penalty."""
    design_BG = torch.cat([z_BF, torch.ones(len(z_BF), 1, dtype=z_BF.dtype)], 1)
    penalty_G = torch.full((design_BG.shape[1],), ridge, dtype=z_BF.dtype)
    penalty_G[-1] = 1e-9
    share = float((weight_B * y_B).sum() / weight_B.sum())
    theta_G = torch.zeros_like(penalty_G)
    theta_G[-1] = torch.logit(torch.tensor(share, dtype=z_BF.dtype), eps=1e-6)

    def loss(theta_G: Tensor) -> Tensor:
        logits_B = design_BG @ theta_G
        terms_B = torch.nn.functional.binary_cross_entropy_with_logits(logits_B, y_B, reduction="none")
        return (weight_B * terms_B).sum() + (penalty_G * theta_G**2).sum() / 2

    for _ in range(MAX_STEPS):
        p_B = (design_BG @ theta_G).sigmoid()
        gradient_G = design_BG.T @ (weight_B * (p_B - y_B)) + penalty_G * theta_G
        curvature_B = weight_B * (p_B * (1 - p_B)).clamp(min=1e-9)
        hessian_GG = _gram(design_BG * curvature_B.sqrt()[:, None]) + penalty_G.diag()
        step_G, before = _solve(hessian_GG, gradient_G), loss(theta_G)
        size = 1.0
        while loss(theta_G - size * step_G) > before and size > 1e-6:
            size /= 2
        theta_G = theta_G - size * step_G
        if float((gradient_G * step_G).sum()) < TOLERANCE:
            break
    return theta_G[:-1], theta_G[-1]


def _gram(x_BG: Tensor) -> Tensor:
    """x^T x. Of a large one, each product of two halves is made once."""
    n = x_BG.shape[1] // 2
    if n < MIN_HALF:
        return x_BG.T @ x_BG
    first_Bn, second_Bm = x_BG[:, :n], x_BG[:, n:]
    product_nm = first_Bn.T @ second_Bm
    return torch.cat([torch.cat([_gram(first_Bn), product_nm], 1), torch.cat([product_nm.T, _gram(second_Bm)], 1)])


def _solve(hessian_GG: Tensor, gradient_G: Tensor) -> Tensor:
    factor_GG, info = torch.linalg.cholesky_ex(hessian_GG)
    if int(info):  # the penalty is lost in rounding
        return torch.linalg.solve(hessian_GG, gradient_G)
    return torch.cholesky_solve(gradient_G[:, None], factor_GG)[:, 0]
