"""The hard-samples study: its plan, runs read off at equal tokens by hand, and the verdict of every kind of claim."""

from dataclasses import replace
from pathlib import Path

import pytest

from interp.artifacts import BadInput
from interp.credit import ReadoutCredit, StepValidity
from interp.grpo import Backward
from interp.grpo.strategies.replay import Replay
from interp.studies import STUDIES, hard_samples_runs
from interp.studies.base import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from interp.studies.credit_runs import BASE, FEATURES, LIKELIHOOD, ORACLE, PLAIN, strength_of
from interp.studies.credit_world import ShippedWorld
from interp.studies.hard_samples import HardSamplesConfig
from interp.studies.hard_samples_figures import OTHERS, tables
from interp.studies.hard_samples_measures import (
    DEEP,
    HANDLED,
    LUCKY,
    STEPS,
    TOKENS,
    average_runs,
    neighbours,
    number,
    rate,
    rates_at,
)
from interp.studies.hard_samples_runs import (
    BACKWARD,
    BEST,
    CURRICULUM,
    DYNAMIC,
    HINTS,
    REPLAY,
    STRATEGIES,
    Cost,
    HardTraining,
    arm_name,
    audits_of,
    base_hints,
    credit_of,
    labels_by_step,
    points_of,
    strategies_of,
    train_run,
    trainings,
)
from interp.studies.results import Results
from interp.studies.runner import Row

STUDY = STUDIES["hard-samples"]
SMALL = HardSamplesConfig(seeds=2, repeats=2, likelihood_with=(CURRICULUM, REPLAY))


# --- the plan --------------------------------------------------------------------------------------------------------


def test_every_strategy_is_trained_alone_and_with_the_best_credit():
    listed = trainings(SMALL)
    names = [one.name for one in listed if one.run == 0]
    assert len(set(listed)) == len(listed) == 2 * len(names)
    assert set(names) == {
        PLAIN, BEST, ORACLE, LIKELIHOOD, f"{CURRICULUM} + {LIKELIHOOD}", f"{REPLAY} + {LIKELIHOOD}",
        *STRATEGIES, *(f"{one} + {BEST}" for one in STRATEGIES),
    }  # fmt: skip
    assert {one.scheme for one in listed if one.role == BEST} == {FEATURES}
    assert {one.dictionary for one in listed if one.role != BEST} == {None}


def test_where_the_likelihood_is_the_best_credit_it_is_trained_once():
    config = replace(SMALL, credit=LIKELIHOOD)
    assert {one.role for one in trainings(config)} == {PLAIN, BEST, ORACLE}
    assert {one.dictionary for one in trainings(config)} == {None}


def test_the_default_plan_has_at_most_150_trainings():
    config = HardSamplesConfig()
    assert len(trainings(config)) * config.seeds <= 150


def keys(config: HardSamplesConfig, part: str) -> set[str]:
    return {str(STUDY.ledger_key(job, "")) for job in STUDY.jobs(config, Path()) if job.arm.name.startswith(part)}


def test_a_field_decides_the_runs_that_it_is_about_and_no_others():
    assert keys(replace(SMALL, seeds=1, repeats=1), "") < keys(SMALL, "")
    longer_hints = replace(SMALL, hint_length=0.9)
    assert not keys(longer_hints, HINTS) & keys(SMALL, HINTS) and keys(longer_hints, REPLAY) == keys(SMALL, REPLAY)
    other_credit = replace(SMALL, credit="likelihood + residual")
    assert keys(other_credit, PLAIN) == keys(SMALL, PLAIN) and not keys(other_credit, BEST) & keys(SMALL, BEST)
    assert keys(replace(SMALL, ridge=1.0), f"{CURRICULUM} /") == keys(SMALL, f"{CURRICULUM} /")
    assert not keys(SMALL, "") & keys(replace(SMALL, token_budget=1000), f"{PLAIN} /")
    assert keys(replace(SMALL, threshold=strength_of(FEATURES)), BEST) == keys(SMALL, BEST), (
        "the default is what was chosen"
    )
    assert not keys(replace(SMALL, threshold=strength_of(FEATURES) + 1), BEST) & keys(SMALL, BEST)
    assert len({arm.name for arm in STUDY.arms(SMALL)}) == len(STUDY.arms(SMALL))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"credit": "magic"}, "credit must be one of likelihood"),
        ({"likelihood_with": ("magic",)}, "likelihood_with must be some of backward"),
        ({"likelihood_with": (REPLAY, REPLAY)}, "once each"),
        ({"steps": 40, "max_steps": 30}, "max_steps must be at least steps"),
        ({"share": 1.5}, "share must lie between 0 and 1"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(fields, message):
    with pytest.raises(BadInput, match=message):
        HardSamplesConfig(**fields)


def test_replay_and_credit_have_as_many_labels_together_as_each_has_alone():
    def audits(strategy, role):
        return audits_of(HardTraining(strategy, role, FEATURES, 0), replace(SMALL, audits=9))

    assert audits(REPLAY, PLAIN) == (9, 0) and audits(None, BEST) == (0, 9) and audits(REPLAY, BEST) == (4, 5)


# --- equal tokens ----------------------------------------------------------------------------------------------------


def rates_of(deep: float, handled: float, *, right: float = 0.5) -> dict[str, dict[str, float]]:
    """Rates at depths 1 to 10: `handled` up to 3, `deep` from 8 on, and nothing between."""
    valid = {depth: handled if depth <= 3 else deep if depth >= 8 else 0.0 for depth in range(1, 11)}
    return {
        str(depth): {"valid_rate": one, "pass_rate": max(one, right), "malformed_share": 0.1}
        for depth, one in valid.items()
    }


def record_of(
    deep: float, handled: float = 0.5, *, strategy=None, role=PLAIN, tokens=(0, 50, 150), run=0, **more
) -> dict:
    """A run from a base at 0.1 (0.3 where it handled problems), checkpoints at steps 0, 10 and 20, budget 100."""
    points = [{"step": 10 * at, "tokens": spent, "labels": 8 * at, "kl": None} for at, spent in enumerate(tokens)]
    measured = {"0": rates_of(0.1, 0.3), "10": rates_of(deep, handled), "20": rates_of(deep, handled)}
    return {
        "training": {"strategy": strategy, "role": role, "scheme": role, "run": run, "dictionary": None},
        "read_at": {TOKENS: 100, STEPS: 10},
        "points": points,
        "watched": measured,
        "measured": measured,
        "steps": {},
        **more,
    }


def test_a_run_is_read_between_the_checkpoints_around_the_budget():
    record = record_of(0.0)
    record["measured"] = {"0": rates_of(0.0, 0.0), "10": rates_of(0.2, 0.5), "20": rates_of(0.6, 0.5)}
    record["points"] = [{"step": step, "tokens": 100 * step, "labels": step} for step in (0, 10, 20)]
    assert [one["step"] for one in neighbours(record["points"], TOKENS, 1500)] == [10, 20]
    assert rates_at(record, TOKENS, 1500)[DEEP]["valid_rate"] == pytest.approx(0.4)
    assert rates_at(record, TOKENS, 1750)[DEEP]["valid_rate"] == pytest.approx(0.5)
    assert rates_at(record, STEPS, 10)[DEEP]["valid_rate"] == pytest.approx(0.2), "at a checkpoint it is its own"
    assert rates_at(record, TOKENS, 9999)[DEEP]["valid_rate"] == 0.6, "a run that ended before is read at its end"
    assert rates_at(record, TOKENS, 1500)[DEEP][LUCKY] == pytest.approx((0.55 - 0.4) / 0.55)


def test_what_was_sampled_before_the_first_step_counts():
    rows = [{"tokens": 30, "audited": 8.0}, {"tokens": 40, "audited": 12.0}, {"tokens": 50, "audited": 12.0}]
    points = points_of(rows, [0, 2], BEST, 8, Cost(tokens=100, labels=7))
    assert points == [
        {"step": 0, "tokens": 100, "labels": 7, "kl": None},
        {"step": 2, "tokens": 170, "labels": 19, "kl": None},
    ]
    assert [one["step"] for one in neighbours(points, TOKENS, 60)] == [0], "the budget went into what came before"


def test_labels_are_audits_of_replay_and_credit_and_every_success_of_the_oracle():
    rows = [{"audited": 4.0, "audits": 3, "pass_rate": 0.25, "groups_drawn": 2}, {"audited": 4.0, "audits": 1}]
    assert labels_by_step(rows, BEST, 8) == [7, 1]
    assert labels_by_step([{"pass_rate": 0.25, "groups_drawn": 2}], ORACLE, 8) == [4]
    assert labels_by_step([{"pass_rate": 0.25, "groups_drawn": 2}], PLAIN, 8) == [0]


def test_runs_of_a_base_are_averaged_at_equal_tokens_and_a_diverged_one_is_counted():
    usual = record_of(0.5, tokens=(0, 100, 200))
    diverged = record_of(0.3, tokens=(20, 40, 80), diverged="nan")
    mean = average_runs([usual, diverged])
    assert mean["rates"][TOKENS][DEEP]["valid_rate"] == pytest.approx((0.5 + 0.3) / 2)
    assert mean["rates"][STEPS][HANDLED]["valid_rate"] == pytest.approx(0.5)
    assert (mean["runs"], mean["diverged"], mean["ended early"], mean["tokens before"]) == (2, 1, 1, 10)
    assert mean["numbers"][TOKENS][STEPS] == pytest.approx((10 + 20) / 2)
    places, values = zip(*mean["curves"][DEEP], strict=True)
    assert places[0] == 0 and places[-1] == 100 and values[0] == pytest.approx(0.1)
    assert values[-1] == pytest.approx(0.4)


# --- claims ----------------------------------------------------------------------------------------------------------


def results_of(config: HardSamplesConfig = SMALL, **records) -> Results:
    """Three bases that differ a little. `records` has the rates of arms (deep, handled); the others have 0.2, 0.2."""
    rows = []
    for seed, shift in enumerate((-0.001, 0.0, 0.001)):
        rows.append(Row({"final": rates_of(0.1, 0.3), "dictionaries": []}, BASE, seed))
        for one in trainings(config):
            deep, handled = records.get(one.name, (0.2, 0.2))
            record = record_of(deep + shift * (1 + one.run), handled + shift, strategy=one.strategy, role=one.role)
            rows.append(Row(record, one.name, seed))
    return Results(STUDY.observations(rows))


def outcome(name: str, **records) -> str:
    claim = next(one for one in STUDY.claims if one.name == name)
    return claim.judge(results_of(**records)).outcome


@pytest.mark.parametrize("role", [PLAIN, BEST])
@pytest.mark.parametrize(("deep", "verdict"), [(0.4, SUPPORTED), (0.0, NOT_SUPPORTED), (0.2, INCONCLUSIVE)])
def test_a_strategy_helps_where_it_beats_its_credit_without_it(role, deep, verdict):
    for strategy, word in zip(STRATEGIES, ("backward", "hints", "curriculum", "dynamic", "replay"), strict=True):
        name = f"{word}-alone" if role == PLAIN else f"{word}-with-credit"
        assert outcome(name, **{arm_name(strategy, role): (deep, 0.2)}) == verdict
        assert outcome(name, **{arm_name(strategy, BEST if role == PLAIN else PLAIN): (deep, 0.2)}) == INCONCLUSIVE


def test_credit_does_more_where_it_beats_all_strategies_alone():
    assert outcome("credit-does-more", **{BEST: (0.5, 0.2)}) == SUPPORTED
    assert outcome("credit-does-more", **{BEST: (0.5, 0.2), HINTS: (0.5, 0.2)}) == INCONCLUSIVE
    assert outcome("credit-does-more", **{BEST: (0.5, 0.2), HINTS: (0.6, 0.2)}) == NOT_SUPPORTED


def test_the_best_credit_adds_to_pairs_where_it_beats_the_likelihood_with_every_strategy_that_both_have():
    best = {arm_name(one, BEST): (0.5, 0.2) for one in (CURRICULUM, REPLAY)}
    assert outcome("credit-adds-to-pairs", **best) == SUPPORTED
    assert outcome("credit-adds-to-pairs", **best, **{f"{REPLAY} + {LIKELIHOOD}": (0.5, 0.2)}) == INCONCLUSIVE
    assert outcome("credit-adds-to-pairs", **best, **{f"{REPLAY} + {LIKELIHOOD}": (0.6, 0.2)}) == NOT_SUPPORTED
    claim = next(one for one in STUDY.claims if one.name == "credit-adds-to-pairs")
    assert claim.judge(results_of(replace(SMALL, credit=LIKELIHOOD))).outcome == INCONCLUSIVE


def test_earlier_skill_is_measured_against_the_base():
    hard = (BACKWARD, HINTS, DYNAMIC, REPLAY)
    assert outcome("strategies-lose-skill") == SUPPORTED, "0.2 where the base has 0.3"
    assert outcome("strategies-lose-skill", **{REPLAY: (0.2, 0.3)}) == INCONCLUSIVE
    assert outcome("strategies-lose-skill", **{REPLAY: (0.2, 0.4)}) == NOT_SUPPORTED
    assert outcome("strategies-lose-skill", **{CURRICULUM: (0.2, 0.9)}) == SUPPORTED
    pairs = {arm_name(one, BEST): (0.2, 0.6) for one in STRATEGIES}
    assert outcome("pairs-keep-skill", **pairs) == SUPPORTED
    assert outcome("pairs-keep-skill", **{**pairs, f"{hard[0]} + {BEST}": (0.2, 0.2)}) == NOT_SUPPORTED


def test_every_arm_stands_in_every_table_and_diverged_runs_in_that_of_costs():
    rows = [Row({"final": rates_of(0.1, 0.3), "dictionaries": []}, BASE, 1)]
    rows += [
        Row(record_of(0.2, strategy=one.strategy, role=one.role, run=one.run), one.name, 1) for one in trainings(SMALL)
    ]
    rows.append(Row(record_of(0.2, strategy=HINTS, run=2, diverged="nan"), HINTS, 1))
    results = Results(STUDY.observations(rows))
    at_tokens, at_steps, costs = tables(results, SMALL)
    arms = {one.name for one in trainings(SMALL)}
    assert {row[0] for row in at_tokens.rows} == {row[0] for row in at_steps.rows} == {*arms, "(the base)"}
    assert {row[0]: row[1:3] for row in costs.rows} == {one: ["3", "1"] if one == HINTS else ["2", "0"] for one in arms}
    names = {trace["name"] for one in STUDY.figures(results, SMALL) for trace in one.figure.to_dict()["data"]}
    assert {BEST, LIKELIHOOD, "without credit", *STRATEGIES, *OTHERS} <= names
    assert "also trained with: curriculum, replay" in " ".join(STUDY.method(SMALL).split())
    assert results.mean(HINTS, number("labels")).value == pytest.approx(12) == 8 * 1.5
    assert results.mean(BASE, rate("valid_rate", DEEP, STEPS)).value == pytest.approx(0.1)


# --- runs ------------------------------------------------------------------------------------------------------------

TINY = HardSamplesConfig(
    steps=1, max_steps=4, watch_every=1, prompts=2, group=4, problems=1, watch_problems=1, answers=2, token_budget=1
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> ShippedWorld:
    return ShippedWorld(TINY, 0, tmp_path_factory.mktemp("world"))


def test_a_run_ends_at_the_first_checkpoint_where_budget_and_steps_are_reached(world, tmp_path, monkeypatch):
    monkeypatch.setattr(hard_samples_runs, "measure", lambda *_: rates_of(0.1, 0.3))
    training = HardTraining(None, ORACLE, ORACLE, 0)
    short = train_run(training, world, TINY, tmp_path / "short")
    assert [point["step"] for point in short["points"]] == [0, 1]
    tokens = short["steps"]["tokens"][0]
    assert short["points"][1]["tokens"] == tokens and short["points"][1]["labels"] > 0
    config = replace(TINY, token_budget=tokens + 1)
    longer = train_run(training, world, config, tmp_path / "longer")
    assert [point["step"] for point in longer["points"]] == [0, 1, 2] and set(longer["measured"]) == {"1", "2"}
    assert train_run(training, world, config, tmp_path / "longer") == longer, "a run that ended is not run on"
    at_most = replace(TINY, token_budget=10**9, max_steps=1)
    assert train_run(training, world, at_most, tmp_path / "at-most")["points"] == short["points"]


def test_a_run_that_diverges_is_measured_at_its_last_whole_checkpoint(world, tmp_path, monkeypatch):
    def update(self, batch, advantages_BL, mask_BL, step):
        raise FloatingPointError("loss is nan")

    monkeypatch.setattr(hard_samples_runs, "measure", lambda *_: rates_of(0.1, 0.3))
    monkeypatch.setattr("interp.grpo.learner.Learner.update", update)
    record = train_run(HardTraining(None, PLAIN, PLAIN, 0), world, TINY, tmp_path / "run")
    assert "loss is nan" in record["diverged"] and [point["step"] for point in record["points"]] == [0]
    assert average_runs([record])["diverged"] == 1


def test_strategies_are_what_the_config_says(world):
    def strategies(name, role=PLAIN):
        return strategies_of(HardTraining(name, role, role, 0), world, replace(TINY, share=0.5, audits=6))

    assert strategies(BACKWARD) == ([Backward(share=0.5)], Cost())
    assert strategies(REPLAY) == ([Replay(share=0.5, audits=6)], Cost())
    assert strategies(REPLAY, BEST) == ([Replay(share=0.5, audits=3)], Cost())
    assert [strategies(one) for one in (None, CURRICULUM, DYNAMIC)] == 3 * [([], Cost())]


def test_hints_are_valid_answers_of_the_base_and_every_success_is_a_label(world):
    rollouts, cost = base_hints(world.base_path, 40, 8)
    assert all(row.valid and row.reward > 0 and row.split == "train" and row.depth in (8, 9) for row in rollouts)
    assert len(rollouts) < cost.labels < 40 * 8 < cost.tokens


def test_the_credit_has_its_share_of_the_audits_and_its_labels_are_paid_for(world):
    config = replace(TINY, audits=9, label_problems=40, threshold=1.5)
    world = replace(world, config=config)
    base = world.base()
    credit, cost = credit_of(HardTraining(REPLAY, LIKELIHOOD, LIKELIHOOD, 0), world, base, config)
    assert isinstance(credit, ReadoutCredit) and (credit.audits, credit.threshold) == (5, 1.5)
    assert [source.name for source in credit.sources] == ["likelihood"]
    assert 0 < cost.labels < 160 < cost.tokens
    assert credit_of(HardTraining(REPLAY, PLAIN, PLAIN, 0), world, base, config) == (None, Cost())
    oracle, of_oracle = credit_of(HardTraining(None, ORACLE, ORACLE, 0), world, base, config)
    assert oracle == StepValidity(weights=False) and of_oracle == Cost()
