"""Coverage of 95% intervals: every method on every shape, by simulation.

Coverage of the mean over n seeds, 4,000 samples each, computed anew by the first test below.

| shape                  | n | percentile | Student | clustered | bounded |
|------------------------|---|------------|---------|-----------|---------|
| normal                 | 3 |       0.74 |    0.95 |           |    1.00 |
| normal                 | 5 |       0.84 |    0.96 |           |    1.00 |
| normal                 | 8 |       0.89 |    0.96 |           |    1.00 |
| one in five at 0.8     | 3 |       0.48 |    0.48 |           |    1.00 |
| one in five at 0.8     | 5 |       0.64 |    0.66 |           |    0.99 |
| one in five at 0.8     | 8 |       0.82 |    0.83 |           |    0.99 |
| one in two at 0.8      | 3 |       0.74 |    0.74 |           |    1.00 |
| one in two at 0.8      | 5 |       0.93 |    0.93 |           |    1.00 |
| one in two at 0.8      | 8 |       0.92 |    0.94 |           |    0.99 |
| 0.99 of 24 items       | 3 |       0.49 |    0.49 |      1.00 |    0.99 |
| 0.99 of 24 items       | 5 |       0.69 |    0.69 |      1.00 |    0.99 |
| 0.99 of 24 items       | 8 |       0.81 |    0.85 |      0.99 |    0.98 |
| 0.98 of 6 items        | 3 |       0.29 |    0.29 |      1.00 |    1.00 |
| 0.98 of 6 items        | 5 |       0.44 |    0.45 |      0.99 |    0.99 |
| 0.98 of 6 items        | 8 |       0.58 |    0.62 |      0.99 |    0.99 |
"""

import numpy as np
import pytest
from numpy import ndarray
from scipy.stats import multinomial
from scipy.stats import t as student

from interp.stats import (
    bounded_interval,
    bounded_p_value,
    bounded_share,
    clustered_share,
    crossing,
    student_interval,
)
from interp.stats.simplex import simplex_cdf

SAMPLES = 4000


def shapes(name: str, n: int) -> tuple[ndarray, float]:
    """Samples of n values in [0, 1], and their true mean."""
    rng = np.random.default_rng([n, len(name)])
    size = (SAMPLES, n)
    jitter = rng.normal(0, 0.02, size)
    draws = {
        "normal": lambda: (rng.normal(0.6, 0.05, size), 0.6),
        "one in five at 0.8": lambda: (np.where(rng.random(size) < 0.2, 0.8, 0.1) + jitter, 0.24),
        "one in two at 0.8": lambda: (np.where(rng.random(size) < 0.5, 0.8, 0.1) + jitter, 0.45),
        "0.99 of 24 items": lambda: (rng.binomial(24, 0.99, size) / 24, 0.99),
        "0.98 of 6 items": lambda: (rng.binomial(6, 0.98, size) / 6, 0.98),
    }
    return draws[name]()


SHAPES = ("normal", "one in five at 0.8", "one in two at 0.8", "0.99 of 24 items", "0.98 of 6 items")
ITEMS = {"0.99 of 24 items": 24, "0.98 of 6 items": 6}
"""Items behind each seed's share, where the value is a share of items."""
SEEDS = (3, 5, 8)


def student_covers(values_XN: ndarray, truth: float) -> ndarray:
    """Whether Student's interval covers, with zero width where all seeds are equal."""
    n = values_XN.shape[1]
    reach_X = student.ppf(0.975, n - 1) * values_XN.std(1, ddof=1) / n**0.5
    return np.abs(values_XN.mean(1) - truth) <= reach_X + 1e-12


def percentile_covers(values_XN: ndarray, truth: float) -> ndarray:
    n = values_XN.shape[1]
    which_BN = np.random.default_rng(0).integers(0, n, (400, n))
    low_X, high_X = np.percentile(values_XN[:, which_BN].mean(-1), [2.5, 97.5], axis=1)
    return (low_X - 1e-12 <= truth) & (truth <= high_X + 1e-12)


def bounded_covers(values_XN: ndarray, truth: float) -> ndarray:
    truth_X, edge_X1 = np.full(len(values_XN), truth), np.zeros((len(values_XN), 1))
    above_X = simplex_cdf(np.hstack([values_XN, edge_X1]), truth_X)
    below_X = simplex_cdf(np.hstack([-values_XN, edge_X1 - 1]), -truth_X)
    return np.minimum(above_X, below_X) > 0.025


def clustered_covers(values_XN: ndarray, truth: float, items: int) -> ndarray:
    hits_XN = np.rint(values_XN * items)
    rows, place = np.unique(np.sort(hits_XN, 1), axis=0, return_inverse=True)
    covers = [not clustered_share(row, [items] * len(row)).excludes(truth) for row in rows]
    return np.array(covers)[place.reshape(-1)]


def coverage(shape: str, n: int) -> dict[str, float]:
    values_XN, truth = shapes(shape, n)
    measured = {
        "percentile": percentile_covers(values_XN, truth).mean(),
        "Student": student_covers(values_XN, truth).mean(),
        "bounded": bounded_covers(values_XN, truth).mean(),
    }
    if shape in ITEMS:
        measured["clustered"] = clustered_covers(values_XN, truth, ITEMS[shape]).mean()
    return {name: float(share) for name, share in measured.items()}


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, int], dict[str, float]]:
    return {(shape, n): coverage(shape, n) for shape in SHAPES for n in SEEDS}


def test_the_table_above_shows_the_measured_coverage(measured):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in (__doc__ or "").splitlines() if "|" in line
    ]
    head, row_of = rows[0], {(row[0], int(row[1])): row for row in rows[2:]}
    assert set(row_of) == set(measured)
    for key, result in measured.items():
        for name, cell in zip(head[2:], row_of[key][2:], strict=True):
            assert (cell == "" and name not in result) or float(cell) == pytest.approx(result[name], abs=0.011), (
                key,
                name,
            )


def test_bounded_intervals_cover_distributions_of_any_shape(measured):
    assert min(result["bounded"] for result in measured.values()) >= 0.945


def test_clustered_shares_cover_near_0_and_1_where_student_intervals_do_not(measured):
    edges = {key: result for key, result in measured.items() if key[0] in ITEMS}
    assert min(result["clustered"] for result in edges.values()) >= 0.95
    assert max(result["Student"] for result in edges.values()) < 0.91


def test_student_intervals_cover_one_mode_but_not_two_and_percentiles_cover_neither(measured):
    normal, rare = "normal", "one in five at 0.8"
    for n in SEEDS:
        assert 0.94 <= measured[normal, n]["Student"] <= 0.96 and measured[normal, n]["percentile"] < 0.91
        assert measured[rare, n]["Student"] < 0.85 and measured[rare, n]["percentile"] < 0.85


def test_the_vectorized_intervals_equal_those_of_the_functions():
    for shape in SHAPES:
        values_XN, truth = shapes(shape, 5)
        values_XN = values_XN[:60]
        bounded = [not bounded_interval(row, 0, 1).excludes(truth) for row in values_XN]
        assert bounded == bounded_covers(values_XN, truth).tolist()
        assert bounded == [bounded_p_value(row, 0, 1, truth) > 0.05 for row in values_XN]
        varied = values_XN[values_XN.std(1) > 0]
        is_covered = [not student_interval(row).excludes(truth) for row in varied]
        assert is_covered == student_covers(varied, truth).tolist()


# --- bounded intervals, in search of a counterexample --------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_bounded_intervals_cover_every_distribution_of_three_values(n):
    """Exact coverage, summed over all outcomes: 300 distributions, a third of them with a value at each end."""
    rng = np.random.default_rng(n)
    counts_X3 = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)])
    for which in range(300):
        points, chance = np.sort(rng.random(3)), rng.dirichlet([0.5] * 3)
        if which % 3 == 0:
            points[[0, 2]] = 0, 1
        mean = float(points @ chance)
        values_XN = np.stack([np.repeat(points, counts) for counts in counts_X3])
        p_X = simplex_cdf(np.hstack([values_XN, np.zeros((len(values_XN), 1))]), np.full(len(values_XN), mean))
        weight_X = multinomial.pmf(counts_X3, n, chance)
        for level in (0.025, 0.2):
            assert weight_X[p_X <= level].sum() <= level + 1e-9, (points, chance)


# --- shares over clusters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("rate", [0.1, 0.35, 0.6])
@pytest.mark.parametrize("clusters", [3, 5, 10, 40])
def test_clustered_shares_of_different_clusters_are_covered_at_least_92_times_in_100(rate, spread, clusters):
    """Each cluster has its own rate (beta, of the given spread) and 16 trials; the truth is the mean rate."""
    hits = beta_binomial(rate, spread * min(1, 2 * rate), clusters, 500)
    covered = [not clustered_share(row, [16] * clusters).excludes(rate) for row in hits]
    assert np.mean(covered) >= 0.92


def beta_binomial(rate: float, spread: float, clusters: int, samples: int) -> ndarray:
    rng = np.random.default_rng(1)
    rates = np.full((samples, clusters), rate)
    if spread:
        concentration = rate * (1 - rate) / spread**2 - 1
        rates = rng.beta(rate * concentration, (1 - rate) * concentration, (samples, clusters))
    return rng.binomial(16, rates)


@pytest.mark.parametrize("clusters", [5, 8, 20])
def test_a_second_mode_among_few_clusters_is_missed_by_clustered_but_not_by_bounded_shares(clusters):
    """24 trials each, one cluster in five at 0.2, the others at 0.95."""
    rng = np.random.default_rng(clusters)
    hits = rng.binomial(24, np.where(rng.random((1000, clusters)) < 0.2, 0.2, 0.95))
    clustered = np.mean([not clustered_share(row, [24] * clusters).excludes(0.8) for row in hits])
    assert clustered < 0.9 if clusters < 10 else clustered >= 0.94
    covered_X = bounded_covers(hits / 24, 0.8)  # equals `bounded_share` for clusters of one size
    assert covered_X.mean() >= 0.945
    is_covered = [not bounded_share(row, [24] * clusters).excludes(0.8) for row in hits[:9]]
    assert is_covered == covered_X[:9].tolist()


def test_successes_in_few_clusters_are_missed_by_clustered_but_not_by_bounded_shares():
    """40 clusters of 16 trials; nearly all of a share of 0.02 lies in one cluster of 25."""
    hits = beta_binomial(0.02, 0.1, 40, 1000)
    clustered = np.mean([not clustered_share(row, [16] * 40).excludes(0.02) for row in hits])
    assert bounded_covers(hits / 16, 0.02).mean() >= 0.945 and 0.8 < clustered < 0.9


# --- crossings -----------------------------------------------------------------------------------------------------


def test_fieller_intervals_cover_crossings_and_percentile_intervals_do_not():
    """Five seeds, y = 0.5 - x and noise of 0.15 at each of five doses: the mean crosses at 0.5."""
    rng, doses = np.random.default_rng(0), np.linspace(0, 1, 5)
    which_BN = rng.integers(0, 5, (400, 5))
    covered, by_percentiles, sure = [], [], []
    for _ in range(250):
        table_DS = (0.5 - doses)[:, None] + rng.normal(0, 0.15, (5, 5))
        result = crossing(doses.tolist(), [dict(enumerate(row)) for row in table_DS], falling=True)
        covered.append(not result.dose.excludes(0.5))
        sure.append(result.dose.has_interval)
        curve_DB = table_DS[:, which_BN].mean(-1)
        crosses_B = (curve_DB[0] > 0) & (curve_DB[-1] < 0)
        after_B = np.argmax(curve_DB[:, crosses_B] <= 0, 0)
        y0, y1 = (np.take_along_axis(curve_DB[:, crosses_B], (after_B - k)[None], 0)[0] for k in (1, 0))
        low, high = np.percentile(doses[after_B - 1] + 0.25 * y0 / (y0 - y1), [2.5, 97.5])
        by_percentiles.append(low <= 0.5 <= high)
    assert np.mean(sure) > 0.95 and 0.93 <= np.mean(covered) <= 0.98
    assert np.mean(by_percentiles) < 0.90
