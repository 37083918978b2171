"""Measure a policy, or every checkpoint of a series, on the same problems.

Each checkpoint answers the same questions with draws of its own, and only what comes of them is kept: the pass and the
valid rate, pass@k by answer and by every step, shares of formats and shortcuts, and coherence crossed with validity
(steps that are true as they stand against steps that are the ones due), overall, by depth and by bucket. The memory
it takes is that of one checkpoint's rollouts, however long the series.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from interp.artifacts import BadInput, fingerprint, to_json
from interp.checks import expect_at_least
from interp.policy.config import SampleConfig
from interp.rollouts.evaluation import GROUPINGS, Cells, Evaluation
from interp.rollouts.intervals import Share
from interp.rollouts.pass_at import pass_at
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import roll_out
from interp.rollouts.series import Checkpoint, Series
from interp.rollouts.summary import summarise
from interp.tasks.base import Problem, Task

if TYPE_CHECKING:
    from interp.policy import Policy


@dataclass(frozen=True)
class EvaluateConfig:
    split: str = "eval"
    """train, eval, probe or memorised."""
    problems: int = 40
    """Per level, or as many as a file holds if that is less."""
    levels: tuple[int | str, ...] = ()
    """Depths or buckets. If none is given: every depth of a task that has depths, else what the split holds."""
    group: int = 16
    """Completions per problem."""
    k: tuple[int, ...] = (1, 4, 16)
    """Of pass@k: none above `group`."""
    max_new_tokens: int = 96
    temperature: float = 1.0
    rows: int = 1024
    """Completions generated at once; less takes less memory."""
    seed: int = 0
    chat: bool = False
    """Ask as a user's turn in the tokenizer's chat template."""

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "problems")
        self.sampling()  # refuses what cannot be sampled
        if strange := [k for k in self.k if not 1 <= k <= self.group]:
            raise BadInput(f"k must lie between 1 and group, which is {self.group}; got {strange[0]}")

    def sampling(self) -> SampleConfig:
        return SampleConfig(self.group, self.max_new_tokens, self.temperature, self.rows, self.seed)


def evaluate(
    subject: "Policy | Checkpoint | Series",
    task: Task,
    config: EvaluateConfig | None = None,
    *,
    problems: Sequence[Problem] | None = None,
    run: str = "base",
    device: str = "auto",
    dtype: str = "auto",
) -> Evaluation:
    """A policy counts as step 0, and stays where it is; checkpoints are loaded one after another, onto `device`. With
    `problems`, these are asked instead of what `config` says."""
    config = config or EvaluateConfig()
    asked = _once(draw(task, config) if problems is None else problems)
    if not asked:
        raise BadInput("expected at least one problem, got none")
    if not (openers := _openers(subject, device, dtype)):
        raise BadInput("expected at least one checkpoint, got a series without any")
    cells: Cells = {}
    policies: dict[int, str] = {}
    bar = tqdm(openers, desc="evaluating", unit="checkpoint", delay=1, leave=False)
    for step, opened in bar:
        policies[step], found = _examine(opened(), task, asked, config, run=run, step=step)
        cells |= {(step, by, group): measures for (by, group), measures in found.items()}
        everything = found["all", "all"]
        bar.set_postfix({name: f"{everything[name].value:.2f}" for name in ("pass_rate", "valid_rate", "direct_share")})
    made_from = {
        "policy": next(iter(policies.values())),
        "task": task.fingerprint(),
        "problems": fingerprint(json.dumps([to_json(problem) for problem in asked])),
    }
    facts = {"task": task.name, "run": run, "asked": len(asked)}
    return Evaluation(cells, policies=policies, config=to_json(config) | facts, made_from=made_from)


def draw(task: Task, config: EvaluateConfig) -> list[Problem]:
    """The problems a config asks for: the same for every checkpoint, and whenever they are drawn again."""
    depths = getattr(task, "depths", None)
    levels: Sequence[int | str | None] = config.levels or (range(depths[0], depths[1] + 1) if depths else (None,))
    return [problem for level in levels for problem in _at(task, config, level)]


def measured(rollouts: Sequence[Rollout], ks: Iterable[int]) -> dict[tuple[str, str], dict[str, Share]]:
    """Every measure of a checkpoint's rollouts, by (grouping, group). What has no depth or bucket is in `all` alone."""
    ks = sorted(set(ks))
    found: dict[tuple[str, str], dict[str, Share]] = {}
    for by, group_of in GROUPINGS.items():
        groups: dict[Any, list[Rollout]] = {}
        for rollout in rollouts:
            groups.setdefault(group_of(rollout), []).append(rollout)
        for group in sorted(groups.keys() - {None}):
            rows = groups[group]
            at_k = {f"pass_at_{k}": pass_at(rows, k) for k in ks} | {
                f"valid_at_{k}": pass_at(rows, k, "valid") for k in ks
            }
            found[by, str(group)] = next(iter(summarise(rows, "step").rows.values())) | at_k
    return found


def _examine(
    policy: "Policy", task: Task, asked: Sequence[Problem], config: EvaluateConfig, *, run: str, step: int
) -> tuple[str, dict[tuple[str, str], dict[str, Share]]]:
    """The policy's fingerprint and every measure. Its rollouts, and a checkpoint's weights, are let go of here."""
    sampling, chat = config.sampling(), config.chat
    rollouts = roll_out(policy, task, asked, sampling, run=run, step=step, chat=chat, purpose="evaluate")
    return rollouts.made_from["policy"], measured(rollouts, config.k)


def _at(task: Task, config: EvaluateConfig, level: int | str | None) -> list[Problem]:
    n = config.problems
    if size := getattr(task, "size", None):  # a file holds so many and no more
        n = min(n, size(config.split, level))
        if not n:
            raise BadInput(
                f"{task.name}: expected problems of {config.split}{'' if level is None else f' at level {level!r}'}, "
                "got none: give its lines a split, or ask another (--split)"
            )
    return task.problems(config.split, level, n)


def _once(problems: Sequence[Problem]) -> list[Problem]:
    """A problem asked twice would be answered alike: two rows, one draw."""
    return list({problem.id: problem for problem in problems}.values())


def _openers(
    subject: "Policy | Checkpoint | Series", device: str, dtype: str
) -> "list[tuple[int, Callable[[], Policy]]]":
    """Each step, and what loads it: a series is opened one checkpoint at a time, and none is held on to."""
    if isinstance(subject, Checkpoint | Series):
        members = [subject] if isinstance(subject, Checkpoint) else subject
        return [(member.step, partial(member.load, device=device, dtype=dtype)) for member in members]
    return [(0, lambda: subject)]
