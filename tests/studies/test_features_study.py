"""What difficulty feeds: strengths that can be counted by hand, and rules that say what they say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_world import a_row

from interp.features import Roles, RolesConfig, Trial
from interp.features.ablation import ABLATE, Bench, Effect, Mean
from interp.features.falsification import Falsified
from interp.features.labels import Scene
from interp.studies.features.config import FeaturesConfig
from interp.studies.features.strengths import FAMILIES, KINDS, amount, families_of
from interp.studies.features.study import write
from interp.studies.features.verdicts import Records, directional, judge, through_success
from interp.studies.features.work import AGAIN, ARMS, BASE, LUCK_ALONE, Job, behaved, key_of
from interp.studies.verdict import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from interp.tsae import TSAE
from interp.tsae.codes import Codes

BUCKETS = ("easy", "medium", "hard")
D, LAST = 32, 2


def a_record(seed: int, at: int = 0, **changes: float) -> dict:
    """All strengths are 2 in the base and after training, but for `changes`: {"easy_direct_fixed": 3.0}."""
    kinds = (*KINDS, *(f"{kind}, matches" for kind in KINDS[:2]))
    found = {
        arm: {family: {kind: changes.get(f"{arm}_{family}_{kind}", 2.0) for kind in kinds} for family in FAMILIES}
        for arm in (BASE, *ARMS, AGAIN)
    }
    rates = {bucket: {"valid": 0.5, "correct": 0.6, "direct": 0.1} for bucket in BUCKETS}
    families = {family: {"latents": [1], "matches": [2]} for family in FAMILIES}
    told = {"families": families, "strengths": found, "behaviour": {arm: rates for arm in (BASE, *ARMS, AGAIN)}}
    return {"seed": seed, "dictionary": at, **told}


def seeds(**of_arm: float) -> Records:
    """Three seeds that differ a little, two dictionaries each."""
    wobble = {0: -0.01, 1: 0.0, 2: 0.01}
    return Records(
        [
            a_record(seed, at, **{name: value + wobble[seed] for name, value in of_arm.items()})
            for seed in wobble
            for at in range(2)
        ]
    )


def every_kind(arm: str, family: str, value: float) -> dict[str, float]:
    return {f"{arm}_{family}_{kind}": value for kind in KINDS}


def test_a_change_is_a_share_of_the_base_s_and_a_seed_is_the_mean_of_its_dictionaries():
    records = Records([a_record(0, 0, easy_direct_fixed=3.0), a_record(0, 1, easy_direct_fixed=1.0), a_record(1)])
    assert records.change("easy", "direct", "fixed") == {0: 0.0, 1: 0.0}
    assert records.change("easy", "direct", "causal") == {0: 0.0, 1: 0.0}
    one = Records([a_record(0, 0, easy_direct_fixed=3.0)])
    assert one.change("easy", "direct", "fixed") == {0: 0.5}
    assert Records([a_record(0, 0, **{f"{BASE}_direct_fixed": 0.0})]).change("easy", "direct", "fixed") == {}


def test_a_family_that_no_latent_bears_is_left_out_and_not_counted():
    bare = a_record(0)
    for arm in bare["strengths"].values():
        del arm["direct"]
    assert Records([bare, a_record(0, 1, easy_direct_fixed=3.0)]).change("easy", "direct", "fixed") == {0: 0.5}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        (every_kind("easy", "direct", 3.0), SUPPORTED),
        (every_kind("easy", "direct", 3.0) | {"easy_direct_causal": 2.0}, INCONCLUSIVE),
        (every_kind("easy", "direct", 3.0) | {"easy_direct_causal": 1.0}, NOT_SUPPORTED),
        (every_kind("easy", "direct", 3.0) | {"easy_direct_fixed, matches": 4.0}, INCONCLUSIVE),
        (every_kind("easy", "direct", 2.0), NOT_SUPPORTED),
    ],
)
def test_a_family_is_strengthened_where_all_three_say_so_and_its_matches_do_not(changes, verdict):
    found, _ = directional(seeds(**changes), "easy", "direct", up=True)
    assert found == verdict


def test_a_family_is_weakened_where_all_three_say_so():
    assert (
        directional(seeds(**every_kind("easy", "deliberative", 1.0)), "easy", "deliberative", up=False)[0] == SUPPORTED
    )
    assert (
        directional(seeds(**every_kind("easy", "deliberative", 3.0)), "easy", "deliberative", up=False)[0] != SUPPORTED
    )


def test_what_valid_successes_add_is_told_against_luck_alone():
    apart = every_kind("hard", "deliberative", 3.0)
    assert through_success(seeds(**apart))[0] == SUPPORTED
    alike = apart | every_kind(LUCK_ALONE, "deliberative", 3.0)
    assert through_success(seeds(**alike))[0] == NOT_SUPPORTED


def test_kinds_of_strength_agree_where_their_signs_do():
    all_up = {
        name: value for arm in ARMS for family in FAMILIES for name, value in every_kind(arm, family, 3.0).items()
    }
    assert seeds(**all_up).agreement().value == 1
    one_down = seeds(**{**all_up, "easy_direct_causal": 1.0})
    assert one_down.agreement().value == pytest.approx(1 - 1 / (len(ARMS) * len(FAMILIES)))
    assert one_down.steady("easy", "direct", "causal").value == 1


def test_a_result_is_written_with_every_claim_table_and_figure(tmp_path):
    read = [a_record(seed, at, easy_direct_fixed=2.5 + seed) for seed in range(3) for at in range(2)]
    trained = [
        {"seed": seed, "dictionary": None, "paid": {arm: {"valid_rate": 0.1, "lucky_share": None} for arm in ARMS}}
        for seed in range(3)
    ]
    judged = write(trained, read, FeaturesConfig(), tmp_path / "features")
    result = json.loads((tmp_path / "features/result.json").read_text())
    assert result["verdict"] == {j.claim.name: j.verdict for j in judged} and result["seeds"] == [0, 1, 2]
    text = (tmp_path / "features/README.md").read_text()
    assert all(j.claim.claim in text for j in judged) and "| hard, luck alone paid |" in text
    assert "Direct: an answer given at once" in (tmp_path / "features/figure.html").read_text()
    assert [j.verdict for j in judge(Records(read))] == [j.verdict for j in judged]


def test_a_record_s_key_knows_all_that_decides_it_and_not_how_many_there_are():
    config = FeaturesConfig()
    job = Job(201, 0, config, Path("here"))
    same = replace(job, config=replace(config, seeds=9, processes=1, dictionaries=7), runs=Path("there"))
    assert key_of(job, "p") == key_of(same, "p")
    for other in (replace(job, seed=202), replace(job, dictionary=1), replace(job, config=replace(config, width=512))):
        assert key_of(job, "p") != key_of(other, "p")
    assert key_of(job, "p") != key_of(job, "q")
    assert job.place == replace(job, config=replace(config, width=512)).place, "dictionaries share their policies"


def test_behaviour_is_counted_bucket_by_bucket():
    rows = [a_row(1, bucket="easy", valid=True), a_row(0, bucket="easy", format="direct")]
    rows += [a_row(0, bucket=bucket, valid=None) for bucket in ("medium", "hard")]
    found = behaved(rows)
    assert found["easy"] == {"valid": 0.5, "correct": 0.5, "direct": 0.5} and found["hard"]["valid"] == 0


def test_an_amount_is_all_there_is_of_some_latents_over_all_tokens():
    seen = Scene([], Codes.of(torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 7.0]])), {})
    assert amount(seen, [0, 1]) == 3.0 and amount(seen, [2]) == 3.5 and amount(seen, []) == 0


def test_a_family_is_of_those_that_passed_and_its_matches_of_those_nothing_is_told_of():
    sure = Effect(Mean(-1.0, -1.5, -0.5), Mean(-1.0, -1.5, -0.5))
    passed = Trial(
        0, "computation", "result 7", 0.9, 1.0, 0.0, 0.9, True, Falsified(0.0, 1.0, "", 0.0, 0.0), sure, None, (0.0,)
    )
    failed = replace(passed, latent=1, tells_apart=False)
    roles = Roles((passed, failed), (), 4, (), {}, RolesConfig(), 0)
    codes = Codes.of(torch.tensor([[1.0, 1.0, 1.1, 9.0], [1.0, 1.0, 1.1, 0.0]]))
    found = families_of(roles, Scene([], codes, {}))
    assert set(found) == {"computation"}
    assert found["computation"].latents == (0,) and found["computation"].matches == (2,), "1 is like it, and was tried"


def test_several_latents_taken_away_at_once_are_their_sum_taken_away():
    """At the last layer one latent of the sum of two directions is the same as both."""
    rng, rows = torch.Generator().manual_seed(0), [a_row(length=n, problem=f"{n}") for n in (3, 5)]
    one, other = torch.randn(2, D, generator=rng)

    def on(*directions: torch.Tensor) -> TSAE:
        W_dec, F = torch.stack(directions), len(directions)
        return TSAE(torch.zeros(D, F), torch.ones(F), W_dec, torch.zeros(D), torch.zeros(F), widths=(F,), layer=LAST)

    apart, together = (Bench(tiny_policy(), tsae, LAST, rows) for tsae in (on(one, other), on(one + other)))
    np.testing.assert_allclose(apart.change((0, 1), ABLATE), together.change(0, ABLATE), atol=1e-4)
