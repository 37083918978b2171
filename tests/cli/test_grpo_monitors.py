"""Flags of monitors: usual ones for each credit, a judge with its dictionary, a stop that a second call continues."""

from dataclasses import replace

import pytest
from commands import refused, run, run_json, run_text
from conftest import tiny_policy
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput
from interp.credit import ReadoutCredit, StepValidity, make_scheme
from interp.grpo import Run
from interp.monitors import make_monitors, usual_monitors
from interp.monitors.names import MONITOR_NAMES
from interp.readouts import TextCounts, TextRange
from interp.tsae import TSAE

SMALL = ("--steps", "2", "--prompts", "4", "--group", "4", "--save-every", "1", "--max-new-tokens", "24")
DRIFTS = ["length_drift", "entropy_drift", "malformed_drift", "lucky_drift"]


@pytest.fixture(scope="module")
def judge_tsae(axes_tsae, tmp_path_factory):
    """The same dictionary with other thresholds."""
    tsae = TSAE.load(axes_tsae)
    path = tmp_path_factory.mktemp("judge") / "tsae"
    return replace(tsae, threshold=tsae.threshold + 0.01).save(path).path


def test_the_usual_monitors_are_those_that_the_credit_allows(axes_tsae):
    def names(credit):
        return [monitor.name for monitor in usual_monitors(credit)]

    assert names(None) == names(StepValidity()) == DRIFTS
    assert names(make_scheme("text")) == [*DRIFTS, "pay_precision"]
    assert names(make_scheme("likelihood")) == [*DRIFTS, "pay_precision", "frozen_live"]
    assert names(make_scheme("latents", tsae=axes_tsae)) == [*DRIFTS, "pay_precision", "frozen_live", "causal_effect"]


def test_every_name_makes_a_monitor_and_none_is_made_twice(axes_tsae, judge_tsae):
    credit = make_scheme("latents", tsae=axes_tsae)
    made = make_monitors([*MONITOR_NAMES, "length"], credit, judge_tsae=judge_tsae, every=3)
    of_readouts = ["pay_precision", "frozen_live", "causal_effect", "outside_drift", "judge"]
    assert [monitor.name for monitor in made] == [*DRIFTS, *of_readouts]
    assert [getattr(monitor, "every", None) for monitor in made[5:]] == [3, 3, None, 3]


def test_a_readout_with_a_range_is_watched_for_successes_that_leave_it(axes_tsae):
    rows = [make_rollout(1, sample=n, problem=str(n), tokens=(n % 7, n % 5, 3)) for n in range(60)]
    within = ReadoutCredit([TextCounts(8)], text_range=TextRange.fit([TextCounts(8)], tiny_policy(), rows))
    assert [monitor.name for monitor in usual_monitors(within)] == [*DRIFTS, "outside_drift", "pay_precision"]


def test_a_judge_reads_the_answers_of_the_labels_with_its_own_dictionary(
    monkeypatch, capsys, tmp_path, axes_tsae, judge_tsae
):
    for name, tsae in (("paid", axes_tsae), ("judge", judge_tsae)):
        sizes = ("--levels", "2", "--problems", "6", "--test-problems", "6", "--test-group", "2")
        assert run(monkeypatch, "readout", "--read", "latents", "--tsae", tsae, *sizes, "--out", tmp_path / name) == 0
    words = ("grpo", "--out", tmp_path / "run", "--levels", "2", *SMALL, "--readout", tmp_path / "paid")
    words += ("--scale", "none", "--tsae", axes_tsae, "--monitors", "judge", "--judge-tsae", judge_tsae)
    message = "expected a readout without labels from before the run"
    assert message in refused(monkeypatch, capsys, *words)
    assert run(monkeypatch, *words, "--judge-readout", tmp_path / "judge", "--monitor-every", "1") == 0
    assert Run.open(tmp_path / "run").table()["judge"].is_not_null().any()


def test_what_no_monitor_can_be_made_of_is_refused(axes_tsae, judge_tsae):
    latents = make_scheme("latents", tsae=axes_tsae)
    cases = [
        (["lenght"], None, None, "monitors must be among usual, length, .*; got 'lenght'"),
        (["judge"], latents, None, "the monitor judge and its dictionary .* go together"),
        (
            ["judge"],
            make_scheme("text"),
            judge_tsae,
            "expected credit by a readout of latents, which a judge could read",
        ),
        (["judge"], StepValidity(), judge_tsae, "the monitor judge expected credit by a readout .*, got StepValidity"),
    ]
    for names, credit, directory, message in cases:
        with pytest.raises(BadInput, match=message):
            make_monitors(names, credit, judge_tsae=directory)


def test_a_run_with_monitors_says_which_alarms_there_were(monkeypatch, capsys, tmp_path):
    words = ("grpo", "--out", tmp_path / "run", "--levels", "middle", *SMALL, "--monitors", "usual")
    result = run_json(monkeypatch, capsys, *words)
    assert result["alarms"] == [] and result["last"]["alarms"] == 0
    assert "Monitors raised no alarm." in run_text(monkeypatch, capsys, *words)
    assert [*Run.open(tmp_path / "run").manifest["monitors"][0]["settings"]] == DRIFTS
    assert "alarms" not in run_json(monkeypatch, capsys, *words[:-2])


def test_a_readout_of_latents_is_watched_by_all_and_a_stop_is_continued_by_the_same_command(
    monkeypatch, capsys, tmp_path, axes_tsae, judge_tsae
):
    words = ("grpo", "--out", tmp_path / "run", "--levels", "shallow", *SMALL, "--credit", "latents", "--scale", "none")
    words += ("--tsae", axes_tsae, "--monitors", "usual", "judge", "--judge-tsae", judge_tsae, "--monitor-every", "1")
    while run(monkeypatch, *words, "--on-alarm", "stop"):  # it stops at every alarm, and then goes on
        error = capsys.readouterr().err
        assert "Stopped and saved before step" in error and "limit" in error
    last = Run.open(tmp_path / "run").table().to_dicts()[-1]
    assert {"judge", "pay_precision", "causal_effect"} <= last.keys() and last["frozen_live_gap"] >= 0
    assert last["causal_effect_right_steps"] is not None and last["causal_effect_first"] is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--monitors", "judge"), "--monitors judge and --judge-tsae go together"),
        (("--judge-tsae", "d"), "--monitors judge and --judge-tsae go together"),
        (("--judge-readout", "d"), "--judge-readout is read with its dictionary: expected --judge-tsae too, got none"),
        (("--on-alarm", "stop"), "--on-alarm stop is for --monitors: expected some, such as usual, got none"),
        (("--monitors", "usual", "--monitor-every", "0"), "monitor_every must be at least 1; got 0"),
        (("--monitors", "pay-precision"), "pay_precision expected credit by a readout"),
        (("--monitors", "frozen-live", "--credit", "text", "--scale", "none"), "which read the text alone"),
    ],
)
def test_monitors_that_cannot_be_are_refused_before_training(monkeypatch, capsys, tmp_path, words, message):
    assert message in refused(monkeypatch, capsys, "grpo", "--out", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()
