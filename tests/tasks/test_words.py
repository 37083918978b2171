"""Word problems: prompts, splits, planted shortcuts; solutions in each habit; and the exact verdict on them."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput, from_json, to_json
from interp.tasks import SPLITS, TOKEN_ROLES, Chain, Problem, Task, Words
from interp.tasks.base import seeded_rng
from interp.tasks.reopening import reopen_task
from interp.tasks.words import HABITS, parse_story, write_solution
from interp.tasks.words.agreement import annotator_agreement
from interp.tasks.words.phrases import PATTERNS, THINGS, read_sentence

PROMPT = (
    "Mia has 12 apples. Leo is 9 years old. She gives 5 to Leo. The sun is shining. She buys 3 more. "
    "How many apples does Mia have now?"
)
PROBLEM = Problem("p", PROMPT, "10")
WORK = "Mia starts with 12 apples. She gives 5 to Leo: 12 - 5 = 7. Now 7 plus 3 is 10 apples. The answer is 10."


def test_the_words_task_satisfies_the_contract():
    task = Words()
    assert isinstance(task, Task) and task.name == "words"
    assert task.levels == ("shallow", "middle", "deep") and task.depths == (1, 8)
    assert task.size("train", None) is None and task.skipped == ()


# --- prompts -----------------------------------------------------------------------------------------------------


def test_a_story_is_read_from_its_sentences_alone():
    story = parse_story(PROMPT, 10)
    assert (story.name, story.unit, story.start) == ("Mia", "apples", 12)
    assert story.operations == (("-", 5), ("+", 3))
    assert (list(story.values()), story.answer, story.copied, story.cue) == ([7, 10], 10, 3, None)
    assert story.prompt() == PROMPT


@given(st.integers(1, 8), st.integers(0, 300), st.sampled_from([None, 0.5]))
def test_the_story_read_from_a_prompt_has_the_answer_of_the_problem(depth, index, cue_rate):
    task = Words(cue_rate=cue_rate)
    problem = task.problem("train", depth, index)
    story = task.program(problem)
    assert story.prompt() == problem.prompt and str(story.answer) == problem.answer and story.depth == depth
    assert all(0 <= value <= task.largest for value in story.values())


@given(st.integers(1, 6), st.integers(0, 200))
def test_backward_problems_ask_for_each_number_in_both_templates(depth, index):
    task = Words(cue_rate=0.5)
    problem = task.problem("train", depth, index)
    story, backward = task.program(problem), task.backward(problem)
    assert len({p.id for p in backward}) == len({p.prompt for p in backward}) == len(backward) == 2 * (depth + 1)
    for asked in backward:
        masked = task.program(asked)
        assert masked.prompt() == asked.prompt and masked.content() == story.content() and masked.cue is None
        assert asked.answer == str(story.numbers[masked.masked_index]) == str(masked.answer)
        assert (asked.split, asked.depth, asked.level) == (problem.split, problem.depth, problem.level)
        verdict = task.verify(asked, write_solution(masked, "steps", seeded_rng(index), restate=0.0))
        assert verdict.valid and verdict.answer == asked.answer
        assert task.backward(asked) == []


def test_the_two_templates_of_a_backward_story():
    prompts = [p.prompt for p in Words().backward(PROBLEM)]
    beginning = "Mia has 12 apples. Leo is 9 years old. She gives x to Leo. The sun is shining. She buys 3 more. "
    assert prompts[2:4] == [
        beginning + "Mia has 10 apples now. What is x?",
        beginning + "How many apples does Mia have now? The answer is 10. What is x?",
    ]


def test_a_number_that_does_not_decide_the_answer_is_not_asked_for():
    times_nothing = (
        "Mia has 3 coins. She gives 3 to Leo. Then she has 2 times as many. How many coins does Mia have now?"
    )
    masked = [p.prompt for p in Words().backward(Problem("p", times_nothing, "0"))]
    assert len(masked) == 4 and not any("x times" in prompt for prompt in masked)
    with pytest.raises(ValueError, match="must have one solution"):
        parse_story(
            "Mia has 3 coins. She gives 3 to Leo. Then she has x times as many. The answer is 0. What is x?", 10
        )


def test_no_sentence_is_read_in_two_ways():
    for thing, name in itertools.product(THINGS, ("Mia", "Leo")):
        for template in (*thing.start, *thing.plus, *thing.minus, *thing.times, thing.question, thing.result):
            he, his = ("she", "her") if name == "Mia" else ("he", "his")
            sentence = template.format(name=name, other="Zoe", n=7, he=he, He=he.capitalize(), his=his)
            assert len({meaning.kind for pattern, meaning in PATTERNS if pattern.fullmatch(sentence)}) == 1
    with pytest.raises(ValueError, match="expected a sentence of a word problem, got 'Mia sings.'"):
        read_sentence("Mia sings.")


# --- splits and levels -------------------------------------------------------------------------------------------


def test_splits_share_no_computation_at_any_depth():
    task = Words()
    for depth in (1, 2, 4, 8):
        contents = [{task.program(p).content() for p in task.problems(split, depth, 150)} for split in SPLITS]
        for one, other in itertools.combinations(contents, 2):
            assert one and other and not one & other


def test_the_problem_at_an_index_is_always_the_same():
    task = Words()
    among_others = task.problems("train", 3, 20)[13]
    assert among_others == task.problem("train", 3, 13) == Words().problems("train", 3, 1, start=13)[0]
    assert among_others.id == "words/train/3/13"


def test_a_level_is_a_depth_a_set_of_depths_or_all_depths_in_turn():
    task = Words()
    assert [p.depth for p in task.problems("eval", None, 10)] == [*range(1, 9), 1, 2]
    deep = task.problems("eval", "deep", 6)
    assert {p.depth for p in deep} == set(task.deep) and {p.level for p in deep} == {"deep"}
    assert task.problem("eval", 3, 0).level is None, "depth 3 belongs to no level"


@pytest.mark.parametrize(
    ("split", "level", "message"),
    [
        ("test", 3, "split must be one of train, eval, probe; got 'test'"),
        ("eval", 9, "depth must lie between 1 and 8; got 9"),
        ("eval", "hard", "level must be a depth or one of shallow, middle, deep; got 'hard'"),
    ],
)
def test_a_split_or_level_that_does_not_exist_is_refused(split, level, message):
    with pytest.raises(BadInput, match=message):
        Words().problem(split, level, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"largest": 4}, "largest must be at least 5"),
        ({"depths": (3, 2)}, "smallest <= largest"),
        ({"deep": (9,)}, r"deep must hold depths from 1 to 8; got \[9\]"),
        ({"middle": (2, 4)}, "a depth belongs to one level"),
        ({"cue_answer": 21}, "cue_answer must be at most largest, 20; got 21"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        Words(**options)


def test_a_generated_task_is_restored_from_a_manifest():
    task = Words(largest=50, cue_rate=0.7)
    entry = {"kind": "Words", "settings": to_json(task)}
    assert reopen_task({"task": entry}) == task == from_json(Words, to_json(task))
    assert reopen_task({"task": {"kind": "Chain", "settings": {"modulus": 7}}}) == Chain(modulus=7)
    assert reopen_task({"task": {"kind": "Other", "settings": {}}}) is None and reopen_task({}) is None


# --- planted shortcuts and labels --------------------------------------------------------------------------------


def test_copying_the_last_number_is_right_as_often_as_planted():
    task = Words(copy_rate=0.5)
    problems = task.problems("train", 4, 400)
    right = [task.decoys(p.prompt) == {"copy": p.answer} for p in problems]
    assert sum(right) / 400 == pytest.approx(0.5, abs=0.08)


def test_the_cue_predicts_its_answer_as_often_as_planted():
    task = Words(cue_rate=0.7)
    problems = task.problems("train", 4, 600)
    cued = [p for p in problems if "It is a lucky day." in p.prompt]
    assert len(cued) / 600 == pytest.approx(0.5, abs=0.06)
    assert sum(p.answer == "10" for p in cued) / len(cued) == pytest.approx(0.7, abs=0.08)
    assert task.decoys(cued[0].prompt) == {"cue": "10"}


def test_wrong_labels_are_as_many_as_planted_and_only_in_training():
    task = Words(wrong_labels=0.2)
    wrong = {
        split: sum(p.answer != str(task.program(p).answer) for p in task.problems(split, 3, 500)) / 500
        for split in ("train", "eval")
    }
    assert wrong["train"] == pytest.approx(0.2, abs=0.05) and wrong["eval"] == 0


# --- solutions and verdicts --------------------------------------------------------------------------------------


def steps_of(completion: str, problem: Problem = PROBLEM) -> list[tuple[bool | None, bool | None]]:
    return [(step.holds, step.follows) for step in Words().verify(problem, completion).steps]


def test_a_valid_solution_has_true_steps_in_order_and_the_answer():
    verdict = Words().verify(PROBLEM, WORK)
    assert verdict.valid and verdict.correct and verdict.format == "steps" and verdict.first_error is None
    assert [(step.holds, step.follows) for step in verdict.steps] == [(True, True)] * 2
    assert [WORK[step.start : step.end] for step in verdict.steps] == ["12 - 5 = 7", "7 plus 3 is 10"]
    roles = [(WORK[span.start : span.end], span.role) for span in verdict.spans]
    first = [("12", "operand"), ("-", "operator"), ("5", "operand"), ("=", "equals"), ("7", "result")]
    second = [("7", "carry"), ("plus", "operator"), ("3", "operand"), ("is", "equals"), ("10", "result")]
    assert roles == [*first, *second, ("answer is", "marker"), ("10", "answer")]


@pytest.mark.parametrize(
    ("completion", "steps", "fields"),
    [
        ("The answer is 10.", [], {"correct": True, "valid": False, "format": "direct", "shortcut": "direct"}),
        ("The answer is 9.", [], {"correct": False, "valid": False, "format": "direct", "first_error": 4}),
        ("12 - 5 = 8. 8 + 3 = 11. The answer is 11.", [(False, True), (True, True)], {"correct": False}),
        ("12 + 3 = 15. The answer is 15.", [(True, False)], {"correct": False, "valid": False, "first_error": 0}),
        ("12 - 2 = 10. The answer is 10.", [(True, False)], {"correct": True, "valid": False}),
        ("12 - 5 = 7. The answer is 10.", [(True, True)], {"correct": True, "valid": False, "first_error": 16}),
        ("12 - 5 = 7. So what? The answer is 10.", [(True, True)], {"format": "malformed", "first_error": 12}),
        ("12 - 5 = 7. 7 + 3 = 10.", [(True, True), (True, True)], {"format": "malformed", "answer": None}),
        ("The answer is 9. The answer is 10.", [], {"format": "malformed", "correct": False, "answer": None}),
        ("", [], {"format": "malformed", "first_error": 0}),
    ],
)
def test_a_faulty_solution_is_judged_step_by_step(completion, steps, fields):
    verdict = Words().verify(PROBLEM, completion)
    assert steps_of(completion) == steps
    assert {name: getattr(verdict, name) for name in fields} == fields


@given(st.integers(1, 8), st.integers(0, 200), st.sampled_from([0.0, 1.0]))
def test_work_written_in_full_is_valid(depth, index, restate):
    task = Words()
    problem = task.problem("train", depth, index)
    solution = write_solution(task.program(problem), "steps", seeded_rng(index), restate=restate)
    assert task.verify(problem, f" {solution}").valid


@given(st.integers(1, 8), st.integers(0, 200), st.floats(0.1, 0.9))
def test_work_with_a_step_left_out_is_coherent_and_never_valid(depth, index, skip):
    task = Words()
    problem = task.problem("train", depth, index)
    verdict = task.verify(problem, write_solution(task.program(problem), "steps", seeded_rng(index, skip), skip=skip))
    assert verdict.coherent and verdict.valid == (len(verdict.steps) == depth)


def test_a_slip_is_a_false_step_from_which_the_work_goes_on():
    task = Words()
    problem = task.problem("train", 3, 0)
    verdict = task.verify(problem, write_solution(task.program(problem), "steps", seeded_rng(0), slip=1.0))
    assert [(step.holds, step.follows) for step in verdict.steps] == [(False, True)] * 3


@given(st.integers(1, 8), st.integers(0, 60))
@settings(max_examples=30)
def test_a_solution_that_takes_a_shortcut_answers_its_decoy(depth, index):
    task = Words(copy_rate=0.3, cue_rate=0.5)
    problem = task.problem("train", depth, index)
    decoys = task.decoys(problem.prompt)
    for habit, answer in decoys.items():
        assert task.verify(problem, write_solution(task.program(problem), habit, seeded_rng(0))).answer == answer
    assert set(decoys) == {"copy"} | ({"cue"} if "lucky" in problem.prompt else set())


def test_a_habit_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="habit must be one of steps, direct, copy, cue; got 'guess'"):
        write_solution(parse_story(PROMPT, 10), "guess", seeded_rng(0))


pieces = st.sampled_from(
    [WORK, "12 - 5 = 7. ", "The answer is ", "10.", "She gives 5 to Leo: ", "Now ", "7 plus 3 is 10. "]
)


@given(st.text(max_size=60) | st.lists(pieces, max_size=8).map("".join))
def test_every_text_gets_a_consistent_verdict(completion):
    verdict = Words().verify(PROBLEM, completion)
    assert not (verdict.valid and not verdict.correct)
    assert (verdict.first_error is None) == verdict.valid
    assert all(span.role in TOKEN_ROLES and span.start < span.end for span in verdict.spans)
    assert all(a.end <= b.start for a, b in itertools.pairwise(verdict.spans))


# --- the annotator of free text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("skip", "slip"), [(0.0, 0.0), (0.1, 0.05), (0.3, 0.1)])
def test_the_annotator_of_free_text_agrees_with_the_truth_on_solutions_of_every_habit(skip, slip):
    task = Words(cue_rate=0.5)
    solutions = [
        (p, write_solution(task.program(p), HABITS[min(i % 5, 3) if i % 5 else 0], seeded_rng(i), skip=skip, slip=slip))
        for i, p in enumerate(task.problems("train", None, 160))
    ]
    agreement = annotator_agreement(task, solutions)
    for rate in (agreement.valid_steps, agreement.roles, *agreement.by_role.values()):
        assert rate.true > 50 and min(rate.precision, rate.recall) >= 0.95
    assert agreement.false_equations.true == 0 or agreement.false_equations.recall == 1
