"""Tasks from reasoning-gym: seeds of their own, disjoint splits, no partial credit, no answer that is executed."""

import sys

import pytest

from interp.artifacts import BadInput
from interp.tasks.base import SPLITS, Task
from interp.tasks.gym import GymTask, split_of
from interp.tasks.text.harmless import is_harmless

pytest.importorskip("reasoning_gym")
LEVEL_CONFIGS = {1: {"min_terms": 2, "max_terms": 2}, "long": {"min_terms": 6, "max_terms": 6}}


def test_a_gym_task_satisfies_the_contract():
    task = GymTask("chain_sum", level_configs=LEVEL_CONFIGS)
    assert isinstance(task, Task) and task.name == "gym:chain_sum"
    assert task.levels == ("long",) and task.depths is None and task.size("train", None) is None


def test_text_that_only_contains_the_answer_is_not_correct():
    from reasoning_gym import create_dataset
    from reasoning_gym.dataset import ProceduralDataset

    task = GymTask("leg_counting")
    problem = task.problem("eval", None, 0)
    rambling = f"It may be {problem.answer}, or not"
    default_score = ProceduralDataset.score_answer(create_dataset("leg_counting"), rambling, {"answer": problem.answer})
    assert 0 < default_score < 1
    assert not task.verify(problem, rambling).correct and task.verify(problem, f"A: {problem.answer}").correct


def test_problems_are_reproducible():
    first, second = (GymTask("chain_sum").problems("train", None, 5) for _ in range(2))
    assert first == second and len({p.prompt for p in first}) == 5


def test_neighbouring_seeds_share_no_problems():
    prompts = [{p.prompt for p in GymTask("chain_sum", seed=seed).problems("train", None, 30)} for seed in (42, 43)]
    assert not prompts[0] & prompts[1]


def test_splits_are_disjoint_by_content():
    task = GymTask("chain_sum", config={"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1})
    prompts = [{p.prompt for p in task.problems(split, None, 40)} for split in SPLITS]
    assert sum(map(len, prompts)) == len(set.union(*prompts))
    assert all(split_of(prompt) == split for split, some in zip(SPLITS, prompts, strict=True) for prompt in some)


def test_levels_are_configs_of_the_dataset():
    task = GymTask("chain_sum", level_configs=LEVEL_CONFIGS)
    assert task.problem("eval", 1, 0).prompt.count("+") + task.problem("eval", 1, 0).prompt.count("-") == 1
    assert task.problem("eval", "long", 0).level == "long" and task.problem("eval", 1, 0).depth == 1
    assert task.verify(task.problem("eval", "long", 0), task.problem("eval", "long", 0).answer).correct
    with pytest.raises(BadInput, match="no level 2; it has 1, 'long'"):
        task.problem("eval", 2, 0)


def test_the_fingerprint_covers_levels_of_both_kinds_and_the_version_of_reasoning_gym(monkeypatch):
    task = GymTask("chain_sum", level_configs=LEVEL_CONFIGS)
    before = task.fingerprint()
    assert before == GymTask("chain_sum", level_configs=dict(reversed(LEVEL_CONFIGS.items()))).fingerprint()
    assert before != GymTask("chain_sum", level_configs={**LEVEL_CONFIGS, 1: {"max_terms": 3}}).fingerprint()
    monkeypatch.setattr("interp.tasks.gym.versions", lambda *packages: {"reasoning-gym": "0.0.1"})
    assert before != task.fingerprint()


def test_a_question_space_too_small_for_a_split_is_refused(monkeypatch):
    monkeypatch.setattr("interp.tasks.gym.split_of", lambda question: "train")
    with pytest.raises(BadInput, match="too few questions at level None: none of 300 draws is of eval"):
        GymTask("coin_flip").problem("eval", None, 0)


def test_unknown_datasets_and_configs_are_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="did you mean chain_sum"):
        GymTask("chain_sums").problem("eval", None, 0)
    with pytest.raises(BadInput, match=r"refuses the config .*Its options: .*min_terms"):
        GymTask("chain_sum", config={"terms": 3}).problem("eval", None, 0)
    with pytest.raises(BadInput, match="split must be one of"):
        GymTask("chain_sum").problem("test", None, 0)


def test_a_problem_of_another_task_is_refused():
    problem = GymTask("leg_counting").problem("eval", None, 0)
    with pytest.raises(BadInput, match="expected a problem of this task"):
        GymTask("chain_sum").verify(problem, "7")


def test_without_reasoning_gym_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(BadInput, match=r"pip install 'interp\[gym\]'"):
        GymTask("chain_sum", seed=7).problem("eval", None, 0)


HARMLESS = ["7", "[1, 2]", "(3 + 4) * 2", "x**2 + 3*x", "[[1, 0], [0, 1]]", "['A', 'B']", "sin(x)/2", "0 1\n1 0"]


@pytest.mark.parametrize("text", HARMLESS)
def test_literals_and_small_arithmetic_are_harmless(text):
    assert is_harmless(text)


@pytest.mark.parametrize(
    "text",
    [
        *[
            "__import__('os')",
            "exit()",
            "x.y",
            "[x for x in y]",
            "lambda: 3",
            "9**9**9",
            "(2**20)**20",
            "'a'*9",
            "[0]*9",
        ],
        *["f'{x}'", "factorial(9)", "(x:=1)", "x if x else y", "1e999", "9" * 40, "(" * 50 + ")" * 50, "sin(*x)"],
        *["exec", "a[0]", "\x00", "True < x"],
    ],
)
def test_code_large_numbers_and_attributes_are_not_harmless(text):
    assert not is_harmless(text)
