"""Roles as a result: its role of a latent, tables, figure, and its directory."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage_fixtures import DAMAGES, edit_json, edit_manifest, strip_checksums
from features_fixtures import WITHSTOOD, axes_dictionary, make_effect, make_roles, make_trial

from interp.artifacts import BadInput, Mismatch, from_json
from interp.features import Roles, RolesConfig
from interp.features.ablation import BehaviorEffects, Effect
from interp.features.sampling import RolloutEffect
from interp.stats import Estimate

NAN = float("nan")
TSAE = axes_dictionary(4, layer=2)
BEHAVIOR = BehaviorEffects(Estimate(0.1, 0.0, 0.2), Estimate(0.3, 0.2, 0.4), Estimate(-0.5, -0.6, -0.4))
RATES = Estimate(NAN), Estimate(-0.2, -0.3, -0.1), Estimate(0.0, 0.0, 0.0)


def some_roles() -> Roles:
    """Latent 3 has a role, latent 4 was not ablated, latent 5 was drawn at random."""
    return make_roles(
        make_trial(
            3,
            "computation",
            falsification=replace(WITHSTOOD, shuffled_share=NAN),
            amplification=Effect(Estimate(0.5, 0.1, 0.9), Estimate(NAN)),
            matched_ablations=(0.0, -0.1),
            ablated_behavior=BEHAVIOR,
            amplified_behavior=BEHAVIOR,
            matched_behavior=(0.0, 0.25, 0.0),
        ),
        make_trial(4, "shortcut", ablation=None),
        tsae=TSAE,
        random_trials=[make_trial(5, "computation", passes_contrast=False)],
        missing_contrasts=("cue",),
        rollout_effects=(RolloutEffect(3, None, 0.0, *RATES), RolloutEffect(5, 3, 0.0, *RATES)),
        config=RolesConfig(max_candidates=7),
    )


# --- roles -----------------------------------------------------------------------------------------------------------


def test_a_latent_has_the_role_of_the_contrast_that_it_separates_best():
    roles = make_roles(make_trial(3, "reasoning", auroc=0.8), make_trial(3, "shortcut", auroc=0.9), tsae=TSAE)
    assert roles.role_of(3) == "shortcut" and roles.latents("shortcut") == [3] and roles.latents("reasoning") == []


def test_a_latent_without_a_passed_trial_has_no_role_and_one_beyond_the_dictionary_is_refused():
    roles = some_roles()
    assert [roles.role_of(latent) for latent in (3, 4, 5, 0)] == ["computation", "none", "none", "none"]
    with pytest.raises(BadInput, match="expected a latent of a dictionary of 8, from 0 to 7; got 8"):
        roles.role_of(8)


def test_roles_say_in_one_line_how_many_were_earned():
    assert repr(some_roles()) == "Roles(layer 2, 8 latents: 1 computation)"
    assert repr(make_roles(tsae=TSAE)) == "Roles(layer 2, 8 latents: none earned)"


# --- tables and figure -----------------------------------------------------------------------------------------------


def test_the_summary_counts_latents_gate_by_gate_beside_random_latents():
    counts = some_roles().summary().rows()
    assert counts == [
        ("computation", "candidate", 1, 1, 1, 1, 1),
        ("shortcut", "candidate", 1, 1, 1, 0, 0),
        ("computation", "random", 1, 0, 1, 1, 0),
    ]


def test_the_table_has_a_row_for_each_trial():
    table = some_roles().table()
    assert table["group"].to_list() == ["candidate", "candidate", "random"]
    assert table["latent"].to_list() == [3, 4, 5] and table["passes_all"].to_list() == [True, False, False]
    first = table.row(0, named=True)
    assert (first["ablation"], first["ablation_difference_low"]) == (-1.0, pytest.approx(-1.05))
    assert first["largest_matched_ablation"] == -0.1
    assert (first["ablated_direct_answer"], first["amplified_valid_chain_low"]) == (-0.5, 0.0)
    assert first["matched_right_answer"] == 0.25
    assert table["ablation"][1] is None and table["ablated_valid_chain"][1] is None


def test_the_figure_has_a_panel_for_each_family_and_only_latents_that_were_ablated():
    traces: Any = some_roles().figure().data
    assert len(traces) == 3 * 2
    points = {(trace.name, trace.xaxis): len(trace.x) for trace in traces}
    assert points["role earned", "x"] == points["random latent", "x"] == 1 and points["candidate", "x"] == 0
    assert sum(count for (_, axis), count in points.items() if axis == "x2") == 0, "latent 4 was not ablated"


def test_a_notebook_shows_the_line_and_the_summary():
    html = some_roles()._repr_html_()
    assert "1 computation" in html and "passes_falsification" in html


def test_roles_without_trials_have_empty_tables_and_an_empty_figure():
    roles = make_roles(tsae=TSAE)
    assert roles.summary().height == roles.table().height == 0 and not roles.figure().data


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_roles_load_as_they_were_saved(tmp_path):
    roles = some_roles()
    roles.save(tmp_path / "roles")
    loaded = Roles.load(tmp_path / "roles", made_from={"tsae": TSAE.fingerprint()})
    assert loaded.trials[1:] == roles.trials[1:] and loaded.random_trials == roles.random_trials
    assert loaded.trials[0].falsification and np.isnan(loaded.trials[0].falsification.shuffled_share)
    assert (loaded.trials[0].ablation, loaded.trials[0].means) == (make_effect(-1.0), roles.trials[0].means)
    assert [(effect.latent, effect.match_of) for effect in loaded.rollout_effects] == [(3, None), (5, 3)]
    assert np.isnan(loaded.rollout_effects[0].valid.value) and loaded.rollout_effects[0].correct == RATES[1]
    assert loaded.config == RolesConfig(max_candidates=7) and loaded.missing_contrasts == ("cue",)
    assert loaded.fingerprint() == roles.fingerprint() != replace(roles, width=9).fingerprint()


def test_roles_of_another_dictionary_are_refused_on_loading(tmp_path):
    some_roles().save(tmp_path / "roles")
    with pytest.raises(Mismatch, match="made from another tsae"):
        Roles.load(tmp_path / "roles", made_from={"tsae": "z"})


def test_saved_roles_are_not_overwritten_unless_asked(tmp_path):
    some_roles().save(tmp_path / "roles")
    with pytest.raises(BadInput, match="exists already"):
        some_roles().save(tmp_path / "roles")
    some_roles().save(tmp_path / "roles", overwrite=True)


def test_roles_of_an_earlier_version_are_refused_with_what_to_do(tmp_path):
    some_roles().save(tmp_path / "roles")
    file: Path = tmp_path / "roles" / "roles.json"
    old = {"trials": [], "random": [], "played": [], "width": 8, "missing": [], "layer": 2}
    file.write_text(json.dumps(old))
    strip_checksums(tmp_path / "roles")
    with (
        pytest.warns(UserWarning, match="without checksums"),
        pytest.raises(Mismatch, match=r"earlier version, earn them again \(interp roles\)"),
    ):
        Roles.load(tmp_path / "roles")


@pytest.mark.parametrize("name", ["manifest.json", "roles.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_refused_naming_the_place(damage, name, tmp_path):
    some_roles().save(tmp_path / "roles")
    replace(some_roles(), missing_contrasts=(), config=RolesConfig()).save(tmp_path / "other")
    DAMAGES[damage](tmp_path / "roles" / name, tmp_path / "other" / name)
    with pytest.raises(BadInput, match=f"{tmp_path / 'roles'}.*: expected "):
        Roles.load(tmp_path / "roles")


def in_first_trial(**changes: Any) -> Callable[[Any], None]:
    return lambda content: content["trials"][0].update(changes)


EDITS: dict[str, tuple[Callable[[Any], None], str]] = {
    "a narrower dictionary": (lambda roles: roles.update(width=4), "a dictionary of 4 latents, and latents 4, 5"),
    "no latents": (lambda roles: roles.update(width=0), "0 latents"),
    "a width that is no number": (lambda roles: roles.update(width="8"), "width must be a whole number; got '8'"),
    "a negative layer": (lambda roles: roles.update(layer=-1), "layer -1"),
    "no layer": (lambda roles: roles.update(layer=None), "layer must be a whole number; got None"),
    "a latent beyond": (in_first_trial(latent=99), "latents 99"),
    "a latent that is no number": (in_first_trial(latent="3"), "latent must be a whole number; got '3'"),
    "another family": (in_first_trial(family="luck"), "expected a role family of .*, got 'luck'"),
    "no contrast": (in_first_trial(contrast=" "), "a trial of latent 3 without a contrast"),
    "a gate that is no yes or no": (in_first_trial(passes_contrast="yes"), "passes_contrast must be True or False"),
    "an unknown measure": (in_first_trial(colour="red"), "Trial has no colour"),
    "an interval upside down": (
        lambda roles: roles["trials"][0]["ablation"]["target"].update(low=1.0, high=-1.0),
        "expected an interval with low <= high",
    ),
    "a falsification of another type": (
        lambda roles: roles["trials"][0]["falsification"].update(injection=7),
        "injection must be text; got 7",
    ),
    "a trial without a latent": (lambda roles: roles["trials"][0].pop("latent"), "missing 1 required"),
    "trials of another type": (lambda roles: roles.update(trials=3), "'int' object is not iterable"),
    "an effect of a latent beyond": (lambda roles: roles["rollout_effects"][1].update(match_of=8), "and latents 8"),
}


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("case", EDITS)
def test_without_checksums_roles_that_do_not_fit_themselves_are_refused(case, tmp_path):
    change, message = EDITS[case]
    some_roles().save(tmp_path / "roles")
    strip_checksums(tmp_path / "roles")
    edit_json(tmp_path / "roles" / "roles.json", change)
    with pytest.raises(BadInput, match=f"{tmp_path / 'roles'}: expected roles, .*{message}"):
        Roles.load(tmp_path / "roles")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"roles"', "{", "[" * 99_999])
@pytest.mark.filterwarnings("ignore:.*without checksums")
def test_without_checksums_a_file_that_holds_no_roles_is_refused(content, tmp_path):
    some_roles().save(tmp_path / "roles")
    strip_checksums(tmp_path / "roles")
    (tmp_path / "roles" / "roles.json").write_text(content)
    with pytest.raises(BadInput, match=f"{tmp_path / 'roles'}.*: expected roles"):
        Roles.load(tmp_path / "roles")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("made_from", {"tsae": "t", "policy": "p"}, "no fingerprint of task"),
        ("made_from", {"tsae": "t", "policy": "p", "task": 3}, "no fingerprint of task"),
        ("config", {"colour": "red"}, "RolesConfig has no colour"),
        ("config", {"problems": 0}, "problems must be at least 1; got 0"),
    ],
)
def test_roles_without_all_their_inputs_or_with_a_config_out_of_range_are_refused(entry, value, message, tmp_path):
    some_roles().save(tmp_path / "roles")
    edit_manifest(tmp_path / "roles", lambda manifest: manifest.update({entry: value}))
    with pytest.raises(BadInput, match=f"{tmp_path / 'roles'}: expected roles, .*{message}"):
        Roles.load(tmp_path / "roles")


def test_a_config_with_the_old_field_names_is_still_read():
    old = {"auroc": 0.7, "d": 0.4, "rate": 0.1, "most": 3, "random": 4, "matched": 5, "texts": 6, "played": 7}
    assert from_json(RolesConfig, {**old, "gates_seed": 8}) == RolesConfig(
        min_auroc=0.7,
        min_d=0.4,
        false_discovery_rate=0.1,
        max_candidates=3,
        random_latents=4,
        matched_latents=5,
        injection_texts=6,
        rollout_problems=7,
        test_seed=8,
    )
