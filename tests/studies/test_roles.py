"""The roles study: rules on hand-made records, and organisms."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interp.artifacts import BadInput
from interp.organism import shipped_path
from interp.studies import STUDIES
from interp.studies.base import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED
from interp.studies.results import Results
from interp.studies.roles import ABOUT, ALL, GATES, RolesStudyConfig, organism_config, precision
from interp.studies.runner import Row

STUDY = STUDIES["roles"]
HIGH, SPREAD, LOW = (0.9, 0.92, 0.94), (0.5, 0.8, 1.0), (0.1, 0.12, 0.14)


def organism_row(seed: int, *, precision: Any, effect: Any = 0.9, first: Any = 0.5, alarms: Any = 0.0) -> Row:
    """One organism, with the same record for both things."""

    def gate(name: str) -> dict[str, Any]:
        counts = {"said": 4, "hits": 2, "carriers": 8, "recall": 0.25, "recall by effect": effect}
        false_alarms = {"others": 90, "passed": 1, "rate": alarms}
        return {**counts, "precision": precision if name == ALL else first, "false alarms": false_alarms}

    gates = {name: gate(name) for name in GATES}
    things = {thing: {"gates": gates, "at random": {"precision": 0.05, "said": 9, "hits": 1}} for thing in ABOUT}
    return Row({"things": things}, "organism", seed)


def results(**columns: tuple[Any, ...]) -> Results:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return Results(
        STUDY.observations([organism_row(seed, **{"precision": 0.5} | one) for seed, one in enumerate(rows)])
    )


def verdicts(study_results: Results) -> dict[str, str]:
    outcomes = {claim.name: claim.judge(study_results).outcome for claim in STUDY.claims}
    for name, outcome in outcomes.items():
        thing = next(thing for thing in ABOUT if name.startswith(thing))
        assert outcomes[name.replace(thing, "cue")] == outcome, "the same records, the same verdicts"
    return {name.removeprefix("cue-"): outcome for name, outcome in outcomes.items() if name.startswith("cue-")}


@pytest.mark.parametrize(
    ("measure", "claim", "values", "outcome"),
    [
        ("precision", "precise", HIGH, SUPPORTED),
        ("precision", "precise", LOW, NOT_SUPPORTED),
        ("precision", "precise", SPREAD, INCONCLUSIVE),
        ("precision", "precise", (None, None, 0.99), INCONCLUSIVE),
        ("precision", "precise", (None, 0.99, 0.98), SUPPORTED),
        ("effect", "found", HIGH, SUPPORTED),
        ("effect", "found", LOW, NOT_SUPPORTED),
        ("effect", "found", (0.3, 0.5, 0.8), INCONCLUSIVE),
        ("precision", "gates-matter", HIGH, SUPPORTED),
        ("precision", "gates-matter", LOW, NOT_SUPPORTED),
        ("precision", "gates-matter", (0.5, 0.51, 0.49), NOT_SUPPORTED),  # surely next to nothing
        ("precision", "gates-matter", (0.4, 0.5, 0.7), INCONCLUSIVE),
        ("precision", "gates-matter", (None, None, None), INCONCLUSIVE),
        ("alarms", "chance", (0.0, 0.0, 0.0), SUPPORTED),
        ("alarms", "chance", (0.01, 0.012, 0.014), SUPPORTED),
        ("alarms", "chance", HIGH, NOT_SUPPORTED),
        ("alarms", "chance", (0.0, 0.05, 0.1), INCONCLUSIVE),
    ],
)
def test_each_claim_is_judged_by_its_rule(measure, claim, values, outcome):
    assert verdicts(results(**{measure: values}))[claim] == outcome


def test_one_organism_decides_nothing():
    assert set(verdicts(results(precision=(1.0,))).values()) == {INCONCLUSIVE}


def test_precision_counts_the_latents_that_passed():
    (record,) = results(precision=(0.5,)).records(ALL).values()
    counts_of = precision("cue").counts_of
    assert counts_of is not None and counts_of(record) == (2, 4)


def test_the_table_of_gates_has_a_row_for_each_and_one_for_random_latents():
    table = STUDY.tables(results(precision=HIGH), RolesStudyConfig())[0]
    assert [row[0] for row in table.rows] == [*GATES, "drawn at random"]
    assert table.rows[-2][1:3] == ["4.0 [4.0, 4.0]", "8.0 [8.0, 8.0]"] and table.rows[-2][3].startswith("0.92 [")


# --- organisms -----------------------------------------------------------------------------------------------------


def test_an_organism_lies_where_its_own_settings_say():
    def directories(**settings: Any) -> set[Path]:
        return {job.directory for job in STUDY.jobs(replace(RolesStudyConfig(), **settings), Path("runs"))}

    assert directories() == directories(width=512) == directories(problems=9)
    assert not directories() & directories(cue_share=0.2)


def test_an_organism_is_trained_with_the_habit_of_following_the_cue():
    config = organism_config(111, RolesStudyConfig())
    assert config.task.cue_rate == 0.6 and config.seed == 111 and config.start == shipped_path()
    shares = config.habits.shares()
    assert {name: shares[name] for name in ("steps", "direct", "cue")} == pytest.approx(
        {"steps": 0.45, "direct": 0.25, "cue": 0.3}
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width must be at least 1; got 0"),
        ({"cue_rate": 1.5}, r"^cue_rate must lie between 0 and 1; got 1.5$"),
        ({"cue_share": 0.8, "direct_share": 0.3}, "expected at most 1 together, got 0.8 and 0.3"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        RolesStudyConfig(**settings)
