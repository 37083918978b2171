"""pass@k: would one of k tries have been right?

Of n rollouts of a problem, c of them right, a set of k drawn without replacement holds a right one with probability
1 - C(n-c, k) / C(n, k): the unbiased estimate of https://arxiv.org/abs/2107.03374. It is worked out in whole numbers,
so nothing overflows and nothing cancels. Over problems it is a mean, with the problems as trials.

Right is told in two ways. By the answer alone, a large k finds every problem whose answer can be guessed; by every
step, it finds those that the policy can work out.

What an evaluation found: a share with its interval for every step, group and measure, as one long table.

Measure a policy, or every checkpoint of a series, on the same problems.

Each checkpoint answers the same questions with draws of its own, and only what comes of them is kept: the pass and the
valid rate, pass@k by answer and by every step, shares of formats and shortcuts, and coherence crossed with validity
(steps that are true as they stand against steps that are the ones due), overall, by depth and by bucket. The memory
it takes is that of one checkpoint's rollouts, however long the series.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from interp.artifacts import BadInput, fingerprint, read_manifest, to_json, write_manifest, writing_dir
from interp.checks import expect_at_least
from interp.policy.config import SampleConfig
from interp.rollouts.intervals import Share, share
from interp.rollouts.record import Rollout, read_whole
from interp.rollouts.roll_out import roll_out
from interp.rollouts.series import Checkpoint, Series
from interp.rollouts.summary import summarise
from interp.tasks.base import Problem, Task

if TYPE_CHECKING:
    import polars as pl

    from interp.policy import Policy


JUDGEMENTS = ("correct", "valid")


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that k of n rollouts, c of which are right, hold a right one."""
    if not 0 <= c <= n:
        raise BadInput(f"expected 0 to n = {n} right rollouts; got {c}")
    if not 1 <= k <= n:
        raise BadInput(
            f"pass@k needs k from 1 to the n = {n} rollouts of a problem; got k = {k}: draw more, or ask less"
        )
    sets = math.comb(n, k)
    return (sets - math.comb(n - c, k)) / sets


def pass_at(rollouts: Iterable[Rollout], k: int, judgement: str = "correct") -> Share:
    """Over problems, whose number is `n`. A problem with a rollout that could not be judged is left out: since only a
    right answer can fail to be judged, read `valid` beside how many problems are left, and beside `judged_share`."""
    if judgement not in JUDGEMENTS:
        raise BadInput(f"judgement must be one of {', '.join(JUDGEMENTS)}; got {judgement!r}")
    judged: dict[str, list[bool | None]] = defaultdict(list)
    for rollout in rollouts:
        judged[rollout.prompt].append(getattr(rollout, judgement))  # asked twice is still one problem
    known = [judgements for judgements in judged.values() if None not in judgements]
    return share([pass_at_k(len(rows), sum(map(bool, rows)), k) for rows in known], [1] * len(known))


KIND = "evaluation"
FILE = "evaluation.parquet"
GROUPINGS: dict[str, Callable[[Rollout], Any]] = {
    "all": lambda r: "all",
    "depth": lambda r: r.depth,
    "bucket": lambda r: r.bucket,
}
Cells = dict[tuple[int, str, str], dict[str, Share]]
"""For each (step, grouping, group), every measure."""


class Evaluation:
    def __init__(
        self, cells: Cells, *, policies: Mapping[int, str], config: Any = None, made_from: dict[str, str] | None = None
    ) -> None:
        self.cells, self.config, self.made_from = cells, config or {}, made_from or {}
        self.policies = dict(policies)
        """The fingerprint of each step's weights."""

    def __repr__(self) -> str:
        return f"Evaluation({len(self.steps)} checkpoints, steps {', '.join(map(str, self.steps))})"

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(step for step, _, _ in self.cells))

    def groups(self, by: str) -> tuple[str, ...]:
        """Of "depth" or "bucket", those there are; of "all", the one."""
        return tuple(dict.fromkeys(group for _, grouping, group in self.cells if grouping == by))

    def at(self, step: int, *, by: str = "all", group: int | str = "all") -> dict[str, Share]:
        """Every measure of one step, in one group: `at(30, by="depth", group=3)["valid_rate"]`."""
        if (key := (step, by, str(group))) in self.cells:
            return self.cells[key]
        there = {grouping: self.groups(grouping) for grouping in GROUPINGS}
        groups = "; ".join(f"{grouping} {', '.join(names)}" for grouping, names in there.items() if names)
        raise BadInput(
            f"expected a step of {', '.join(map(str, self.steps))} and a group of {groups}; "
            f"got step {step}, {by} {group}"
        )

    def table(self) -> "pl.DataFrame":
        """Long: one row per step, group and measure."""
        import polars as pl

        schema = {"step": pl.Int64, "by": pl.String, "group": pl.String, "measure": pl.String}
        numbers = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64}
        rows = [
            (*key, name, found.value, found.low, found.high, found.n)
            for key, measures in self.cells.items()
            for name, found in measures.items()
        ]
        return pl.DataFrame(rows, schema=schema | numbers, orient="row")

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        table = self.table()
        facts = {"rows": table.height, "policies": {str(step): found for step, found in self.policies.items()}}
        with writing_dir(path, overwrite=overwrite) as aside:
            table.write_parquet(aside / FILE)
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, **facts)

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Evaluation":
        """Refused if it began from another base than the caller's {"policy": base.fingerprint()}."""
        manifest = read_manifest(path, KIND, made_from=made_from)
        frame = read_whole(Path(path) / FILE, manifest["rows"], "measures")
        cells: Cells = {}
        for step, by, group, measure, value, low, high, n in frame.iter_rows():
            cells.setdefault((step, by, group), {})[measure] = Share(value, low, high, n)
        policies = {int(step): found for step, found in manifest["policies"].items()}
        return cls(cells, policies=policies, config=manifest["config"], made_from=manifest["made_from"])


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
