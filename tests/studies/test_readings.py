"""Intervals of the three readings, on values whose intervals are known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.stats import bounded_interval, clustered_share, student_interval
from interp.studies.readings import ANY_SHAPE, EXACT, READINGS, REGISTERED, Sample, bootstrap_crossing

HITS = ((23.0, 24.0), (24.0, 24.0), (24.0, 24.0))


def sample(*values: float, low: float = 0.0, high: float = 1.0, **options) -> Sample:
    return Sample(dict(enumerate(values)), low, high, **options)


def shares(*counts: tuple[float, float]) -> Sample:
    return sample(*(hits / items for hits, items in counts), counts=(dict(enumerate(counts)),))


def test_as_registered_a_mean_has_students_interval():
    estimate = REGISTERED.interval(sample(0.1, 0.2, 0.3), 0.95)
    assert (estimate.value, estimate.n) == (pytest.approx(0.2), 3)
    assert estimate.low == pytest.approx(0.2 - 4.30265 * 0.1 / 3**0.5, abs=1e-5)  # t(2 degrees of freedom) = 4.30265


def test_as_registered_seeds_that_agree_have_an_interval_of_zero_width_and_nowhere_else():
    same = shares((24, 24), (24, 24), (24, 24))
    assert (REGISTERED.interval(same, 0.95).low, REGISTERED.interval(same, 0.95).high) == (1, 1)
    for reading in (EXACT, ANY_SHAPE):
        assert reading.interval(same, 0.95).width > 0.3, reading.name


def test_a_share_of_counted_items_has_the_exact_interval_over_clusters():
    expected = clustered_share([hits for hits, _ in HITS], [items for _, items in HITS])
    assert EXACT.interval(shares(*HITS), 0.95) == expected
    assert EXACT.interval(sample(0.1, 0.2, 0.3), 0.95) == student_interval([0.1, 0.2, 0.3])


def test_for_any_shape_the_interval_uses_the_range_that_the_measure_cannot_leave():
    assert ANY_SHAPE.interval(sample(0.1, 0.2, 0.3), 0.95) == bounded_interval([0.1, 0.2, 0.3], 0, 1)
    without = ANY_SHAPE.interval(sample(0.1, 0.2, 0.3, high=float("inf")), 0.95)
    assert without.value == pytest.approx(0.2) and not without.has_interval


def test_a_seed_without_a_number_is_left_out_and_not_counted():
    for reading in READINGS:
        assert reading.interval(sample(0.1, float("nan"), 0.3), 0.95).n == 2


# --- crossings -----------------------------------------------------------------------------------------------------


def by_dose(*values: list[float]) -> list[dict[int, float]]:
    """By dose and by seed, from lists by dose."""
    return [dict(enumerate(row)) for row in values]


def test_a_curve_crosses_zero_where_the_line_between_doses_does():
    dose, draws = bootstrap_crossing([0, 1, 2], by_dose([3.0] * 5, [1.0] * 5, [-1.0] * 5), falling=True)
    assert (dose.value, dose.low, dose.high, draws) == (1.5, 1.5, 1.5, 1.0)
    nowhere, draws = bootstrap_crossing([0, 1], by_dose([3.0] * 5, [1.0] * 5), falling=True)
    assert nowhere.value != nowhere.value and draws == 0.0


def test_a_curve_that_crosses_the_other_way_does_not_count():
    rising = by_dose([-1.0] * 5, [1.0] * 5)
    assert bootstrap_crossing([0, 1], rising, falling=True)[1] == 0.0
    assert bootstrap_crossing([0, 1], rising, falling=False)[0].value == 0.5


def test_bootstrap_draws_take_a_seed_with_its_whole_curve():
    shifts = [-0.4, -0.2, 0.0, 0.2, 0.4]  # each seed crosses steeply, at a dose of its own
    table = by_dose(*([10 * (0.5 + shift - dose) for shift in shifts] for dose in (0.0, 0.5, 1.0)))
    dose, _ = bootstrap_crossing([0.0, 0.5, 1.0], table, falling=True)
    assert dose.value == pytest.approx(0.5) and dose.low == pytest.approx(0.5 - 0.24, abs=0.05)


def test_a_crossing_that_depends_on_the_seeds_has_no_interval():
    dose, draws = bootstrap_crossing([0, 1], by_dose([1.0] * 5, [-9.0, 3.0, 3.0, 3.0, 3.0]), falling=True)
    assert 0.2 < draws < 0.9 and not dose.has_interval


@settings(max_examples=10)  # each is a whole bootstrap
@given(st.floats(0.1, 0.9), st.floats(0.01, 0.05))
def test_the_interval_of_a_crossing_contains_the_crossing(where, noise):
    doses = [0.0, 0.5, 1.0]
    values = by_dose(*([where - dose + noise * sign for sign in (-1, -0.5, 0, 0.5, 1)] for dose in doses))
    dose, draws = bootstrap_crossing(doses, values, falling=True)
    assert draws > 0.9 and dose.value == pytest.approx(where)
    if dose.has_interval:
        assert dose.low <= where + 1e-9 and where - 1e-9 <= dose.high


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.name)
def test_a_curve_that_surely_changes_sides_crosses_and_one_that_surely_does_not_never_does(reading):
    def samples(*values: float) -> list[Sample]:
        return [sample(*(value + 0.001 * seed for seed in range(20)), low=-1, high=1) for value in values]

    falls = reading.crossing([0, 1, 2], samples(0.9, 0.1, -0.9), falling=True, level=0.95)
    assert falls.crosses and not falls.never and falls.dose.value == pytest.approx(1.1, abs=0.02)
    stays = reading.crossing([0, 1, 2], samples(0.9, 0.9, 0.9), falling=True, level=0.95)
    assert stays.never and not stays.crosses and stays.dose.value != stays.dose.value
