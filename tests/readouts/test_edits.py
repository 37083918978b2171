"""Lucky edits of valid rollouts, as records."""

import pytest
from grpo_fixtures import FirstWord

from interp.artifacts import BadInput
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.readouts import Completeness, Likelihood, label_rollouts, lucky_edits, record_text
from interp.rollouts import roll_out
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


def test_a_task_without_edits_is_refused(organism):
    base, _, rows = organism
    with pytest.raises(BadInput, match="expected a task whose answers can be changed in known ways"):
        lucky_edits(base, FirstWord(), rows)
