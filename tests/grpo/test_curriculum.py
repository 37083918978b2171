"""A curriculum moves by the run's own pass rate, and its place is part of the run's state."""

from dataclasses import replace

import pytest
from conftest import tiny_policy
from grpo_fixtures import FirstWord, make_rollout, small_config, train_tiny

from interp.artifacts import BadInput, Mismatch
from interp.grpo import Curriculum
from interp.grpo.measured import with_measured
from interp.grpo.strategies.base import Draw
from interp.policy.prompts import PromptFormat
from interp.rollouts.buckets import MeasuredProblems
from interp.tasks import Chain

PROBLEMS = FirstWord().problems("train", 1, 4)
LEVELS = ("shallow", "middle", "deep")


def start(curriculum, task=None):
    return curriculum.start(task or Chain(), steps=10, seed=0)


def groups(rate, strategy=None, **changes):
    """One group of ten rollouts with this pass rate."""
    rows = [replace(make_rollout(float(n < 10 * rate)), **changes) for n in range(10)]
    return [(Draw(PROBLEMS[0], strategy=strategy), rows)]


def parts_of(source, rates):
    """The part in which each batch is drawn, if the batches before have these pass rates."""
    return [int(source.observe(step, groups(rate))["curriculum_part"]) for step, rate in enumerate(rates)]


def test_problems_become_harder_above_the_target_and_easier_below_it():
    source = start(Curriculum(LEVELS, window=1))
    assert parts_of(source, [0.8, 0.5, 0.3, 0.7, 0.9, 0.9, 0.1, 0.2, 0.0, 0.6]) == [0, 1, 1, 1, 1, 2, 2, 1, 0, 0]
    assert {problem.level for problem in source(9, 0, 4)} == {"shallow"}


def test_the_last_batches_of_a_part_decide_together():
    source = start(Curriculum(LEVELS, window=2))
    assert parts_of(source, [1.0, 0.0, 1.0, 0.8, 1.0, 0.9, 0.5]) == [0, 0, 0, 0, 1, 1, 2]


def test_target_and_margin_say_where_it_moves():
    source = start(Curriculum(LEVELS, target=0.8, margin=0.1, window=1))
    assert parts_of(source, [0.9, 1.0, 0.8, 0.6, 0.5]) == [0, 0, 1, 1, 0]


def test_groups_of_strategies_do_not_move_it_nor_do_rates_that_were_not_measured():
    source = start(Curriculum(LEVELS, window=1, rate="valid_rate"))
    for observed in (groups(1.0, "hint", valid=True), groups(1.0, valid=None), groups(0.5)):
        source.observe(0, observed)
    assert source.part == 0
    source.observe(0, groups(0.0, valid=True))
    assert source.part == 1


def test_its_place_survives_a_restart():
    source, restored = (start(Curriculum(LEVELS, window=3)) for _ in range(2))
    parts_of(source, [1.0, 0.9, 0.8, 0.1, 0.4])
    restored.load_state(source.state())
    assert (restored.part, restored.rates) == (source.part, source.rates) == (1, [0.1, 0.4])


def test_parts_may_be_lists_of_problems_by_name():
    source = start(Curriculum({"easy": PROBLEMS[:2], "hard": PROBLEMS[2:]}, window=1), FirstWord())
    assert {problem.id for problem in source(0, 0, 2)} == {problem.id for problem in PROBLEMS[:2]}
    source.observe(0, groups(1.0))
    assert {problem.id for problem in source(1, 2, 2)} == {problem.id for problem in PROBLEMS[2:]}
    assert list(source.spec()["parts"]) == ["easy", "hard"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Curriculum(()), r"two levels or more, easiest first; got \(\)"),
        (lambda: Curriculum("deep"), "two levels or more, easiest first; got 'deep'"),
        (lambda: Curriculum(("deep", "deep")), "named once each"),
        (lambda: Curriculum(LEVELS, target=1.5), "target must lie between 0 and 1; got 1.5"),
        (lambda: Curriculum(LEVELS, window=0), "window must be at least 1; got 0"),
        (lambda: start(Curriculum(("shallow", "hidden"))), "level must be a depth or one of shallow, middle, deep"),
        (lambda: start(Curriculum(("easy", "hard"))), "the name of a measured bucket: pass its problems"),
        (lambda: start(Curriculum({"easy": PROBLEMS, "hard": []}), FirstWord()), "is the bucket empty"),
    ],
)
def test_a_curriculum_without_parts_to_move_between_is_refused(make, message):
    with pytest.raises(BadInput, match=message):
        make()


def test_measured_parts_must_be_of_this_base_and_task_and_give_their_prompts():
    base, task = tiny_policy(), FirstWord()
    made_from = {"policy": base.fingerprint(), "task": task.fingerprint()}
    easy = MeasuredProblems(PROBLEMS[:2], config={"suffix": " 1"}, made_from=made_from)
    hard = MeasuredProblems(PROBLEMS[2:], config={"suffix": " 1"}, made_from=made_from)
    curriculum = Curriculum({"easy": easy, "hard": hard})
    assert with_measured(small_config(), curriculum, base, task).prompt_format == PromptFormat(suffix=" 1")
    with pytest.raises(Mismatch, match="expected problems measured with this task"):
        with_measured(small_config(), curriculum, base, FirstWord("all"))


def test_a_run_follows_its_own_pass_rate(tmp_path):
    curriculum = Curriculum((3, 5, 9), margin=0.0, window=1)
    run = train_tiny(tmp_path / "run", small_config(save_every=1), problems=curriculum, progress=False)
    lines = run.metrics()
    for line in lines:
        assert {row.depth for row in run.rollouts(line["step"])} == {(3, 5, 9)[line["curriculum_part"]]}
    for line, after in zip(lines, lines[1:], strict=False):
        direction = (line["pass_rate"] > 0.5) - (line["pass_rate"] < 0.5)
        assert after["curriculum_part"] == min(max(line["curriculum_part"] + direction, 0), 2)
    assert len({line["curriculum_part"] for line in lines}) > 1
    parts = run.manifest["problems"]["parts"]
    assert parts["5"] == {"task": "first-word", "levels": [5]}
