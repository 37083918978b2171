"""Logistic regression: its optimum, its prior, and its calibration."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.readouts import fit_logistic


def data(n: int = 60, width: int = 3, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    x_BF = torch.randn(n, width, generator=generator, dtype=torch.float64)
    noise_B = torch.randn(n, generator=generator, dtype=torch.float64)
    return x_BF, x_BF[:, 0] + noise_B > 0


def penalized_loss(weights_G, x_BF, y_B, ridge):
    logits_B = x_BF @ weights_G[:-1] + weights_G[-1]
    return (
        torch.nn.functional.binary_cross_entropy_with_logits(logits_B, y_B.double(), reduction="sum")
        + ridge / 2 * (weights_G[:-1] ** 2).sum()
    )


@pytest.mark.parametrize(("n", "width"), [(60, 3), (12, 40)])
def test_the_fit_is_the_least_penalized_loss_also_with_more_columns_than_texts(n, width):
    x_BF, y_B = data(n, width)
    fit = fit_logistic(x_BF, y_B, ridge=0.7)
    z_BF = fit.standardize(x_BF)
    at_G = torch.cat([fit.weight_F, fit.bias[None]]).requires_grad_()
    (gradient_G,) = torch.autograd.grad(penalized_loss(at_G, z_BF, y_B, 0.7), at_G)
    assert gradient_G.abs().max() < 1e-5


def test_without_columns_that_vary_the_probability_is_the_share_that_is_valid():
    y_B = torch.tensor([True, False, False, False])
    fit = fit_logistic(torch.full((4, 2), 3.0), y_B)
    assert fit.log_odds(torch.full((1, 2), 3.0)).sigmoid().item() == pytest.approx(0.25, abs=1e-6)
    assert fit.log_odds(torch.full((1, 2), 99.0)).sigmoid().item() == pytest.approx(0.25, abs=1e-6)


def test_the_mean_probability_is_the_share_that_is_valid():
    x_BF, y_B = data()
    assert float(fit_logistic(x_BF, y_B).log_odds(x_BF).sigmoid().mean()) == pytest.approx(float(y_B.double().mean()))


def test_another_base_rate_shifts_the_odds_and_nothing_else():
    x_BF, y_B = data()
    fit = fit_logistic(x_BF, y_B)
    shifted = fit.with_base_rate(0.5, 0.01)
    moved_B = shifted.log_odds(x_BF) - fit.log_odds(x_BF)
    assert torch.allclose(moved_B, torch.tensor(math.log(0.01 / 0.99)).double())


def test_a_text_that_counts_three_times_is_three_texts():
    x_BF, y_B = data(20)
    weight_B = torch.ones(20).index_fill(0, torch.tensor([4]), 3.0)
    thrice = [*range(20), 4, 4]
    weighted = fit_logistic(x_BF, y_B, weight_B=weight_B)
    repeated = fit_logistic(x_BF[thrice], y_B[thrice])
    # the two differ in how columns are standardized, and in nothing else
    assert torch.allclose(weighted.log_odds(x_BF).sign(), repeated.log_odds(x_BF).sign())
    assert float((weighted.log_odds(x_BF) - repeated.log_odds(x_BF)).abs().max()) < 0.3


def test_a_source_of_a_thousand_columns_has_the_same_say_as_one_of_one():
    """The prior variance of the log-odds is the same for both, where their columns are independent."""
    x_BF, y_B = data(400, 200)
    scale_F = torch.cat([torch.ones(1), torch.full((199,), 199**-0.5)])
    alone = fit_logistic(x_BF[:, :1], y_B)
    both, unscaled = fit_logistic(x_BF, y_B, scale_F=scale_F, ridge=10.0), fit_logistic(x_BF, y_B, ridge=10.0)
    assert both.weight_F[1:].abs().max() < 0.2 < both.weight_F[0] < alone.weight_F[0] * 2
    assert both.weight_F[1:].norm() < unscaled.weight_F[1:].norm() / 3


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(1, 40), st.integers(0, 10**6))
def test_any_data_of_both_kinds_is_fitted_with_finite_numbers(n, width, seed):
    x_BF, y_B = data(n, width, seed)
    y_B[0], y_B[1] = True, False
    x_BF[:, 0] *= 1e6
    fit = fit_logistic(x_BF, y_B)
    assert fit.log_odds(x_BF).isfinite().all()


def test_columns_that_never_vary_change_nothing_and_cost_nothing(monkeypatch):
    x_BF, y_B = data(60, 3)
    padded_BF = torch.full((60, 500), 7.0, dtype=torch.float64)
    padded_BF[:, [3, 100, 499]] = x_BF
    plain, sizes = fit_logistic(x_BF, y_B), []
    cholesky = torch.linalg.cholesky_ex
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda a: (sizes.append(len(a)), cholesky(a))[1])
    padded = fit_logistic(padded_BF, y_B)
    assert set(sizes) == {4}, "three numbers that vary, and the bias"
    assert torch.allclose(padded.weight_F[[3, 100, 499]], plain.weight_F, rtol=1e-12)
    assert int((padded.weight_F != 0).sum()) == 3
    assert torch.allclose(padded.log_odds(padded_BF), plain.log_odds(x_BF), rtol=1e-10)
