"""The study of credit on words: the same training as on chains, from a base of words, and the rules of its claims."""

from dataclasses import replace
from pathlib import Path

import pytest
from features_fixtures import axes_dictionary

from interp.organism import shipped_path
from interp.studies.credit_measures import average_runs
from interp.studies.credit_runs import BASE, COMPLETENESS, FEATURES, LIKELIHOOD, PLAIN, STRENGTHS
from interp.studies.credit_words import CLAIMS, GROUPS, SCHEMES, CreditWords, CreditWordsConfig, WordsWorld
from interp.studies.results import Observation, Results

TINY = CreditWordsConfig(
    seeds=1, steps=1, prompts=2, group=2, problems=1, watch_problems=1, answers=1, label_problems=24,
    max_new_tokens=128,
)  # fmt: skip


def test_every_scheme_is_trained_at_the_strength_that_chains_chose():
    arms = {arm.name: arm.spec for arm in CreditWords().arms(CreditWordsConfig())}
    assert list(arms) == [BASE, *SCHEMES]
    chosen = {name: arms[name]["training"]["threshold"] for name in (LIKELIHOOD, COMPLETENESS, FEATURES)}
    assert chosen == {name: STRENGTHS[name] for name in chosen}
    assert "width" in arms[FEATURES] and "width" not in arms[COMPLETENESS] and "audits" not in arms[PLAIN]


def test_answers_of_words_are_sampled_and_learned_from_as_the_config_says():
    world = WordsWorld(replace(TINY, max_new_tokens=99, lr=1e-5), 601, Path("world"))
    assert world.base_path == shipped_path("words")
    assert (world.sampling(4, 3).max_new_tokens, world.sampling(4, 3).seed, world.update().lr) == (99, 3, 1e-5)


def test_a_run_by_features_is_measured_at_every_depth(tmp_path, monkeypatch):
    monkeypatch.setattr(WordsWorld, "dictionary", lambda self, number: axes_dictionary(256, layer=2))
    study = CreditWords()
    jobs = {job.arm.name: job for job in study.jobs(TINY, tmp_path)}
    records = {name: study.run(jobs[name].arm, 601, TINY, jobs[name].directory) for name in (BASE, FEATURES)}
    assert list(records[FEATURES]["final"]) == list(records[BASE]["final"]) == [str(depth) for depth in range(1, 9)]
    assert records[FEATURES]["training"]["run"] == 601 and records[FEATURES]["steps"]["audited"][0] is not None
    assert set(average_runs([records[FEATURES]], GROUPS)["rates"]) == {"all", "deep", "handled"}


@pytest.mark.parametrize(("gap", "verdict"), [(0.1, "supported"), (-0.1, "not supported"), (-0.002, "inconclusive")])
def test_claims_say_what_the_rates_say(gap, verdict):
    first = CLAIMS[0]

    def rates(valid: float) -> dict[str, object]:
        return {"rates": dict.fromkeys(GROUPS, {"valid_rate": valid, "pass_rate": valid})}

    def valid_rate(name: str, seed: int) -> float:
        return 0.3 + seed / 100 + (gap + 0.001 * seed) * (name == COMPLETENESS)

    names = [BASE, *SCHEMES]
    rows = [Observation(name, seed, rates(valid_rate(name, seed))) for seed in (1, 2, 3) for name in names]
    assert first.judge(Results(rows)).outcome == verdict
