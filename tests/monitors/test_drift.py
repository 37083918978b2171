"""A metric against its first steps: the limit by hand, the rate of false alarms, drifts that are found."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monitors_fixtures import monitored_run, monitored_step

from interp.artifacts import BadInput
from interp.monitors import Drift, entropy_drift, length_drift, lucky_drift, malformed_drift

RUN, STEP = monitored_run(), monitored_step()
"""Of which these tests change the length, and the metrics."""


def step_with(step, **metrics):
    return replace(STEP, step=step, metrics=metrics)


def measurements(monitor, values, *, steps=None, metric="x"):
    """What a fresh monitor measures at each step of a run with these values of the metric."""
    running = monitor.fresh(replace(RUN, steps=len(values) - 1 if steps is None else steps))
    return [running.observe(step_with(step, **{metric: value})) for step, value in enumerate(values)]


def alarms(monitor, values, **rest):
    """The steps at which a value is beyond its limit."""
    return [step for step, one in enumerate(measurements(monitor, values, **rest)) if one is not None and one.is_alarm]


def small(**changes):
    return Drift("x", "drift", **{"baseline": 3, "window": 2, "false_alarms": 0.05} | changes)


def test_change_and_limit_by_hand():
    """First mean 2, deviation 1; one test in both directions, so the quantile is 4.3027, of t with 2 degrees."""
    *silent, last = measurements(small(), [1.0, 2.0, 3.0, 10.0, 12.0])
    assert silent == [None] * 4 and last is not None
    assert last.value == pytest.approx(9) and last.numbers == {"first": 2, "now": 11}
    assert last.limit == pytest.approx(4.30265 * math.sqrt(1 / 3 + 1 / 2), abs=1e-4) and last.is_alarm
    assert not measurements(small(), [1.0, 2.0, 3.0, 5.0, 6.5])[-1].is_alarm


def test_more_tests_in_a_run_have_a_higher_limit_and_one_direction_a_lower_one():
    limits = [
        measurements(small(direction=direction), [1.0, 2.0, 3.0, 4.0, 4.0], steps=steps)[-1].limit
        for direction, steps in (("up", 4), ("both", 4), ("both", 40))
    ]
    assert limits == sorted(limits) and limits[0] < limits[1] < limits[2]


def test_only_changes_in_the_watched_direction_are_alarms():
    for direction, up, down in (("up", True, False), ("down", False, True), ("both", True, True)):
        for end, expected in ((50.0, up), (-50.0, down)):
            assert measurements(small(direction=direction), [1, 2, 3, end, end])[-1].is_alarm == expected


def test_changes_too_small_to_matter_are_no_alarms_however_quiet_the_first_steps_were():
    quiet = [10.0, 10.0, 10.0, 10.4, 10.4]
    assert measurements(small(), quiet)[-1].is_alarm
    assert not measurements(small(least=0.5), quiet)[-1].is_alarm
    assert not measurements(small(least_share=0.05), quiet)[-1].is_alarm
    assert measurements(small(least=0.3, least_share=0.02), quiet)[-1].is_alarm


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.0, 1e9])
def test_a_metric_that_stays_as_it_is_raises_no_alarm(value):
    assert alarms(Drift("x", "drift"), [value] * 40) == []


def test_a_policy_that_does_not_change_raises_alarms_no_more_often_than_stated():
    """300 runs of 40 steps of normal noise. More than a share of 0.2 + 3 standard errors, 0.27, would be too many;
    none at all would show that the limit cannot be reached."""
    noise_RT = 5 + 2 * torch.randn(300, 40, generator=torch.Generator().manual_seed(0)).double()
    monitor = Drift("x", "drift", false_alarms=0.2)
    share = sum(bool(alarms(monitor, noise_T.tolist())) for noise_T in noise_RT) / len(noise_RT)
    assert 0.02 < share < 0.27


def test_a_drift_is_found_soon_after_it_begins_and_clears_when_it_is_over():
    noise_T = torch.randn(80, generator=torch.Generator().manual_seed(1)).double()
    noise_T[30:50] += 8
    found = alarms(Drift("x", "drift", "up"), noise_T.tolist())
    assert 30 <= found[0] <= 35 and found[-1] in range(49, 55) and found == [*range(found[0], found[-1] + 1)]


def test_a_value_that_is_no_number_is_an_alarm_and_does_not_spoil_the_means():
    for value in (math.nan, math.inf):
        assert alarms(small(), [1.0, value, 2.0, 3.0, 2.0, value, 2.0]) == [1, 5]


def test_steps_without_a_value_are_left_out():
    with_gaps = measurements(small(), [1.0, None, 2.0, 3.0, None, 10.0, 12.0], steps=4)
    assert with_gaps[-1] == measurements(small(), [1.0, 2.0, 3.0, 10.0, 12.0])[-1] and with_gaps[:-1] == [None] * 6


@given(st.lists(st.integers(-50, 50), min_size=5, max_size=15), st.floats(0.1, 100), st.integers(-100, 100), st.data())
def test_alarms_depend_neither_on_the_unit_of_a_metric_nor_on_where_a_run_was_stopped(values, unit, zero, data):
    monitor, cut = small(false_alarms=0.3), data.draw(st.integers(0, len(values)))
    one, other = measurements(monitor, values), measurements(monitor, [unit * value + zero for value in values])
    for a, b in zip(one, other, strict=True):
        if a is not None and b is not None and abs(a.value - a.limit) > 1e-6:
            assert a.is_alarm == b.is_alarm
    setting = replace(RUN, steps=len(values) - 1)
    first, second = monitor.fresh(setting), monitor.fresh(setting)
    rows = [step_with(step, x=value) for step, value in enumerate(values)]
    again = [first.observe(row) for row in rows[:cut]]
    second.load_state(first.state())
    assert again + [second.observe(row) for row in rows[cut:]] == one


def test_a_metric_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(
        BadInput, match=r"drift expected a metric of the step, got 'lenght': choose one of length, reward"
    ):
        Drift("lenght", "drift").observe(step_with(0, length=3, reward=1))


def test_a_metric_that_does_not_exist_is_refused_by_a_monitor_that_begins_in_the_middle_too():
    late = Drift("lenght", "drift").fresh(RUN)
    late.load_state(late.state())
    with pytest.raises(BadInput, match="drift expected a metric of the step, got 'lenght'"):
        late.observe(step_with(7, length=3))


def test_a_metric_of_some_steps_is_awaited_by_a_monitor_that_begins_or_goes_on_between_them():
    late = Drift("kl_to_base", "drift").fresh(RUN)
    assert late.observe(step_with(7, length=3)) is None
    with pytest.raises(BadInput, match="got 'kl_to_base'"):
        Drift("kl_to_base", "drift").fresh(RUN).observe(step_with(0, length=3))
    first, second = small().fresh(RUN), small().fresh(RUN)
    first.observe(step_with(0, x=1.0))
    second.load_state(first.state())
    assert second.observe(step_with(1, length=3)) is None


def test_a_run_too_short_to_be_compared_is_said_to_be(caplog):
    length_drift().fresh(replace(RUN, steps=13))
    assert "length_drift needs 15 steps, and this run has 14: it will be silent" in caplog.text
    caplog.clear()
    length_drift().fresh(replace(RUN, steps=14))
    assert not caplog.text


@pytest.mark.parametrize(
    ("monitor", "metric", "steady", "bad", "fine"),
    [
        (length_drift(), "length", 50.0, 75.0, 55.0),
        (length_drift(), "length", 50.0, 20.0, 45.0),
        (entropy_drift(), "entropy_nats_per_token", 0.5, 0.1, 0.9),
        (malformed_drift(), "malformed_share", 0.1, 0.3, 0.0),
        (lucky_drift(), "lucky_share", 0.5, 0.9, 0.1),
    ],
)
def test_each_usual_metric_has_its_direction_and_its_least_change(monitor, metric, steady, bad, fine):
    noise_T = torch.randn(25, generator=torch.Generator().manual_seed(2)).double() * steady / 100
    before = (steady + noise_T).tolist()
    assert alarms(monitor, [*before, *[bad] * 8], metric=metric)
    assert not alarms(monitor, [*before, *[fine] * 8], metric=metric)


@pytest.mark.parametrize(
    "settings", [{"baseline": 2}, {"window": 0}, {"false_alarms": 0.0}, {"least": -1.0}, {"direction": "x"}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(BadInput, match=next(iter(settings))):
        small(**settings)
