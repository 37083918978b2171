"""Ground truth of roles by minimal pairs: two texts that differ in one thing alone, and the latents that carry it.

A pair differs in the cue, or in the operand of the step being written. Interchange gives one latent in one text its
value in the other text. The latent is a carrier if this moves the log-odds of the next token towards the other text's
token, by more than 2.58 standard errors over pairs and by at least a fiftieth of the effect of the whole residual.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from interp.features.interchange import InterchangeEffects, TextPair
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import seeded_rng
from interp.tasks.chain.program import Program, apply, parse_prompt

STANDARD_ERRORS = 2.58
"""Standard errors by which the effect of a carrier lies above zero (99%)."""
MIN_SHARE = 0.02
"""Smallest effect of a carrier, as a share of the whole residual's."""


# --- pairs ---------------------------------------------------------------------------------------------------------


def cue_pairs(policy: Policy, rows: Sequence[Rollout], modulus: int) -> list[TextPair]:
    """Direct answers up to the answer: with the cue that was shown, and with another in its place."""
    pairs = []
    for row in rows:
        program = parse_prompt(row.prompt, modulus)
        if row.format == "direct" and program.cue is not None and "answer" in row.roles:
            rng = seeded_rng("another cue", row.problem, row.sample)
            other_cue = rng.choice([n for n in range(modulus) if n != program.cue])
            completion = row.tokens[: row.roles.index("answer")]
            other = replace(program, cue=other_cue)
            pairs.append(_pair(policy, row, completion, other, completion, (program.cue, other_cue)))
    return pairs


def operand_pairs(policy: Policy, rows: Sequence[Rollout], modulus: int) -> list[TextPair]:
    """Correct steps after correct steps, up to their result: with the given operand, and with another in both the
    question and the step."""
    pairs = []
    for row in rows:
        program = parse_prompt(row.prompt, modulus)
        is_right = [bool(step.holds and step.follows) for step in row.steps]
        n_right = is_right.index(False) if False in is_right else len(is_right)
        if n_right:
            pairs.append(_operand_pair(policy, row, program, n_right))
    return [pair for pair in pairs if pair is not None]


def _operand_pair(policy: Policy, row: Rollout, program: Program, n_right: int) -> TextPair | None:
    """A pair from one of the first `n_right` steps; None where no other operand leads to another result, or the step
    names none."""
    rng = seeded_rng("another operand", row.problem, row.sample)
    place = rng.randrange(n_right)
    values, step = [program.start, *program.values()], row.steps[place]
    roles = row.roles[step.start : step.end]
    op, operand = program.operations[place]
    result = apply(op, values[place], operand, program.modulus)
    results = {n: apply(op, values[place], n, program.modulus) for n in range(program.modulus)}
    others = [n for n, other_result in results.items() if other_result != result]
    if not others or "operand" not in roles:
        return None
    other = rng.choice(others)
    completion = row.tokens[: step.start + roles.index("result")]
    changed = list(completion)
    changed[step.start + roles.index("operand")] = number_token(policy, other)
    return _pair(policy, row, completion, program.with_number(place + 1, other), changed, (result, results[other]))


def _pair(
    policy: Policy,
    row: Rollout,
    completion: Sequence[int],
    other: Program,
    other_completion: Sequence[int],
    next_values: Sequence[int],
) -> TextPair:
    (other_prompt,) = policy.encode([other.prompt()])
    text, other_text = (*row.prompt_ids, *completion), (*other_prompt, *other_completion)
    return TextPair(text, other_text, *(number_token(policy, value) for value in next_values))


def number_token(policy: Policy, value: int) -> int:
    return int(policy.tokenizer.convert_tokens_to_ids(str(value)))  # pyright: ignore[reportArgumentType]


# --- carriers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Carriers:
    """Latents that carry some value of one thing."""

    effect_F: Float[ndarray, " F"]
    """Largest effect over values, as a share of the whole residual's."""
    latents: frozenset[int]


def find_carriers(pairs: Sequence[TextPair], effects: InterchangeEffects) -> Carriers:
    """The carriers among all latents. A latent may stand for one value only, so effects are averaged value by value,
    over the pairs about it."""
    next_P2 = np.array([(pair.next_token, pair.other_next_token) for pair in pairs])
    n_latents = effects.shift_PF.shape[1]
    effect_F, carries_F = np.zeros(n_latents), np.zeros(n_latents, bool)
    for value in np.unique(next_P2):
        about_P = (next_P2 == value).any(1)
        shift_PF, whole = effects.shift_PF[about_P], float(effects.full_shift_P[about_P].mean())
        if whole <= 0:
            continue  # the policy does not use this value, so no latent can carry it
        mean_F = shift_PF.mean(0)
        error_F = shift_PF.std(0, ddof=1) / np.sqrt(len(shift_PF))
        effect_F = np.maximum(effect_F, mean_F / whole)
        carries_F |= (mean_F > STANDARD_ERRORS * error_F) & (mean_F >= MIN_SHARE * whole) & (mean_F > 0)
    return Carriers(effect_F, frozenset(np.flatnonzero(carries_F).tolist()))


def compare_with_carriers(carriers: Carriers, passed: Sequence[int]) -> dict[str, Any]:
    """Precision and recall of the latents that passed. Precision is None where none passed, recall where there is no
    carrier."""
    hits = carriers.latents & set(passed)
    hit_effect, all_effect = (float(carriers.effect_F[sorted(some)].sum()) for some in (hits, carriers.latents))
    return {
        "said": len(passed),
        "hits": len(hits),
        "carriers": len(carriers.latents),
        "precision": len(hits) / len(passed) if passed else None,
        "recall": len(hits) / len(carriers.latents) if carriers.latents else None,
        "recall by effect": hit_effect / all_effect if carriers.latents else None,
    }


def false_alarms(carriers: Carriers, passed: Mapping[int, bool]) -> dict[str, Any]:
    """How many random latents that do not carry the thing passed."""
    others = [ok for latent, ok in passed.items() if latent not in carriers.latents]
    return {"others": len(others), "passed": sum(others), "rate": sum(others) / len(others) if others else None}
