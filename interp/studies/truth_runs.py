"""One run of the credit-truth study: the values of the steps of some rollouts, and every scheme's credit for them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interp.studies.credit_measures import mean_or_none
from interp.studies.credit_runs import (
    COMPLETENESS,
    FEATURES,
    FORMAT,
    INTENTION,
    LATENTS_ALONE,
    LATENTS_WRITTEN,
    LIKELIHOOD,
    LIKELIHOOD_WRITTEN,
    PRE_ACTIVATIONS,
    RANDOM_GATE,
    RANDOM_INTENTION,
    RANDOM_LATENTS,
    RESIDUAL,
    RESIDUAL_INTENTION,
    TEXT,
    TEXT_ALONE,
    WITH_DICTIONARY,
    Training,
    at_step_ends,
    scheme_of,
    sources_of,
)
from interp.studies.credit_world import World
from interp.studies.truth_columns import NAMES as COLUMNS
from interp.studies.truth_columns import measure_columns

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme, RolloutBatch
    from interp.policy import Policy
    from interp.rollouts import Rollout
    from interp.studies.truth import TruthConfig

LEVELS = ("shallow", "middle", "deep")
UNIFORM, ENTROPY, RANDOM_TOKENS, POSITION_MATCHED = "uniform", "entropy", "random", "position-matched"
KTAE, INPUT_GRADIENT, MONTE_CARLO = "ktae", "input-gradient", "monte-carlo"
FIRST_ERROR, STEP_VALIDITY = "first-error", "step-validity-weights"
NAMED = (
    UNIFORM, RANDOM_TOKENS, POSITION_MATCHED, ENTROPY, KTAE, INPUT_GRADIENT, MONTE_CARLO, FIRST_ERROR, STEP_VALIDITY,
)  # fmt: skip
"""Schemes that read no readout, by their names in `interp.credit`."""
SPLIT, SPLIT_OF_OTHERS = "features, up to the first error", "first error, that of others"
SPLIT_BY_LIKELIHOOD = "likelihood, up to the first error"
SPLITS = {SPLIT: FEATURES, SPLIT_OF_OTHERS: FEATURES, SPLIT_BY_LIKELIHOOD: LIKELIHOOD}
"""Schemes that weigh a success up to its first error, each by the scheme whose sources read it."""
WEIGHTS = (*NAMED, *SPLITS)
GATES = (
    LIKELIHOOD, LIKELIHOOD_WRITTEN, TEXT_ALONE, FORMAT, COMPLETENESS, TEXT, RESIDUAL, FEATURES, PRE_ACTIVATIONS,
    RANDOM_LATENTS, LATENTS_ALONE, LATENTS_WRITTEN, INTENTION, RANDOM_INTENTION, RESIDUAL_INTENTION, RANDOM_GATE,
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
        schemes = (
            _splits(name, world, base, config) if name in SPLITS else [make_scheme(name, task=task, sampling=sampling)]
        )
        agreements = []
        for scheme in schemes:
            assigned = assign_advantages(batch, scheme, OBJECTIVES["grpo"], sampling.max_new_tokens)
            agreements.append(agreement(segments(batch, assigned.credit, assigned.advantages_BL, values, "reward")))
        measured[name] = _means(agreements)
    return measured


def _splits(name: str, world: World, base: "Policy", config: "TruthConfig") -> "list[CreditScheme]":
    """Weights up to the first error, one scheme for each dictionary that is read."""
    from interp.credit import FirstErrorReadout
    from interp.readouts import label_parts

    schemes: list[CreditScheme] = []
    for number in _dictionaries(SPLITS[name], config):
        sources = at_step_ends(sources_of(Training(SPLITS[name], "", 0, number), world, base))
        labels = label_parts(sources, base, world.labelled_answers())
        control_seed = (number or 0) if name == SPLIT_OF_OTHERS else None
        schemes.append(FirstErrorReadout(sources, ridge=config.ridge, labels=labels, control_seed=control_seed))
    return schemes


def measure_gates(
    world: World, base: "Policy", level: str, config: "TruthConfig", rows: "list[Rollout]"
) -> dict[str, dict[str, float | None]]:
    from interp.credit import RolloutBatch

    batch = RolloutBatch.from_rollouts(rows, config.gate_group, policy=base, base=base, seed=world.seed)
    measured: dict[str, dict[str, float | None]] = {}
    for name in GATES:
        trainings = [Training(name, level, 0, number, config.threshold) for number in _dictionaries(name, config)]
        measured[name] = _means([measure_payment(scheme_of(one, world, base), batch) for one in trainings])
    return measured


def measure_payment(scheme: "CreditScheme | None", batch: "RolloutBatch") -> dict[str, float | None]:
    """What the gate of a scheme pays. A success that is screened out is paid nothing."""
    import numpy as np

    from interp.studies.truth_measures import payment

    assert scheme is not None
    credit = scheme(batch).validate(batch)
    gate_B = credit.gate_B if credit.counts_B is None else credit.gate_B * credit.counts_B
    is_valid_B = np.array([bool(rollout.valid) for rollout in batch.rollouts])
    return payment(gate_B.numpy(), (batch.rewards_B > 0).numpy(), is_valid_B)


def _dictionaries(scheme: str, config: "TruthConfig") -> Sequence[int | None]:
    return range(config.dictionaries) if scheme in WITH_DICTIONARY else (None,)


def _means(records: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    return {key: mean_or_none([one[key] for one in records]) for key in records[0]}


def _roll_out(world: World, base: "Policy", level: str, problems: int, group: int, purpose: str) -> "list[Rollout]":
    from interp.organism import load_task
    from interp.policy import SampleConfig
    from interp.rollouts import roll_out

    task, sampling = load_task(world.base_path), SampleConfig(group=group, rows=1024, seed=world.seed)
    chosen = task.problems("eval", level, problems)
    return roll_out(base, task, chosen, sampling, purpose=purpose, progress=False).rows
