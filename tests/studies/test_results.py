"""Means and paired differences of a study's observations."""

import math

import pytest

from interp.studies.readings import ANY_SHAPE, EXACT, REGISTERED
from interp.studies.results import Measure, Observation, Results, share

SCORE = share("score", lambda record: record.get("score"))
COUNTED = share(
    "counted",
    lambda record: record["hits"] / record["items"],
    counts_of=lambda record: (record["hits"], record["items"]),
)


def results(**arms: dict[int | None, float | None]) -> Results:
    return Results(
        Observation(arm, seed, {"score": value}) for arm, seeds in arms.items() for seed, value in seeds.items()
    )


def test_a_mean_is_over_the_seeds_that_have_a_number():
    estimate = results(a={1: 0.2, 2: 0.4, 3: None}).mean("a", SCORE)
    assert estimate.value == pytest.approx(0.3) and estimate.n == 2


def test_an_arm_that_was_not_run_has_no_mean():
    estimate = results(a={1: 0.2}).mean("b", SCORE)
    assert math.isnan(estimate.value) and estimate.n == 0


def test_a_difference_is_paired_by_seed():
    estimate = results(a={1: 0.9, 2: 0.5, 3: 0.6}, b={1: 0.7, 2: 0.3, 4: 0.0}).difference("a", "b", SCORE)
    assert estimate.value == pytest.approx(0.2) and estimate.n == 2, "seeds 1 and 2 alone have both"
    assert estimate.width == pytest.approx(0, abs=1e-9), "what the arms share of a seed cancels"


def test_a_baseline_is_shared_by_all_seeds():
    study_results = results(a={1: 0.9, 2: 0.5}, base={None: 0.4})
    assert study_results.difference("a", "base", SCORE).value == pytest.approx(0.3)
    assert study_results.seeds("base") == [] and study_results.baseline("base") == {"score": 0.4}


def test_the_range_of_a_difference_follows_from_the_measure():
    study_results = results(a={1: 0.9, 2: 0.5}, b={1: 0.1, 2: 0.1}, base={None: 0.4})
    assert [getattr(study_results.difference_sample("a", "b", SCORE), end) for end in ("low", "high")] == [-1, 1]
    change = study_results.difference_sample("a", "base", SCORE)
    assert (change.low, change.high) == pytest.approx((-0.4, 0.6)), "a share cannot fall by more than it was"


def test_the_same_observations_are_read_with_other_intervals():
    plain = Results(Observation("a", seed, {"hits": 23 + seed % 2, "items": 24}) for seed in range(3))
    widths = [plain.with_reading(reading).mean("a", COUNTED).width for reading in (REGISTERED, EXACT, ANY_SHAPE)]
    assert widths[0] != widths[1] != widths[2] and len(set(widths)) == 3
    assert plain.with_reading(REGISTERED, 0.99).mean("a", COUNTED).width > widths[0]


def test_a_difference_of_counted_shares_keeps_the_counts_of_both():
    both = Results(
        Observation(arm, seed, {"hits": hits, "items": 24}) for arm, hits in (("a", 24), ("b", 6)) for seed in (1, 2)
    )
    estimate = both.with_reading(EXACT).difference("a", "b", COUNTED)
    assert estimate.value == pytest.approx(0.75) and 0 < estimate.width < 2 and estimate.low < 0.75 < estimate.high


def test_curves_without_a_common_seed_do_not_cross():
    study_results = results(low={1: 0.9}, high={2: 0.1}, base={None: 0.5})
    assert study_results.crossing([0, 1], ["low", "high"], "base", SCORE, falling=True) is None


def test_a_measure_without_a_range_is_unbounded():
    assert math.isinf(Measure("steps", lambda record: 1.0).high)
