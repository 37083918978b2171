"""Lucky edits of valid rollouts, as records."""

from dataclasses import replace

import pytest
from grpo_fixtures import FirstWord

from interp.artifacts import BadInput, to_json
from interp.organism import load_task, shipped_path
from interp.policy import Policy, PromptFormat, SampleConfig
from interp.readouts import Completeness, Likelihood, label_rollouts, lucky_edits, record_text
from interp.rollouts import Rollouts, roll_out
from interp.tasks import Chain
from interp.tasks.base import Problem


@pytest.fixture(scope="module")
def organism():
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    rows = roll_out(base, task, task.problems("train", 3, 12), SampleConfig(group=4, rows=64), progress=False).rows
    return base, task, rows


def test_the_record_of_a_text_is_that_of_a_rollout_that_wrote_it(organism):
    base, task, rows = organism
    row = next(row for row in rows if row.valid)
    problem = Problem(row.problem, row.prompt, row.label, row.split, row.depth, row.level)
    again = record_text(base, task, problem, row.prompt_ids, row.completion, run=row.run)
    assert (again.tokens, again.roles, again.steps, again.valid) == (row.tokens, row.roles, row.steps, True)


def test_edits_are_rewarded_and_lucky_and_of_both_sides(organism):
    base, task, rows = organism
    lucky = lucky_edits(base, task, rows)
    assert len(lucky) > 10 and all(row.reward == 1 and row.valid is False and row.lucky for row in lucky)
    assert {len(row.steps) - row.depth for row in lucky} == {-1, 0, 1}
    assert {row.problem for row in lucky} <= {row.problem for row in rows if row.valid}


def test_edits_and_what_they_were_made_of_are_labels_of_both_kinds(organism):
    base, task, rows = organism
    both = [row for row in rows if row.valid] + lucky_edits(base, task, rows)
    labels = label_rollouts([Completeness(), Likelihood()], base, both)
    assert labels.has_both_kinds and len(labels) == len(both)


def values_of(organism, prompt_ids=None, ending: str = "", **options):
    """A valid rollout that writes running values, as its problem's chain has them."""
    base, _, _ = organism
    task = Chain(formats=("values",))
    problem = task.problem("train", 6, 1)
    text = " ".join([*(f"> {value}" for value in task.program(problem).values()), f"# {problem.answer}"])
    return record_text(
        base, task, problem, prompt_ids or base.encode([problem.prompt])[0], text, run="base", ending=ending, **options
    )


def test_edits_are_written_as_the_rollout_is(organism):
    row = values_of(organism)
    lucky = lucky_edits(organism[0], Chain(formats=("values",)), [row])
    assert row.valid and lucky and {edit.format for edit in lucky} == {"values"}
    assert all(edit.tokens[-1] == row.tokens[-1] for edit in lucky)


def test_edits_are_asked_and_end_as_the_rollout_is(organism):
    base, _, _ = organism
    task, stop = Chain(formats=("values",)), PromptFormat(stop=(" ?",))
    row = values_of(organism, ending=" ? +", prompt_format=stop)
    assert row.valid and row.completion.endswith(f"# {row.label}")
    stated = Rollouts([row], config=to_json(stop))
    for lucky in (lucky_edits(base, task, [row], prompt_format=stop), lucky_edits(base, task, stated)):
        assert lucky and all(edit.tokens[-2:] == row.tokens[-2:] for edit in lucky)
        assert all(edit.reward == 1 and edit.lucky and edit.prompt_ids == row.prompt_ids for edit in lucky)
    with pytest.raises(BadInput, match=r"expected the texts that end an answer, since ' \? \+' stands behind"):
        lucky_edits(base, task, [row])


def test_a_hint_is_part_of_what_is_edited_and_not_of_the_prompt(organism):
    row = values_of(organism)
    hinted = replace(row, prompt_ids=(*row.prompt_ids, *row.tokens[:2]), tokens=row.tokens[2:], hint_tokens=2)
    task = Chain(formats=("values",))
    lucky = lucky_edits(organism[0], task, [row])
    assert lucky and lucky_edits(organism[0], task, [hinted]) == lucky


def test_a_task_without_edits_is_refused(organism):
    base, _, rows = organism
    with pytest.raises(BadInput, match="expected a task whose answers can be changed in known ways"):
        lucky_edits(base, FirstWord(), rows)
