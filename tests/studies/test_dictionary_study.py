"""The dictionary study: the facts it asks for, its rules, and how it goes on."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from interp.activations import TokenTable, Writer
from interp.artifacts import BadInput
from interp.cli.args import Preset
from interp.organism import shipped
from interp.policy.directory import fingerprint_of
from interp.studies.dictionary.analysis import SLOW_FACTS, Records
from interp.studies.dictionary.claims import CLAIMS, GATE
from interp.studies.dictionary.config import ARMS, RANDOM, DictionaryConfig
from interp.studies.dictionary.facts import FAST, SLOW, sample
from interp.studies.dictionary.study import LEDGER, jobs
from interp.studies.dictionary.verdicts import above_matryoshka, gate, judge, time_matters
from interp.studies.dictionary.work import RESIDUAL, config_of, key_of
from interp.studies.harness import Ledger
from interp.studies.verdict import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from interp.tsae import PRESETS

SEEDS = (101, 102, 103)


def test_what_is_shipped_was_measured_with_what_is_asked_for_now():
    """No dictionary of the study would be fitted again: the ledger holds them all, of these very configs."""
    policy = fingerprint_of(shipped())
    ledger = Ledger(Path(__file__).parents[2] / "data/results/dictionary" / LEDGER, lambda job: key_of(job, policy))
    _, dictionaries = jobs(DictionaryConfig(), Path("nowhere"))
    assert len(dictionaries) > 100 and [job for job in dictionaries if job not in ledger] == []


def test_the_facts_of_a_written_answer_are_those_one_reads_off_it(tmp_path):
    words = ["2", "+", "1", "?", "2", "+", "1", "=", "3", ";", "3", "*", "2", "=", "1", ";", "#", "1"]
    direct = ["2", "?", "#", "1"]
    vocabulary = sorted(set(words))
    roles = (
        ["prompt"] * 4 + ["carry", "operator", "operand", "equals", "result", "separator"] * 2 + ["marker", "answer"]
    )
    roles += ["prompt", "prompt", "marker", "answer"]
    names, first, n = tuple(dict.fromkeys(roles)), len(words), len(words) + len(direct)
    words += direct
    table = TokenTable(
        ids=torch.tensor([vocabulary.index(word) for word in words], dtype=torch.int32),
        document=(torch.arange(n) >= first).int(),
        position=torch.tensor([*range(first), *range(4)], dtype=torch.int32),
        role=torch.tensor([names.index(role) for role in roles], dtype=torch.uint8),
        completion=torch.tensor([False] * 4 + [True] * 14 + [False, False, True, True]),
    )
    told = {"length": [first, 4], "prompt": [4, 2], "format": ["steps", "direct"], "valid": [True, False]}
    told |= {"depth": [2, 2], "problem": ["p", "p"]}
    writer = Writer(tmp_path / "store", layers=(0,), d_model=2, roles=names)
    writer.add({0: torch.zeros(n, 2)}, table, pl.DataFrame(told), {})
    found = sample(writer.finish(), 0, vocabulary, 10)
    read = {name: label.tolist() for name, label in found.labels.items()}
    assert len(found.x_ND) == 16 and set(read) == {*SLOW, *FAST}
    assert found.document_N.tolist() == [0] * 14 + [1] * 2 and found.problem_N.tolist() == [0] * 16
    assert all(
        told[14:] == ([-1, -1] if name in ("valid", "steps left", "running value", "operator", "result") else told[14:])
        for name, told in read.items()
    ), "of an answer given at once, what is said of steps is nothing"
    assert read["format"][14:] == [0, 0] and read["digit"][14:] == [-1, 1]
    read = {name: told[:14] for name, told in read.items()}
    assert read["steps left"] == [2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert read["running value"] == [-1, -1, -1, -1, -1, 3, -1, 3, 3, 3, -1, 1, 1, -1]
    assert read["digit"] == [2, -1, 1, -1, 3, -1, 3, -1, 2, -1, 1, -1, -1, 1]
    assert read["result"] == [-1] * 4 + [3] + [-1] * 5 + [1] + [-1] * 3
    assert read["operator"] == [-1, 0, -1, -1, -1, -1, -1, 2] + [-1] * 6
    assert set(read["format"]) == {1} and set(read["valid"]) == {1} and set(read["depth"]) == {2}


def planted(arm: str, shares: tuple[float, ...]) -> list[dict[str, Any]]:
    kinds = {"slow frequent": 1.0, "fast frequent": 0.0, "fast rare": 0.0}
    return [
        {
            "world": "planted", "arm": arm, "seed": seed, "quality": {"fve": 0.94}, "recall": 1.0,
            "recall_by_kind": {**kinds, "slow rare": 1.0}, "slow_block_recall_by_kind": {**kinds, "slow rare": share},
        }
        for seed, share in zip(SEEDS, shares, strict=True)
    ]  # fmt: skip


def organism(arm: str, slow: float, fast: float) -> list[dict[str, Any]]:
    quality = {
        "fve": 0.99,
        "ce_recovered": 0.99,
        "kl_recovered": 0.99,
        "autocorrelation_slow": 0.1,
        "autocorrelation": 0,
    }
    return [
        {
            "world": "organism", "arm": arm, "seed": seed, "quality": quality,
            "read": {fact: {"slow block": (slow if fact in SLOW else fast) + at / 1000} for fact in (*SLOW, *FAST)},
        }
        for at, seed in enumerate(SEEDS)
    ]  # fmt: skip


LOW, HIGH = (0.1, 0.12, 0.14), (0.9, 0.95, 1.0)


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [(HIGH, SUPPORTED), (LOW, NOT_SUPPORTED), ((0.0, 0.5, 1.0), INCONCLUSIVE)],
)
def test_a_share_is_above_matryoshkas_only_with_disjoint_intervals_and_level_only_if_near(mine, verdict):
    records = Records([*planted("interp", mine), *planted("matryoshka", LOW)])
    assert above_matryoshka(records, "interp")[0] == verdict


@pytest.mark.parametrize(
    ("mine", "shuffled", "verdict"),
    [(HIGH, LOW, SUPPORTED), (LOW, LOW, NOT_SUPPORTED), (HIGH, (0.4, 0.42, 0.44), INCONCLUSIVE)],
)
def test_time_matters_only_where_shuffled_partners_do_worse_and_no_better_than_without_a_contrast(
    mine, shuffled, verdict
):
    weighted = planted("matryoshka-weighted", LOW)
    records = Records([*planted("interp", mine), *planted("shuffled", shuffled), *weighted])
    assert time_matters(records)[0] == verdict


def test_every_claim_is_judged_and_the_gate_hangs_on_four_of_them():
    planted_arms = {arm: HIGH if arm in ("interp", "promotion-only", "batchtopk") else LOW for arm in ARMS}
    records = [record for arm, shares in planted_arms.items() for record in planted(arm, shares)]
    for arm in (*ARMS, RANDOM):
        ours = arm in ("interp", "contrast-only")
        records += organism(arm, 0.8 if ours else 0.7, 0.6 if ours else 0.9)
    judged = judge(Records(records))
    assert [j.claim for j in judged] == list(CLAIMS)
    told = {j.claim.name: j.verdict for j in judged}
    assert {told[name] for name in GATE} == {SUPPORTED} and gate(judged)
    assert told["contrast-on-organism"] == SUPPORTED and told["promotion-on-organism"] == INCONCLUSIVE
    assert told["slow-facts"] == told["fast-facts-leave"] == told["learned-not-given"] == SUPPORTED
    worse = Records([r | {"quality": r["quality"] | {"fve": 0.9}} if r["arm"] == "interp" else r for r in records])
    assert not gate(judge(worse))


def test_a_mean_over_facts_is_none_where_a_fact_could_not_be_told():
    record = organism("interp", 0.8, 0.9)[0]
    record["read"]["valid"]["slow block"] = None
    assert SLOW_FACTS(record) is None


def test_arms_share_width_k_steps_and_seed_and_differ_in_what_they_are_named_for(tmp_path):
    config = DictionaryConfig()
    made = {arm: config_of(arm, config.size("planted"), 7) for arm in (*ARMS, RANDOM)}
    assert {(c.width, c.k, c.training) for c in made.values()} == {(256, 6, made["interp"].training)}
    assert made["interp"] == made[RANDOM] and made["shuffled"] != made["interp"]
    worlds, dictionaries = jobs(config, tmp_path)
    assert len(worlds) == 10 and len(dictionaries) == 5 * (2 * len(ARMS) + 3)
    assert len({str(key_of(job, "policy")) for job in dictionaries}) == len(dictionaries)
    assert {job.arm for job in dictionaries if job.world == "planted"} == set(ARMS)
    assert RESIDUAL in {job.arm for job in dictionaries}


def test_the_flag_names_every_preset():
    assert set(Preset.__args__) == set(PRESETS)  # pyright: ignore[reportAttributeAccessIssue]


def test_strange_settings_of_the_study_are_refused():
    with pytest.raises(BadInput, match="worlds must be some of planted, organism; got moon"):
        DictionaryConfig(worlds=("moon",))
    with pytest.raises(BadInput, match="steps must be at least 1; got 0"):
        DictionaryConfig(steps=0)
