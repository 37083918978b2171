"""What is known of each token, and what is held against what."""

from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from grpo_world import a_row

from interp.features.contrasts import LEAST, after, contrasts, strata
from interp.features.labels import END, Scene, facts_of
from interp.tsae.codes import Codes

ROLES = ("carry", "operator", "operand", "equals", "result", "separator", "marker", "answer", "end")
STEPS = {"length": 9, "roles": ROLES, "format": "steps", "depth": 3, "steps": [(0, 6, True, True)]}
DIRECT = {"length": 3, "roles": ("marker", "answer", "end"), "format": "direct", "depth": 3}


def scene_of(*rows) -> Scene:
    tokens = sum(len(row.tokens) for row in rows)
    return Scene(list(rows), Codes.of(torch.zeros(tokens, 2)), facts_of(rows))


def test_facts_are_those_one_reads_off_the_rollouts():
    seen = scene_of(a_row(1, valid=True, **STEPS), a_row(0, problem="q", **DIRECT))
    assert seen["document"].tolist() == [0] * 9 + [1] * 3 and seen["problem"].tolist() == [0] * 9 + [1] * 3
    assert seen["place"].tolist() == [*range(9), *range(3)] and seen["role"].tolist() == [*ROLES, *ROLES[6:]]
    assert seen["next_role"].tolist() == [*ROLES[1:], END, *ROLES[7:], END]
    assert seen["next_token"].tolist() == [*range(5, 13), -1, 5, 6, -1]
    assert seen["right"].tolist() == [1] * 5 + [-1] * 7, (
        "the step runs over tokens 0 to 5, each foretold by the one before"
    )
    assert seen["valid"].tolist() == [1] * 9 + [0] * 3 and set(seen["depth"]) == {3}


def test_the_same_operands_in_another_order_are_another_surface():
    one, other = (
        {**STEPS, "tokens": (3, 9, 4, 10, 7, 11, 12, 7, 2)},
        {**STEPS, "tokens": (4, 9, 3, 10, 7, 11, 12, 7, 2)},
    )
    seen = scene_of(a_row(1, **one), a_row(1, **other), a_row(1, **one))
    at = seen["role"] == "equals"
    first, second, third = seen["operands"][at]
    assert first == third != second


def test_strata_number_what_occurs_and_after_stays_in_its_rollout():
    seen = scene_of(a_row(0, **DIRECT), a_row(0, **DIRECT))
    assert strata(seen, "role", "depth").tolist() == [2, 0, 1, 2, 0, 1]
    assert after(seen, np.array([True, False, True, False, False, True])).tolist() == [0, 1, 0, 0, 0, 0]


def test_a_contrast_holds_like_against_like_and_is_missing_where_there_is_nothing_to_hold():
    written = [a_row(1, valid=at % 2 == 0, problem=f"{at}", **STEPS) for at in range(2 * LEAST)]
    direct = [a_row(1, problem=f"d{at}", **DIRECT) for at in range(LEAST)]
    made, missing = contrasts(scene_of(*written, *direct))
    by_name = {contrast.name: contrast for contrast in made}
    valid = {"valid chain", "valid end", "valid answer"}
    assert set(by_name) == {*valid, "direct", "arranging"} and set(missing) == {"result 8", "copy", "cue"}
    chain, at_once = by_name["valid chain"], by_name["direct"]
    assert chain.positive_N.sum() == chain.negative_N.sum() == 9 * LEAST
    at_the_end = {name: by_name[f"valid {name}"].positive_N for name in ("end", "answer")}
    roles = np.array(ROLES * 2 * LEAST + DIRECT["roles"] * LEAST)
    assert {name: Counter(roles[on_N]) for name, on_N in at_the_end.items()} == {
        "end": {"separator": LEAST},
        "answer": {"marker": LEAST, "answer": LEAST},
    }, "where the answer is about to be announced, and from there on"
    assert len(set(chain.stratum_N[chain.positive_N])) == 9, "role by role"
    assert at_once.positive_N.sum() == 2 * LEAST and at_once.negative_N.sum() == 4 * LEAST
    assert at_once.target_N.sum() == 2 * LEAST, "the marker and the answer of each that is answered at once"
    assert {contrast.family for contrast in made} == {"reasoning", "shortcut", "format"}


def test_answers_that_agree_with_a_planted_shortcut_are_held_against_others_of_the_same_value():
    """Every second answer agrees with the cue, right or wrong; what is worked out is no part of it."""
    decoys = {f"agrees {at}": {"cue": "7"} for at in range(2 * LEAST)} | {"other": {"cue": "6"}, "none": {}}
    told = [{"prompt": prompt, "correct": at % 3 == 0} for at, prompt in enumerate(decoys)]
    rows = [a_row(0, problem=f"{at}", answer="7", **DIRECT | one) for at, one in enumerate(told)]
    rows += [
        a_row(0, problem=f"o{at}", answer="7", prompt="other", correct=at % 3 == 0, **DIRECT) for at in range(LEAST)
    ]
    seen = Scene(rows, Codes.of(torch.zeros(3 * len(rows), 2)), facts_of(rows, decoys.__getitem__))
    assert set(seen["copy"]) == {-1} and seen["cue"][:3].tolist() == [1, 1, 1]
    cue = {contrast.name: contrast for contrast in contrasts(seen)[0]}["cue"]
    assert cue.positive_N.sum() == 2 * 2 * LEAST and cue.negative_N.sum() == 2 * (LEAST + 1)
    assert {contrast.name for contrast in contrasts(seen)[0]} >= {"cue", "cue 7"}
    assert cue.target_N.sum() == 2 * LEAST and len(set(cue.stratum_N)) == 6, "by role, and by whether it is right"


def test_a_result_is_held_against_other_results_at_the_very_same_kind_of_token():
    def row(at: int):
        tokens = (3, 9, 4 + at % 2, 10, 7 + at % 2, 11, 12, 7, 2)
        return a_row(1, valid=True, problem=f"{at}", **{**STEPS, "tokens": tokens})

    made, _ = contrasts(scene_of(*(row(at) for at in range(2 * LEAST))))
    seven = next(contrast for contrast in made if contrast.name == "result 7")
    seen = scene_of(*(row(at) for at in range(2 * LEAST)))
    assert set(seen["role"][seven.positive_N | seven.negative_N]) == {"equals"}
    assert set(seen["token"][seven.target_N]) == {7} and set(seen["role"][seven.target_N]) == {"result"}
    wrong = [replace(row(at), steps=()) for at in range(2 * LEAST)]
    assert not [c for c in contrasts(scene_of(*wrong))[0] if c.family == "computation"], (
        "nobody knows whether it is right"
    )
