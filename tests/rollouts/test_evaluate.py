"""Evaluation: measures counted by hand, every checkpoint on the same problems, results on disk."""

from dataclasses import replace

import pytest

from interp.artifacts import BadInput, Mismatch, to_json
from interp.organism import shipped_path
from interp.rollouts import EvaluateConfig, Evaluation, Series, evaluate, mean_pass_at_k, roll_out, summarize
from interp.rollouts.evaluate import measure_rollouts, select_problems
from interp.rollouts.summary import HEADLINE_MEASURES
from interp.tasks import Chain, JsonlTask, Problem

TASK = Chain()
SMALL = EvaluateConfig(problems=4, levels=(2, 3, "deep"), group=4, k=(1, 4), max_new_tokens=60)


# --- measures of rollouts ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted_by_hand(verdict_row):
    return [
        *(verdict_row("a", True, True, True, 1, "shallow") for _ in range(3)),
        *(verdict_row("b", True, False, True, 3) for _ in range(2)),
        verdict_row("c", False, False, False, 9, "deep"),
        verdict_row("d", True, None, True, 9, "deep"),  # validity not known
        verdict_row("e", True, False, None, None, None),  # wrote no steps
    ]


@pytest.mark.parametrize(
    ("measure", "count"),
    [("coherent_valid", 3), ("coherent_invalid", 2), ("incoherent_valid", 0), ("incoherent_invalid", 1)],
)
def test_coherence_is_crossed_with_validity_if_both_are_known(counted_by_hand, measure, count):
    estimate = measure_rollouts(counted_by_hand, [1])["all", "all"][measure]
    assert estimate.n == 6 and estimate.value * 6 == pytest.approx(count)
    assert estimate.low <= estimate.value <= estimate.high


def test_a_rollout_without_depth_or_level_is_counted_only_in_all(counted_by_hand):
    estimates = measure_rollouts(counted_by_hand, [1])
    assert [key for key in estimates if key[0] == "level"] == [("level", "shallow"), ("level", "deep")]
    assert [key for key in estimates if key[0] == "depth"] == [("depth", "1"), ("depth", "3"), ("depth", "9")]
    assert estimates["all", "all"]["pass_rate"].n == 8
    assert estimates["level", "deep"]["pass_rate"].value == 0.5


def test_measures_are_those_of_a_summary_and_pass_at_k_by_answer_and_by_every_step(verdict_row):
    measures = measure_rollouts([verdict_row("a", True, True) for _ in range(4)], [4, 1])["all", "all"]
    of_a_summary = summarize([verdict_row("a", True)], "step").estimates[0]
    assert [*measures] == [*of_a_summary, "pass_at_1", "pass_at_4", "valid_at_1", "valid_at_4"]


# --- a policy, a series --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluation(organism) -> Evaluation:
    series = Series.from_dirs({0: shipped_path(), 7: shipped_path()})
    return evaluate(series, TASK, SMALL, device="cpu", progress=False)


def test_every_checkpoint_gets_the_same_problems_and_its_own_draws(evaluation, organism):
    assert evaluation.steps == (0, 7)
    assert {*evaluation.policies.values()} == {organism.fingerprint()}
    assert evaluation.groups("depth") == ("2", "3", "8", "9") and evaluation.groups("level") == ("shallow", "deep")
    first, later = (evaluation.measures(step, by="depth", group=3) for step in (0, 7))
    assert first["pass_rate"].n == later["pass_rate"].n == 16
    assert evaluation.measures(0) != evaluation.measures(7)


def test_an_evaluation_agrees_with_rollouts_of_the_same_problems(evaluation, organism):
    rows = roll_out(organism, TASK, TASK.problems("eval", 3, 4), SMALL.sampling(), step=7, purpose="evaluate")
    measures = evaluation.measures(7, by="depth", group=3)
    for name, estimate in summarize(rows).estimates[3].items():
        assert measures[name] == estimate, name
    assert measures["pass_at_4"] == mean_pass_at_k(rows, 4)
    assert measures["valid_at_4"] == mean_pass_at_k(rows, 4, "valid")


def test_a_policy_alone_is_step_0_and_a_checkpoint_has_its_own_step(evaluation, organism):
    assert evaluate(organism, TASK, SMALL).table().equals(evaluation.table().filter(step=0))
    alone = evaluate(Series.from_dirs({7: shipped_path()}).last, TASK, SMALL, device="cpu")
    assert alone.table().equals(evaluation.table().filter(step=7))


def test_a_saved_evaluation_is_loaded_unchanged_and_refused_for_another_base(evaluation, organism, tmp_path):
    evaluation.save(tmp_path / "e")
    loaded = Evaluation.load(tmp_path / "e", made_from={"policy": organism.fingerprint(), "task": TASK.fingerprint()})
    assert loaded.table().equals(evaluation.table())
    assert loaded.config == to_json(evaluation.config)
    assert (loaded.made_from, loaded.policies) == (evaluation.made_from, evaluation.policies)
    assert loaded.measures(7, by="level", group="deep") == evaluation.measures(7, by="level", group="deep")
    with pytest.raises(Mismatch, match="made from another policy"):
        Evaluation.load(tmp_path / "e", made_from={"policy": "0123"})
    with pytest.raises(BadInput, match="exists already"):
        evaluation.save(tmp_path / "e")


def test_the_table_is_long_the_summary_has_a_row_per_step_and_the_figure_a_panel_per_measure(evaluation):
    assert evaluation.table().columns == ["step", "by", "group", "measure", "value", "low", "high", "n"]
    summary = evaluation.summary()
    assert summary.columns == ["step", "rollouts", *HEADLINE_MEASURES] and summary["step"].to_list() == [0, 7]
    assert summary["pass_rate"].to_list() == [evaluation.measures(step)["pass_rate"].value for step in (0, 7)]
    assert {trace.name for trace in evaluation.figure().data} == {"shallow", "deep"}
    assert {trace.name for trace in evaluation.figure(by="all").data} == {"all"}
    assert "Evaluation(2 checkpoints, steps 0, 7)" in evaluation._repr_html_()


def test_a_step_or_group_that_was_not_evaluated_is_refused_naming_those_that_were(evaluation):
    groups = "all all; depth 2, 3, 8, 9; level shallow, deep"
    message = f"expected a step of 0, 7 and a group of {groups}; got step 3, depth 2"
    with pytest.raises(BadInput, match=message):
        evaluation.measures(3, by="depth", group=2)


# --- which problems ------------------------------------------------------------------------------------------------


def test_every_depth_is_evaluated_by_default_and_no_problem_twice(organism):
    depths = [problem.depth for problem in select_problems(TASK, EvaluateConfig(problems=2))]
    assert depths == [depth for depth in range(1, 11) for _ in range(2)]
    evaluation = evaluate(organism, TASK, replace(SMALL, problems=2, levels=(8, "deep"), k=()))
    assert evaluation.config["n_problems"] == 3, "a deep problem of depth 8 is one of those of depth 8"


def test_a_file_gives_as_many_problems_as_it_has(tmp_path, new_policy):
    lines = "\n".join(f'{{"id": {i}, "prompt": "{i} + 1 =", "answer": {i + 1}, "split": "eval"}}' for i in range(3))
    (tmp_path / "mine.jsonl").write_text(lines)
    task = JsonlTask(tmp_path / "mine.jsonl")
    assert len(select_problems(task, EvaluateConfig())) == 3
    evaluation = evaluate(new_policy(), task, EvaluateConfig(group=2, k=(1,), max_new_tokens=4))
    assert evaluation.groups("depth") == () and evaluation.measures(0)["pass_rate"].n == 6
    with pytest.raises(BadInput, match=r"jsonl:mine: expected problems of probe, got none: .* \(--split\)"):
        select_problems(task, EvaluateConfig(split="probe"))


def test_given_problems_replace_those_of_the_config_and_are_part_of_the_fingerprints(organism):
    problems = [Problem("a", "1 + 1 ?", "2"), Problem("b", "2 + 1 ?", "3"), Problem("b", "2 + 1 ?", "3")]
    two, one = (evaluate(organism, TASK, SMALL, problems=those) for those in (problems, problems[:1]))
    assert two.measures(0)["pass_rate"].n == 8
    assert two.made_from["problems"] != one.made_from["problems"]
    assert two.made_from["policy"] == one.made_from["policy"]
    with pytest.raises(BadInput, match="expected at least one problem, got none"):
        evaluate(organism, TASK, SMALL, problems=[])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problems": 0}, "problems must be at least 1; got 0"),
        ({"group": 8}, "k must lie between 1 and group, which is 8; got 16"),
        ({"k": (0,)}, "k must be at least 1; got 0"),
        ({"group": 0, "k": ()}, "group must be at least 1; got 0"),
        ({"temperature": -1.0}, "temperature must not be negative"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        EvaluateConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": (11,)}, "depth must lie between 1 and 10; got 11"),
        ({"levels": ("hrad",)}, "level must be a depth or one of shallow, middle, deep; got 'hrad'"),
        ({"split": "test"}, "split must be one of"),
    ],
)
def test_problems_that_the_task_does_not_have_are_refused_before_anything_is_loaded(settings, message):
    with pytest.raises(BadInput, match=message):
        evaluate(Series([]), TASK, EvaluateConfig(**settings))


def test_a_series_without_checkpoints_is_refused():
    with pytest.raises(BadInput, match="expected at least one checkpoint, got a series without any"):
        evaluate(Series([]), TASK, SMALL)
