"""Which rollouts a report shows: groups of training, answers to the same questions at every checkpoint, probe text.

Groups are shown whole, a problem with all its answers, since an advantage is a comparison with the group. They are
drawn by a seed, in turn from each level, and never chosen by what they contain.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.artifacts import BadInput
from interp.dashboard.config import DashboardConfig
from interp.dashboard.subjects import Subject
from interp.policy.config import SampleConfig
from interp.policy.prompts import PLAIN, PromptFormat, same_prompts
from interp.rollouts.problems import problems_by_level
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.roll_out import sample_rollouts
from interp.tasks.base import BUCKETS, Problem, Task, seeded_rng

if TYPE_CHECKING:
    from interp.policy import Policy
    from interp.rollouts.buckets import Buckets
    from interp.tracking import Tracks

TRAINING, QUESTIONS, PROBE_TEXT = 0, 1, 2
"""Where rollouts of a report come from: training of the run, asked for the report, text of the base."""
QUESTION_SPLIT, PROBE_SPLIT = "eval", "probe"
PURPOSE = "dashboard"
"""Name of the random stream of answers to questions."""


@dataclass(frozen=True)
class Batch:
    """Rollouts that one checkpoint reads, and where they come from."""

    checkpoint: int
    """Number of the checkpoint in the report."""
    source: int
    rows: list[Rollout]

    @property
    def tokens(self) -> int:
        return sum(len(row.tokens) for row in self.rows)


def select_steps(steps: Sequence[int], count: int) -> list[int]:
    """At most `count` steps at even distances, the first and the last among them."""
    places = np.unique(np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int))
    return [steps[place] for place in places]


def groups_of(rows: Iterable[Rollout]) -> list[list[Rollout]]:
    """Rollouts in groups: the answers to one problem that follow each other."""
    groups: list[list[Rollout]] = []
    for row in rows:
        last = groups[-1][-1] if groups else None
        if last is None or row.problem != last.problem or row.step != last.step or row.sample <= last.sample:
            groups.append([])
        groups[-1].append(row)
    return groups


def select_groups(
    rows: Iterable[Rollout], count: int, level_of: Callable[[Rollout], object], *key: object
) -> list[Rollout]:
    """`count` groups, drawn by the key, from each level in turn. They stay in the order in which they came."""
    groups = groups_of(rows)
    by_level: dict[object, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        by_level[level_of(group[0])].append(number)
    rng = seeded_rng(PURPOSE, *key)
    for numbers in by_level.values():
        rng.shuffle(numbers)
    longest = max(map(len, by_level.values()), default=0)
    in_turn = [numbers[turn] for turn in range(longest) for numbers in by_level.values() if turn < len(numbers)]
    return [row for number in sorted(in_turn[:count]) for row in groups[number]]


def training_rollouts(subject: Subject, step: int) -> list[Rollout]:
    """The rollouts that a checkpoint sampled in training; none of a series."""
    checkpoint = subject.checkpoint(step)
    if subject.run is None or checkpoint is None or not (checkpoint.path / "rollouts").is_dir():
        return []
    return subject.run.rollouts(step).rows


def level_problems(task: Task | None, split: str, count: int, buckets: "Buckets | None" = None) -> list[Problem]:
    """`count` problems of each measured bucket or, without buckets, of each level of a task."""
    if not count:
        return []
    if buckets is not None:
        return [problem for bucket in BUCKETS for problem in buckets.problems(bucket)[:count]]
    if task is None or all(task.size(split, level) == 0 for level in (task.levels or (None,))):
        return []
    listed = [problem for problems in problems_by_level(task, split, (), count).values() for problem in problems]
    return list({problem.id: problem for problem in listed}.values())


def ask(
    policy: "Policy", task: Task, problems: Sequence[Problem], subject: Subject, step: int, config: DashboardConfig
) -> list[Rollout]:
    """Answers of a checkpoint to problems, sampled as its run sampled."""
    series = subject.series
    recorded = (series.sampling if series is not None else None) or {}
    limits = {name: recorded[name] for name in ("max_new_tokens", "temperature", "rows") if name in recorded}
    sampling = replace(SampleConfig(group=config.answers, seed=config.seed), **limits)
    stated = series.prompt_format if series is not None else PromptFormat.of_checkpoint(policy.path)
    return sample_rollouts(
        policy, task, problems, sampling,
        run=subject.name, step=step, prompt_format=same_prompts(PLAIN, stated, of="the run of this policy"),
        purpose=PURPOSE, progress=False,
    )  # fmt: skip


def probe_rollouts(
    tracks: Sequence["Tracks"], config: DashboardConfig, level_of: Callable[[Rollout], object]
) -> list[Rollout]:
    """Groups of the text on which tracks were measured: the base's own answers to other problems."""
    from interp.tracking.layout import PROBE_ROLLOUTS

    for each in tracks:
        if not config.probe or not (each.path / PROBE_ROLLOUTS).is_dir():
            continue
        rows = Rollouts.load(each.path / PROBE_ROLLOUTS).rows
        return select_groups(rows, config.probe, level_of, config.seed, "probe")
    return []


def as_probe_rollouts(policy: "Policy", task: Task, subject: Subject, config: DashboardConfig) -> list[Rollout]:
    """Answers of the base to problems of the probe split, where no tracks hold such text."""
    levels = max(1, len(task.levels))
    problems = level_problems(task, PROBE_SPLIT, -(-config.probe // levels))
    return ask(policy, task, problems[: config.probe], subject, subject.steps[0], config) if problems else []


def expect_readable(policy: "Policy", rows: Sequence[Rollout]) -> None:
    """Refuse rollouts whose tokens the policy does not have: they were written with another tokenizer."""
    embeddings: Any = policy.model.get_input_embeddings()
    vocabulary = int(embeddings.num_embeddings)
    for row in rows:
        if (highest := max((*row.prompt_ids, *row.tokens), default=0)) >= vocabulary:
            raise BadInput(
                f"expected rollouts in the {vocabulary:,} tokens of the base, got token {highest} in sample "
                f"{row.sample} of {row.problem}: are they of another tokenizer? Leave them out"
            )
