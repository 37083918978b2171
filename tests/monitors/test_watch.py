"""The monitors of a run: columns, alarms that are raised and cleared once, and what is refused."""

import dataclasses
import logging
import math

import pytest
from monitors_fixtures import Scripted, monitored_run, monitored_step

from interp.artifacts import BadInput
from interp.grpo.learner import UpdateStats
from interp.monitors import Measurement, Watch, length_drift
from interp.monitors.base import expect_monitors
from interp.monitors.watch import LATER


def watch_of(*monitors, name="runs/x"):
    return Watch(monitors, [{"values": getattr(each, "values", None)} for each in monitors], monitored_run(), name=name)


def lines_of(watch, steps, start=0):
    return [watch.observe(monitored_step(step))[0] for step in range(start, start + steps)]


def test_a_value_beyond_its_limit_is_an_alarm_on_either_side_and_what_is_no_number_always():
    def is_alarm(value, limit, side="above"):
        return Measurement(value, limit, side, "x").is_alarm

    assert is_alarm(2, 1) and not is_alarm(1, 1) and not is_alarm(0, 1)
    assert is_alarm(0, 1, "below") and not is_alarm(1, 1, "below") and not is_alarm(2, 1, "below")
    assert not is_alarm(2, None) and is_alarm(math.nan, None) and is_alarm(math.nan, 1) and is_alarm(-math.inf, 1)
    assert is_alarm(0, math.nan) and is_alarm(0, math.inf)


def test_columns_say_value_limit_since_when_the_alarm_has_stood_and_the_number_of_alarms():
    lines = lines_of(watch_of(Scripted((0.0, 2.0, None, 3.0, 1.0, 1.0, 1.0))), 7)
    assert [line["scripted"] for line in lines] == [0, 2, None, 3, 1, 1, 1]
    assert [line["scripted_limit"] for line in lines] == [1, 1, None, 1, 1, 1, 1]
    assert [line["scripted_alarm"] for line in lines] == [None, 1, 1, 1, 1, 1, None]
    assert [line["alarms"] for line in lines] == [0, 1, 1, 1, 1, 1, 0]
    assert [line.get("scripted_twice") for line in lines] == [0, 4, None, 6, 2, 2, 2]


def test_an_alarm_clears_at_the_third_measurement_in_a_row_within_its_limit():
    values = (2.0, 0.0, 0.0, 2.0, 0.0, None, 0.0, 0.0, 0.0)
    lines = lines_of(watch_of(Scripted(values)), len(values))
    assert [line["scripted_alarm"] for line in lines] == [0] * 7 + [None, None]


def test_an_alarm_is_warned_of_once_when_it_is_raised_and_once_when_it_clears(caplog):
    with caplog.at_level(logging.WARNING):
        lines_of(watch_of(Scripted((0.0, 2.0, 3.0, None, 0.2, 0.3, 0.5, 0.5, 4.0))), 9)
    assert caplog.messages == [
        "runs/x: alarm: scripted: what is written is 2, limit 1, since step 1",
        "runs/x: alarm clears at step 6: scripted: what is written is 0.5, limit 1, since step 1",
        "runs/x: alarm: scripted: what is written is 4, limit 1, since step 8",
    ]


def test_a_value_that_is_no_number_is_an_alarm_and_none_in_the_metrics(caplog):
    lines = lines_of(watch_of(Scripted((math.nan, 0.0, 0.0, 0.0))), 4)
    assert [line["scripted"] for line in lines] == [None, 0, 0, 0]
    assert [line["scripted_alarm"] for line in lines] == [0, 0, 0, None]
    assert "what is written is no number, limit 1, since step 0" in caplog.messages[0]


def test_the_alarms_raised_in_a_step_are_those_that_did_not_stand_before():
    watch = watch_of(Scripted((2.0, 2.0, 0.0, 0.0, 0.0, 2.0)), Scripted((0.0, *(2.0,) * 5), name="other"))
    raised = [[(a.monitor, a.since) for a in watch.observe(monitored_step(step))[1]] for step in range(6)]
    assert raised == [[("scripted", 0)], [("other", 1)], [], [], [], [("scripted", 5)]]


def test_a_watch_that_takes_up_a_state_goes_on_as_the_one_that_gave_it():
    values = (0.0, 2.0, None, 0.0, 0.0, 0.0, 5.0)
    whole = lines_of(watch_of(Scripted(values)), 7)
    for cut in range(7):
        first, second = watch_of(Scripted(values)), watch_of(Scripted(values))
        before = lines_of(first, cut)
        second.load_state(first.state(), first.fingerprints)
        assert before + lines_of(second, 7 - cut, start=cut) == whole


def test_a_monitor_of_other_settings_begins_anew_and_is_named(caplog):
    first, second = watch_of(Scripted((2.0,))), watch_of(Scripted((0.0, 3.0)), Scripted((0.0, 0.0), name="other"))
    lines_of(first, 1)
    second.load_state(first.state(), first.fingerprints)
    assert "runs/x: these monitors begin in the middle of the run: scripted, other" in caplog.messages
    assert [line["scripted_alarm"] for line in lines_of(second, 2, start=1)] == [None, 2]


def test_without_monitors_there_are_no_columns():
    assert watch_of().observe(monitored_step()) == ({}, []) and watch_of().state() == {}


@pytest.mark.parametrize("name", ["reward", "gradient_norm", "checksum"])
def test_a_monitor_with_the_column_of_another_metric_is_refused(name):
    watch = watch_of(Scripted((0.0,), name=name))
    with pytest.raises(BadInput, match=f"columns of its own, got {name}, which is another's: give it another name"):
        watch.observe(monitored_step(metrics={"reward": 1.0}))


def test_the_columns_of_an_update_are_known_to_come_later():
    assert {field.name for field in dataclasses.fields(UpdateStats)} <= {*LATER}


@pytest.mark.parametrize(
    ("monitors", "message"),
    [
        ("usual", "monitors must be a list"),
        (length_drift(), "monitors must be a list"),
        ([Scripted], "make an instance of it"),
        (["length"], r"monitors must be such as interp.monitors.length_drift\(\); got 'length'"),
        ([Scripted((), name="two words")], "must be that of a column, such as length_drift; got 'two words'"),
        ([length_drift(), length_drift()], "of different names, got length_drift twice"),
    ],
)
def test_what_is_no_list_of_monitors_is_refused(monitors, message):
    with pytest.raises(BadInput, match=message):
        expect_monitors(monitors)
