"""The words study: rules, changes over problems, and one tiny run of every kind."""

from dataclasses import replace
from pathlib import Path

import pytest

from interp.artifacts import BadInput
from interp.organism import shipped_path
from interp.studies import STUDIES
from interp.studies.base import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Claim
from interp.studies.features_measures import FAMILIES, KINDS, RESAMPLED, change_of
from interp.studies.results import Results
from interp.studies.runner import Row
from interp.studies.words import DICTIONARY, MEASURES, WordsConfig, change
from interp.studies.words_figures import change_over_problems, count_tracks, tables
from interp.studies.words_runs import (
    BASE,
    DEEP,
    EASY,
    HARD,
    MEDIUM,
    TRAINED_ON,
    VALID_ALONE,
    World,
    counts_by_problem,
    rates_by_bucket,
)
from interp.tasks.base import BUCKETS

STUDY = STUDIES["words"]
TINY = WordsConfig(
    seeds=1, first_seed=1, arms=(EASY,), train_problems=2, bucket_samples=8, steps=1, prompts=2, group=2, problems=2,
    answers=2, base_answers=2, max_new_tokens=40, processes=1,
)  # fmt: skip


def row(arm: str, seed: int | None, valid: float, *, lucky: float = 0.5, direct: float = 0.5) -> Row:
    """A record whose rates are the same in all buckets, with two problems of four answers each."""
    rates = {"valid_rate": valid, "pass_rate": valid, "direct_share": direct}
    right = round(4 * valid)
    record = {
        "rates": dict.fromkeys(("all", *BUCKETS), rates),
        "problems": {"one": [EASY, 4, right, right, 2], "two": [HARD, 4, 0, 0, 4]},
        "steps": {"lucky_share": [lucky] * 12},
        "train_problems": {},
    }
    return Row(record, arm, seed)


def results(**valid_of: float) -> Results:
    """Three seeds that differ a little around a valid rate of each arm, and a base at 0.5."""
    rows = [row(BASE, None, 0.5)]
    for arm in TRAINED_ON:
        name = arm.split(",")[0] if arm != VALID_ALONE else "rewarded"
        value, lucky = valid_of.get(name, 0.5), 0.9 if arm == DEEP else 0.4
        rows += [row(arm, seed, value + shift, lucky=lucky + shift) for seed, shift in enumerate((-0.01, 0.0, 0.01))]
    return Results(STUDY.observations(rows))


def claim(name: str) -> Claim:
    return next(one for one in STUDY.claims if one.name == name)


@pytest.mark.parametrize(
    ("rates", "outcome"),
    [
        ({"easy": 0.5, "medium": 0.7, "hard": 0.4}, SUPPORTED),
        ({"easy": 0.8, "medium": 0.7, "hard": 0.4}, NOT_SUPPORTED),
        ({"easy": 0.7, "medium": 0.7, "hard": 0.4}, INCONCLUSIVE),
    ],
)
def test_an_inverted_u_needs_medium_above_both(rates, outcome):
    assert claim("inverted-u").judge(results(**rates)).outcome == outcome


@pytest.mark.parametrize(("after", "outcome"), [(0.3, SUPPORTED), (0.7, NOT_SUPPORTED), (0.5, INCONCLUSIVE)])
def test_harm_is_a_fall_on_easy_problems(after, outcome):
    assert claim("hard-harms").judge(results(hard=after)).outcome == outcome
    assert claim("deep-harms").judge(results(deep=after)).outcome == outcome


def test_luck_is_the_channel_where_reward_for_validity_heals():
    assert claim("luck-is-the-channel").judge(results(deep=0.3, rewarded=0.6)).outcome == SUPPORTED
    assert claim("luck-is-the-channel").judge(results(deep=0.3, rewarded=0.4)).outcome == NOT_SUPPORTED


def test_a_change_is_against_the_base():
    assert change(results(hard=0.3), HARD, "valid_rate").value == pytest.approx(-0.2)


def test_a_change_over_problems_pools_the_seeds_of_a_problem():
    seen = Results(STUDY.observations([row(BASE, None, 0.5), row(EASY, 1, 1.0), row(EASY, 2, 0.5)]))
    assert change_over_problems(seen, EASY, "pass_rate", EASY).value == pytest.approx(0.25), "6 of 8 less 2 of 4"
    assert change_over_problems(seen, EASY, "pass_rate", HARD).value == 0


def test_an_arm_has_the_changes_of_strength_of_its_seeds_dictionary():
    strengths = {
        arm: {family: dict.fromkeys(KINDS, value) for family in FAMILIES}
        for arm, value in ((BASE, 2.0), (MEDIUM, 3.0), (RESAMPLED, 2.0))
    }
    dictionary = Row({"strengths": strengths, "families": {}, "tracks": {}}, DICTIONARY, 1)
    seen = Results(STUDY.observations([row(BASE, None, 0.5), row(MEDIUM, 1, 0.5), dictionary]))
    assert seen.mean(MEDIUM, change_of("direct", "fixed")).value == 0.5
    assert seen.mean(RESAMPLED, change_of("direct", "fixed")).value == 0


def test_tracks_are_counted_over_roles_apart_from_the_base_sampled_again():
    def counted(comparison: str, role: str, strengthened: int) -> dict:
        verdicts = {"strengthened": strengthened, "weakened": 1, "strengthened_on_both": None}
        return {"bucket": EASY, "comparison": comparison, "role": role, **verdicts}

    rows = [counted("step 0 to 40", "none", 3), counted("step 0 to 40", "shortcut", 2), counted("same text", "none", 9)]
    record = {"tracks": {HARD: [*rows, counted("base resampled", "none", 4)]}}
    assert count_tracks(record, HARD, EASY, control=False) == (5, 2, 0)
    assert count_tracks(record, HARD, EASY, control=True) == (4, 1, 0)


def test_a_training_that_diverged_is_left_out():
    rows = [row(BASE, None, 0.5), Row({"diverged": "step 3"}, HARD, 1)]
    assert Results(STUDY.observations(rows)).seeds(HARD) == []


def test_the_number_of_seeds_and_the_path_of_the_base_decide_no_run():
    one, other = (
        STUDY.jobs(config, Path()) for config in (WordsConfig(), WordsConfig(seeds=2, base=shipped_path("words")))
    )
    keys = [{str(STUDY.ledger_key(job, "base")) for job in jobs} for jobs in (one, other)]
    assert keys[1] < keys[0]


def test_unknown_arms_are_refused():
    with pytest.raises(BadInput, match="arms must be some of easy; medium"):
        WordsConfig(arms=("shallow",))


def test_a_tiny_arm_is_run_measured_and_tabled(tmp_path):
    directory = tmp_path / "worlds" / "1"
    records = [Row(STUDY.run(arm, None if arm.name == BASE else 1, TINY, directory), arm.name, None if arm.name == BASE
               else 1) for arm in STUDY.arms(TINY)[:2]]  # fmt: skip
    base, trained = (one.record for one in records)
    assert base["problems"].keys() == trained["problems"].keys()
    assert {bucket for bucket, *_ in base["problems"].values()} <= set(BUCKETS)
    assert all(counts[1] == TINY.base_answers for counts in base["problems"].values())
    assert len(trained["steps"]["reward"]) == 2, "the step before training and one more"
    seen = Results(STUDY.observations(records))
    assert "easy" in str(tables(seen, TINY)[0].rows)
    assert set(STUDY.estimate(seen, EASY, measure).n for measure in MEASURES.values()) <= {0, 1}


def test_rates_and_counts_agree(tmp_path):
    world = World(replace(TINY, train_problems=1), 1, tmp_path / "1")
    task = world.task()
    problems = [replace(problem, level=EASY) for problem in task.problems("eval", 1, 2)]
    rollouts = world.answer(world.base(), problems, 4, "test")
    counts = counts_by_problem(rollouts)
    assert rates_by_bucket(rollouts)[EASY]["pass_rate"] == sum(right for _, _, right, *_ in counts.values()) / 8
