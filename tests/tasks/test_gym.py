"""Tasks from reasoning-gym: seeds of their own, disjoint splits, no partial credit, no answer that stalls a run."""

import sys
import time

import pytest
from hostile_texts import hostile_texts

from interp.artifacts import BadInput
from interp.tasks.base import SPLITS, Task
from interp.tasks.gym import GymTask, split_of
from interp.tasks.gym.answers import _CHECKS, is_right
from interp.tasks.gym.checks import is_proposition
from interp.tasks.gym.formulas import equals, evaluate, is_antiderivative, parse

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
    monkeypatch.setattr("interp.tasks.gym.task.versions", lambda *packages: {"reasoning-gym": "0.0.1"})
    assert before != task.fingerprint()


def test_a_question_space_too_small_for_a_split_is_refused(monkeypatch):
    monkeypatch.setattr("interp.tasks.gym.task.split_of", lambda question: "train")
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


# --- answers -------------------------------------------------------------------------------------------------------

SLOW_TO_DRAW = {"arc_agi", "codeio", "figlet_font", "futoshiki", "group_anagrams", "sudoku", "zebra_puzzles"}


@pytest.mark.parametrize("dataset", sorted({*_CHECKS, "chain_sum", "binary_matrix", "letter_counting"} - SLOW_TO_DRAW))
def test_a_right_answer_is_right_and_any_other_is_judged_at_once(dataset):
    task = GymTask(dataset)
    problem = task.problem("eval", None, 0)
    drawn, entry = task._redraw(problem)
    examples = (problem.answer, *(entry["metadata"].get(f"example_{name}") for name in ("answer", "correct_answer")))
    right = [answer for answer in examples if answer]
    assert all(task.verify(problem, f"<answer> {answer}\n</answer>").correct for answer in right)
    for text in hostile_texts(seed=0, count=40, length=5000, seeds=tuple(answer[:200] for answer in right)):
        start = time.process_time()
        correct = is_right(dataset, drawn, entry, text)
        assert time.process_time() - start < 1, text[:100]
        assert not correct or text.split() == right[0].split(), text[:100]


EXPENSIVE = {
    "puzzle24": ["exp(exp(exp(9)))", "9**9**9", "((((9**9)**9)**9)**9)", "24" + "+0" * 90],
    "countdown": ["exp(exp(exp(9)))", "9**9**9**9", "9" * 4000, "*".join(["9" * 9] * 20)],
    "coin_flip": ["1e999999999", "1e-999999999", "1/" + "9" * 4000],
    "rubiks_cube": ["R999999999", "R3 " * 2000, "9" * 4000 + "R"],
    "rush_hour": ["A+999999999", "A+9 " * 1200],
    "propositional_logic": ["∨".join("P" * n for n in range(1, 90)), "∨".join("abcdefghijklmnopqrst"), "¬" * 120 + "P"],
    "polynomial_multiplication": ["1e-999999999", "(x+1)**99999*x", "*".join(["(x+1)**9"] * 100), "x*" * 240 + "x"],
    "simple_integration": ["(sin(X)**2+cos(X)**2)**99", "X**X**X**X", "+".join(["sin(X)**X"] * 100), "1e-999999999"],
    "intermediate_integration": ["sin(" * 90 + "x" + ")" * 90, "*".join(["tan(x)"] * 120), "exp(" * 9 + "x" + ")" * 9],
    "sokoban": ["LRUD" * 1250],
    "tower_of_hanoi": ["Move disk 1 from Peg 1 to Peg 2\nMove disk 1 from Peg 2 to Peg 1\n" * 75],
    "boxnet": ['[{"a": "' + "move(" + "a, " * 1600 + '"}]', '[{"' + "1." * 2400 + '": "move(a, b)"}]'],
    "number_sorting": ["[" + "9" * 4900 + "]", "[" * 2000 + "]" * 2000],
}  # fmt: skip


@pytest.mark.parametrize("dataset", EXPENSIVE)
def test_the_most_expensive_answers_of_the_right_shape_are_judged_within_a_second(dataset):
    task = GymTask(dataset)
    problem = task.problem("eval", None, 1)
    for answer in EXPENSIVE[dataset]:
        start = time.process_time()
        assert not task.verify(problem, f"<answer>{answer}</answer>").correct
        assert time.process_time() - start < 1, answer[:100]


@pytest.mark.parametrize(
    "answer", ['{"a": [' + "1," * 1600 + "1]}", '{"a":' * 700 + "1" + "}" * 700, '{"a": 1, "b": 1}']
)
def test_other_json_is_wrong_without_a_distance_between_trees(answer):
    entry = {"answer": '{"b": true, "a": 1.0}', "metadata": {}}
    assert not is_right("codeio", None, entry, answer)
    assert is_right("codeio", None, entry, '{"a": 1, "b": true}')


def test_an_answer_on_which_the_scorer_fails_is_wrong_and_leaves_the_entry_as_it_was(monkeypatch):
    task = GymTask("chain_sum")
    problem = task.problem("eval", None, 0)
    dataset, entry = task._redraw(problem)

    def score_answer(answer: str, entry: dict) -> float:
        entry["metadata"]["answer"] = answer
        raise RuntimeError("a scorer's own trouble")

    monkeypatch.setattr(dataset, "score_answer", score_answer, raising=False)
    before = dict(entry["metadata"])
    assert not task.verify(problem, f"A: {problem.answer}.0").correct and entry["metadata"] == before


def test_a_dataset_of_another_version_is_compared_exactly(monkeypatch):
    task = GymTask("chain_sum")
    problem = task.problem("eval", None, 0)
    assert task.verify(problem, f"A: {problem.answer}.0").correct
    monkeypatch.delitem(_CHECKS, "chain_sum")
    assert task.verify(problem, f"A: {problem.answer}").correct
    assert not task.verify(problem, f"A: {problem.answer}.0").correct


# --- formulae ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["7", "(3 + 4) * 2", "x**2 + 3*x", "sin(x)/2", "-x", "1.5*x", " x "])
def test_small_formulae_are_parsed(text):
    assert parse(text, frozenset("x")) is not None


@pytest.mark.parametrize(
    "text",
    [
        *("__import__('os')", "exit()", "x.y", "[x for x in y]", "lambda: 3"),
        *("'a'*9", "[0]*9", "y", "1e9", "1e-999999999"),
        *("f'{x}'", "factorial(9)", "(x:=1)", "x if x else x", "9" * 31),
        *("(" * 300 + ")" * 300, "sin(*x)", "x[0]", "1j"),
        *("\x00", "True < x", "True", "x ^ 2", "x // 2", "x % 2"),
        *("+" * 200 + "1", "sin(x, x)", "x" + "+x" * 400, "", "٢"),
        *("**".join("2" * 300), "(" * 120 + "x" + ")" * 120 + "+x" * 120, "not x", "x or x", "0x10", "1_0", "x\n"),
    ],
)  # fmt: skip
def test_code_long_numbers_and_deep_trees_are_no_formulae(text):
    assert text.strip() == "x" or parse(text, frozenset("x")) is None


@pytest.mark.parametrize(
    ("text", "value"), [("2*(5 + 3) + 8", 24), ("-3 + 27", 24), ("8/(3 - 8/3)", 24), ("2**10", 1024)]
)
def test_formulae_have_their_exact_values(text, value):
    tree = parse(text, frozenset())
    assert tree is not None and equals(tree, value) and not equals(tree, value + 1)


@pytest.mark.parametrize(
    "text", ["9**9**9", "exp(exp(exp(9)))", "1/0", "0**-1", "(2**64)**64", "log(0)", "sin", "sin(9**99)"]
)
def test_huge_and_undefined_values_are_none(text):
    tree = parse(text, frozenset())
    assert tree is not None and evaluate(tree) is None


@pytest.mark.parametrize(
    ("answer", "integrand"),
    [
        *[("x**3/3 + C", "x**2"), ("x**3/3", "x**2"), ("(x**3 + 3)/3", "x*x"), ("exp(2*x)/2 + 7", "exp(2*x)")],
        *[("-cos(x) + C", "sin(x)"), ("log(x)", "1/x"), ("ln(2*x)", "1/x"), ("x*log(x) - x + C", "log(x)")],
        *[("2*x**(3/2)/3", "sqrt(x)"), ("atan(x)", "1/(x**2+1)")],
        *[("sin(x)**2", "2*sin(x)*cos(x)"), ("asin(x)", "(1-x**2)**(-1/2)")],
        *[("-cos(x)**2", "2*sin(x)*cos(x)"), ("x**x", "x**x*(log(x) + 1)")],
        *[("tan(x)", "1/cos(x)**2"), ("-acos(x)", "1/sqrt(1-x*x)")],
    ],
)  # fmt: skip
def test_antiderivatives_are_recognized_in_any_form(answer, integrand):
    assert is_antiderivative(answer, integrand, "x")
    assert not is_antiderivative(answer + " + x/1000000", integrand, "x")
    assert not is_antiderivative(f"2*({answer})", integrand, "x")


def test_a_rounded_coefficient_is_no_antiderivative():
    assert not is_antiderivative("0.333333333333*x**3", "x**2", "x")


@pytest.mark.parametrize("text", ["P", "¬P", "(P ∧ Q)", "P → (Q ∨ ¬R)", "(P)↔(Q)", "¬¬P"])
def test_formulae_of_the_variables_are_propositions(text):
    assert is_proposition(text, ["P", "Q", "R"])


@pytest.mark.parametrize(
    "text", ["", "S", "PQ", "P Q", "P∧", "∧P", "(P", "P)", ")P(", "P(Q)", "P¬Q", "p", "P and Q", "¬" * 121 + "P", "()"]
)
def test_other_texts_are_no_propositions(text):
    assert not is_proposition(text, ["P", "Q", "R"])
