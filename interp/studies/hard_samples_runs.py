"""Runs of the hard-samples study: which trainings there are, what strategy and credit each has, and one training.

A run has a budget of sampled tokens. Everything that the policy wrote counts: groups that were drawn anew, and what the
base wrote before the first step (to find valid answers for hints, or labels for a readout). It goes on until both the
budget and the number of steps are reached, and is read off its checkpoints at exactly the budget, and at exactly that
number of steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.studies.credit_runs import (
    DEEP,
    LIKELIHOOD,
    LOGGED,
    ORACLE,
    PLAIN,
    WITH_DICTIONARY,
    Training,
    measure,
    scheme_of,
)
from interp.studies.credit_world import World
from interp.studies.hard_samples_measures import STEPS, TOKENS, neighbours
from interp.studies.results import rounded

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme
    from interp.grpo import Run
    from interp.grpo.metrics import Sink
    from interp.policy import Policy
    from interp.rollouts import Rollouts
    from interp.studies.hard_samples import HardSamplesConfig

BACKWARD, HINTS, CURRICULUM = "backward", "hints", "curriculum"
DYNAMIC, REPLAY = "dynamic sampling", "replay"
STRATEGIES = (BACKWARD, HINTS, CURRICULUM, DYNAMIC, REPLAY)
BEST = "best credit"
"""The credit that the config names."""
LEVELS = ("shallow", "middle", DEEP)
"""What the curriculum goes through."""
ALSO_LOGGED = (
    "tokens", "pass_rate", "groups_drawn", "mixed_groups", "curriculum_part", "hint_share", "hint_valid_rate",
    "backward_share", "backward_pass_rate", "replay_share", "replay_memory", "audits",
)  # fmt: skip


@dataclass(frozen=True)
class HardTraining:
    """One training: with which strategy, by which credit, from which seed."""

    strategy: str | None
    role: str
    """What its credit is in the study: plain, the likelihood, the best credit, or the oracle."""
    scheme: str
    """The credit, as the credit study calls it."""
    run: int
    dictionary: int | None = None

    @property
    def name(self) -> str:
        """The arm, the same for all runs."""
        return arm_name(self.strategy, self.role)


def arm_name(strategy: str | None, role: str) -> str:
    if strategy is None:
        return role
    return strategy if role == PLAIN else f"{strategy} + {role}"


def trainings(config: "HardSamplesConfig") -> list[HardTraining]:
    """Every training from one base: the first run of each arm, then the second, and so on."""
    arms = [(strategy, role) for role in (PLAIN, BEST) for strategy in (None, *STRATEGIES)]
    arms.append((None, ORACLE))
    if config.credit != LIKELIHOOD:
        arms += [(strategy, LIKELIHOOD) for strategy in (None, *config.likelihood_with)]
    return [_training(strategy, role, run, config) for run in range(config.repeats) for strategy, role in arms]


def _training(strategy: str | None, role: str, run: int, config: "HardSamplesConfig") -> HardTraining:
    scheme = config.credit if role == BEST else role
    return HardTraining(strategy, role, scheme, run, run % config.dictionaries if scheme in WITH_DICTIONARY else None)


# --- what is paid for before the first step --------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Tokens that a policy wrote, and answers whose validity was looked at."""

    tokens: int = 0
    labels: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.tokens + other.tokens, self.labels + other.labels)


@lru_cache(maxsize=2)
def base_hints(base_path: Path, n_problems: int, answers: int) -> "tuple[Rollouts, Cost]":
    """The base's valid answers to hard problems of the training split, and what it cost to find them.

    Every rewarded answer is looked at, to know which are valid."""
    from interp.organism import load_task
    from interp.policy import Policy, SampleConfig
    from interp.rollouts import Rollouts, roll_out

    base, task = Policy.load(base_path, device="cpu"), load_task(base_path)
    sampling = SampleConfig(group=answers, rows=1024)
    rollouts = roll_out(base, task, task.problems("train", DEEP, n_problems), sampling, purpose="hints", progress=False)
    successes = [row for row in rollouts if row.reward > 0]
    valid = [row for row in successes if row.valid]
    cost = Cost(sum(len(row.tokens) for row in rollouts), len(successes))
    return Rollouts(valid, config=rollouts.config, made_from=rollouts.made_from), cost


def cost_of_labels(world: World) -> Cost:
    """What the labelled answers of a base cost. Their edits cost nothing: they are made from those that are valid."""
    rows = world.answers_to_label()
    return Cost(sum(len(row.tokens) for row in rows), sum(row.reward > 0 for row in rows))


# --- strategy and credit ---------------------------------------------------------------------------------------------


def strategies_of(training: HardTraining, world: World, config: "HardSamplesConfig") -> tuple[list[Any], Cost]:
    """The strategies of a training that take a share of the groups, and what they cost before the first step."""
    from interp.grpo import Backward, PrefixHints, Replay

    if training.strategy == BACKWARD:
        return [Backward(share=config.share)], Cost()
    if training.strategy == REPLAY:
        return [Replay(share=config.share, audits=audits_of(training, config)[0])], Cost()
    if training.strategy != HINTS:
        return [], Cost()
    rollouts, cost = base_hints(world.base_path, config.hint_problems, config.hint_answers)
    hints = PrefixHints(
        share=config.share, length_from=config.hint_length, hint_steps=config.hint_steps, rollouts=rollouts
    )
    return ([hints] if len(rollouts) else []), cost  # a base without a valid answer has nothing to hint


def audits_of(training: HardTraining, config: "HardSamplesConfig") -> tuple[int, int]:
    """Labels per step for replay, and for the credit. Together they are as many as each has alone."""
    if training.strategy != REPLAY:
        return 0, config.audits
    if training.role == PLAIN:
        return config.audits, 0
    return max(1, config.audits // 2), max(1, config.audits - config.audits // 2)


def credit_of(
    training: HardTraining, world: World, base: "Policy", config: "HardSamplesConfig"
) -> "tuple[CreditScheme | None, Cost]":
    """The credit of a training, and what its labels cost before the first step."""
    own = Training(training.scheme, DEEP, training.run, training.dictionary, config.threshold_of(training.scheme))
    credit = scheme_of(own, world, base, audits_of(training, config)[1])
    if training.role in (PLAIN, ORACLE):
        return credit, Cost()
    return credit, cost_of_labels(world)


# --- one run ---------------------------------------------------------------------------------------------------------


class BudgetSpent(Exception):
    """Enough tokens were sampled: the run ends at the checkpoint that it has just saved."""


def train_run(training: HardTraining, world: World, config: "HardSamplesConfig", out: Path) -> dict[str, Any]:
    """Train until the budget is spent, and measure every checkpoint.

    A run that diverges is a result: its last whole checkpoint is what its user is left with."""
    from interp.grpo import Curriculum, Diverged, Run, train
    from interp.organism import load_task

    base, task = world.base(), load_task(world.base_path)
    strategies, cost_of_strategy = strategies_of(training, world, config)
    credit, cost_of_credit = credit_of(training, world, base, config)
    cost = cost_of_strategy + cost_of_credit
    problems: Any = DEEP
    if training.strategy == CURRICULUM:
        problems = Curriculum(LEVELS, target=config.curriculum_target, margin=config.curriculum_margin)
    diverged = None
    try:
        train(
            base, task, problems, strategies=strategies, config=_grpo_config(training, config), credit=credit,
            sinks=[stop_when_spent(out, config, cost)], out=out, progress=False,
        )  # fmt: skip
    except BudgetSpent:
        pass
    except Diverged as error:
        diverged = str(error)
    record = measure_run(Run.open(out), training, world, config, cost)
    return record if diverged is None else {**record, "diverged": diverged}


def _grpo_config(training: HardTraining, config: "HardSamplesConfig") -> Any:
    from interp.grpo import GRPOConfig
    from interp.policy import SampleConfig

    return GRPOConfig(
        steps=config.max_steps,
        prompts=config.prompts,
        sampling=SampleConfig(group=config.group, rows=1024, seed=training.run),
        scale="none",
        redraw=True if training.strategy == DYNAMIC else None,
        max_draws=config.max_draws,
        save_every=config.watch_every,
        kl_every=config.watch_every,
        without_signal="go on",  # an arm that finds none is a result
    )


def stop_when_spent(out: Path, config: "HardSamplesConfig", cost: Cost) -> "Sink":
    """Ends a run at the first checkpoint at which both the budget of tokens and the number of steps are reached."""

    def stop(step: int, metrics: Mapping[str, Any]) -> None:
        from interp.grpo import Run

        if step < config.steps or step % config.watch_every:
            return
        if cost.tokens + sum(row["tokens"] for row in Run.open(out).metrics()[:step]) >= config.token_budget:
            raise BudgetSpent

    return stop


def measure_run(
    run: "Run", training: HardTraining, world: World, config: "HardSamplesConfig", cost: Cost
) -> dict[str, Any]:
    """Where each checkpoint stands, its rates on few held-out problems, and on all of them next to where it is read."""
    rows = run.metrics()
    checkpoints = {one.step: one for one in run.series}
    points = points_of(rows, list(checkpoints), training.role, config.group, cost)
    read_at = {TOKENS: config.token_budget, STEPS: config.steps}
    exact = {place["step"] for by, value in read_at.items() for place in neighbours(points, by, value)}

    def rates(step: int, problems: int) -> dict[str, dict[str, float]]:
        return measure(checkpoints[step].load(device="cpu"), world, config.answers, problems)

    columns = [name for name in dict.fromkeys((*LOGGED, *ALSO_LOGGED)) if any(name in row for row in rows)]
    return {
        "read_at": read_at,
        "points": points,
        "watched": {str(step): rates(step, config.watch_problems) for step in checkpoints},
        "measured": {str(step): rates(step, config.problems) for step in sorted(exact)},
        "steps": {name: rounded(row.get(name) for row in rows) for name in columns},
    }


def points_of(
    rows: Sequence[Mapping[str, Any]], steps: Sequence[int], role: str, group: int, cost: Cost
) -> list[dict[str, Any]]:
    """For each checkpoint: its step, the tokens and labels paid for it so far, and its KL to the base."""
    labels = labels_by_step(rows, role, group)
    return [
        {
            "step": step,
            "tokens": cost.tokens + sum(row["tokens"] for row in rows[:step]),
            "labels": cost.labels + sum(labels[:step]),
            "kl": rows[step].get("kl_to_base") if step < len(rows) else None,
        }
        for step in sorted(steps)
    ]


def labels_by_step(rows: Sequence[Mapping[str, Any]], role: str, group: int) -> list[int]:
    """Answers of each step whose validity was looked at: by replay, by the credit, or by the oracle, which looks at
    every success."""
    labels, audited_before = [], 0
    for row in rows:
        audited = int(row.get("audited") or 0)  # counted since the run began
        new = audited - audited_before + int(row.get("audits") or 0)
        if role == ORACLE:
            new += round(row["pass_rate"] * row["groups_drawn"] * group)
        labels.append(new)
        audited_before = audited
    return labels
