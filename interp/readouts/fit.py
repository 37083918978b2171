"""Fit a readout on a policy's own answers: roll out, verify, change valid ones in one place, read, and test."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from interp.artifacts import BadInput
from interp.policy.policy import Policy
from interp.policy.prompts import PromptFormat, same_prompts
from interp.readouts.columns import label_rollouts, with_base_rate
from interp.readouts.config import ReadoutConfig
from interp.readouts.edits import EditableTask, lucky_edits
from interp.readouts.error_range import ErrorRange
from interp.readouts.halves import halves_of_answers, halves_of_problems
from interp.readouts.intention import Intention
from interp.readouts.names import DICTIONARY_SOURCES, LAYER_SOURCES, SOURCE_NAMES
from interp.readouts.readout import Readout, ReadoutTest
from interp.readouts.sources import Completeness, Format, Latents, Likelihood, Residual, Source, TextCounts
from interp.readouts.text_range import TextRange
from interp.rollouts.evaluate import EvaluateConfig, select_problems
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.roll_out import roll_out
from interp.stats.ranking import clustered_auroc
from interp.tasks.base import Problem, Task
from interp.tsae import TSAE

TOP = 0.1


def fit_readout(
    read: Sequence[Source | str],
    policy: Policy,
    task: Task,
    config: ReadoutConfig | None = None,
    *,
    problems: Sequence[Problem] | None = None,
    tsae: TSAE | None = None,
    layer: int | None = None,
    progress: bool = True,
) -> Readout:
    """A readout of valid among a policy's rewarded answers, tested on held-out problems.

    `read` are sources, or their names: likelihood, text, completeness, format, residual; with `tsae` latents,
    pre-activations, intention. `problems`, such as those of a bucket, are where it is to be used, in place of the
    config's levels: half of each depth are labelled, and the others test it, in all at most as many as the config says.
    `layer` is where the residual is read, and a dictionary that does not say its own."""
    layer = tsae.layer if tsae is not None and layer is None else layer
    expect_readable(read, tsae is not None, layer, is_error_read=bool(config and config.error_range))
    recorded = PromptFormat.of_checkpoint(policy.path)
    config = same_prompts(config or ReadoutConfig(), recorded, of="the run of this policy")
    used, held_out = _where_used(task, config, problems)
    others = _problems(task, config, "train", config.problems)
    test_ids = {problem.id for problem in held_out}
    by_id = {problem.id: problem for problem in (*others, *used) if problem.id not in test_ids}
    rollouts = _roll_out(policy, task, [*by_id.values()], config, config.group, "labels", progress).rows
    # a lens knows the answers that it was fitted on too well to be judged by them
    of_lens, rollouts = halves_of_answers(rollouts) if "intention" in read else ([], rollouts)
    sources = [
        make_source(one, policy, of_lens or rollouts, tsae, layer) if isinstance(one, str) else one for one in read
    ]
    for source in sources:
        source.expect_reader(policy)
    successes = _successes(rollouts, task)
    labelled = [*successes, *(_edits(policy, task, successes, config) if config.edits else [])]
    labels = label_rollouts(sources, policy, labelled)
    if not labels.has_both_kinds:
        raise BadInput(
            f"expected rewarded answers of both kinds that can be read, got {int(labels.is_valid_A.sum())} valid of "
            f"{len(labels)}: use more problems (--problems), or levels where the policy is right now and then"
        )
    rate = _valid_share(successes, {problem.id for problem in used}) if config.rate is None else config.rate
    made_from = {"policy": policy.fingerprint(), "task": task.fingerprint()}
    readout = Readout(
        tuple(sources), with_base_rate(labels, rate, config.weight), config, made_from=made_from,
        text_range=TextRange.fit(sources, policy, rollouts) if config.text_range else None,
        error_range=_error_range(policy, rollouts, tsae, layer) if config.error_range else None,
    )  # fmt: skip
    return replace(readout, tests=measure_readout(readout, policy, task, held_out, progress=progress))


def expect_readable(
    read: Sequence[Source | str], has_dictionary: bool, layer: int | None, *, is_error_read: bool = False
) -> None:
    """Refuse names that do not exist, and those that lack a dictionary or a layer."""
    names = [one for one in read if isinstance(one, str)]
    if isinstance(read, str) or not read:
        raise BadInput(f"expected a list of what to read, such as ['likelihood', 'text']; got {read!r:.60}")
    if unknown := [name for name in names if name not in SOURCE_NAMES]:
        raise BadInput(f"expected to read some of {', '.join(SOURCE_NAMES)}; got {unknown[0]!r:.60}")
    if (without := [name for name in names if name in DICTIONARY_SOURCES]) and not has_dictionary:
        raise BadInput(f"expected a dictionary to read {', '.join(without)}, got none: --tsae (Python: tsae=)")
    if is_error_read and not (has_dictionary and layer is not None):
        raise BadInput("expected a dictionary and its layer for a range of errors, got none: give --tsae (tsae=), or "
                       "leave out --error-range")  # fmt: skip
    if (without := [name for name in names if name in LAYER_SOURCES]) and layer is None:
        raise BadInput(f"expected the layer at which to read {', '.join(without)}, got none: --layer (Python: layer=)")


def make_source(
    name: str, policy: Policy, rollouts: Sequence[Rollout], tsae: TSAE | None = None, layer: int | None = None
) -> Source:
    """The source of this name. An intention is fitted on `rollouts`, the policy's own answers."""
    by_name: dict[str, Any] = {
        "likelihood": Likelihood, "text": TextCounts, "completeness": Completeness,
        "format": lambda: Format(tuple(sorted({rollout.format for rollout in rollouts}))),
    }  # fmt: skip
    if name in by_name:
        return by_name[name]()
    assert layer is not None, "expect_readable"
    if name == "residual":
        return Residual(layer)
    assert tsae is not None, "expect_readable"
    if name == "intention":
        return Intention.fit(tsae, layer, policy, rollouts)
    return Latents(tsae, layer, before_threshold=name == "pre-activations")


# --- answers -----------------------------------------------------------------------------------------------------


def _problems(task: Task, config: ReadoutConfig, split: str, n: int, levels: Sequence[Any] = ()) -> list[Problem]:
    return select_problems(task, EvaluateConfig(split=split, problems=n, levels=tuple(levels)))


def _where_used(
    task: Task, config: ReadoutConfig, problems: Sequence[Problem] | None
) -> tuple[list[Problem], list[Problem]]:
    """Problems like those on which the readout is to be used: some to label, and others to test it on."""
    if problems is None:
        return (
            _problems(task, config, "train", config.problems, config.levels),
            _problems(task, config, "eval", config.test_problems, config.levels),
        )
    if config.levels:
        raise BadInput("expected problems or levels to say where the readout is to be used, got both")
    if len(problems) < 2:
        raise BadInput(f"expected two problems or more, some to label and others to test on; got {len(problems)}")
    labelled, held_out = halves_of_problems(problems)
    return labelled[: config.problems], held_out[: config.test_problems]


def _roll_out(
    policy: Policy, task: Task, problems: list[Problem], config: ReadoutConfig, group: int, purpose: str, progress: bool
) -> Rollouts:
    return roll_out(
        policy, task, problems, config.sampling(group), prompt_format=config, purpose=purpose, progress=progress
    )


def _successes(rollouts: Sequence[Rollout], task: Task) -> list[Rollout]:
    """The rewarded answers. A task that judges no steps is refused."""
    successes = [row for row in rollouts if row.reward > 0]
    if successes and all(row.valid is None for row in successes):
        raise BadInput(
            f"expected a task whose steps are judged, so that valid can be told from lucky; {task.name} judges none"
        )
    return successes


def _edits(policy: Policy, task: Task, successes: Sequence[Rollout], config: ReadoutConfig) -> list[Rollout]:
    """The lucky edits of valid answers, of a task that can make them."""
    if not isinstance(task, EditableTask):
        return []
    return lucky_edits(policy, task, successes, prompt_format=config.prompt_format)


def _valid_share(successes: Sequence[Rollout], problems: set[str]) -> float:
    """Of the successes on some problems, with one of each kind added: never surely zero or one."""
    own = [bool(row.valid) for row in successes if row.problem in problems and row.valid is not None]
    return (sum(own) + 1) / (len(own) + 2)


def _error_range(policy: Policy, rollouts: Sequence[Rollout], tsae: TSAE | None, layer: int | None) -> ErrorRange:
    assert tsae is not None and layer is not None, "expect_readable"
    return ErrorRange.fit(tsae, layer, policy, rollouts)


# --- the test ----------------------------------------------------------------------------------------------------


def measure_readout(
    readout: Readout, policy: Policy, task: Task, problems: Sequence[Problem], *, progress: bool = True
) -> tuple[ReadoutTest, ...]:
    """How well a readout does on problems that it was not fitted on: on all of them, and on each level."""
    config = readout.config
    rollouts = _roll_out(policy, task, list(problems), config, config.test_group, "test", progress)
    successes = [row for row in rollouts if row.reward > 0 and row.valid is not None]
    log_odds = readout.log_odds(policy, successes).numpy() if successes else np.zeros(0)
    level_B = [row.level if row.depth is None else row.depth for row in successes]
    groups = {"all": np.ones(len(successes), dtype=bool)}
    for level in dict.fromkeys(level for level in level_B if level is not None):
        groups[str(level)] = np.array([one == level for one in level_B], dtype=bool)
    return tuple(_test(level, successes, log_odds, is_in_B) for level, is_in_B in groups.items())


def _test(level: str, successes: Sequence[Rollout], log_odds_B: np.ndarray, is_in_B: np.ndarray) -> ReadoutTest:
    readable_B = is_in_B & ~np.isnan(log_odds_B)
    rows = [row for row, is_used in zip(successes, readable_B, strict=True) if is_used]
    score_N, is_valid_N = log_odds_B[readable_B], np.array([bool(row.valid) for row in rows], dtype=bool)
    cluster_N = np.unique([row.problem for row in rows], return_inverse=True)[1] if rows else np.zeros(0, dtype=int)
    top = np.argsort(-score_N, kind="stable")[: max(1, round(TOP * len(rows)))]
    p_N = 1 / (1 + np.exp(-score_N))
    means = (is_valid_N[top], p_N, (p_N - is_valid_N) ** 2)
    top_valid, mean_probability, brier = (float(one.mean()) if len(rows) else float("nan") for one in means)
    auroc = clustered_auroc(score_N, is_valid_N, cluster_N)
    n_unreadable = int(is_in_B.sum()) - len(rows)
    return ReadoutTest(level, len(rows), int(is_valid_N.sum()), n_unreadable, auroc, top_valid, mean_probability, brier)
