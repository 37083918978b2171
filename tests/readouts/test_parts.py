"""The parts of a completion: where they begin, which of them are right, and what is read in them."""

from dataclasses import replace

import pytest
import torch
from grpo_fixtures import make_rollout
from hypothesis import given
from hypothesis import strategies as st

from interp.artifacts import BadInput
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.readouts import (
    STEP_END,
    Completeness,
    Latents,
    Likelihood,
    Residual,
    TextCounts,
    label_parts,
    lucky_edits,
    part_verdicts,
    read_columns,
    read_parts,
    split_parts,
)
from interp.readouts.parts import part_starts
from interp.rollouts import roll_out
from interp.tsae import TSAE

STEPS = ((1, 4, True, True), (4, 7, True, True))
ROLES = ("text", *("carry", "operator", "result") * 2, "separator", "marker", "answer", "end")


def chain(**changes):
    """Text, two steps, a separator, and the answer with its end."""
    return make_rollout(1, length=11, **{"roles": ROLES, "steps": STEPS, "depth": 2} | changes)


@pytest.fixture(scope="module")
def organism():
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    rows = roll_out(base, task, task.problems("train", None, 24), SampleConfig(group=8, rows=192), progress=False).rows
    return base, [*rows, *lucky_edits(base, task, rows)]


def test_a_part_begins_with_each_step_behind_the_last_and_where_the_answer_is_announced():
    assert part_starts(chain()) == (0, 1, 4, 7, 8)
    assert [part.tokens for part in split_parts(chain())] == [(4,), (5, 6, 7), (8, 9, 10), (11,), (12, 13, 14)]
    assert part_starts(make_rollout(1, roles=("marker", "answer", "end"), length=3)) == (0,)
    assert part_starts(make_rollout(1, length=6, steps=((0, 4, True, True),))) == (0, 4)
    assert part_starts(make_rollout(1, length=0, roles=())) == () and split_parts(make_rollout(length=0)) == []


def test_everything_before_a_part_is_given_to_it():
    rollout = chain(first_error=5, hint_tokens=1, hint_steps=1)
    parts = split_parts(rollout)
    assert all(part.prompt_ids + part.tokens == (rollout.prompt_ids + rollout.tokens)[: 4 + end]
               for part, end in zip(parts, (1, 4, 7, 8, 11), strict=True))  # fmt: skip
    assert all(part.question_ids == rollout.question_ids for part in parts)
    assert [part.hint_steps for part in parts] == [1, 1, 2, 3, 3] and [len(part.steps) for part in parts] == [
        0,
        1,
        1,
        0,
        0,
    ]
    assert (parts[2].steps[0].start, parts[2].steps[0].end) == (0, 3)
    assert [part.first_error for part in parts] == [None, None, 1, None, None]


def test_the_part_with_the_first_error_is_wrong_and_nothing_is_said_of_those_behind_it():
    assert part_verdicts(chain(valid=True)) == [True] * 5
    assert part_verdicts(chain(first_error=4)) == [True, True, False, None, None]
    assert part_verdicts(chain(first_error=0)) == [False, None, None, None, None]
    assert part_verdicts(chain(first_error=8)) == [True, True, True, True, False]


def test_from_a_part_on_that_was_not_judged_nothing_is_known():
    unjudged = ((1, 4, True, True), (4, 7, None, True))
    assert part_verdicts(chain(steps=unjudged, valid=None)) == [True, True, None, None, None]
    assert part_verdicts(chain(steps=unjudged, valid=None, first_error=8)) == [True, True, None, None, None]
    assert part_verdicts(chain(steps=((1, 4, True, None), (4, 7, True, True)))) == [True, None, None, None, None]
    assert part_verdicts(chain(valid=None)) == [True, True, True, True, None]
    assert part_verdicts(chain(valid=False)) == [True, True, True, True, False], "a lucky answer without an error"


def test_on_the_organism_every_first_error_is_where_a_part_begins(organism):
    _, rows = organism
    successes = [row for row in rows if row.reward > 0 and row.format != "malformed"]
    lucky = [row for row in successes if not row.valid]
    assert len(lucky) > 50 and all(row.first_error in part_starts(row) for row in lucky)
    for row in successes:
        verdicts = part_verdicts(row)
        assert all(verdicts) if row.valid else all(verdicts[: verdicts.index(False)])


@given(st.data())
def test_parts_cover_the_tokens_of_any_rollout_once(data):
    length = data.draw(st.integers(1, 12))
    bounds = st.tuples(st.integers(0, length), st.integers(0, length)).filter(lambda pair: pair[0] < pair[1])
    steps = [(*pair, True, True) for pair in data.draw(st.lists(bounds, max_size=4))]
    roles = data.draw(st.lists(st.sampled_from(["text", "marker", "answer"]), min_size=length, max_size=length))
    error = data.draw(st.none() | st.integers(0, length - 1))
    rollout = make_rollout(1, length=length, steps=steps, roles=tuple(roles), first_error=error)
    parts = split_parts(rollout)
    assert tuple(token for part in parts for token in part.tokens) == rollout.tokens and all(p.tokens for p in parts)
    assert sum(part.first_error is not None for part in parts) == (error is not None)
    assert sum(len(part.steps) for part in parts) == len(steps)
    assert part_verdicts(rollout).count(False) == 1, "a lucky answer is wrong somewhere"


def test_one_pass_over_the_completions_reads_what_a_pass_over_every_part_reads(organism):
    base, rows = organism
    rows = [row for row in rows if row.reward > 0][:30]
    encoder_DF = torch.randn(base.d_model, 12, generator=torch.Generator().manual_seed(0))
    zeros_F = torch.zeros(12)
    tsae = TSAE(encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(base.d_model), zeros_F + 0.1, (12,), layer=1)
    sources = [
        Likelihood(), Residual(2, STEP_END), Residual(1), Latents(tsae, 1, STEP_END), TextCounts(16), Completeness(),
    ]  # fmt: skip
    read = read_parts(sources, base, rows)
    apart = read_columns(sources, base, [part for row in rows for part in split_parts(row)])
    assert read.columns.widths == apart.widths and len(read.start_P) > 80
    assert torch.allclose(read.columns.x_BF, apart.x_BF, atol=1e-4, equal_nan=True)
    assert torch.equal(read.columns.x_BF[:, :2].isnan(), apart.x_BF[:, :2].isnan())
    some = read.at([3, 0])
    again = read_parts(sources, base, [rows[3], rows[0]])
    assert some.rollout_P.equal(again.rollout_P) and some.start_P.equal(again.start_P)
    assert torch.allclose(some.columns.x_BF, again.columns.x_BF, atol=1e-4, equal_nan=True)


def test_of_the_residuals_one_for_each_part_is_kept(organism, monkeypatch):
    base, rows = organism
    reads, read_completions = [], Policy.read_completions

    def spied(*arguments, **options):
        reads.append(read_completions(*arguments, **options))
        return reads[-1]

    monkeypatch.setattr(Policy, "read_completions", spied)
    read = read_parts([Residual(1, STEP_END)], base, rows[:8])
    assert [len(one.residuals[1]) for one in reads] == [len(read.start_P)]


def test_labels_are_those_of_judged_parts_that_can_be_read():
    rows = [chain(valid=True), chain(first_error=4), chain(valid=None), make_rollout(1, length=0, roles=())]
    labels = label_parts([TextCounts()], None, rows)
    assert labels.is_valid_A.tolist() == [True] * 5 + [True, True, False] + [True] * 4
    unreadable = [replace(row, depth=None) for row in rows]
    assert not len(label_parts([Completeness()], None, unreadable))


def test_without_a_reader_only_the_text_can_be_read():
    assert len(read_parts([TextCounts()], None, [chain()]).start_P) == 5
    assert len(read_parts([TextCounts()], None, []).start_P) == 0
    with pytest.raises(BadInput, match="expected a policy to read likelihood, got none"):
        read_parts([Likelihood()], None, [chain()])
