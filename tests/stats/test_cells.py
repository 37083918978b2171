"""Changes by cell: solved by hand, and unaffected by the selection of problems.

The world of most tests: 64 problems, 4 rollouts of each at both checkpoints. The harder half is valid 1 time in 10
before and 6 in 10 later, the easier half 90 and 95 in 100. Latents are three times stronger on the harder half, the
same at both checkpoints. Valid rollouts come from the harder problems more often later.
"""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.stats import (
    ActiveSums,
    ChangeEstimates,
    PromptSums,
    benjamini_hochberg,
    estimate_active_changes,
    estimate_changes,
    last_minus_first,
    match_cells,
    slope_weights,
)
from interp.stats.cells import overlap_weights

PROBLEMS, LATENTS = 64, 400
EASIER, HARDER = (0.9, 0.95), (0.1, 0.6)
"""Share of valid rollouts on the easier and the harder half, before and later."""


def world(
    seed: int,
    *,
    easier: tuple[float, ...] = EASIER,
    harder: tuple[float, ...] = HARDER,
    rollouts: int = 4,
    latents: int = LATENTS,
    lengths: tuple[int, int] = (20, 40),
    once: bool = False,
    growth: float = 1.0,
    spread: float = 0.2,
) -> ActiveSums:
    """Sums by checkpoint, outcome, problem and latent. `once`: every latent is active at one token of each rollout,
    whatever its length. `growth`: factor of all activations at the last checkpoint."""
    rng, checkpoints = np.random.default_rng(seed), len(easier)
    is_harder_P = np.arange(PROBLEMS) >= PROBLEMS // 2
    own_PF = rng.uniform(0.5, 1.5, latents) * rng.lognormal(0, spread, (PROBLEMS, latents))
    own_PF *= np.where(is_harder_P, 3, 1)[:, None]
    shape = (checkpoints, 2, PROBLEMS)
    mass, active, tokens = np.zeros((*shape, latents)), np.zeros((*shape, latents)), np.zeros(shape)
    for t, _ in np.ndindex(checkpoints, rollouts):
        valid_P = (rng.random(PROBLEMS) < np.where(is_harder_P, harder[t], easier[t])).astype(int)
        length_P = rng.integers(lengths[0], lengths[1] + 1, PROBLEMS)
        fired_PF = np.ones((PROBLEMS, latents)) if once else rng.binomial(length_P[:, None], 0.4, (PROBLEMS, latents))
        height_PF = own_PF * rng.lognormal(0, spread, (PROBLEMS, latents)) * (growth if t == checkpoints - 1 else 1)
        place = (t, valid_P, np.arange(PROBLEMS))
        tokens[place] += length_P
        active[place] += fired_PF
        mass[place] += fired_PF * height_PF
    return ActiveSums(*(torch.from_numpy(part).float() for part in (mass, tokens, active)))


def pooled(sums: ActiveSums) -> ActiveSums:
    """The sums over all strata as one: no matching."""
    return ActiveSums(*(part.sum(1, keepdim=True) for part in (sums.amount_TSPF, sums.tokens_TSP, sums.active_TSPF)))


def strengthened(change: ChangeEstimates) -> int:
    """Number of latents that rise at a false-discovery rate of 0.05, by more than a fifth."""
    reach_F = np.maximum(np.abs(change.low_F), np.abs(change.high_F))
    return int(((benjamini_hochberg(change.p_F) <= 0.05) & (change.value_F > 0) & ~unchanged(change, reach_F)).sum())


def unchanged(change: ChangeEstimates, reach_F: np.ndarray | None = None) -> np.ndarray:
    """Whether the whole interval of each latent is within a fifth of its base value."""
    reach_F = np.maximum(np.abs(change.low_F), np.abs(change.high_F)) if reach_F is None else reach_F
    return reach_F <= 0.2 * np.abs(change.ratio_TF[0])


# --- by hand -------------------------------------------------------------------------------------------------------


def test_between_two_checkpoints_the_change_is_the_mantel_haenszel_rate_difference():
    """Cells of (amount, tokens), before and after: (2, 10) and (9, 30); (4, 20) and (3, 5); one that is gone later.
    Numerator: (9 * 10 - 2 * 30) / 40 + (3 * 20 - 4 * 5) / 25 = 2.35; denominator 300 / 40 + 100 / 25 = 11.5."""
    amount = torch.tensor([[[2.0, 4], [7, 0]], [[9, 3], [0, 0]]])[..., None]
    tokens = torch.tensor([[[10.0, 20], [30, 0]], [[30, 5], [0, 0]]])
    result = estimate_changes(PromptSums(amount, tokens), last_minus_first(2), by_cell=True)
    assert result.value_F == pytest.approx([2.35 / 11.5])
    assert result.ratio_TF[:, 0] == pytest.approx([(7.5 * 0.2 + 4 * 0.2) / 11.5, (7.5 * 0.3 + 4 * 0.6) / 11.5])
    assert result.common == pytest.approx(30 / 60) and result.prompts == 2


def test_overlap_weights_are_half_the_harmonic_mean_of_the_token_counts():
    assert overlap_weights(torch.tensor([[10.0, 4.0, 3.0, 0.0], [10.0, 1e9, 0.0, 0.0]])).tolist() == [5, 4, 0, 0]
    assert overlap_weights(torch.tensor([[6.0], [3.0], [2.0]])).tolist() == [1]


def test_if_rollouts_of_a_cell_are_shuffled_the_expected_change_is_exactly_zero():
    """Five rollouts of (amount, length), two of them before and three later, in every order."""
    rollouts = [(1.0, 5.0), (1.0, 60.0), (4.0, 20.0), (0.0, 30.0), (1.0, 7.0)]
    changes, by_base_tokens = [], []
    for order in permutations(rollouts):
        (a0, n0), (a1, n1) = ([sum(part) for part in zip(*some, strict=True)] for some in (order[:2], order[2:]))
        amounts, tokens, *_ = match_cells(
            torch.tensor([a0, a1])[:, None, None, None], torch.tensor([n0, n1])[:, None, None], [0, 1]
        )
        changes.append(float(amounts[1] - amounts[0]))
        assert tokens[0] == tokens[1] == pytest.approx(n0 * n1 / (n0 + n1))
        by_base_tokens.append(n0 * (a1 / n1 - a0 / n0))
    assert np.mean(changes) == pytest.approx(0, abs=1e-6)
    assert np.mean(by_base_tokens) > 0.1, "weights by the base's tokens are biased"


def test_a_change_in_the_mix_of_cells_alone_is_no_change():
    """Two problems and two outcomes, each cell with its own strength; ten copies, so that there is an interval."""
    strength = np.array([[0.1, 0.5], [0.3, 0.9]])
    tokens = np.tile(np.array([[[30, 10], [10, 40]], [[10, 40], [30, 5]]]), (1, 1, 10)).astype(float)
    amount = tokens * np.tile(strength, (1, 10))
    result = estimate_changes(
        PromptSums(torch.from_numpy(amount).float()[..., None], torch.from_numpy(tokens).float()),
        last_minus_first(2),
        by_cell=True,
    )
    assert result.value_F == pytest.approx([0], abs=1e-7) and result.common == 1 and result.prompts == 20


def test_without_a_shared_cell_there_is_no_interval():
    tokens = torch.zeros(2, 2, 16)
    tokens[0, 0], tokens[1, 1] = 5, 5
    result = estimate_changes(PromptSums(tokens[..., None] * 0.2, tokens), last_minus_first(2), by_cell=True)
    assert result.common == 0 and result.prompts == 0 and np.isnan([result.low_F, result.high_F, result.p_F]).all()


def test_with_less_than_half_of_the_base_tokens_in_common_there_is_no_interval():
    tokens = torch.full((2, 2, 16), 5.0)
    tokens[0, 1] = 6
    tokens[1, 1] = 0
    result = estimate_changes(PromptSums(tokens[..., None] * 0.2, tokens), last_minus_first(2), by_cell=True)
    assert result.common == pytest.approx(5 / 11) and np.isnan(result.p_F).all()


def test_a_checkpoint_without_weight_must_share_cells_only_if_it_is_also_compared():
    rng = np.random.default_rng(0)
    tokens = torch.full((3, 2, 16), 5.0)
    tokens[1, 1] = 0
    amount = tokens[..., None] * torch.from_numpy(rng.random((3, 2, 16, 1))).float()
    sums, ends = PromptSums(amount, tokens), last_minus_first(3)
    assert estimate_changes(sums, ends, by_cell=True).common == 1
    assert estimate_changes(sums, ends, by_cell=True, also_compared=(1,)).common == 0.5


def reference(sums: PromptSums, active: Tensor | None, compared: list[int]) -> np.ndarray:
    """Ratio of each checkpoint and latent, cell by cell in plain loops."""
    amount, tokens = sums.amount_TSPF.double().numpy(), sums.tokens_TSP.double().numpy()
    checkpoints, strata, prompts, latents = amount.shape
    result = np.zeros((checkpoints, latents))
    for f in range(latents):
        above, below = np.zeros(checkpoints), 0.0
        for s, p in np.ndindex(strata, prompts):
            n = tokens[:, s, p] if active is None else active.double().numpy()[:, s, p, f]
            if (n[compared] > 0).all():
                weight = 1 / (1 / n[compared]).sum()
                below += weight
                above += [weight * amount[t, s, p, f] / n[t] if n[t] else 0 for t in range(checkpoints)]
        result[:, f] = above / below
    return result


def test_ratios_equal_those_of_a_reference_in_plain_loops():
    sums = world(3, latents=5, easier=(0.9, 0.5, 0.95), harder=(0.1, 0.3, 0.6), rollouts=2)
    for weights_T, compared in ((last_minus_first(3), [0, 2]), (slope_weights(np.array([0, 2, 7])), [0, 1, 2])):
        rate = estimate_changes(sums, weights_T, by_cell=True)
        height = estimate_active_changes(sums, weights_T, by_cell=True)
        expected = reference(sums, None, compared), reference(sums, sums.active_TSPF, compared)
        for change, ratio_TF in zip((rate, height), expected, strict=True):
            assert change.ratio_TF == pytest.approx(ratio_TF, rel=1e-5)
            assert change.value_F == pytest.approx(weights_T @ ratio_TF, abs=1e-5)


# --- latents that do not change ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_newly_solved_problems_change_latents_by_stratum_but_not_by_cell(seed):
    """The simulation that showed matching by outcome alone to be wrong."""
    sums = world(seed)
    estimates = {
        "unmatched": estimate_changes(pooled(sums), last_minus_first(2)),
        "by stratum": estimate_changes(sums, last_minus_first(2)),
        "by cell": estimate_changes(sums, last_minus_first(2), by_cell=True),
        "active, by stratum": estimate_active_changes(sums, last_minus_first(2)),
        "active, by cell": estimate_active_changes(sums, last_minus_first(2), by_cell=True),
    }
    result = {name: strengthened(change) for name, change in estimates.items()}
    assert result["by stratum"] > 100 and result["active, by stratum"] > 100, result
    assert result["unmatched"] == result["by cell"] == result["active, by cell"] == 0, result
    assert unchanged(estimates["unmatched"]).sum() == 400
    assert min(unchanged(estimates[name]).sum() for name in ("by cell", "active, by cell")) >= 399
    drift = {name: float(np.mean(change.value_F / change.ratio_TF[0])) for name, change in estimates.items()}
    assert drift["by stratum"] > 0.1 and abs(drift["by cell"]) < 0.01 and abs(drift["active, by cell"]) < 0.01, drift
    assert 0.8 < estimates["by cell"].common < 0.95


CASES = {
    "as in the other tests": {},
    "once in each rollout, of different lengths": {"once": True, "lengths": (10, 60)},
    "many rollouts": {"rollouts": 16},
    "a policy that moved far": {"easier": (0.5, 0.97), "harder": (0.05, 0.5)},
    "three checkpoints": {"easier": (0.9, 0.93, 0.95), "harder": (0.1, 0.3, 0.6)},
}


@pytest.mark.parametrize("name", CASES)
def test_p_values_by_cell_are_uniform_if_nothing_changed(name):
    """40 worlds of 40 latents: 1 in 20 below 0.05, hardly any below 0.001."""
    p = {"rate": [], "active": []}
    for seed in range(40):
        sums = world(100 + seed, latents=40, **CASES[name])
        checkpoints = len(sums.tokens_TSP)
        weights_T = slope_weights(np.array([0, 3, 10])) if checkpoints == 3 else last_minus_first(2)
        p["rate"].append(estimate_changes(sums, weights_T, by_cell=True, seed=seed).p_F)
        p["active"].append(estimate_active_changes(sums, weights_T, by_cell=True, seed=seed).p_F)
    for kind, values in p.items():
        p_X = np.concatenate(values)
        assert 0.02 < np.mean(p_X < 0.05) < 0.08 and np.mean(p_X < 0.001) < 0.004, (kind, np.mean(p_X < 0.05))


def test_a_real_change_is_found_by_cell_at_its_true_size():
    """All latents are a third stronger at the second checkpoint, on every problem."""
    sums = world(7, growth=4 / 3)
    for estimate in (estimate_changes, estimate_active_changes):
        change = estimate(sums, last_minus_first(2), by_cell=True)
        assert strengthened(change) >= 390
        assert np.mean(change.value_F / change.ratio_TF[0]) == pytest.approx(1 / 3, abs=0.03)
