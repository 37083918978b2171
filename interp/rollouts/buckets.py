"""Difficulty, measured: the base policy's pass rate on each problem, with an exact interval.

A problem is easy at a pass rate of `easy` or more, hard at `hard` or less, medium in between; `sure` says whether its
whole interval lies in its bucket. Beside it stands the label the literature uses, from the first eight samples alone:
`hard@8` (none right), `easy@8` (all right), `medium@8`. At a true rate of 0.05, `hard@8` is given two times in three.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, read_manifest, to_json, write_manifest, writing_dir
from interp.policy.config import SampleConfig
from interp.rollouts.intervals import exact
from interp.rollouts.roll_out import roll_out
from interp.tasks.base import BUCKETS, Problem, Task

if TYPE_CHECKING:
    import polars as pl

    from interp.policy import Policy

KIND = "buckets"
FILE = "buckets.parquet"


@dataclass(frozen=True)
class BucketConfig:
    n: int = 64
    """Samples per problem. With 8, a third of the labels are wrong."""
    easy: float = 0.6
    """Easy from this pass rate on."""
    hard: float = 0.35
    """Hard up to this pass rate."""
    confidence: float = 0.95
    """Of the intervals."""
    max_new_tokens: int = 96
    temperature: float = 1.0
    rows: int = 512
    """Completions generated at once; less takes less memory."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.hard < self.easy <= 1:
            raise BadInput(f"cut points must satisfy 0 <= hard < easy <= 1; got hard {self.hard}, easy {self.easy}")
        if self.n < 8:
            raise BadInput(f"n must be at least 8, for the X@8 label alone; got {self.n}")

    def sampling(self) -> SampleConfig:
        return SampleConfig(self.n, self.max_new_tokens, self.temperature, self.rows, self.seed)


@dataclass(frozen=True, slots=True)
class Measured:
    """One problem, with its measured difficulty."""

    problem: Problem
    successes: int
    n: int
    pass_rate: float
    low: float
    high: float
    bucket: str
    sure: bool
    at8: str


class Buckets(Sequence[Measured]):
    def __init__(self, rows: Sequence[Measured], *, config: Any, made_from: dict[str, str]) -> None:
        self.rows, self.config, self.made_from = list(rows), config, made_from

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]

    def problems(self, bucket: str, *, sure: bool = False) -> list[Problem]:
        """Those measured to be of `bucket`, and now called so, whatever the task called them."""
        if bucket not in BUCKETS:
            raise BadInput(f"bucket must be one of {', '.join(BUCKETS)}; got {bucket!r}")
        chosen = [row for row in self.rows if row.bucket == bucket and (row.sure or not sure)]
        return [replace(row.problem, bucket=bucket) for row in chosen]

    def __repr__(self) -> str:
        return f"Buckets({', '.join(f'{count} {bucket}' for bucket, count in self.counts().items())})"

    def counts(self) -> dict[str, int]:
        return {bucket: len(self.problems(bucket)) for bucket in BUCKETS}

    def table(self) -> "pl.DataFrame":
        import polars as pl

        return pl.DataFrame([_flat(row) for row in self.rows], infer_schema_length=None)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        with writing_dir(path, overwrite=overwrite) as aside:
            self.table().write_parquet(aside / FILE)
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, counts=self.counts())

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Buckets":
        """Refused if these were measured on another base than the caller's {"policy": policy.fingerprint()}."""
        import polars as pl

        manifest = read_manifest(path, KIND, made_from=made_from)
        rows = [_measured(row) for row in pl.read_parquet(Path(path) / FILE).iter_rows(named=True)]
        return cls(rows, config=manifest["config"], made_from=manifest["made_from"])


def bucket(
    policy: "Policy", task: Task, problems: Sequence[Problem] | None = None, *, config: BucketConfig | None = None
) -> Buckets:
    """Measure each problem's pass rate (default: 64 training problems of mixed depth) and sort them by it."""
    config = config or BucketConfig()
    problems = task.problems("train", None, 64) if problems is None else problems
    rollouts = roll_out(policy, task, problems, config.sampling(), purpose="bucket")
    groups = [rollouts.rows[at : at + config.n] for at in range(0, len(rollouts), config.n)]
    rows = [
        measure(problem, [rollout.correct for rollout in group], config)
        for problem, group in zip(problems, groups, strict=True)
    ]
    made_from = {"policy": policy.fingerprint(), "task": task.fingerprint()}
    return Buckets(rows, config=to_json(config), made_from=made_from)


def measure(problem: Problem, passed: Sequence[bool], config: BucketConfig) -> Measured:
    successes, n = sum(passed), len(passed)
    low, high = exact(successes, n, config.confidence)
    name = bucket_of(successes / n, config)
    sure = bucket_of(low, config) == name == bucket_of(high, config)
    return Measured(problem, successes, n, successes / n, low, high, name, sure, label_at_8(passed))


def bucket_of(pass_rate: float, config: BucketConfig) -> str:
    return "easy" if pass_rate >= config.easy else "hard" if pass_rate <= config.hard else "medium"


def label_at_8(passed: Sequence[bool]) -> str:
    first = sum(passed[:8])
    return {0: "hard@8", 8: "easy@8"}.get(first, "medium@8")


def _flat(row: Measured) -> dict[str, Any]:
    problem = {f"problem_{key}" if key == "bucket" else key: value for key, value in to_json(row.problem).items()}
    return problem | {key: value for key, value in to_json(row).items() if key != "problem"}


def _measured(row: dict[str, Any]) -> Measured:
    problem = Problem(row["id"], row["prompt"], row["answer"], row["split"], row["depth"], row["problem_bucket"])
    rest = ("successes", "n", "pass_rate", "low", "high", "bucket", "sure", "at8")
    return Measured(problem, **{key: row[key] for key in rest})
