"""Pairs of texts that differ in one thing alone, the latents that carry it, and roles compared with them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.features import Roles, RolesConfig, Trial
from interp.features.ablation import Effect
from interp.features.falsification import Falsification
from interp.features.interchange import InterchangeEffects, TextPair
from interp.organism import shipped_path
from interp.policy import Policy
from interp.policy.sample import Samples
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import verify_samples
from interp.stats import Estimate
from interp.studies.minimal_pairs import (
    compare_with_carriers,
    cue_pairs,
    false_alarms,
    find_carriers,
    number_token,
    operand_pairs,
)
from interp.studies.roles import compare_gate_by_gate
from interp.tasks import Chain
from interp.tasks.base import seeded_rng
from interp.tasks.chain import parse_prompt, write_completion
from interp.tasks.chain.program import apply

TASK = Chain(cue_rate=0.5)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(shipped_path(), device="cpu")


def habit_rollout(policy: Policy, index: int, habit: str, *, level: Any = None, skip: float = 0.0) -> Rollout:
    """What the organism would write in a habit, verified by its task."""
    problem = TASK.problem("train", level, index)
    text = write_completion(TASK.program(problem), habit, seeded_rng(index, skip), skip=skip)
    (prompt,) = policy.encode([problem.prompt])
    tokens_1L = torch.tensor([[*policy.tokenizer(text, add_special_tokens=False)["input_ids"], policy.stop_ids[0]]])
    zeros_1L, length = torch.zeros(tokens_1L.shape), tokens_1L.shape[1]
    samples = Samples(tokens_1L, zeros_1L, zeros_1L, torch.tensor([length]), torch.tensor([True]))
    (row,) = verify_samples(policy, TASK, [problem], [prompt], samples, run="hand", step=0, progress=False)
    return row


def words_of(policy: Policy, ids: tuple[int, ...]) -> list[str]:
    """Words after the one that every text begins with."""
    return [word.strip() for word in policy.token_texts(ids)[1:]]


# --- pairs ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["direct", "copy", "cue"]))
def test_texts_of_a_cue_pair_differ_in_the_cue_alone_and_call_for_their_cues(policy, index, habit):
    row = habit_rollout(policy, index, habit)
    (pair,) = cue_pairs(policy, [row], TASK.modulus)
    text, other = words_of(policy, pair.text), words_of(policy, pair.other_text)
    assert text == [*row.prompt.split(), "#"], "up to the answer, which is to come"
    (place,) = [place for place in range(len(text)) if text[place] != other[place]]
    assert text[place - 1] == "@" and other[place].isdigit() and int(other[place]) < TASK.modulus
    cues = [number_token(policy, int(one[place])) for one in (text, other)]
    assert [pair.next_token, pair.other_next_token] == cues


def test_only_direct_answers_beside_a_cue_make_cue_pairs(policy):
    rows = [habit_rollout(policy, index, "steps") for index in range(5)]
    assert cue_pairs(policy, rows, TASK.modulus) == []
    row = habit_rollout(policy, 0, "direct")
    assert cue_pairs(policy, [replace(row, prompt=row.prompt.split(" @")[0] + " ?")], TASK.modulus) == []
    assert cue_pairs(policy, [replace(row, roles=("text",) * len(row.roles))], TASK.modulus) == []


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 10), st.sampled_from([0.0, 0.3]))
def test_texts_of_an_operand_pair_differ_in_it_alone_and_call_for_their_own_results(policy, index, depth, skip):
    row = habit_rollout(policy, index, "steps", level=depth, skip=skip)
    pairs = operand_pairs(policy, [row], TASK.modulus)
    assert len(pairs) <= 1
    for pair in pairs:
        text, other = words_of(policy, pair.text), words_of(policy, pair.other_text)
        prompt = len(row.prompt.split())
        assert text[:prompt] == row.prompt.split() and text[-1] == other[-1] == "=", "the result is to come"
        question, step = [place for place in range(len(text)) if text[place] != other[place]]
        assert question < prompt < step == len(text) - 2
        for words, next_token in ((text, pair.next_token), (other, pair.other_next_token)):
            left_value, op, right = words[-4:-1]
            assert next_token == number_token(policy, apply(op, int(left_value), int(right), TASK.modulus))
            program = parse_prompt(" ".join(words[:prompt]), TASK.modulus)
            place = (len(words) - prompt) // 6
            assert program.operations[place] == (op, int(right))
            assert next_token == number_token(policy, list(program.values())[place])
        assert pair.next_token != pair.other_next_token


def test_only_correct_steps_after_correct_steps_make_operand_pairs(policy):
    right = [habit_rollout(policy, index, "steps", level=4) for index in range(30)]
    assert len(operand_pairs(policy, right, TASK.modulus)) > 20
    wrong = [replace(row, steps=tuple(replace(step, holds=False) for step in row.steps)) for row in right]
    assert operand_pairs(policy, wrong, TASK.modulus) == []
    first_alone = [
        replace(row, steps=(row.steps[0], *(replace(step, follows=None) for step in row.steps[1:]))) for row in right
    ]
    lengths = {len(pair.text) - len(row.prompt_ids) for row in first_alone for pair in operand_pairs(policy, [row], 5)}
    assert lengths == {4}, "the first step alone"
    for habit in ("values", "direct"):
        rows = [habit_rollout(policy, index, habit, level=4) for index in range(9)]
        assert operand_pairs(policy, rows, TASK.modulus) == []


def test_an_operand_that_leads_to_no_other_result_makes_no_pair(policy):
    """Zero times anything is zero."""
    rows = [habit_rollout(policy, index, "steps", level=1) for index in range(200)]
    idle = [row for row in rows if row.prompt.startswith("0 *")]
    assert idle and operand_pairs(policy, idle, TASK.modulus) == []


# --- carriers ------------------------------------------------------------------------------------------------------


def test_carriers_are_found_value_by_value_and_surely():
    """Latent 0 carries value 4 alone, 1 carries 5 a little, 2 is loud by chance, 3 works the wrong way."""
    pairs = [TextPair((1,), (2,), 4, 6)] * 20 + [TextPair((1,), (2,), 5, 6)] * 20
    shift_PF = np.zeros((40, 4))
    shift_PF[:20, 0], shift_PF[20:, 1], shift_PF[:, 3] = 1.0, 0.01, -1.0
    shift_PF[:, 2] = np.where(np.arange(40) == 3, 5.0, 0.0)
    shift_PF[:20, 0] += np.tile([-0.1, 0.1], 10)
    carriers = find_carriers(pairs, InterchangeEffects(shift_PF, np.full(40, 4.0)))
    assert carriers.latents == {0} and carriers.effect_F[0] == pytest.approx(0.25)


def test_where_the_whole_residual_moves_nothing_no_latent_is_a_carrier():
    """A policy that does not heed value 4: what one latent does there is no share of anything."""
    pairs = [TextPair((1,), (2,), 4, 6)] * 9 + [TextPair((1,), (2,), 5, 7)] * 9
    shift_PF, whole_P = np.tile([0.5, 0.0], (18, 1)), np.r_[np.full(9, -1.0), np.full(9, 2.0)]
    carriers = find_carriers(pairs, InterchangeEffects(shift_PF, whole_P))
    assert carriers.latents == {0} and carriers.effect_F.tolist() == [0.25, 0]
    nothing = find_carriers(pairs[:9], InterchangeEffects(shift_PF[:9], whole_P[:9]))
    assert nothing.latents == set() and compare_with_carriers(nothing, [0])["recall"] is None
    assert find_carriers([], InterchangeEffects(np.zeros((0, 2)), np.zeros(0))).latents == set()


def test_latents_that_passed_are_counted_against_the_carriers():
    effects = InterchangeEffects(np.array([[3.0, 1.0, 0.0]] * 4), np.full(4, 4.0))
    carriers = find_carriers([TextPair((1,), (2,), 4, 6)] * 4, effects)
    assert carriers.latents == {0, 1}
    comparison = compare_with_carriers(carriers, [0, 2])
    assert (comparison["precision"], comparison["recall"], comparison["recall by effect"]) == (0.5, 0.5, 0.75)
    assert compare_with_carriers(carriers, [])["precision"] is None
    assert false_alarms(carriers, {0: True, 2: True, 3: False}) == {"others": 2, "passed": 1, "rate": 0.5}


def test_roles_are_compared_with_the_carriers_gate_by_gate():
    """0 carries and passes all, 1 carries and is stopped by the last gate, 2 and 3 carry nothing, 4 was not tried."""

    def trial(
        latent: int, *, contrast: bool = True, injected: float = 0.0, nats: float = -1.0, name: str = "cue 7"
    ) -> Trial:
        falsification, shift = Falsification(0, 1, "", 0, injected), Estimate(nats, nats - 0.1, nats + 0.1)
        effect = Effect(shift, shift)
        return Trial(latent, "shortcut", name, 0.9, 1, 0, 0.9, contrast, falsification, effect, None, (0.0,))

    trials = (trial(0), trial(1, nats=-0.01), trial(2, injected=1.0), trial(3, name="result 4"))
    random_trials = (trial(0), trial(3, contrast=False), trial(2))
    roles = Roles(trials, random_trials, 5, (), {}, RolesConfig(), 2)
    effects = InterchangeEffects(np.array([[3.0, 1.0, 0.0, 0.0, 1.0]] * 4), np.full(4, 4.0))
    carriers = find_carriers([TextPair((1,), (2,), 7, 8)] * 4, effects)
    assert carriers.latents == {0, 1, 4}
    comparison = compare_gate_by_gate(roles, "cue", carriers)
    counts = {
        name: (one["said"], one["hits"], one["false alarms"]["rate"]) for name, one in comparison["gates"].items()
    }
    assert counts == {
        "the first gate": (3, 2, 0.5),
        "the first two": (2, 2, 0.5),
        "the first and the third": (2, 1, 0.5),
        "all three": (1, 1, 0.5),
    }
    assert comparison["gates"]["all three"]["recall by effect"] == pytest.approx(0.6)
    assert comparison["at random"]["precision"] == pytest.approx(1 / 3)
