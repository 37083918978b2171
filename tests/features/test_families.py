"""The contrasts of each role family, made by hand; and a made-up family that is one row of the table."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from features_fixtures import label
from grpo_fixtures import make_rollout

from interp.artifacts import BadInput
from interp.features import ROLE_FAMILIES, Contrast, LabeledTokens, RoleFamily, TokenSelector
from interp.features.families import (
    IN_FRONT,
    INJECTIONS,
    MIN_TOKENS,
    contrast_kind,
    make_contrasts,
    next_tokens,
    role_family,
    strata,
)

ROLES = ("carry", "operator", "operand", "equals", "result", "separator", "marker", "answer", "end")
CHAIN = {"length": 9, "roles": ROLES, "format": "steps", "depth": 3, "steps": [(0, 6, True, True)]}
DIRECT = {"length": 3, "roles": ("marker", "answer", "end"), "format": "direct", "depth": 3}


def contrasts_by_name(labeled: LabeledTokens) -> dict[str, Contrast]:
    return {contrast.name: contrast for contrast in make_contrasts(labeled)[0]}


# --- contrasts -------------------------------------------------------------------------------------------------------


def test_valid_chains_are_compared_with_others_and_direct_answers_with_written_ones():
    written = [make_rollout(1, valid=i % 2 == 0, problem=f"{i}", **CHAIN) for i in range(2 * MIN_TOKENS)]
    direct = [make_rollout(1, problem=f"d{i}", **DIRECT) for i in range(MIN_TOKENS)]
    contrasts, missing = make_contrasts(label([*written, *direct]))
    by_name = {contrast.name: contrast for contrast in contrasts}
    assert {"valid chain", "valid end", "valid answer", "direct", "arranging"} <= set(by_name)
    assert {"result 8", "copy", "cue"} <= set(missing), "there is one result only, and no shortcut is planted"
    chain, direct = by_name["valid chain"], by_name["direct"]
    assert chain.positive_N.sum() == chain.negative_N.sum() == 9 * MIN_TOKENS
    assert len(set(chain.stratum_N[chain.positive_N])) == 9, "role by role"
    roles = np.array(ROLES * 2 * MIN_TOKENS + DIRECT["roles"] * MIN_TOKENS)
    places = {place: Counter(roles[by_name[f"valid {place}"].positive_N]) for place in ("end", "answer")}
    assert places == {"end": {"separator": MIN_TOKENS}, "answer": {"marker": MIN_TOKENS, "answer": MIN_TOKENS}}
    assert direct.positive_N.sum() == 2 * MIN_TOKENS and direct.negative_N.sum() == 4 * MIN_TOKENS
    assert direct.target_N.sum() == 2 * MIN_TOKENS, "marker and answer of each direct answer"
    assert {contrast.family for contrast in contrasts} >= {"reasoning", "shortcut", "format"}


def test_direct_answers_that_agree_with_a_planted_shortcut_are_compared_with_others_of_the_same_value():
    """Every second answer agrees with the cue, whether it is correct or not."""
    decoys = {f"agrees {i}": {"cue": "7"} for i in range(2 * MIN_TOKENS)} | {"other": {"cue": "6"}, "none": {}}
    fields = [{"prompt": prompt, "correct": i % 3 == 0} for i, prompt in enumerate(decoys)]
    rollouts = [make_rollout(0, problem=f"{i}", answer="7", **DIRECT | row) for i, row in enumerate(fields)]
    rollouts += [
        make_rollout(0, problem=f"o{i}", answer="7", prompt="other", correct=i % 3 == 0, **DIRECT)
        for i in range(MIN_TOKENS)
    ]
    by_name = contrasts_by_name(label(rollouts, decoys=decoys.__getitem__))
    cue = by_name["cue"]
    assert cue.positive_N.sum() == 2 * 2 * MIN_TOKENS and cue.negative_N.sum() == 2 * (MIN_TOKENS + 1)
    assert set(by_name) >= {"cue", "cue 7"}
    assert cue.target_N.sum() == 2 * MIN_TOKENS and len(set(cue.stratum_N)) == 6, "by role and by correctness"


def chain_with_result(i: int):
    tokens = (3, 9, 4 + i % 2, 10, 7 + i % 2, 11, 12, 7, 2)
    return make_rollout(1, valid=True, problem=f"{i}", **{**CHAIN, "tokens": tokens})


def test_a_result_is_compared_with_other_results_at_the_same_kind_of_token():
    rollouts = [chain_with_result(i) for i in range(2 * MIN_TOKENS)]
    labeled = label(rollouts)
    seven = contrasts_by_name(labeled)["result 7"]
    assert set(labeled["role"][seven.positive_N | seven.negative_N]) == {"equals"}
    assert set(labeled["token"][seven.target_N]) == {7} and set(labeled["role"][seven.target_N]) == {"result"}


def test_results_of_steps_that_were_not_judged_are_not_compared():
    rollouts = [replace(chain_with_result(i), steps=()) for i in range(2 * MIN_TOKENS)]
    assert not [name for name in contrasts_by_name(label(rollouts)) if contrast_kind(name) == "result"]


def test_strata_number_the_combinations_that_occur_and_next_tokens_stay_in_their_rollout():
    labeled = label([make_rollout(0, **DIRECT), make_rollout(0, **DIRECT)])
    assert strata(labeled, "role", "depth").tolist() == [2, 0, 1, 2, 0, 1]
    mask_N = np.array([True, False, True, False, False, True])
    assert next_tokens(labeled, mask_N).tolist() == [0, 1, 0, 0, 0, 0]


# --- token selectors -------------------------------------------------------------------------------------------------


def test_a_selector_chooses_tokens_by_their_role_and_the_next_tokens_role():
    roles = ("operand", "result", "marker", "answer", "end")
    assert TokenSelector().mask(roles) == [True] * 5 and TokenSelector().matches_all
    assert TokenSelector(roles=("marker", "answer")).mask(roles) == [False, False, True, True, False]
    assert TokenSelector(next_roles=("result", "end")).mask(roles) == [True, False, False, True, False]
    assert TokenSelector(roles=("answer",), next_roles=("result",)).mask(roles) == [False] * 5


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_says_how_each_family_is_falsified_and_credited():
    rows = {
        name: (family.credit_sign, family.gates_reward, family.tokens_suffice) for name, family in ROLE_FAMILIES.items()
    }
    expected = {
        "computation": (1, False, False),
        "reasoning": (1, True, False),
        "shortcut": (-1, True, False),
        "format": (0, False, True),
    }
    assert {name: rows[name] for name in expected} == expected


def test_no_injection_is_the_thing_itself():
    injections = {name: set(family.injections) for name, family in ROLE_FAMILIES.items()}
    assert injections["reasoning"] == injections["format"] == set(INJECTIONS)
    assert injections["computation"] == {"one, thrice", IN_FRONT, "three, spread"}, "operands and an operator compute"
    assert injections["shortcut"] == set(INJECTIONS) - {IN_FRONT}, "a direct answer begins in front"


def arrangements(labeled: LabeledTokens) -> Iterator[Contrast]:
    """A made-up family: tokens at odd positions against tokens at even ones."""
    odd_N, stratum_N = labeled["position"] % 2 == 1, strata(labeled, "format")
    surfaces = ((np.ones(len(labeled), bool), stratum_N),)
    yield Contrast("odd", "parity", odd_N, ~odd_N, stratum_N, surfaces, odd_N, ~odd_N)


def test_a_family_is_added_by_one_row(monkeypatch):
    row = RoleFamily("parity", arrangements, {"odd": TokenSelector()}, credit_sign=-1)
    monkeypatch.setitem(ROLE_FAMILIES, "parity", row)
    odd = contrasts_by_name(label([make_rollout(length=2 * MIN_TOKENS)]))["odd"]
    assert odd.family == "parity" and odd.positive_N.sum() == MIN_TOKENS
    assert role_family("parity") is row


def test_a_row_that_does_not_fit_its_contrasts_is_refused():
    labeled = label([make_rollout(length=4)])
    with pytest.raises(BadInput, match="expected contrasts of family 'other', got 'odd' of another family"):
        RoleFamily("other", arrangements, {}).make_contrasts(labeled)
    with pytest.raises(BadInput, match=r"expected a contrast of family parity \(even\), got 'odd': name its tokens"):
        RoleFamily("parity", arrangements, {"even": TokenSelector()}).make_contrasts(labeled)


def test_an_unknown_family_or_contrast_is_refused_with_what_there_is():
    with pytest.raises(BadInput, match="expected a role family of computation, .*, got 'parity': add its row to"):
        role_family("parity")
    with pytest.raises(
        BadInput, match=r"expected a contrast of family reasoning \(valid chain, .*\), got 'valid nowhere'"
    ):
        role_family("reasoning").selector("valid nowhere")
