"""Evaluation: pass@k against the counting of subsets, the cross of two judgements by hand, a series on one exam."""

from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest
from conftest import tiny_policy
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput, Mismatch, to_json
from interp.organism import shipped
from interp.policy import Policy
from interp.report.evaluation import crossed, over_steps
from interp.rollouts import (
    EvaluateConfig,
    Evaluation,
    Rollout,
    Series,
    evaluate,
    pass_at,
    pass_at_k,
    roll_out,
    summarise,
)
from interp.rollouts.evaluate import draw, measured
from interp.tasks import Chain, JsonlTask, Problem

TASK = Chain()
SMALL = EvaluateConfig(problems=4, levels=(2, 3, "hard"), group=4, k=(1, 4), max_new_tokens=60)


def row(
    prompt: str,
    correct: bool,
    valid: bool | None = None,
    coherent: bool | None = None,
    depth: int | None = 1,
    bucket: str | None = None,
) -> Rollout:
    """A rollout of which only the verdict matters."""
    lucky = None if valid is None else correct and not valid
    said = {"completion": "", "prompt_ids": (), "tokens": (), "logprobs": (), "entropies": (), "roles": ()}
    ends = {"truncated": False, "answer": None, "first_error": None, "steps": ()}
    key = {"run": "x", "step": 0, "problem": prompt, "sample": 0, "split": "eval", "prompt": prompt, "label": "1"}
    told = {"reward": float(correct), "correct": correct, "valid": valid, "lucky": lucky, "coherent": coherent}
    return Rollout(**key, **said, **ends, **told, depth=depth, bucket=bucket, format="steps", shortcut=None)  # pyright: ignore[reportArgumentType]


# --- pass@k ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_sets_of_k_that_hold_a_right_one(n):
    for c in range(n + 1):
        right = [True] * c + [False] * (n - c)
        for k in range(1, n + 1):
            sets = list(combinations(right, k))
            assert pass_at_k(n, c, k) == float(Fraction(sum(map(any, sets)), len(sets)))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_never_falls_with_k_from_the_pass_rate_on(counts):
    n, c = counts
    values = [pass_at_k(n, c, k) for k in range(1, n + 1)]
    assert values == sorted(values) and values[0] == c / n and values[-1] == float(c > 0)


def test_pass_at_k_neither_overflows_nor_cancels():
    assert pass_at_k(10**6, 1, 1) == 1e-6
    assert pass_at_k(20_000, 1, 10_000) == 0.5
    assert pass_at_k(20_000, 10_000, 10_000) == 1.0


@pytest.mark.parametrize(
    ("n", "c", "k", "told"),
    [
        (4, 2, 5, "pass@k needs k from 1 to the n = 4 rollouts of a problem; got k = 5: draw more, or ask less"),
        (4, 2, 0, "got k = 0"),
        (4, 5, 1, "expected 0 to n = 4 right rollouts; got 5"),
        (0, 0, 1, "got k = 1"),
    ],
)
def test_what_has_no_pass_at_k_is_refused(n, c, k, told):
    with pytest.raises(BadInput, match=told):
        pass_at_k(n, c, k)


def test_over_problems_pass_at_k_is_their_mean_with_the_problems_as_trials():
    rows = [*(row("a", right) for right in (True, True, False, False)), *(row("b", False) for _ in range(4))]
    found = pass_at(rows, 2)
    assert found.value == pytest.approx((5 / 6 + 0) / 2) and found.n == 2
    assert found.low < found.value < found.high


def test_a_problem_that_could_not_be_judged_throughout_is_left_out_and_the_count_says_so():
    rows = [row("a", True, True), row("a", True, False), row("b", True, None), row("b", True, True)]
    assert pass_at(rows, 1).n == 2
    assert (pass_at(rows, 1, "valid").value, pass_at(rows, 1, "valid").n) == (0.5, 1)
    assert str(pass_at(rows[2:], 1, "valid")) == "no trials"


def test_what_is_no_judgement_is_refused():
    with pytest.raises(BadInput, match="judgement must be one of correct, valid; got 'lucky'"):
        pass_at([row("a", True)], 1, "lucky")


# --- what is measured of rollouts --------------------------------------------------------------------------------

CROSSED = (
    ("coherent", "valid", 3),
    ("coherent", "invalid", 2),
    ("incoherent", "valid", 0),
    ("incoherent", "invalid", 1),
)
BY_HAND = [
    *(row("a", True, True, True, 1, "easy") for _ in range(3)),
    *(row("b", True, False, True, 3) for _ in range(2)),
    row("c", False, False, False, 9, "hard"),
    row("d", True, None, True, 9, "hard"),  # not judged
    row("e", True, False, None, None, None),  # wrote no steps
]


def test_coherence_is_crossed_with_validity_among_rollouts_where_both_are_known():
    found = measured(BY_HAND, [1])["all", "all"]
    for coherent, valid, count in CROSSED:
        share = found[f"{coherent}_{valid}"]
        assert share.n == 6 and share.value * 6 == pytest.approx(count)
        assert share.low <= share.value <= share.high


def test_what_has_no_bucket_or_no_depth_is_counted_in_all_alone():
    found = measured(BY_HAND, [1])
    assert [key for key in found if key[0] == "bucket"] == [("bucket", "easy"), ("bucket", "hard")]
    assert [key for key in found if key[0] == "depth"] == [("depth", "1"), ("depth", "3"), ("depth", "9")]
    assert found["all", "all"]["pass_rate"].n == 8
    assert found["bucket", "hard"]["pass_rate"].value == 0.5


def test_every_measure_of_a_summary_is_measured_and_pass_at_k_both_ways():
    found = measured([row("a", True, True) for _ in range(4)], [4, 1])["all", "all"]
    assert [*found] == [
        *summarise([row("a", True)], "step").rows[0],
        *("pass_at_1", "pass_at_4", "valid_at_1", "valid_at_4"),
    ]


def test_shortcuts_are_told_by_kind():
    rows = [replace(row("a", True), shortcut=kind) for kind in ("direct", "direct", "cue", None)]
    found = measured(rows, [])["all", "all"]
    shares = [found[f"{kind}_shortcut_share"].value for kind in ("direct", "copy", "cue")]
    assert shares == [0.5, 0.0, 0.25]


# --- a policy, a series ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def organism() -> Policy:
    return Policy.load(shipped(), device="cpu")


@pytest.fixture(scope="module")
def evaluation(organism) -> Evaluation:
    series = Series.from_dirs({0: shipped(), 7: shipped()})
    return evaluate(series, TASK, SMALL, device="cpu")


def test_every_checkpoint_answers_the_same_problems_with_draws_of_its_own(evaluation, organism):
    assert evaluation.steps == (0, 7)
    assert {*evaluation.policies.values()} == {organism.fingerprint()}
    assert evaluation.groups("depth") == ("2", "3", "8", "9") and evaluation.groups("bucket") == ("easy", "hard")
    first, later = (evaluation.at(step, by="depth", group=3) for step in (0, 7))
    assert first["pass_rate"].n == later["pass_rate"].n == 16
    assert evaluation.at(0) != evaluation.at(7)


def test_an_evaluation_agrees_with_rollouts_drawn_alike(evaluation, organism):
    asked = TASK.problems("eval", 3, 4)
    rows = roll_out(organism, TASK, asked, SMALL.sampling(), step=7, purpose="evaluate")
    found = evaluation.at(7, by="depth", group=3)
    for name, share in summarise(rows).rows[3].items():
        assert (found[name].n, found[name].low, found[name].high) == (share.n, share.low, share.high), name
    assert found["pass_at_4"] == pass_at(rows, 4) and found["valid_at_4"] == pass_at(rows, 4, "valid")


def test_a_policy_alone_is_step_0_and_a_checkpoint_its_own_step(evaluation, organism):
    assert evaluate(organism, TASK, SMALL).table().equals(evaluation.table().filter(step=0))
    alone = evaluate(Series.from_dirs({7: shipped()}).last, TASK, SMALL, device="cpu")
    assert alone.table().equals(evaluation.table().filter(step=7))


def test_an_evaluation_comes_back_as_it_went_and_knows_its_base(evaluation, organism, tmp_path):
    evaluation.save(tmp_path / "e")
    again = Evaluation.load(tmp_path / "e", made_from={"policy": organism.fingerprint(), "task": TASK.fingerprint()})
    assert again.table().equals(evaluation.table())
    assert again.table().columns == ["step", "by", "group", "measure", "value", "low", "high", "n"]
    assert (again.config, again.made_from, again.policies) == (
        to_json(evaluation.config),
        evaluation.made_from,
        evaluation.policies,
    )
    assert again.at(7, by="bucket", group="hard") == evaluation.at(7, by="bucket", group="hard")
    with pytest.raises(Mismatch, match="made from another policy"):
        Evaluation.load(tmp_path / "e", made_from={"policy": "0123"})
    with pytest.raises(BadInput, match="exists already"):
        evaluation.save(tmp_path / "e")


def test_a_broken_evaluation_is_named(evaluation, tmp_path):
    evaluation.save(tmp_path / "e")
    evaluation.table().head(3).write_parquet(tmp_path / "e" / "evaluation.parquet")
    with pytest.raises(BadInput, match=r"evaluation\.parquet: expected \d+ measures, got 3"):
        Evaluation.load(tmp_path / "e")
    (tmp_path / "e" / "evaluation.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match="got a file that does not open"):
        Evaluation.load(tmp_path / "e")


def test_what_was_not_evaluated_is_refused_naming_what_was(evaluation):
    told = "expected a step of 0, 7 and a group of all all; depth 2, 3, 8, 9; bucket easy, hard; got step 3, depth 2"
    with pytest.raises(BadInput, match=told):
        evaluation.at(3, by="depth", group=2)


def test_a_series_is_shown_step_by_step_and_its_last_checkpoint_crossed(evaluation):
    lines = over_steps(evaluation).splitlines()
    assert lines[0].split()[:2] == ["bucket", "step"] and lines[0].endswith("valid pass@4")
    assert [line.split()[:2] for line in lines[2:]] == [[b, s] for b in ("easy", "hard", "all") for s in ("0", "7")]
    assert str(evaluation.at(7, by="bucket", group="hard")["pass_rate"]) in lines[5]
    table = crossed(evaluation)
    known = evaluation.at(7)["coherent_valid"]
    assert table.startswith(f"Step 7: {known.n} of {evaluation.at(7)['pass_rate'].n} rollouts")
    assert f"{known}  {round(known.value * known.n)}" in table


def test_where_nothing_could_be_judged_the_tables_say_so():
    cells = {(0, *key): shares for key, shares in measured([row("a", True)], [1]).items()}
    blank = Evaluation(cells, policies={0: "f"}, config={"k": [1]})
    assert over_steps(blank).splitlines()[2].split()[:2] == ["all", "0"] and "pass@" not in over_steps(blank)
    assert crossed(blank).count("no trials") == 4


# --- what is asked -----------------------------------------------------------------------------------------------


def test_every_depth_is_asked_unless_levels_are_named_and_no_problem_twice(organism):
    depths = [problem.depth for problem in draw(TASK, EvaluateConfig(problems=2))]
    assert depths == [depth for depth in range(1, 11) for _ in range(2)]
    found = evaluate(organism, TASK, replace(SMALL, problems=2, levels=(8, "hard"), k=()))
    assert found.config["asked"] == 3, "a hard problem of depth 8 is one of those of depth 8"


def test_a_file_is_asked_as_far_as_it_goes(tmp_path):
    lines = "\n".join(f'{{"id": {i}, "prompt": "{i} + 1 =", "answer": {i + 1}, "split": "eval"}}' for i in range(3))
    (tmp_path / "mine.jsonl").write_text(lines)
    task = JsonlTask(tmp_path / "mine.jsonl")
    assert len(draw(task, EvaluateConfig())) == 3
    found = evaluate(tiny_policy(), task, EvaluateConfig(group=2, k=(1,), max_new_tokens=4))
    assert found.groups("depth") == () and found.at(0)["pass_rate"].n == 6
    with pytest.raises(BadInput, match=r"jsonl:mine: expected problems of probe, got none: .* \(--split\)"):
        draw(task, EvaluateConfig(split="probe"))


def test_problems_of_one_s_own_are_asked_instead_and_told_apart(organism):
    mine = [Problem("a", "1 + 1 ?", "2"), Problem("b", "2 + 1 ?", "3"), Problem("b", "2 + 1 ?", "3")]
    found, other = (evaluate(organism, TASK, SMALL, problems=asked) for asked in (mine, mine[:1]))
    assert found.at(0)["pass_rate"].n == 8
    assert found.made_from["problems"] != other.made_from["problems"]
    assert found.made_from["policy"] == other.made_from["policy"]
    with pytest.raises(BadInput, match="expected at least one problem, got none"):
        evaluate(organism, TASK, SMALL, problems=[])


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"problems": 0}, "problems must be at least 1; got 0"),
        ({"group": 8}, "k must lie between 1 and group, which is 8; got 16"),
        ({"k": (0,)}, "k must lie between 1 and group, which is 16; got 0"),
        ({"group": 0, "k": ()}, "group must be at least 1; got 0"),
        ({"temperature": -1.0}, "temperature must not be negative"),
    ],
)
def test_settings_out_of_range_are_refused(knobs, told):
    with pytest.raises(BadInput, match=told):
        EvaluateConfig(**knobs)


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"levels": (11,)}, "depth must lie between 1 and 10; got 11"),
        ({"levels": ("hrad",)}, "bucket must be one of easy, medium, hard; got 'hrad'"),
        ({"split": "test"}, "split must be one of"),
    ],
)
def test_what_the_task_does_not_hold_is_refused_before_anything_is_loaded(knobs, told):
    with pytest.raises(BadInput, match=told):
        evaluate(Series([]), TASK, EvaluateConfig(**knobs))


def test_a_series_without_checkpoints_is_refused():
    with pytest.raises(BadInput, match="expected at least one checkpoint, got a series without any"):
        evaluate(Series([]), TASK, SMALL)
