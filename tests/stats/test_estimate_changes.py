"""Changes by stratum: against a reference in plain loops, and against recorded values."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import linregress
from scipy.stats import t as student

from interp.artifacts import BadInput
from interp.stats import (
    ActiveSums,
    ChangeEstimates,
    PromptSums,
    benjamini_hochberg,
    estimate_active_changes,
    estimate_changes,
    last_minus_first,
    resampled_prompts,
    slope_weights,
    student_interval_from_spread,
    when_active,
)

FIELDS = ("ratio_TF", "value_F", "low_F", "high_F", "p_F")


def random_sums(rng: np.random.Generator, strata: int, latents: int = 6, prompts: int = 24) -> ActiveSums:
    """Three checkpoints. The rarer the latent, the more draws in which it is never active."""
    often_F = np.linspace(0.25 if strata == 1 else 0.45, 0.9, latents)
    active = rng.poisson(3, (3, strata, prompts, latents)) * (rng.random((3, strata, prompts, latents)) < often_F)
    mass, tokens = active * rng.lognormal(0, 0.4, active.shape), rng.integers(5, 40, active.shape[:3])
    return ActiveSums(*(torch.from_numpy(part).float() for part in (mass, tokens, active)))


def in_plain_loops(sums: ActiveSums, weights: list[float], draws_BP: np.ndarray, *, when_active: bool) -> list[Any]:
    """Draw by draw and latent by latent: change, interval, p-value."""
    mass, tokens, active = (part.double().numpy() for part in (sums.amount_TSPF, sums.tokens_TSP, sums.active_TSPF))
    _, strata, prompts, latents = mass.shape
    compared, result = [0, *(t for t in range(1, 3) if weights[t])], []
    for f in range(latents):
        count = active[..., f] if when_active else tokens
        fewest = [min(int((count[t, s] > 0).sum()) for t in compared) for s in range(strata)]
        common = [s for s in range(strata) if fewest[s] >= (8 if strata > 1 else 1)]

        def change(times: np.ndarray, f: int = f, count: np.ndarray = count, common: list[int] = common) -> float:
            mix = [times @ count[0, s] for s in common]
            change = 0.0
            for t in range(3):
                parts = [(times @ mass[t, s, :, f], times @ count[t, s]) for s in common]
                if weights[t] and (not common or any(below == 0 for _, below in parts)):
                    return math.nan
                if weights[t]:
                    ratio = sum(m * above / below for m, (above, below) in zip(mix, parts, strict=True)) / sum(mix)
                    change += weights[t] * ratio
            return change

        value, n = change(np.ones(prompts)), min((fewest[s] for s in common), default=0)
        draws = np.array([draw for draw in map(change, draws_BP) if not math.isnan(draw)])
        base = sum(count[0, s].sum() for s in common) / count[0].sum()
        if n < (5 if when_active else 8) or base < 0.5:
            result.append((value, math.nan, math.nan, math.nan))
            continue
        spread = draws.std(ddof=1) * math.sqrt(n / (n - 1))
        reach = student.ppf(0.975, n - 1) * spread
        result.append((value, value - reach, value + reach, 2 * student.sf(abs(value) / spread, n - 1)))
    return result


@pytest.mark.parametrize("is_active", [False, True])
@pytest.mark.parametrize("strata", [1, 3])
@pytest.mark.parametrize("over", ["end", "slope"])
def test_changes_by_stratum_equal_those_of_a_reference_in_plain_loops(strata, over, is_active):
    sums = random_sums(np.random.default_rng(strata), strata)
    weights_T = last_minus_first(3) if over == "end" else slope_weights(np.array([0, 10, 40]))
    estimate = estimate_active_changes if is_active else estimate_changes
    result = estimate(sums, weights_T, draws=40, seed=3)
    draws_BP = resampled_prompts(24, 40, 3).double().numpy()
    expected = in_plain_loops(sums, weights_T.tolist(), draws_BP, when_active=is_active)
    for place, name in enumerate(("value_F", "low_F", "high_F", "p_F")):
        column = [row[place] for row in expected]
        assert getattr(result, name) == pytest.approx(column, rel=2e-4, abs=2e-6, nan_ok=True), name
    assert not np.isnan(result.p_F).all()


EARLIER = {
    ("rate", 1): [[0.004670582711696625, 0.000682927668094635], [-0.028965233036826882, -0.03349418142636001],
                  [0.03830639846022013, 0.03486003676254928], [0.7764941641217632, 0.9673848097826203]],
    ("active", 1): [[-0.03630053997039795, 0.007697641849517822], [-0.2511660851357989, -0.14829489693605674],
                    [0.178565005195003, 0.16369018063509239], [0.7249137654281289, 0.9188208756462992]],
    ("rate", 3): [[-0.004135973751544952, 0.00011505186557769775], [-0.0291604499265144, -0.019468930757015966],
                  [0.020888502423424497, 0.01969903448817136], [0.7355291390608821, 0.9904083999021622]],
    ("active", 3): [[0.022631943225860596, -0.02865368127822876], [-0.130296431554234, -0.15070325198202197],
                    [0.1755603180059552, 0.09339588942556445], [0.757782414240122, 0.6267135015041986]],
}  # fmt: skip
"""Recorded value, low, high and p of two latents."""


@pytest.mark.parametrize(("kind", "strata"), EARLIER)
def test_changes_by_stratum_equal_recorded_values(kind, strata):
    """Equal up to the rounding of a matrix product, which differs between machines."""
    rng, shape = np.random.default_rng(strata), (3, strata, 24, 2)
    active = rng.integers(0, 6, shape)
    mass, tokens = active * rng.integers(1, 9, shape) / 8, rng.integers(6, 40, shape[:3])
    sums = ActiveSums(*(torch.from_numpy(part).float() for part in (mass, tokens, active)))
    estimate = estimate_active_changes if kind == "active" else estimate_changes
    result = estimate(sums, np.array([0.0, -1, 1]), seed=1)
    for name, expected in zip(("value_F", "low_F", "high_F", "p_F"), EARLIER[kind, strata], strict=True):
        assert getattr(result, name) == pytest.approx(expected, rel=1e-4, abs=1e-7), name


def test_the_number_of_latents_per_chunk_does_not_matter(monkeypatch):
    sums = random_sums(np.random.default_rng(5), 2, latents=7)
    for by_cell in (False, True):
        whole = estimate_active_changes(sums, last_minus_first(3), by_cell=by_cell)
        with monkeypatch.context() as patch:
            patch.setattr(when_active, "LATENTS_AT_ONCE", 3)
            parts = estimate_active_changes(sums, last_minus_first(3), by_cell=by_cell)
        for name in FIELDS:
            assert getattr(parts, name) == pytest.approx(getattr(whole, name), nan_ok=True)


def test_a_slope_is_the_rise_of_the_least_squares_line():
    steps, values = np.array([0, 10, 40]), np.array([0.2, 0.1, 0.6])
    assert slope_weights(steps) @ values == pytest.approx(linregress(steps, values).slope * 40)
    assert slope_weights(np.array([0, 7])) == pytest.approx(last_minus_first(2))
    for weights in (lambda: last_minus_first(1), lambda: slope_weights(np.array([3]))):
        with pytest.raises(BadInput, match="expected two at least, got 1"):
            weights()


def test_without_spread_the_p_value_is_0_or_1():
    low, high, p = student_interval_from_spread(np.array([0.3, 0.0]), np.array([0.0, 0.0]), 9)
    assert p.tolist() == [0.0, 1.0] and low.tolist() == high.tolist() == [0.3, 0.0]


def test_with_few_or_no_prompts_there_is_no_interval():
    few = PromptSums(torch.ones(2, 1, 7, 3), torch.full((2, 1, 7), 10.0))
    result = estimate_changes(few, last_minus_first(2))
    assert result.prompts == 7 and np.isnan([result.low_F, result.high_F, result.p_F]).all()
    none = ActiveSums(torch.zeros(2, 1, 0, 3), torch.zeros(2, 1, 0), torch.zeros(2, 1, 0, 3))
    for by_cell in (False, True):
        for estimate in (estimate_changes, estimate_active_changes):
            assert np.isnan(estimate(none, last_minus_first(2), by_cell=by_cell).p_F).all()


def test_the_change_when_active_is_nan_and_not_zero_for_a_latent_that_is_inactive_at_one_checkpoint():
    active = torch.ones(2, 1, 10, 2)
    active[1, ..., 0] = 0
    sums = ActiveSums(active * 2, torch.full((2, 1, 10), 20.0), active)
    for by_cell in (False, True):
        result = estimate_active_changes(sums, last_minus_first(2), by_cell=by_cell)
        assert np.isnan(result.value_F).tolist() == np.isnan(result.p_F).tolist() == [True, False]


@pytest.mark.parametrize("by_cell", [False, True])
@pytest.mark.parametrize("prompts", [5, 8, 24, 64])
def test_p_values_when_active_are_calibrated_for_rare_latents(prompts, by_cell):
    """1,000 latents that do not change and are active at `prompts` of 64 prompts."""
    rng = np.random.default_rng(prompts)
    active = np.zeros((2, 1, 64, 1000))
    for latent in range(1000):
        active[:, 0, rng.choice(64, prompts, replace=False), latent] = rng.poisson(4, (2, prompts)) + 1
    mass = active * rng.lognormal(0, 0.5, (64, 1000)) * rng.lognormal(0, 0.5, active.shape)
    sums = ActiveSums(torch.from_numpy(mass).float(), torch.full((2, 1, 64), 100.0), torch.from_numpy(active).float())
    p_F = estimate_active_changes(sums, last_minus_first(2), by_cell=by_cell).p_F
    assert np.mean(p_F < 0.05) < 0.07 and np.mean(p_F < 0.001) < 0.004


def test_intervals_of_changes_are_calibrated_and_the_correction_finds_nothing():
    """2,000 latents that do not change."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(5, 20, (2, 1, 48))
    amount = rng.poisson(tokens[..., None] * rng.random((48, 2000)) * 0.3)
    sums = PromptSums(torch.from_numpy(amount).float(), torch.from_numpy(tokens).float())
    for by_cell in (False, True):
        result: ChangeEstimates = estimate_changes(sums, last_minus_first(2), by_cell=by_cell)
        missed_shares = (result.low_F > 0) | (result.high_F < 0)
        assert 0.03 < missed_shares.mean() < 0.08 and (benjamini_hochberg(result.p_F) <= 0.05).mean() < 0.005
