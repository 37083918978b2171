"""Difficulty buckets: each problem's pass rate under the base policy, with an exact interval.

    easy    pass rate >= config.easy
    hard    pass rate <= config.hard
    medium  in between

A problem is unambiguous if its whole interval lies in its bucket. The label of the literature is recorded too, from the
first eight samples alone: `hard@8` (none correct), `easy@8` (all correct), `medium@8`. A problem with a true pass rate
of 0.05 gets `hard@8` two times in three.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from interp.artifacts import BadInput, open_artifact, reading, to_json, write_manifest, writing_dir
from interp.artifacts.writing import expect_place
from interp.checks import Confidence, Range, Seed, Share, expect_plausible
from interp.display import HtmlSummary
from interp.policy.config import NewTokens, Rows, SampleConfig, Temperature
from interp.policy.prompts import PromptFormat, same_prompts
from interp.rollouts.record import Rollouts
from interp.rollouts.roll_out import roll_out
from interp.rollouts.tables import read_table
from interp.tasks.base import BUCKETS, Problem, Task

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.policy import Policy

KIND = "buckets"
FILE = "buckets.parquet"
SAMPLES_OF_LABEL = 8


@dataclass(frozen=True)
class BucketConfig(PromptFormat):
    """How many samples measure a problem, and the pass rates that separate the buckets."""

    n: Annotated[int, Range(SAMPLES_OF_LABEL, 100_000)] = 64
    """Samples per problem. The label at 8 needs eight."""
    easy: Share = 0.6
    """Problems are easy from this pass rate on."""
    hard: Share = 0.35
    """Problems are hard up to this pass rate."""
    confidence: Confidence = 0.95
    """Confidence of the intervals."""
    max_new_tokens: NewTokens = 96
    """Longer completions are cut off, and marked as truncated."""
    temperature: Temperature = 1.0
    """Temperature of sampling. 0 is greedy."""
    rows: Rows = 512
    """Completions generated at once; less takes less memory."""
    seed: Seed = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_plausible(self)
        if not 0 <= self.hard < self.easy <= 1:
            raise BadInput(f"cut points must satisfy 0 <= hard < easy <= 1; got hard {self.hard}, easy {self.easy}")

    def sampling(self) -> SampleConfig:
        """Settings of sampling."""
        return SampleConfig(self.n, self.max_new_tokens, self.temperature, self.rows, self.seed)


@dataclass(frozen=True, slots=True)
class BucketedProblem:
    """A problem with its measured difficulty."""

    problem: Problem
    successes: int
    n: int
    pass_rate: float
    low: float
    high: float
    bucket: str
    unambiguous: bool
    """Whether the whole interval lies in the bucket."""
    label_at_8: str
    """`hard@8`, `medium@8` or `easy@8`, from the first eight samples alone."""


class MeasuredProblems(list[Problem]):
    """The problems of one bucket, with what they were measured with: a run on them compares it with its own."""

    def __init__(self, problems: Iterable[Problem], *, config: Mapping[str, Any], made_from: Mapping[str, str]) -> None:
        super().__init__(problems)
        self.config, self.made_from = dict(config), dict(made_from)

    def __getitem__(self, index: Any) -> Any:
        chosen = super().__getitem__(index)
        is_part = isinstance(index, slice)
        return MeasuredProblems(chosen, config=self.config, made_from=self.made_from) if is_part else chosen


class Buckets(Sequence[BucketedProblem], HtmlSummary):
    """Problems with their measured difficulty."""

    def __init__(
        self,
        rows: Sequence[BucketedProblem],
        *,
        config: Any,
        made_from: dict[str, str],
        rollouts: Rollouts | None = None,
    ) -> None:
        self.rows, self.config, self.made_from = list(rows), config, made_from
        self.rollouts = rollouts
        """The completions that were measured; None in buckets that were loaded. `save` leaves them out."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"Buckets({', '.join(f'{count} {bucket}' for bucket, count in self.counts().items())})"

    def problems(self, bucket: str, *, unambiguous_only: bool = False) -> MeasuredProblems:
        """Problems measured to be in `bucket`, which becomes their `level`, whatever level the task gave them."""
        if bucket not in BUCKETS:
            raise BadInput(f"bucket must be one of {', '.join(BUCKETS)}; got {bucket!r}")
        rows = [row for row in self.rows if row.bucket == bucket and (row.unambiguous or not unambiguous_only)]
        problems = (replace(row.problem, level=bucket) for row in rows)
        return MeasuredProblems(problems, config=self.config, made_from=self.made_from)

    def counts(self) -> dict[str, int]:
        """Number of problems in each bucket."""
        return {bucket: len(self.problems(bucket)) for bucket in BUCKETS}

    def table(self) -> "pl.DataFrame":
        """A row per problem: the problem, its pass rate with its interval, its bucket and its label at 8."""
        import polars as pl

        return pl.DataFrame([_to_row(row) for row in self.rows], schema=_schema())

    def summary(self) -> "pl.DataFrame":
        """A row per bucket: problems, unambiguous problems, and problems by their label at 8."""
        import polars as pl

        rows = []
        for bucket in BUCKETS:
            inside = [row for row in self.rows if row.bucket == bucket]
            labels = {f"{name}@8": sum(row.label_at_8 == f"{name}@8" for row in inside) for name in BUCKETS}
            unambiguous = sum(row.unambiguous for row in inside)
            rows.append({"bucket": bucket, "problems": len(inside), "unambiguous": unambiguous, **labels})
        return pl.DataFrame(rows)

    def figure(self) -> "go.Figure":
        """Pass rates of all problems with their intervals, from hardest to easiest, by bucket."""
        from interp.plots import Point, curves

        ranked = list(enumerate(sorted(self.rows, key=lambda row: row.pass_rate)))
        series = {
            bucket: [
                Point(rank, row.pass_rate, row.low, row.high, row.n) for rank, row in ranked if row.bucket == bucket
            ]
            for bucket in BUCKETS
        }
        return curves({"pass rate by problem": series}, x="problems, hardest first", y="pass rate")

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the buckets as a directory, atomically."""
        with writing_dir(path, overwrite=overwrite) as aside:
            self.table().write_parquet(aside / FILE)
            facts = {"counts": self.counts(), "rows": len(self)}
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, **facts)

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Buckets":
        """Load saved buckets; refused if they were measured on another base: {"policy": policy.fingerprint()}."""
        artifact = open_artifact(path, KIND, made_from=made_from)
        manifest = artifact.manifest
        with reading(artifact.path, "buckets"):
            counts = manifest["counts"]
            n = manifest.get("rows", sum(counts.values()))  # earlier versions state the counts alone
            frame = read_table(artifact, FILE, "problems", _schema(), rows=n, may_be_empty=("depth", "level"))
            rows = [_from_row(row) for row in frame.iter_rows(named=True)]
            buckets = cls(rows, config=manifest["config"], made_from=manifest["made_from"])
            if buckets.counts() != counts:
                raise BadInput(f"{artifact.path}: expected problems by bucket {counts}, got {buckets.counts()}")
            if wrong := [row.problem.id for row in rows if not _is_measured(row)]:
                raise BadInput(f"{artifact.path}: expected a pass rate within its interval, got another for {wrong[0]}")
        return buckets


def bucket(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem] | None = None,
    *,
    config: BucketConfig | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Buckets:
    """Measure each problem's pass rate under `policy` and sort the problems into buckets.

    Default problems: 64 training problems of mixed depth. `out` is where the buckets are saved: a place that holds
    anything is refused before the work."""
    if out is not None:
        expect_place(out, overwrite=False)
    config = same_prompts(
        config or BucketConfig(), PromptFormat.of_checkpoint(policy.path), of="the run of this policy"
    )
    problems = task.problems("train", None, 64) if problems is None else problems
    rollouts = roll_out(
        policy, task, problems, config.sampling(),
        prompt_format=config.prompt_format, purpose="bucket", progress=progress,
    )  # fmt: skip
    groups = [rollouts.rows[start : start + config.n] for start in range(0, len(rollouts), config.n)]
    rows = [
        measure_problem(problem, [rollout.correct for rollout in group], config)
        for problem, group in zip(problems, groups, strict=True)
    ]
    made_from = {"policy": policy.fingerprint(), "task": task.fingerprint()}
    buckets = Buckets(rows, config=to_json(config), made_from=made_from, rollouts=rollouts)
    if out is not None:
        buckets.save(out)
    return buckets


def measure_problem(problem: Problem, correct: Sequence[bool], config: BucketConfig) -> BucketedProblem:
    """The bucket and label of a problem, given whether each of its samples was correct."""
    from interp.stats import exact_interval

    successes, n = sum(correct), len(correct)
    low, high = exact_interval(successes, n, config.confidence)
    name = bucket_of_pass_rate(successes / n, config)
    unambiguous = bucket_of_pass_rate(low, config) == name == bucket_of_pass_rate(high, config)
    return BucketedProblem(problem, successes, n, successes / n, low, high, name, unambiguous, label_at_8(correct))


def bucket_of_pass_rate(pass_rate: float, config: BucketConfig) -> str:
    """The bucket of a pass rate: easy, medium or hard."""
    return "easy" if pass_rate >= config.easy else "hard" if pass_rate <= config.hard else "medium"


def label_at_8(correct: Sequence[bool]) -> str:
    """The label of the literature, from the first eight samples."""
    successes = sum(correct[:SAMPLES_OF_LABEL])
    return {0: "hard@8", SAMPLES_OF_LABEL: "easy@8"}.get(successes, "medium@8")


def _to_row(row: BucketedProblem) -> dict[str, Any]:
    return to_json(row.problem) | {key: value for key, value in to_json(row).items() if key != "problem"}


def _from_row(row: dict[str, Any]) -> BucketedProblem:
    problem = Problem(row["id"], row["prompt"], row["answer"], row["split"], row["depth"], row["level"])
    measured = ("successes", "n", "pass_rate", "low", "high", "bucket", "unambiguous", "label_at_8")
    return BucketedProblem(problem, **{key: row[key] for key in measured})


def _is_measured(row: BucketedProblem) -> bool:
    return row.pass_rate == row.successes / row.n and 0 <= row.low <= row.pass_rate <= row.high <= 1


def _schema() -> dict[str, Any]:
    import polars as pl

    return {
        **dict.fromkeys(("id", "prompt", "answer", "split"), pl.String),
        **{"depth": pl.Int64, "level": pl.String, "successes": pl.Int64, "n": pl.Int64},
        **dict.fromkeys(("pass_rate", "low", "high"), pl.Float64),
        **{"bucket": pl.String, "unambiguous": pl.Boolean, "label_at_8": pl.String},
    }
