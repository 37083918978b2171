"""The table of roles has a column for each measure, and each holds what its name says."""

from features_fixtures import axes_dictionary, make_roles, make_trial

from interp.features.ablation import BehaviorEffects, Effect
from interp.features.falsification import Falsification
from interp.features.roles import GATES, MEASURES
from interp.stats import Estimate


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.25, value + 0.25)


def behavior(first: float) -> BehaviorEffects:
    return BehaviorEffects(estimate(first), estimate(first + 1), estimate(first + 2))


def test_a_row_holds_every_measure_of_a_trial_under_its_name():
    trial = make_trial(
        3,
        "computation",
        "result 7",
        auroc=0.75,
        d=0.5,
        q=0.125,
        other_surface_auroc=0.625,
        falsification=Falsification(1.5, 0.25, "a triple", 0.375, 0.125),
        ablation=Effect(estimate(-1), estimate(-2)),
        amplification=Effect(estimate(3), estimate(4)),
        matched_ablations=(0.5, -0.5, 0.0),
        ablated_behavior=behavior(10),
        amplified_behavior=behavior(20),
        matched_behavior=(7.0, 8.0, 9.0),
        attribution=-1.5,
        contrast_text="result '3'",
    )
    row = make_roles(trial, tsae=axes_dictionary(4, layer=2)).table().row(0, named=True)
    expected = {
        "group": "candidate", "latent": 3, "family": "computation", "contrast": "result '3'", "auroc": 0.75, "d": 0.5,
        "q": 0.125, "other_surface_auroc": 0.625, "passes_contrast": True, "passes_falsification": True,
        "passes_ablation": True, "passes_all": True, "attribution": -1.5, "injection_d": 1.5,
        "injection_reached_share": 0.375, "shuffled_share": 0.125, "ablation": -1.0, "ablation_difference": -2.0,
        "ablation_difference_low": -2.25, "ablation_difference_high": -1.75, "amplification": 3.0,
        "largest_matched_ablation": -0.5,
    }  # fmt: skip
    for place, name in enumerate(("valid_chain", "right_answer", "direct_answer")):
        for edit, first in (("ablated", 10.0), ("amplified", 20.0)):
            value = first + place
            expected |= {
                f"{edit}_{name}": value,
                f"{edit}_{name}_low": value - 0.25,
                f"{edit}_{name}_high": value + 0.25,
            }
        expected[f"matched_{name}"] = 7.0 + place
    assert row == expected and list(row) == list(expected)


def test_a_trial_that_was_not_run_through_a_gate_has_no_numbers_of_it():
    trial = make_trial(
        3, falsification=None, ablation=None, amplification=None, matched_ablations=(), passes_contrast=False
    )
    roles = make_roles(tsae=axes_dictionary(4, layer=2), random_trials=[trial])
    row = roles.table().row(0, named=True)
    known = {"group", *MEASURES, *GATES}
    assert row["group"] == "random" and {name for name, value in row.items() if value is not None} == known
    assert roles.table().columns == list(row) == make_roles(tsae=axes_dictionary(4, layer=2)).table().columns
    assert roles.summary().columns == ["family", "group", "latents", *GATES]
    assert roles.summary().row(0) == ("format", "random", 1, 0, 0, 0, 0)
