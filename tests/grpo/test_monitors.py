"""Monitors in a run: the same weights with and without, the same alarms after a kill, a stop that can be continued."""

import logging
import math
import shutil
from dataclasses import replace

import pytest
from grpo_fixtures import FirstWord, assert_same_run, metric_lines, run_files, small_config, train_tiny
from monitors_fixtures import Scripted

from interp.artifacts import BadInput, read_manifest
from interp.credit import ReadoutCredit
from interp.grpo import AlarmRaised
from interp.monitors import Drift, FrozenLive, Judge, PayPrecision
from interp.readouts import Likelihood, TextCounts

VALUES = (0.0, 2.0, 0.0, 0.0, 0.0, math.nan, 2.0)


class Killed(Exception):
    pass


class HalfValid(FirstWord):
    """Half of the rewarded completions are valid, by their length."""

    def verify(self, problem, completion):
        verdict = super().verify(problem, completion)
        return replace(verdict, valid=verdict.correct and len(completion) % 2 == 0)


def kill_after(step: int):
    def sink(at: int, metrics):
        if at == step:
            raise Killed

    return sink


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("plain") / "run", progress=False)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("watched") / "run", monitors=[Scripted(VALUES)], progress=False)


def checkpoint_bytes(run):
    return {name: content for name, content in run_files(run.path).items() if name.startswith("checkpoint-")}


def test_a_run_with_monitors_has_the_weights_and_the_rollouts_of_one_without(plain, watched):
    assert checkpoint_bytes(watched) == checkpoint_bytes(plain)
    columns = {"scripted", "scripted_limit", "scripted_alarm", "scripted_twice", "alarms"}
    without = [{k: v for k, v in line.items() if k not in columns} for line in metric_lines(watched.path)]
    assert without == metric_lines(plain.path) and columns <= {*watched.table().columns}


def test_a_run_without_monitors_says_nothing_of_them(plain):
    assert "monitors" not in plain.manifest and plain.alarms().is_empty()
    assert "monitors" not in read_manifest(plain.state, "training-state")["facts"]
    assert {"alarms", "seconds_monitoring"}.isdisjoint(plain.table().columns)
    assert plain.alarms().columns == ["monitor", "since", "until", "value", "limit"]


def test_the_alarms_of_a_run_are_a_table(watched):
    assert watched.alarms().rows() == [("scripted", 1, 4, 2.0, 1.0), ("scripted", 5, None, None, 1.0)]
    assert watched.table()["scripted_alarm"].to_list() == [None, 1, 1, 1, None, 5, 5]
    (entry,) = watched.manifest["monitors"]
    assert entry["from_step"] == 0 and entry["settings"]["scripted"]["settings"]["name"] == "scripted"


@pytest.mark.parametrize("step", [3, 6])
def test_a_run_that_is_killed_resumes_with_the_same_alarms(watched, tmp_path, step):
    with pytest.raises(Killed):
        train_tiny(tmp_path / "run", monitors=[Scripted(VALUES)], sinks=[kill_after(step)], progress=False)
    again = train_tiny(tmp_path / "run", monitors=[Scripted(VALUES)], progress=False)
    assert_same_run(again.path, watched.path)
    assert again.alarms().equals(watched.alarms())


def test_a_run_that_stops_at_an_alarm_is_saved_and_the_same_call_goes_on(watched, tmp_path):
    train = {"monitors": [Scripted(VALUES)], "on_alarm": "stop", "progress": False}
    message = (
        "run: scripted: what is written is 2, limit 1, since step 1. Stopped and saved before step 2: look at .*"
        "The same call goes on from there, up to the next alarm"
    )
    with pytest.raises(AlarmRaised, match=message):
        train_tiny(tmp_path / "run", **train)
    assert read_manifest(tmp_path / "run" / "state", "training-state")["step"] == 2
    with pytest.raises(AlarmRaised, match="is no number, limit 1, since step 5. Stopped and saved before step 6"):
        train_tiny(tmp_path / "run", **train)
    assert_same_run(train_tiny(tmp_path / "run", **train).path, watched.path)


def test_an_alarm_at_the_last_measurement_stops_nothing(tmp_path):
    monitors = [Scripted((0.0,) * 6 + (2.0,))]
    run = train_tiny(tmp_path / "run", monitors=monitors, on_alarm="stop", progress=False)
    assert run.alarms()["since"].to_list() == [6] and read_manifest(run.state, "training-state")["step"] == 7


def test_a_run_may_be_continued_with_other_monitors_and_says_which_looked_at_what(plain, tmp_path, caplog):
    out, first = tmp_path / "run", Scripted((2.0,) * 7)
    with pytest.raises(Killed):
        train_tiny(out, monitors=[first], sinks=[kill_after(3)], progress=False)
    with caplog.at_level(logging.WARNING):
        later = train_tiny(out, monitors=[first, Scripted((3.0,) * 7, name="later")], progress=False)
    assert f"{out}: these monitors begin in the middle of the run: later" in caplog.messages
    assert checkpoint_bytes(later) == checkpoint_bytes(plain)
    assert [(entry["from_step"], [*entry["settings"]]) for entry in later.manifest["monitors"]] == [
        (0, ["scripted"]),
        (2, ["scripted", "later"]),
    ]
    assert later.alarms().rows() == [("scripted", 0, None, 2.0, 1.0), ("later", 2, None, 3.0, 1.0)]
    opened = train_tiny(out, progress=False)  # finished: nothing is begun
    assert opened.manifest == later.manifest


def test_monitors_that_cannot_be_part_of_a_run_are_refused_before_it_begins(tmp_path):
    cases = [
        (
            {"monitors": [PayPrecision()]},
            r"pay_precision expected credit by a readout .*, got plain GRPO: leave the mon",
        ),
        ({"monitors": [FrozenLive()], "credit": lambda batch: None}, "frozen_live expected .*, got function"),
        ({"monitors": ["length"]}, "monitors must be such as interp.monitors.length_drift"),
        ({"on_alarm": "pause"}, "on_alarm must be one of go on, stop; got 'pause'"),
    ]
    for arguments, message in cases:
        with pytest.raises(BadInput, match=message):
            train_tiny(tmp_path / "run", progress=False, **arguments)
    assert not (tmp_path / "run").exists()


def test_monitors_of_a_readout_resume_to_the_same_bits_and_change_none_of_the_run(tmp_path):
    paid = ReadoutCredit([Likelihood(), TextCounts(buckets=8)], audits=16)
    judge = ReadoutCredit([TextCounts(buckets=4)], audits=16)
    drift = Drift("length", "drift", window=1, baseline=3)
    monitors = [Judge(judge, every=1), FrozenLive(every=1), PayPrecision(least_paid=2, least_valid=1), drift]
    config = small_config(scale="none", steps=3, save_every=1, prompts=8)

    def train(name, **rest):
        return train_tiny(tmp_path / name / "run", config, task=HalfValid(), credit=paid, progress=False, **rest)

    whole = train("whole", monitors=monitors)
    with pytest.raises(Killed):
        train("again", monitors=monitors, sinks=[kill_after(1)])
    assert_same_run(train("again", monitors=monitors).path, whole.path)
    assert checkpoint_bytes(train("without")) == checkpoint_bytes(whole)
    table = whole.table()
    for name in ("judge", "frozen_live", "pay_precision", "drift"):
        assert table[name].null_count() < len(table), name
    assert table["frozen_live_gap"].drop_nulls()[-1] > 0


def test_a_monitor_that_begins_in_the_middle_knows_how_far_credit_is_and_a_judge_cannot_begin_there(tmp_path):
    credit, judge = (ReadoutCredit([TextCounts(buckets=n)], audits=16) for n in (8, 4))
    config = small_config(scale="none", steps=3, save_every=1, prompts=8)

    def train(**rest):
        return train_tiny(tmp_path / "run", config, task=HalfValid(), credit=credit, progress=False, **rest)

    with pytest.raises(Killed):
        train(sinks=[kill_after(1)])
    before = read_manifest(tmp_path / "run", "grpo-run")
    with pytest.raises(BadInput, match=r"the monitor judge expected a run at its beginning, got .* audited \d+ succ"):
        train(monitors=[Judge(judge)])
    assert read_manifest(tmp_path / "run", "grpo-run") == before
    table = train(monitors=[PayPrecision(least_paid=1, least_valid=1)]).table()
    audited_late = table["audited"][-1] - table["audited"][0]
    assert 0 < table["pay_precision_paid"][-1] <= audited_late


def test_a_copied_run_resumes_with_its_monitors(watched, tmp_path):
    out = shutil.copytree(watched.path, tmp_path / "run")
    assert train_tiny(out, monitors=[Scripted(VALUES)], progress=False).alarms().equals(watched.alarms())
