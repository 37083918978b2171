"""The features study: changes as shares of the base's, rules, and old names."""

from dataclasses import replace
from pathlib import Path

import pytest

from interp.studies import STUDIES
from interp.studies.base import INCONCLUSIVE, NO_EVIDENCE, NOT_SUPPORTED, SUPPORTED
from interp.studies.features import FeaturesConfig, strengthened, strengths_agree, through_success
from interp.studies.features_figures import figures, tables
from interp.studies.features_measures import (
    AGREEMENT,
    ALL_ARMS,
    BASE,
    FAMILIES,
    KINDS,
    LEVELS,
    LUCK_ALONE,
    RESAMPLED,
    TRAINED_ON,
    agrees,
    change_of,
)  # fmt: skip
from interp.studies.results import Results
from interp.studies.runner import Row

STUDY = STUDIES["features"]


def dictionary_row(seed: int, number: int = 0, **changes: float) -> Row:
    """All strengths are 2 in the base and after training, but for `changes`: {"shallow_direct_fixed": 3.0}."""
    kinds = (*KINDS, *(f"{kind}, matches" for kind in KINDS[:2]))
    strengths = {
        arm: {family: {kind: changes.get(f"{arm}_{family}_{kind}", 2.0) for kind in kinds} for family in FAMILIES}
        for arm in (BASE, *TRAINED_ON, RESAMPLED)
    }
    rates = {level: {"valid": 0.5, "correct": 0.6, "direct": 0.1} for level in LEVELS}
    families = {family: {"latents": [1], "matches": [2]} for family in FAMILIES}
    behavior = {arm: rates for arm in (BASE, *TRAINED_ON, RESAMPLED)}
    return Row({"families": families, "strengths": strengths, "behavior": behavior}, f"dictionary {number}", seed)


def results(*rows: Row) -> Results:
    return Results(STUDY.observations(rows))


def three_seeds(**changes: float) -> Results:
    """Three seeds that differ a little, two dictionaries each."""
    shift = {0: -0.01, 1: 0.0, 2: 0.01}
    return results(
        *(
            dictionary_row(seed, number, **{name: value + shift[seed] for name, value in changes.items()})
            for seed in shift
            for number in range(2)
        )
    )


def every_kind(arm: str, family: str, value: float) -> dict[str, float]:
    return {f"{arm}_{family}_{kind}": value for kind in KINDS}


# --- measures ------------------------------------------------------------------------------------------------------


def test_a_change_is_a_share_of_the_bases_and_a_seed_is_the_mean_of_its_dictionaries():
    study_results = results(
        dictionary_row(0, 0, shallow_direct_fixed=3.0), dictionary_row(0, 1, shallow_direct_fixed=1.0)
    )
    assert study_results.values("shallow", change_of("direct", "fixed")) == {0: 0.0}
    one = results(dictionary_row(0, 0, shallow_direct_fixed=3.0))
    assert one.values("shallow", change_of("direct", "fixed")) == {0: 0.5}


def test_a_family_that_was_nothing_in_the_base_has_no_change():
    study_results = results(dictionary_row(0, 0, **{f"{BASE}_direct_fixed": 0.0}))
    assert study_results.mean("shallow", change_of("direct", "fixed")).n == 0


def test_a_dictionary_in_which_a_family_has_no_latent_is_left_out_and_not_counted():
    bare = dictionary_row(0)
    for strengths in bare.record["strengths"].values():
        del strengths["direct"]
    study_results = results(bare, dictionary_row(0, 1, shallow_direct_fixed=3.0))
    assert study_results.values("shallow", change_of("direct", "fixed")) == {0: 0.5}


def test_kinds_of_strength_agree_where_their_signs_do():
    all_up = {
        name: value for arm in TRAINED_ON for family in FAMILIES for name, value in every_kind(arm, family, 3.0).items()
    }
    assert three_seeds(**all_up).mean(ALL_ARMS, AGREEMENT).value == 1
    one_down = three_seeds(**{**all_up, "shallow_direct_causal": 1.0})
    share = 1 - 1 / (len(TRAINED_ON) * len(FAMILIES))
    assert one_down.mean(ALL_ARMS, AGREEMENT).value == pytest.approx(share)
    assert one_down.mean("shallow", agrees("direct", "causal")).value == 1
    assert strengths_agree(one_down).outcome == SUPPORTED


# --- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        (every_kind("shallow", "direct", 3.0), SUPPORTED),
        (every_kind("shallow", "direct", 3.0) | {"shallow_direct_causal": 2.0}, INCONCLUSIVE),
        (every_kind("shallow", "direct", 3.0) | {"shallow_direct_causal": 1.0}, NOT_SUPPORTED),
        (every_kind("shallow", "direct", 3.0) | {"shallow_direct_fixed, matches": 4.0}, INCONCLUSIVE),
        (every_kind("shallow", "direct", 2.0), NO_EVIDENCE),
    ],
)
def test_a_family_is_strengthened_where_all_three_kinds_say_so_and_its_matches_do_not(changes, outcome):
    assert strengthened("shallow", "direct", up=True)(three_seeds(**changes)).outcome == outcome


def test_a_family_is_weakened_where_all_three_kinds_say_so():
    rule = strengthened("shallow", "deliberative", up=False)
    assert rule(three_seeds(**every_kind("shallow", "deliberative", 1.0))).outcome == SUPPORTED
    assert rule(three_seeds(**every_kind("shallow", "deliberative", 3.0))).outcome == NOT_SUPPORTED


def test_what_valid_successes_add_is_compared_with_luck_alone():
    plain = every_kind("deep", "deliberative", 3.0)
    assert through_success(three_seeds(**plain)).outcome == SUPPORTED
    same = plain | every_kind(LUCK_ALONE, "deliberative", 3.0)
    assert through_success(three_seeds(**same)).outcome == NO_EVIDENCE


# --- records -------------------------------------------------------------------------------------------------------


def test_committed_records_have_their_arms_and_levels_renamed():
    record = {"seed": 211, "dictionary": None, "paid": {"hard, luck alone paid": {"valid_rate": 0.1}}}
    row = STUDY.migrate(record)
    assert (row.arm, row.seed) == ("policies", 211) and row.record["training"] == {LUCK_ALONE: {"valid_rate": 0.1}}
    record = {"seed": 211, "dictionary": 2, "strengths": {"base, asked again": {}, "easy": {}}}
    row = STUDY.migrate({**record, "behaviour": {"easy": {"hard": {"valid": 0.1}}}})
    assert row.arm == "dictionary 2" and set(row.record["strengths"]) == {RESAMPLED, "shallow"}
    assert row.record["behavior"] == {"shallow": {"deep": {"valid": 0.1}}}


def test_dictionaries_of_a_seed_share_its_policies():
    config = FeaturesConfig()
    jobs = STUDY.jobs(config, Path("runs"))
    wider = STUDY.jobs(replace(config, width=512), Path("runs"))
    assert {job.directory for job in jobs} == {job.directory for job in wider}
    longer = STUDY.jobs(replace(config, steps=41), Path("runs"))
    assert not {job.directory for job in jobs} & {job.directory for job in longer}


def test_every_table_and_figure_is_there():
    training = [Row({"training": {arm: {"valid_rate": 0.1, "lucky_share": None} for arm in TRAINED_ON}}, "policies", 0)]
    study_results = results(*training, dictionary_row(0, shallow_direct_fixed=2.5))
    titles = [table.title for table in tables(study_results)]
    assert titles[0] == "Latents with a role, by family" and "Strength: direct" in titles
    assert len(figures(study_results)) == len(FAMILIES) + 1
