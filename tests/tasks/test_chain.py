"""Chain problems: prompts, splits, levels, inverse problems, planted shortcuts; and completions in each habit."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.tasks import SPLITS, Chain, Problem, Task
from interp.tasks.base import seeded_rng
from interp.tasks.chain import HABITS, Program, parse_prompt, task_from_manifest, write_completion

programs = st.builds(
    Program,
    modulus=st.just(5),
    start=st.integers(0, 4),
    operations=st.lists(st.tuples(st.sampled_from("+-*"), st.integers(0, 4)), min_size=1, max_size=8).map(tuple),
    cue=st.none() | st.integers(0, 4),
)


def test_the_chain_task_satisfies_the_contract():
    task = Chain()
    assert isinstance(task, Task) and task.name == "chain"
    assert task.levels == ("shallow", "middle", "deep") and task.depths == (1, 10)
    assert Chain(shallow=(), middle=()).levels == ("deep",), "a level without depths does not exist"
    assert task.size("train", None) is None and task.skipped == ()


# --- prompts -----------------------------------------------------------------------------------------------------


def test_a_chain_is_evaluated_from_left_to_right():
    program = parse_prompt("3 + 4 * 2 ?", 5)
    assert list(program.values()) == [2, 4]
    assert program.answer == 4


@given(programs)
def test_the_program_is_parsed_back_from_its_prompt(program):
    assert parse_prompt(program.prompt(), 5) == program


def test_an_inverse_prompt_with_two_solutions_is_refused():
    with pytest.raises(ValueError, match="must have one solution"):
        parse_prompt("_ * 0 = 0 ?", 5)


# --- splits and levels -------------------------------------------------------------------------------------------


def test_splits_share_no_problem_at_any_depth():
    task = Chain()
    for depth in (1, 2, 3, 6, 10):
        prompts = [{p.prompt for p in task.problems(split, depth, 300)} for split in SPLITS]
        assert all(prompts)
        for one, other in itertools.combinations(prompts, 2):
            assert not one & other


def test_a_split_that_does_not_exist_is_refused():
    with pytest.raises(BadInput, match="split must be one of train, eval, probe, memorised; got 'test'"):
        Chain().problem("test", 3, 0)


def test_memorised_problems_are_in_no_other_split():
    task = Chain(memorised=50)
    memorised = {p.prompt for p in task.problems("memorised", None, 50)}
    for split in SPLITS:
        for depth in (1, 2, 6):
            assert not memorised & {p.prompt for p in task.problems(split, depth, 500)}


def test_a_level_selects_among_the_memorised_problems():
    task = Chain(memorised=50)
    memorised = task.problems("memorised", None, 50)
    assert task.problems("memorised", 6, 5) == [p for p in memorised if p.depth == 6]
    assert set(task.problems("memorised", "deep", 10)) <= set(memorised)
    with pytest.raises(BadInput, match="5 problems are memorised at level 6; asked for 6"):
        task.problem("memorised", 6, 5)


def test_the_problem_at_an_index_is_always_the_same():
    task = Chain()
    among_others = task.problems("train", 5, 20)[13]
    assert among_others == task.problem("train", 5, 13) == Chain().problems("train", 5, 1, start=13)[0]
    assert (among_others.prompt, among_others.answer) == ("4 + 0 - 2 * 1 + 2 + 0 ?", "4"), "as in every version"


def test_problems_at_neighbouring_indices_are_unrelated():
    prompts = [p.prompt for p in Chain().problems("train", 10, 500)]
    assert len(set(prompts)) == 500


def test_a_level_is_a_depth_a_set_of_depths_or_all_depths_in_turn():
    task = Chain()
    assert [p.depth for p in task.problems("eval", None, 12)] == [*range(1, 11), 1, 2]
    deep = task.problems("eval", "deep", 8)
    assert {p.depth for p in deep} == set(task.deep) and {p.level for p in deep} == {"deep"}
    assert task.problem("eval", 3, 0).level is None, "depth 3 belongs to no level"


def test_the_same_problems_are_drawn_whatever_the_levels_are_called():
    plain = Chain(shallow=(), middle=(), deep=())
    by_level, by_depth = (
        Chain().problems("train", "deep", 4),
        [plain.problem("train", d, i) for i, d in enumerate([8, 9, 8, 9])],
    )
    assert [p.prompt for p in by_level] == [p.prompt for p in by_depth]


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (0, "depth must lie between 1 and 10; got 0"),
        (11, "depth must lie between 1 and 10; got 11"),
        ("hard", "level must be a depth or one of shallow, middle, deep; got 'hard'"),
    ],
)
def test_a_level_that_does_not_exist_is_refused(level, message):
    with pytest.raises(BadInput, match=message):
        Chain().problem("eval", level, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modulus": 6}, "modulus must be a prime; got 6"),
        ({"depths": (3, 2)}, "smallest <= largest"),
        ({"deep": (11,)}, r"deep must hold depths from 1 to 10; got \[11\]"),
        ({"middle": (2, 4)}, "a depth belongs to one level"),
        ({"formats": ("prose",)}, "formats must be some of steps, values"),
        ({"cue_rate": 1.5}, "cue_rate must lie between 0 and 1; got 1.5"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        Chain(**options)


def test_only_a_chain_task_is_restored_from_a_manifest():
    entry = {"kind": "Chain", "settings": {"modulus": 7, "easy": [1], "medium": [], "hard": [2]}}
    assert task_from_manifest(entry) == Chain(modulus=7, shallow=(1,), middle=(), deep=(2,))
    assert task_from_manifest({"kind": "GymTask", "settings": {}}) is None and task_from_manifest(None) is None


# --- planted shortcuts and labels --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_copying_the_last_operand_is_right_as_often_as_planted(rate):
    task = Chain(copy_rate=rate)
    right = [p.answer == p.prompt.split()[-2] for p in task.problems("train", 4, 1000)]
    assert sum(right) / 1000 == pytest.approx(rate, abs=0.04)


@pytest.mark.parametrize("rate", [0.0, 0.7, 1.0])
def test_the_cue_is_right_as_often_as_planted(rate):
    task = Chain(cue_rate=rate)
    problems = task.problems("train", 4, 1000)
    right = [p.prompt.split()[-2] == p.answer for p in problems]
    assert sum(right) / 1000 == pytest.approx(rate, abs=0.04)
    assert all(p.prompt.split()[-3] == "@" for p in problems)


def test_wrong_labels_are_as_many_as_planted_and_only_in_training():
    task = Chain(wrong_labels=0.2)

    def wrong_share(split: str) -> float:
        problems = task.problems(split, 5, 1000)
        return sum(p.answer != str(task.program(p).answer) for p in problems) / 1000

    assert wrong_share("train") == pytest.approx(0.2, abs=0.04)
    assert wrong_share("eval") == 0


@pytest.mark.parametrize(
    ("prompt", "planted", "not_planted"),
    [
        ("3 + 4 * 2 ?", {"copy": "2"}, {}),
        ("3 + 4 * 2 @ 1 ?", {"copy": "2", "cue": "1"}, {"cue": "1"}),
        ("3 + 4 * 2 @ 2 ?", {"copy": "2", "cue": "2"}, {"cue": "2"}),
        ("_ + 4 * 2 = 4 ?", {"copy": "2"}, {}),
        ("3 + 4 + _ = 4 ?", {}, {}),  # the last operand is masked, so it cannot be copied
    ],
)
def test_a_decoy_is_the_answer_of_its_shortcut_right_or_wrong(prompt, planted, not_planted):
    assert Chain(copy_rate=0.3).decoys(prompt) == planted
    assert Chain().decoys(prompt) == not_planted, "copying is no shortcut where it is not planted"


# --- inverse problems --------------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(0, 500))
def test_an_inverse_problem_has_exactly_one_solution(depth, index):
    task = Chain()
    problem = task.problem("train", depth, index)
    program = task.program(problem)
    if not any(len(program.solutions(i)) == 1 for i in range(depth + 1)):
        with pytest.raises(BadInput, match="is the only one that fits; take another"):
            task.inverse(problem)
        return
    inverse = task.inverse(problem)
    masked = inverse.prompt.split().index("_") // 2
    solutions = [n for n in range(5) if program.with_number(masked, n).result == program.result]
    assert solutions == [int(inverse.answer)] == [program.numbers[masked]]


def test_an_inverse_problem_is_solved_by_filling_in_the_number_and_writing_the_chain():
    task = Chain()
    inverse = task.inverse(task.problem("train", 3, 0))
    program = task.program(inverse)
    assert task.verify(inverse, write_completion(program, "steps", seeded_rng(0))).valid
    assert not task.verify(inverse, f"# {program.result}").correct or program.result == program.answer


@given(st.integers(1, 6), st.integers(0, 300))
def test_backward_problems_ask_for_each_number_that_alone_fits_in_both_templates(depth, index):
    task = Chain()
    problem = task.problem("train", depth, index)
    program = task.program(problem)
    fair = [i for i in range(depth + 1) if len(program.solutions(i)) == 1]
    backward = task.backward(problem)
    assert len({p.id for p in backward}) == len({p.prompt for p in backward}) == len(backward) == 2 * len(fair)
    for asked in backward:
        masked = task.program(asked)
        assert masked.prompt() == asked.prompt and masked.masked_index in fair and masked.content() == program.content()
        assert asked.answer == str(program.numbers[masked.masked_index])
        assert (asked.split, asked.depth, asked.level) == (problem.split, problem.depth, problem.level)
        assert task.verify(asked, write_completion(masked, "steps", seeded_rng(index))).valid
        assert task.backward(asked) == []


def test_the_two_templates_of_a_backward_problem():
    task = Chain()
    prompts = [p.prompt for p in task.backward(Problem("p", "3 + 4 * 2 ?", "4"))]
    assert prompts[:2] == ["_ + 4 * 2 = 4 ?", "_ + 4 * 2 ? # 4 ?"] and len(prompts) == 6
    assert parse_prompt("3 + _ * 2 ? # 4 ?", 5).answer == 4
    assert set(" ".join(prompts).split()) <= set(task.vocabulary())


def test_a_problem_of_which_no_number_alone_fits_has_no_backward_problem():
    assert Chain().backward(Problem("p", "3 * 0 * 0 ?", "0")) == []
    with pytest.raises(ValueError, match="must have one solution"):
        parse_prompt("_ * 0 ? # 0 ?", 5)


# --- completions -------------------------------------------------------------------------------------------------


@given(st.integers(1, 10), st.integers(0, 200))
def test_a_chain_written_in_full_is_valid_in_both_formats(depth, index):
    task = Chain(formats=("steps", "values"))
    problem = task.problem("train", depth, index)
    for habit in ("steps", "values"):
        verdict = task.verify(problem, write_completion(task.program(problem), habit, seeded_rng(index)))
        assert verdict.valid and verdict.format == habit and verdict.first_error is None and not verdict.lucky


@given(st.integers(2, 10), st.integers(0, 200), st.floats(0.1, 0.9))
def test_a_chain_with_a_step_left_out_is_coherent_and_never_valid(depth, index, skip):
    task = Chain()
    problem = task.problem("train", depth, index)
    completion = write_completion(task.program(problem), "steps", seeded_rng(index, skip), skip=skip)
    verdict = task.verify(problem, completion)
    assert verdict.coherent
    assert verdict.valid == (len(verdict.steps) == depth)
    assert (verdict.first_error is None) == verdict.valid


@given(st.integers(1, 10), st.integers(0, 100))
def test_a_completion_that_takes_a_shortcut_answers_its_decoy(depth, index):
    task = Chain(copy_rate=0.3, cue_rate=0.5)
    problem = task.problem("train", depth, index)
    completions = {habit: write_completion(task.program(problem), habit, seeded_rng(0)) for habit in ("copy", "cue")}
    answers = {habit: task.verify(problem, completion).answer for habit, completion in completions.items()}
    assert task.decoys(problem.prompt) == answers


def test_every_habit_writes_only_words_of_the_vocabulary():
    task = Chain(cue_rate=0.5)
    vocabulary = set(task.vocabulary())
    for index, habit in itertools.product(range(50), HABITS):
        problem = task.problem("train", None, index)
        completion = write_completion(task.program(problem), habit, seeded_rng(index), skip=0.3)
        assert set(problem.prompt.split()) | set(completion.split()) <= vocabulary


def test_a_habit_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="habit must be one of steps, values, direct, copy, cue; got 'guess'"):
        write_completion(parse_prompt("3 + 4 ?", 5), "guess", seeded_rng(0))
