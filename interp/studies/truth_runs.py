"""One run of the credit-truth study: the values of the steps of some rollouts, and every scheme's credit for them."""

from typing import TYPE_CHECKING, Any

from interp.studies.credit_measures import mean_or_none
from interp.studies.credit_runs import (
    COMPLETENESS,
    FEATURES,
    FORMAT,
    INTENTION,
    LATENTS_ALONE,
    LIKELIHOOD,
    PRE_ACTIVATIONS,
    RANDOM_GATE,
    RANDOM_INTENTION,
    RESIDUAL,
    TEXT,
    TEXT_ALONE,
    WITH_DICTIONARY,
    Training,
    scheme_of,
    strength_of,
)
from interp.studies.credit_runs import RANDOM as RANDOM_LATENTS
from interp.studies.credit_world import World
from interp.studies.truth_columns import NAMES as COLUMNS
from interp.studies.truth_columns import measure_columns

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme, RolloutBatch
    from interp.policy import Policy
    from interp.rollouts import Rollout
    from interp.studies.truth import TruthConfig

LEVELS = ("shallow", "middle", "deep")
UNIFORM, ENTROPY, RANDOM, POSITION_MATCHED = "uniform", "entropy", "random", "position-matched"
KTAE, INPUT_GRADIENT, MONTE_CARLO = "ktae", "input-gradient", "monte-carlo"
FIRST_ERROR, STEP_VALIDITY = "first-error", "step-validity-weights"
WEIGHTS = (
    UNIFORM, RANDOM, POSITION_MATCHED, ENTROPY, KTAE, INPUT_GRADIENT, MONTE_CARLO, FIRST_ERROR, STEP_VALIDITY,
)  # fmt: skip
GATES = (
    LIKELIHOOD, TEXT_ALONE, FORMAT, COMPLETENESS, TEXT, RESIDUAL, FEATURES, PRE_ACTIVATIONS, RANDOM_LATENTS,
    LATENTS_ALONE, INTENTION, RANDOM_INTENTION, RANDOM_GATE,
)  # fmt: skip


def measure_level(world: World, level: str, config: "TruthConfig") -> dict[str, Any]:
    """Every scheme on problems of one level: how its weights agree with the truth, and what its gate pays."""
    base = world.base()
    weights = measure_weights(world, base, level, config)
    answers = _roll_out(world, base, level, config.gate_problems, config.gate_group, "gates")
    gates = measure_gates(world, base, level, config, answers)
    columns = measure_columns(world, base, answers, config)
    merged: dict[str, dict[str, float | None]] = {name: {} for name in (*WEIGHTS, *GATES, *COLUMNS)}
    for part in (weights, gates, columns):
        for name, numbers in part.items():
            merged[name] |= numbers
    return {"schemes": merged}


def measure_weights(
    world: World, base: "Policy", level: str, config: "TruthConfig"
) -> dict[str, dict[str, float | None]]:
    from interp.credit import RolloutBatch, make_scheme
    from interp.grpo.advantages import assign_advantages
    from interp.grpo.config import OBJECTIVES
    from interp.organism import load_task
    from interp.policy import SampleConfig
    from interp.rollouts.values import sample_values
    from interp.studies.truth_measures import agreement, segments

    task, sampling = load_task(world.base_path), SampleConfig(group=config.group, rows=1024, seed=world.seed)
    rows = _roll_out(world, base, level, config.problems, config.group, "truth")
    continuing = SampleConfig(group=config.continuations, rows=2048, seed=world.seed)
    values = sample_values(base, task, rows, continuing, purpose="truth", progress=False)
    batch = RolloutBatch.from_rollouts(rows, config.group, policy=base, base=base, seed=world.seed)
    measured: dict[str, dict[str, float | None]] = {}
    for name in WEIGHTS:
        scheme = make_scheme(name, task=task, sampling=sampling)
        assigned = assign_advantages(batch, scheme, OBJECTIVES["grpo"], sampling.max_new_tokens)
        measured[name] = agreement(segments(batch, assigned.credit, assigned.advantages_BL, values, "reward"))
    return measured


def measure_gates(
    world: World, base: "Policy", level: str, config: "TruthConfig", rows: "list[Rollout]"
) -> dict[str, dict[str, float | None]]:
    from interp.credit import RolloutBatch

    batch = RolloutBatch.from_rollouts(rows, config.gate_group, policy=base, base=base, seed=world.seed)
    measured: dict[str, dict[str, float | None]] = {}
    for name in GATES:
        numbers = range(config.dictionaries) if name in WITH_DICTIONARY else (None,)
        payments = [
            _payment(scheme_of(Training(name, level, 0, number, strength_of(name)), world, base), batch)
            for number in numbers
        ]
        measured[name] = {key: mean_or_none([one[key] for one in payments]) for key in payments[0]}
    return measured


def _payment(scheme: "CreditScheme | None", batch: "RolloutBatch") -> dict[str, float | None]:
    from interp.studies.truth_measures import payment

    assert scheme is not None
    credit = scheme(batch).validate(batch)
    is_valid_B = (batch.rewards_B > 0) & (batch.per_token(_valid_tokens).sum(1) > 0)
    return payment(credit.gate_B.numpy(), (batch.rewards_B > 0).numpy(), is_valid_B.numpy())


def _valid_tokens(rollout: Any) -> list[float]:
    return [float(bool(rollout.valid))] * len(rollout.tokens)


def _roll_out(world: World, base: "Policy", level: str, problems: int, group: int, purpose: str) -> "list[Rollout]":
    from interp.organism import load_task
    from interp.policy import SampleConfig
    from interp.rollouts import roll_out

    task, sampling = load_task(world.base_path), SampleConfig(group=group, rows=1024, seed=world.seed)
    chosen = task.problems("eval", level, problems)
    return roll_out(base, task, chosen, sampling, purpose=purpose, progress=False).rows
