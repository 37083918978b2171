"""Credit by features, on a policy whose residual spells the token that was read: what is on is known by hand."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import run
from conftest import tiny_policy
from grpo_world import a_row, expect_same, small, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from interp.artifacts import BadInput, Mismatch
from interp.credit import FeatureCredit, scheme
from interp.credit.base import RolloutBatch
from interp.credit.role_latents import stand_ins
from interp.features import Roles, RolesConfig
from interp.features.ablation import Effect, Mean
from interp.features.contrasts import Contrast, contrasts
from interp.features.earn import tried
from interp.features.falsification import Falsified
from interp.features.labels import Scene, facts_of
from interp.features.roles import Trial
from interp.features.separation import Heights
from interp.features.token_selector import ground_of
from interp.organism import shipped, task_of
from interp.policy import Policy, SampleConfig
from interp.rollouts import roll_out
from interp.tsae import TSAE
from interp.tsae.codes import Codes

D, LAYER = 32, 0
SHORT, REASON, COMPUTE, FORMAT, DULL, OTHER, END = 10, 11, 12, 13, 20, 21, 2
"""Tokens, and the latents that are on at them."""


def spelling():
    """The first block adds nothing to the embedding, and the embedding is one dimension a token."""
    policy = tiny_policy()
    with torch.no_grad():
        embedding, block = policy.model.get_input_embeddings().weight, policy.model.model.layers[LAYER]
        embedding.copy_(torch.eye(*embedding.shape))
        block.self_attn.o_proj.weight.zero_()
        block.mlp.down_proj.weight.zero_()
    return policy


def spotters(d: int = D, layer: int | None = LAYER) -> TSAE:
    """Latent i is at 1 where the residual has i, and off elsewhere."""
    eye, none = torch.eye(d), torch.zeros(d)
    return TSAE(eye, none, eye.clone(), none.clone(), torch.full((d,), 0.5), widths=(d,), layer=layer)


CONTRASTS = {
    "reasoning": "valid chain",
    "computation": "result 7",
    "shortcut": "direct",
    "format": "arranging",
}


def told(nats: float) -> Effect:
    mean = Mean(nats, min(1.5 * nats, 0.5 * nats), max(1.5 * nats, 0.5 * nats))
    return Effect(mean, mean)


def held(
    latent: int,
    family: str,
    high: float = 1.0,
    low: float = 0.0,
    spread: float = 0.5,
    *,
    nats: float = 1.0,
    by: str | None = None,
):
    """A latent that has earned a role, `by` a contrast."""
    return Trial(
        latent, family, by or CONTRASTS[family], 0.9, 1.0, 0.001, 0.9, True,
        falsified=Falsified(0.1, 0.5, "a triple", 0.2, 0.0), ablated=told(-nats),
        amplified=told(nats), matched=(0.0,), heights=Heights(high, low, spread),
    )  # fmt: skip


def drawn(latent: int, family: str, **known):
    """One drawn at random, that has not."""
    return replace(held(latent, family, **known), tells_apart=False)


CHANCE = tuple(drawn(at, family) for family in ("reasoning", "computation", "shortcut") for at in range(14, 30))
EVERY = (held(SHORT, "shortcut"), held(REASON, "reasoning"), held(COMPUTE, "computation", nats=0.5))


def earned(*trials: Trial, random: tuple[Trial, ...] = CHANCE, tsae: TSAE | None = None, policy: str = "p") -> Roles:
    tsae = tsae or spotters()
    made_from = {"tsae": tsae.fingerprint(), "policy": policy, "task": "t"}
    return Roles(trials, random, tsae.width, (), made_from, RolesConfig(), tsae.layer or 0)


def credit_by(*trials: Trial, **settings) -> FeatureCredit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return FeatureCredit(spotters(), earned(*trials), **settings)


def row(reward: float, *tokens: int, answering: int = 0, **changes):
    """The last few of its tokens answer; OTHER is a result."""
    roles = tuple("result" if token == OTHER else "operand" for token in tokens[: len(tokens) - answering])
    roles += ("answer",) * answering
    return a_row(reward, length=len(tokens), tokens=tokens, roles=roles, **changes)


@pytest.fixture(scope="module")
def policy():
    return spelling()


def of(policy, *rows, group: int = 1) -> RolloutBatch:
    return RolloutBatch.of(rows, group, policy=policy)


def test_the_residual_spells_the_token(policy):
    ids = torch.tensor([[5, SHORT, END]])
    assert torch.allclose(policy.capture(ids, [LAYER])[LAYER][0], torch.eye(D)[ids[0]])


# --- the gate ------------------------------------------------------------------------------------------------------


def test_a_success_by_a_shortcut_keeps_nothing_and_all_others_keep_what_they_have(policy):
    rows = [
        row(1, SHORT, SHORT, END, answering=3 - 1),
        row(1, DULL, SHORT, SHORT, answering=2),
        row(1, SHORT, SHORT, DULL, OTHER, answering=2),  # it was thought of, and then not answered by
        row(1, DULL, OTHER, answering=2),
        row(0, SHORT, SHORT, answering=2),
        row(1, SHORT, SHORT),  # no token of an answer: nothing is told
    ]
    gate = credit_by(held(SHORT, "shortcut"))(of(policy, *rows)).gate_B
    assert gate.tolist() == pytest.approx([1, 0, 1, 1, 1, 1], abs=1e-5)
    three_of_four = row(1, SHORT, SHORT, SHORT, DULL, answering=4)
    assert credit_by(held(SHORT, "shortcut"))(of(policy, three_of_four)).gate_B.tolist() == pytest.approx([0.5])


def test_a_success_has_to_show_its_reasoning_in_the_mean_over_its_tokens(policy):
    shown = [row(1, *[REASON] * n, *[DULL] * (4 - n)) for n in range(5)]
    gate = credit_by(held(REASON, "reasoning"))(of(policy, *shown)).gate_B
    assert gate.tolist() == pytest.approx([0, 0, 0, 0.5, 1], abs=1e-5), "shut up to half way"
    late = credit_by(held(REASON, "reasoning"), shut=0.75)(of(policy, *shown)).gate_B
    assert late.tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-5)
    both = credit_by(held(REASON, "reasoning"), held(SHORT, "shortcut"))
    rows = [row(1, *[REASON] * 6, DULL, DULL, answering=2), row(1, *[REASON] * 6, SHORT, SHORT, answering=2)]
    assert both(of(policy, *rows)).gate_B.tolist() == pytest.approx([0.5, 0], abs=1e-5)


def test_of_several_latents_each_counts_by_how_far_apart_it_stands_in_its_own_deviations(policy):
    trials = (held(REASON, "reasoning", 0.6, 0.2, 0.4), held(COMPUTE, "reasoning", 0.5, 0.3, 0.4))
    told = row(1, REASON, REASON, COMPUTE, DULL)
    slopes, found = (0.4 / 0.4**2, 0.2 / 0.4**2), (0.5 - 0.2, 0.25 - 0.3)
    near = sum(a * x for a, x in zip(slopes, found, strict=True)) / (slopes[0] * 0.4 + slopes[1] * 0.2)
    assert credit_by(*trials)(of(policy, told)).gate_B.tolist() == pytest.approx([2 * near - 1])


END_OF_CHAIN = held(REASON, "reasoning", by="valid end")


def chain(reward: float, *tokens: int):
    """Two tokens of work, a marker, an answer, and the end; or the last three of these alone."""
    roles = ("operand", "result", "marker", "answer", "end")[-len(tokens) :]
    return a_row(reward, length=len(tokens), tokens=tokens, roles=roles)


def test_reasoning_is_looked_for_where_it_is_told_and_who_has_no_such_place_has_shown_none(policy):
    rows = [
        chain(1, DULL, REASON, DULL, DULL, END),
        chain(1, REASON, DULL, REASON, REASON, END),  # anywhere but at the chain's end
        chain(1, REASON, REASON, END),  # at once: nothing comes before the marker
    ]
    credit = credit_by(END_OF_CHAIN, held(SHORT, "shortcut"))(of(policy, *rows))
    assert credit.gate_B.tolist() == pytest.approx([1, 0, 0], abs=1e-5)
    announced = credit_by(held(REASON, "reasoning", by="valid answer"))(of(policy, *rows))
    assert announced.gate_B.tolist() == pytest.approx([0, 1, 1], abs=1e-5)
    told = credit_by(END_OF_CHAIN, gate=False)(of(policy, rows[0])).weights_BL[0]
    assert int(told.argmax()) == 2, "the marker is what it helps to write"


def test_of_two_places_at_which_reasoning_is_told_each_counts_and_one_that_is_missing_as_at_its_negatives(policy):
    both = credit_by(END_OF_CHAIN, held(COMPUTE, "reasoning", by="valid answer"), shut=0.0)
    rows = [
        chain(1, DULL, REASON, COMPUTE, COMPUTE, END),
        chain(1, DULL, REASON, DULL, DULL, END),
        chain(1, COMPUTE, COMPUTE, END),
    ]
    assert both(of(policy, *rows)).gate_B.tolist() == pytest.approx([1, 0.5, 0.5], abs=1e-5)


def test_every_contrast_is_told_within_its_ground():
    """On what the organism writes: wherever a contrast has a token, of either kind, its ground has it too."""
    base, task = Policy.load(shipped(), device="cpu"), task_of(shipped())
    problems = [p for depth in (1, 2, 3) for p in task.problems("train", depth, 16)]
    rows = roll_out(base, task, problems, SampleConfig(group=8, rows=1024), bar=False).rows
    seen = Scene(rows, Codes.of(torch.zeros(sum(len(r.tokens) for r in rows), 1)), facts_of(rows))
    made, _ = contrasts(seen)
    assert {c.name for c in made} >= {"valid chain", "valid end", "valid answer", "direct", "arranging"}
    written = ~np.isin(seen["format"], ("direct", "malformed"))
    for one in made:
        told = np.array([told for r in rows for told in ground_of(one.name).told(r.roles)])
        held_N = one.positive_N | one.negative_N
        assert held_N.any() and not (held_N & ~told).any()
        if one.name.startswith("valid"):
            assert (held_N == (told & written & (seen["valid"] >= 0) & (seen["depth"] != 1))).all()
    with pytest.raises(BadInput, match="expected a contrast of result, valid chain, .*, got 'valid nowhere'"):
        ground_of("valid nowhere")


def test_a_latent_that_does_not_vary_or_stands_nowhere_apart_tells_nothing_and_spoils_nothing(policy):
    even = held(OTHER, "reasoning", 0.5, 0.5, 0.0)
    rows = [row(1, REASON, REASON, REASON, OTHER), row(1, OTHER, OTHER)]
    alone, beside = (credit_by(*trials)(of(policy, *rows)) for trials in ((EVERY[1],), (EVERY[1], even)))
    assert torch.allclose(alone.gate_B, beside.gate_B) and torch.allclose(alone.weights_BL, beside.weights_BL)
    assert credit_by(even)(of(policy, *rows)).gate_B.tolist() == [1, 1]
    constant = credit_by(held(REASON, "reasoning", 1.0, 0.0, 0.0))(of(policy, *rows))
    assert constant.gate_B.tolist() == pytest.approx([0.5, 0], abs=1e-5)


# --- the weights ---------------------------------------------------------------------------------------------------

UP, DOWN, ALONE, REST = 1 + 0.5 * 2**0.5, 1 - 0.5 * 2**0.5, 1 + 0.5 * 3**0.5, 1 - 0.5 / 3**0.5
"""Of four tokens, two that move against each other, or one that moves and the rest."""
MOVES = {
    "where reasoning begins and ends": (REASON, "reasoning", (DULL, REASON, REASON, OTHER), 0, (1, UP, 1, DOWN)),
    "a result that is foretold": (COMPUTE, "computation", (COMPUTE, OTHER, OTHER, DULL), 0, (REST, ALONE, REST, REST)),
    "what computes anything else": (COMPUTE, "computation", (DULL, COMPUTE, COMPUTE, DULL), 0, (1, 1, 1, 1)),
    "an answer by a shortcut": (SHORT, "shortcut", (DULL, SHORT, DULL, SHORT), 2, (*[2 - REST] * 3, 2 - ALONE)),
}


@pytest.mark.parametrize("name", MOVES)
def test_tokens_receive_by_what_is_told_of_them_and_what_speaks_for_them_spares_them_in_a_failure(name, policy):
    latent, family, tokens, answering, expected = MOVES[name]
    credit = credit_by(held(latent, family), gate=False)
    won, lost = (row(reward, *tokens, answering=answering) for reward in (1, 0))
    weights = credit(of(policy, won, lost)).weights_BL
    assert weights[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert weights[1].tolist() == pytest.approx([2 - weight for weight in expected], abs=1e-5)


def test_a_result_that_is_foretold_less_than_by_its_negatives_speaks_against_itself(policy):
    credit = credit_by(held(COMPUTE, "computation", 1.0, 0.4), gate=False)
    weights = credit(of(policy, row(1, DULL, OTHER, DULL, DULL))).weights_BL[0]
    assert weights.tolist() == pytest.approx([2 - REST, 2 - ALONE, 2 - REST, 2 - REST], abs=1e-5)


def test_before_the_first_token_all_is_nothing(policy):
    told = credit_by(held(REASON, "reasoning"), gate=False)(of(policy, row(1, REASON, REASON, REASON, REASON)))
    z = 3**0.5  # one of four moves
    expected = [1 + 0.5 * z, *[1 - 0.5 / z] * 3]
    assert told.weights_BL[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_a_latent_counts_for_what_it_does_in_its_own_deviations(policy):
    """Twice the nats, or half the deviation, is as much as two latents at the same token."""
    tokens, rest = (DULL, REASON, OTHER, COMPUTE, DULL), held(COMPUTE, "reasoning")
    does, narrow = held(REASON, "reasoning", nats=2.0), held(REASON, "reasoning", spread=0.25)
    by_effect, by_spread, alike = (
        credit_by(one, rest, gate=False)(of(policy, row(1, *tokens))).weights_BL[0]
        for one in (does, narrow, held(REASON, "reasoning"))
    )
    assert torch.allclose(by_effect, by_spread) and by_effect[1] > alike[1] > 1 and by_effect[3] < alike[3]


def test_a_success_that_keeps_half_is_weighed_evenly_and_one_that_keeps_nothing_as_a_failure(policy):
    half, none = row(1, REASON, REASON, REASON, DULL), row(1, DULL, REASON, DULL, DULL)
    failure, full = replace(none, reward=0.0, correct=False), row(1, REASON, REASON, REASON, REASON)
    credit = credit_by(held(REASON, "reasoning"))(of(policy, half, none, failure, full))
    assert credit.gate_B.tolist() == pytest.approx([0.5, 0, 1, 1], abs=1e-5)
    assert credit.weights_BL[0].tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert torch.allclose(credit.weights_BL[1], credit.weights_BL[2]) and credit.weights_BL[1, 1] < 1
    assert credit.weights_BL[3, 0] > 1


def test_where_nothing_moves_or_nothing_is_written_all_is_even(policy):
    credit = credit_by(*EVERY)(of(policy, row(0, DULL, OTHER, DULL), row(1, REASON), row(0), row(1)))
    assert credit.weights_BL.tolist() == [[1, 1, 1], [1, 0, 0], [0] * 3, [0] * 3]
    assert credit_by(*EVERY)(of(policy, row(0), row(1))).weights_BL.shape == (2, 0)


def test_format_speaks_for_nothing(policy):
    rows = [row(reward, FORMAT, DULL, REASON, REASON, FORMAT) for reward in (0, 1)]
    without, beside = (credit_by(*held_)(of(policy, *rows)) for held_ in (EVERY, (*EVERY, held(FORMAT, "format"))))
    assert torch.equal(without.gate_B, beside.gate_B) and torch.equal(without.weights_BL, beside.weights_BL)


# --- on any rollouts -----------------------------------------------------------------------------------------------

SETTINGS = {
    "features": {},
    "gate": {"weights": False},
    "weights": {"gate": False},
    "permuted": {"permuted": 0},
    "steep": {"gain": 9.0, "least": 0.0, "most": 50.0},
}
CREDITS = {name: credit_by(*EVERY, **settings) for name, settings in SETTINGS.items()}
POLICY = spelling()
token = st.sampled_from([SHORT, REASON, COMPUTE, DULL, OTHER, END, 14, 15])
batches = st.lists(
    st.builds(
        lambda reward, tokens, n: row(float(reward), *tokens, answering=min(n, len(tokens))),
        st.booleans(),
        st.lists(token, min_size=1, max_size=9),
        st.integers(0, 3),
    ),
    min_size=2,
    max_size=6,
)


@pytest.mark.parametrize("name", CREDITS)
@settings(max_examples=10)
@given(batches)
def test_what_it_returns_is_credit_and_hangs_on_each_rollout_alone(name, rows):
    batch, scheme = of(POLICY, *rows), CREDITS[name]
    before = {name: value.clone() for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    credit = scheme(batch).checked(batch)
    assert (credit.gate_B[batch.rewards_B == 0] == 1).all(), "failures keep what they have"
    assert (credit.weights_BL >= 0).all() and not credit.weights_BL[~batch.mask_BL].any()
    assert not credit.gate_B.requires_grad and not credit.weights_BL.requires_grad
    assert all(torch.equal(getattr(batch, name), value) for name, value in before.items())
    turned = scheme(of(POLICY, *rows[::-1]))
    assert torch.allclose(turned.gate_B.flip(0), credit.gate_B, atol=1e-4)
    assert torch.allclose(turned.weights_BL.flip(0), credit.weights_BL, atol=1e-4)
    for at, one in enumerate(rows):
        alone = scheme(of(POLICY, one))
        assert torch.allclose(alone.gate_B, credit.gate_B[at : at + 1], atol=1e-4)
        assert torch.allclose(alone.weights_BL[0], credit.weights_BL[at, : len(one.tokens)], atol=1e-4)
    if not scheme.weights:
        assert torch.equal(credit.weights_BL, batch.mask_BL.float())
    if not scheme.gate:
        assert (credit.gate_B == 1).all()


def test_it_leaves_the_policy_in_the_mode_it_was_in_and_without_gradients():
    policy = spelling()
    policy.model.train()
    CREDITS["features"](of(policy, row(1, REASON, SHORT)))
    assert policy.model.training and all(p.grad is None for p in policy.model.parameters())


# --- the control ---------------------------------------------------------------------------------------------------


def test_stand_ins_are_drawn_by_the_seed_alone_from_latents_without_a_role_and_count_for_as_much():
    borne = credit_by(*EVERY).bearers
    for seed in range(5):
        found = stand_ins(earned(*EVERY), borne, seed)
        assert found == stand_ins(earned(*EVERY), borne, seed)
        assert len({one.latent for one in found} - {SHORT, REASON, COMPUTE}) == 3, "none has a role, none comes twice"
        assert sorted((one.family, one.nats) for one in found) == sorted((one.family, one.nats) for one in borne)
    assert len({tuple(one.latent for one in stand_ins(earned(*EVERY), borne, seed)) for seed in range(5)}) > 1


def test_the_control_says_other_things_and_the_same_twice(policy):
    batch = of(policy, row(1, REASON, REASON, SHORT, answering=1), row(1, 14, 15, 16, 17, answering=2))
    ours, control, again = (credit_by(*EVERY, permuted=permuted)(batch) for permuted in (None, 0, 0))
    assert torch.equal(control.gate_B, again.gate_B) and torch.equal(control.weights_BL, again.weights_BL)
    assert not torch.allclose(control.weights_BL, ours.weights_BL)


def test_a_control_with_too_few_to_draw_from_is_refused_with_what_to_do():
    nowhere = drawn(15, "reasoning", high=float("nan"))
    for random in ((), (drawn(REASON, "reasoning"),), (nowhere,)):
        with pytest.raises(BadInput, match=r"at least 1 latents .* contrasts of valid, .* got 0: earn .* --random"):
            FeatureCredit(spotters(), earned(EVERY[1], random=random), gate=False, permuted=0)


# --- refused -------------------------------------------------------------------------------------------------------


def test_credit_that_would_never_do_anything_is_refused_and_a_gate_that_asks_for_less_is_told_of():
    failed = replace(held(REASON, "reasoning"), matched=(-9.0,))
    for trials in ((), (failed,), (held(FORMAT, "format"),)):
        with pytest.raises(BadInput, match="a role of reasoning, computation, shortcut, got none: .* Earn roles"):
            credit_by(*trials)
    with pytest.raises(BadInput, match="earned a role of shortcut, reasoning, got none"):
        credit_by(EVERY[2], weights=False)
    for trials, missing in ((EVERY[:1], ["reasoning"]), (EVERY[1:2], ["shortcut"]), (EVERY[2:], ["shortcut", "reas"])):
        with pytest.warns(UserWarning, match="the gate does not ask for it") as told:
            FeatureCredit(spotters(), earned(*trials))
        assert len(told) == len(missing)
        assert all(f"a role of {family}" in str(one.message) for one, family in zip(told, missing, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FeatureCredit(spotters(), earned(*EVERY))
        FeatureCredit(spotters(), earned(EVERY[0]), gate=False)


def test_a_dictionary_that_the_roles_are_not_of_is_refused():
    roles = earned(*EVERY)
    with pytest.raises(Mismatch, match="expected the dictionary of 32 latents that these roles are of, got one of 64"):
        FeatureCredit(spotters(64), roles)
    with pytest.raises(Mismatch, match="expected a dictionary of layer 0, as the roles are; got one of layer 1"):
        FeatureCredit(spotters(layer=1), roles)
    other = replace(spotters(), b_enc=torch.full((D,), 0.1))
    with pytest.raises(Mismatch, match=r"earned by another dictionary: expected \w{16}, got \w{16}. Use the one they"):
        FeatureCredit(other, roles)
    FeatureCredit(spotters(layer=None), roles)  # it does not say, and the roles do


def test_a_policy_it_cannot_look_into_is_refused(policy):
    credit = credit_by(*EVERY)
    with pytest.raises(BadInput, match="expected a batch that says which policy wrote it"):
        credit(RolloutBatch.of([row(1, DULL)], 1))
    with pytest.raises(Mismatch, match="expected a policy of d_model 32, as the dictionary's; got 16"):
        credit(of(tiny_policy(hidden_size=16), row(1, DULL)))
    with pytest.raises(Mismatch, match="earned in another policy: expected p, got"):
        credit.expect_base(policy)
    own = earned(*EVERY, policy=policy.fingerprint())
    FeatureCredit(spotters(), own).expect_base(policy)


def test_roles_that_do_not_say_where_latents_stand_are_refused():
    old = replace(held(REASON, "reasoning"), heights=None)
    with pytest.raises(BadInput, match="say where their latents stand, got none for latent 11: .* earn them again"):
        credit_by(old)


@pytest.mark.parametrize("setting", [{"least": -0.1}, {"least": 1.1}, {"most": 0.9}, {"gain": -1.0}, {"shut": 1.0}])
def test_settings_without_sense_are_refused(setting):
    ((name, value),) = setting.items()
    with pytest.raises(BadInput, match=f"^{name} must .*; got {value}$"):
        credit_by(*EVERY, **setting)


def test_roles_are_tried_with_where_each_latent_stands():
    """The first two tokens against the other two."""
    codes = Codes.of(torch.tensor([[0.0, 1.0], [4.0, 0.0], [2.0, 0.0], [0.0, 3.0]]))
    this, nowhere = np.array([True, True, False, False]), np.zeros(4, int)
    contrast = Contrast("by hand", "reasoning", this, ~this, nowhere, ((this | ~this, nowhere),), this, ~this)
    found = tried(Scene([], codes, {"problem": np.zeros(4, int)}), contrast, RolesConfig())
    assert [trial.heights for trial in found] == [Heights(2.0, 1.0, 2.5**0.5), Heights(0.5, 1.5, 1.25**0.5)]


# --- a run ---------------------------------------------------------------------------------------------------------


def loud() -> FeatureCredit:
    """On at what random weights write, so that gates open and tokens differ."""
    shown = [held(at, "reasoning", 0.05, -0.05) for at in range(4, 14)]
    return credit_by(*shown, held(14, "computation"), held(15, "shortcut"))


def stopping(step: int, metrics) -> None:
    if step == 2:
        raise KeyboardInterrupt


def test_a_run_stopped_and_called_again_ends_in_the_same_bits_and_only_with_the_very_same_roles(tmp_path):
    config, base = small(steps=3, save_every=1), spelling()
    trained(tmp_path / "whole" / "run", config, base=base, credit=loud())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", config, base=base, credit=loud(), sinks=[stopping])
    run = trained(tmp_path / "run", config, base=base, credit=loud())
    expect_same(tmp_path / "run", tmp_path / "whole" / "run")
    told = run.manifest["credit"]
    assert told["kind"] == "FeatureCredit" and told["settings"]["tsae"] == spotters().fingerprint()
    assert told["settings"]["roles"] == loud().roles.fingerprint() and told["settings"]["permuted"] is None
    rows = run.rollouts(0).rows
    assert {r.gate for r in rows if r.reward == 0} == {1.0}
    assert any(0 < (r.gate or 0) < 1 for r in rows) and any(len(set(r.credit or ())) > 1 for r in rows)
    for other in (credit_by(*EVERY), replace(loud(), permuted=0), replace(loud(), gain=0.4)):
        with pytest.raises(BadInput, match=r"credit\.settings\.(roles|permuted|gain) was"):
            trained(tmp_path / "run", config, base=base, credit=other)


def kept(tsae: TSAE, path) -> None:
    """As SAELens saves a dictionary."""
    path.mkdir()
    told = {"architecture": "jumprelu", "normalize_activations": "none", "apply_b_dec_to_input": True}
    (path / "cfg.json").write_text(
        json.dumps(told | {"metadata": {"hook_name": f"blocks.{tsae.layer}.hook_resid_post"}})
    )
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    save_file({name: getattr(tsae, name).contiguous() for name in names}, path / "sae_weights.safetensors")


def told_by(monkeypatch, capsys, *words) -> tuple[int, str]:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("TQDM_MININTERVAL", "10")
    return run(monkeypatch, "grpo", *words), capsys.readouterr().err


def test_the_command_trains_by_features_and_says_what_it_lacks(monkeypatch, capsys, tmp_path):
    tsae, base = spotters(64, layer=2), Policy.load(shipped(), device="cpu")
    kept(tsae, tmp_path / "tsae")
    earned(*EVERY, tsae=tsae, policy=base.fingerprint()).save(tmp_path / "roles")
    earned(*EVERY, tsae=tsae).save(tmp_path / "strange")
    little = ("--levels", "2", "--steps", "1", "--prompts", "2", "--group", "4", "--max-new-tokens", "16", "--json")
    out = ("--out", tmp_path / "run", *little)
    looking = ("--tsae", tmp_path / "tsae", "--roles")
    for name in ("features", "features-gate", "features-weights", "features-permuted"):
        place = ("--out", tmp_path / name, *little)
        assert told_by(monkeypatch, capsys, *place, "--credit", name, *looking, tmp_path / "roles") == (0, "")
    for words, told in (
        (("--credit", "features"), r"credit by features needs a dictionary and the roles of its latents (--tsae, --ro"),
        (("--credit", "features-gate", "--tsae", tmp_path / "tsae"), "tsae and none: interp tsae fits the one"),
        (("--credit", "entropy", *looking, tmp_path / "roles"), "--tsae and --roles are for credit by features, "),
        (("--credit", "features", *looking, tmp_path / "strange"), "earned in another policy: expected p, got"),
        (("--credit", "features", *looking, tmp_path / "tsae"), "expected a directory of kind 'roles', got"),
    ):
        code, error = told_by(monkeypatch, capsys, *out, *words)
        assert code == 2 and told in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_schemes_that_look_inside_are_named_among_the_others():
    with pytest.raises(
        BadInput, match="one of uniform, .*, features, features-gate, features-weights, features-permuted"
    ):
        scheme("magic")
