"""What strategies have in common, and backward problems: exact shares, no group taken twice, refusals."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, metric_lines, small_config, train_tiny
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from interp.artifacts import BadInput
from interp.grpo import Backward, PrefixHints, Replay
from interp.grpo.sources import problem_source
from interp.grpo.strategies.base import Draw, RunSetting, draw_groups, expect_strategies
from interp.rollouts import Rollouts
from interp.tasks import Chain, Problem, Words

CHAIN, CONFIG = Chain(), small_config()


class Marking:
    """A strategy that takes its groups and leaves their problems."""

    def __init__(self, name, share):
        self.name, self.share, self.positions = name, share, []

    def fill(self, draws, step, position):
        self.positions += range(position, position + len(draws))
        return [replace(draw, strategy=self.name) for draw in draws]


def setting(task=CHAIN, problems="deep", base=None, config=CONFIG):
    source = problem_source(task, problems, steps=config.steps, seed=config.seed)
    return RunSetting(base or tiny_policy(), task, config, source)


def draw_all(source, fillers, *, batch, batches, seed=0):
    """What the groups of the first batches of a run are asked."""
    return [
        draw for step in range(batches) for draw in draw_groups(source, fillers, step, step * batch, batch, seed=seed)
    ]


# --- shares ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.7, 1.0]))
def test_the_share_of_a_run_is_exact_however_small_its_batches(batch, share):
    draws = draw_all(setting().source, [Marking("one", share)], batch=batch, batches=40)
    assert sum(draw.strategy == "one" for draw in draws) == int(share * (40 * batch))
    assert [draw.problem for draw in draws] == setting().source(0, 0, 40 * batch)


@pytest.mark.parametrize(("batch", "shares"), [(1, (0.5, 0.5)), (4, (0.25, 0.25)), (8, (0.25, 0.5)), (3, (0.5, 0.25))])
def test_no_group_is_taken_twice(batch, shares):
    fillers = [Marking(name, share) for name, share in zip(("one", "two"), shares, strict=True)]
    draws = draw_all(setting().source, fillers, batch=batch, batches=40)
    for filler in fillers:
        assert sum(draw.strategy == filler.name for draw in draws) == pytest.approx(filler.share * 40 * batch, abs=1)
        assert len(filler.positions) == len(set(filler.positions))


def test_a_strategy_counts_the_groups_it_takes():
    filler = Marking("one", 0.3)
    draw_all(setting().source, [filler], batch=7, batches=10)
    assert filler.positions == [*range(21)]


def test_which_groups_are_taken_is_drawn_anew_for_every_batch_and_seed():
    def slots(seed):
        draws = draw_all(setting().source, [Marking("one", 0.25)], batch=8, batches=6, seed=seed)
        return [tuple(i for i in range(8) if draws[first + i].strategy) for first in range(0, 48, 8)]

    assert len(set(slots(0))) > 2 and slots(0) == slots(0) != slots(1)


def test_without_strategies_every_problem_is_as_the_source_drew_it():
    source = setting().source
    assert draw_groups(source, [], 2, 8, 4, seed=0) == [Draw(problem) for problem in source(2, 8, 4)]


def test_strategies_that_take_no_group_change_no_bit(tmp_path):
    plain = train_tiny(tmp_path / "plain" / "run", small_config(steps=3))
    idle = train_tiny(tmp_path / "idle" / "run", small_config(steps=3), strategies=[Replay(share=0.0)])
    for step in plain.checkpoint_steps():
        ours, theirs = (load_file(run.checkpoint(step) / "model.safetensors") for run in (plain, idle))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for line, other in zip(metric_lines(plain.path), metric_lines(idle.path), strict=True):
        assert line.items() <= other.items() and other["plain_share"] == 1 and other["replay_share"] == 0


def test_the_manifest_says_which_strategies_a_run_has_and_another_is_refused(tmp_path):
    run = train_tiny(tmp_path / "run", small_config(steps=1), strategies=[Replay(share=0.5)])
    entry = json.loads((run.path / "manifest.json").read_text())["problems"]
    settings = {"share": 0.5, "capacity": 256, "audits": 8}
    assert entry["strategies"] == [{"kind": "Replay", "settings": settings}]
    assert entry["source"] == {"task": "first-word", "levels": []}
    with pytest.raises(BadInput, match="share"):
        train_tiny(tmp_path / "run", small_config(steps=1), strategies=[Replay(share=0.25)])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
@pytest.mark.parametrize("kind", [Backward, Replay, lambda share: PrefixHints(Rollouts([]), share=share)])
def test_a_share_outside_zero_and_one_is_refused(kind, share):
    with pytest.raises(BadInput, match="share must"):
        kind(share=share)


@pytest.mark.parametrize(
    ("strategies", "message"),
    [
        ([Backward(0.6), Replay(0.5)], "at most 1 together; got 1.1 of backward, replay"),
        ([Replay(0.1), Replay(0.2)], "each strategy once, got replay, replay"),
        ([Backward], "make an instance of it"),
        (["backward"], r"such as interp.grpo.Backward\(share=0.25\), in a list; got 'backward'"),
    ],
)
def test_strategies_that_do_not_fit_together_are_refused(strategies, message):
    with pytest.raises(BadInput, match=message):
        expect_strategies(strategies)


# --- backward problems -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [CHAIN, Words()], ids=["chain", "words"])
def test_a_share_of_the_problems_is_asked_backwards(task):
    run = setting(task)
    draws = draw_all(run.source, [Backward(share=0.25).start(run)], batch=8, batches=10)
    originals = run.source(0, 0, 80)
    backward = [(draw, problem) for draw, problem in zip(draws, originals, strict=True) if draw.strategy == "backward"]
    assert len(backward) == 20
    for draw, problem in backward:
        assert draw.problem in task.backward(problem) and draw.problem.level == problem.level
        assert draw.problem.answer == str(task.program(draw.problem).answer)
    assert len({draw.problem.id.split("/")[-2] for draw, _ in backward}) == 2, "both templates occur"
    assert all(draw == Draw(problem) for draw, problem in zip(draws, originals, strict=True) if draw.strategy is None)


def test_a_problem_without_a_backward_variant_is_asked_forwards():
    problems = [Problem("no", "3 * 0 * 0 ?", "0", "train"), Problem("yes", "3 + 1 ?", "4", "train")]
    run = setting(problems=problems)
    draws = draw_all(run.source, [Backward(share=1.0).start(run)], batch=2, batches=3)
    assert {(draw.problem.id.split("/")[0], draw.strategy) for draw in draws} == {("no", None), ("yes", "backward")}


def test_backward_is_refused_where_no_problem_can_be_turned_round():
    with pytest.raises(BadInput, match=r"a task that turns its problems round, .* got first-word: give it a method"):
        Backward().start(setting(FirstWord(), None))
    with pytest.raises(BadInput, match=r"such as '3 \* 0 \* 0 \?', there is none: choose other problems"):
        Backward().start(setting(problems=[Problem("no", "3 * 0 * 0 ?", "0", "train")]))
