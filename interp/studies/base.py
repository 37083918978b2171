"""What a study is: a question, claims with their rules, arms, and what one run of an arm does.

A study is a subclass of `Study` in one file, listed in `interp.studies.STUDIES`. It states arms, measures and claims
before its runs. The base class does the rest: worker processes, ledger, resuming, verdicts, result.json, README.md, the
page of figures and the command line.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from interp.artifacts import (
    BadInput,
    Mismatch,
    describe_changes,
    fingerprint_config,
    from_json,
    locked,
    parse_json,
    reading,
    to_json,
)
from interp.stats.estimate import Estimate
from interp.studies.results import Arm, Measure, Observation, Results

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.studies.judging import Judgement
    from interp.studies.runner import Ledger, Row

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"
NO_EVIDENCE = "no evidence"
"""Not supported because nothing was shown, rather than the opposite. The reading `as registered` calls this not
supported; the others call it inconclusive."""
LEDGER, RESULT = "runs.jsonl", "result.json"
COMMITTED_BASE = "71cfd0d8dac8ae7a"
"""Fingerprint of the shipped base when the committed ledgers were made."""
logger = logging.getLogger(__name__)
C = TypeVar("C")


@dataclass(frozen=True)
class Verdict:
    """What a rule says of the records, and the estimates it rests on."""

    outcome: str
    measures: Mapping[str, Estimate] = field(default_factory=dict)
    beside: Mapping[str, Estimate] = field(default_factory=dict)
    """Estimates that the rule does not use, for a reader to see beside it."""
    beside_note: str = ""
    ways: int = 1
    """Number of measures that could each have decided this alone. The p-value is multiplied by it (Bonferroni)."""


@dataclass(frozen=True)
class Claim:
    """A sentence that runs can support or not: its rule in prose and in code."""

    name: str
    text: str
    prediction: str
    """What we expected, written before the runs."""
    rule: str
    judge: Callable[[Results], Verdict] = field(compare=False)
    caveats: tuple[str, ...] = ()
    """Limits: what the claim does not show, or shows only in part."""


@dataclass(frozen=True)
class Table:
    """A table of the result's README."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure of the result's page, with its text."""

    title: str
    text: str
    figure: "go.Figure"
    claims: tuple[str, ...] = ()
    """Names of the claims whose verdicts stand beside it."""


@dataclass(frozen=True)
class Job:
    """One run: what a worker process gets."""

    study: "type[Study[Any]]"
    arm: Arm
    seed: int | None
    config: Any
    directory: Path


class Study(ABC, Generic[C]):
    """Claims of the literature as an experiment."""

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    """One sentence, shown by `--help`."""
    summary: ClassVar[str]
    """The claim as a whole, in one sentence."""
    Config: type[C]
    committed: C | None = None
    """Config of a ledger from before rows named what decides them."""
    claims: ClassVar[tuple[Claim, ...]]
    measures: ClassVar[Mapping[str, Measure]]
    """Measures that result.json reports of every arm."""
    background: ClassVar[str] = ""
    """What was known before the runs."""

    # --- what a study states ---------------------------------------------------------------------------------------

    @abstractmethod
    def arms(self, config: C) -> Sequence[Arm]: ...

    def seeds(self, arm: Arm, config: Any) -> Sequence[int | None]:
        """Seeds of an arm; (None,) for a baseline that is run once."""
        return range(config.first_seed, config.first_seed + config.seeds)

    def world_spec(self, config: Any) -> Any:
        """Everything that decides what `prepare` makes. Runs of another spec have a directory of their own."""
        return None

    def prepare(self, config: C, seed: int, directory: Path) -> None:
        """Make what the arms of a seed share. A repeated call makes what is missing."""
        return

    @abstractmethod
    def run(self, arm: Arm, seed: int | None, config: C, directory: Path) -> dict[str, Any]:
        """One record, of plain values."""

    def base_path(self, config: Any) -> Path:
        """Directory of the base that all arms start from."""
        from interp.organism import shipped_path

        return shipped_path()

    def base_fingerprint(self, config: Any) -> str:
        """Fingerprint of the base's weights, part of the ledger's key."""
        from interp.policy.fingerprints import weights_fingerprint_of

        return weights_fingerprint_of(self.base_path(config))

    def migrate(self, record: dict[str, Any]) -> "Row":
        """A record from before rows named their arm and seed."""
        from interp.studies.runner import Row

        return Row(record, record["arm"], record["seed"])

    def observations(self, rows: "Sequence[Row]") -> Sequence[Observation]:
        """Observations from the records, one per arm and seed."""
        return [Observation(row.arm, row.seed, row.record) for row in rows]

    def estimate(self, results: Results, arm: str, measure: Measure) -> Estimate:
        """The estimate of an arm that result.json reports."""
        return results.mean(arm, measure)

    @abstractmethod
    def method(self, config: C) -> str:
        """What was done, for a reader of the result."""

    def tables(self, results: Results, config: C) -> Sequence[Table]:
        return ()

    def figures(self, results: Results, config: C) -> Sequence[Figure]:
        return ()

    def facts(self, judgements: "Sequence[Judgement]") -> dict[str, Any]:
        """More entries of result.json."""
        return {}

    # --- what every study does -------------------------------------------------------------------------------------

    def execute(
        self, config: C, out: Path, runs: Path, *, rejudge: bool = False, overwrite: bool = False
    ) -> "list[Judgement]":
        """Run what is missing, judge, and write the result into `out`. `runs` gets the runs' own directories. With
        `rejudge`, judge the records that are there and run nothing.

        A result of runs that this config does not have is refused, unless `overwrite`; the ledger keeps all runs."""
        from interp.studies.report import write_result

        with locked(out):
            if not overwrite:
                self._expect_all_runs_of(out, config)
            if not rejudge:
                self._run_missing(self.jobs(config, runs), self.open_ledger(out), config)
            return write_result(self, self.load_results(config, out), config, out)

    def _expect_all_runs_of(self, out: Path, config: C) -> None:
        """Refuse a result in `out` that has runs which this config lacks: it would be replaced by one of fewer."""
        if not (out / RESULT).exists():
            return
        stored = parse_json(out / RESULT)
        with reading(out / RESULT, "the result of a study with its config"):
            stored_config = from_json(self.Config, stored["config"])
        old, new = (
            {fingerprint_config(self.ledger_key(job, "")) for job in self.jobs(each, Path())}
            for each in (stored_config, config)
        )
        if not old <= new:
            changes = describe_changes(to_json(stored_config), to_json(config))
            raise Mismatch(
                f"{out} holds a result of other runs: {changes}. Choose another place (out, --out), or pass overwrite "
                "(--overwrite): the ledger keeps the runs of both"
            )

    def load_results(self, config: C, out: Path) -> Results:
        """The records of a config that are in the ledger of `out`, as numbers."""
        ledger, base, jobs = self.open_ledger(out), self.base_fingerprint(config), self.jobs(config, Path())
        rows = [row for job in jobs if (row := ledger.get(self.ledger_key(job, base)))]
        if not rows:
            raise BadInput(
                f"expected records of this config and base in {out / LEDGER}, got none: leave out --rejudge to run them"
            )
        if missing := len(jobs) - len(rows):
            logger.warning("%d of %d runs are not in %s; they are left out", missing, len(jobs), out / LEDGER)
        return Results(self.observations(rows))

    def jobs(self, config: Any, runs: Path) -> list[Job]:
        """All runs: the first seed of every arm, then the second, and so on."""
        arms = [(arm, list(self.seeds(arm, config))) for arm in self.arms(config)]
        turns = range(max(len(seeds) for _, seeds in arms))
        listed = [(arm, seeds[turn]) for turn in turns for arm, seeds in arms if turn < len(seeds)]
        world = fingerprint_config(self.world_spec(config))[:6]
        return [Job(type(self), arm, seed, config, runs / world / str(seed)) for arm, seed in listed]

    def open_ledger(self, out: Path) -> "Ledger":
        """The ledger in `out`, with rows of the first format under the specs of the committed config."""
        from interp.studies.runner import Ledger

        ledger = Ledger.open(out / LEDGER)
        if ledger.unkeyed and self.committed is not None:
            jobs = {(job.arm.name, job.seed): job for job in self.jobs(self.committed, Path())}
            for row in map(self.migrate, ledger.unkeyed):
                if job := jobs.get((row.arm, row.seed)):
                    ledger.adopt(self.ledger_key(job, COMMITTED_BASE), row)
        return ledger

    def ledger_key(self, job: Job, base: str) -> dict[str, Any]:
        return {"study": self.name, "arm": to_json(job.arm), "seed": job.seed, "base": base}

    def _run_missing(self, jobs: Sequence[Job], ledger: "Ledger", config: Any) -> None:
        from interp.studies.runner import Row, run_jobs

        base = self.base_fingerprint(config)
        missing = [job for job in jobs if ledger.get(self.ledger_key(job, base)) is None]
        worlds = list({job.seed: job for job in missing if job.seed is not None}.values())
        options = {"processes": config.processes}
        if type(self).prepare is not Study.prepare:
            run_jobs(worlds, _prepare, lambda job, record: None, name=f"{self.name}: worlds", **options)

        def finish(job: Job, record: dict[str, Any]) -> None:
            ledger.add(self.ledger_key(job, base), Row(record, job.arm.name, job.seed))

        run_jobs(missing, _run, finish, name=self.name, **options)


def deciding_fields(config: Any, *excluded: str) -> dict[str, Any]:
    """The fields of a config that decide a record, as plain values. Counts of seeds and of processes decide none."""
    names = [
        field.name for field in fields(config) if field.name not in ("seeds", "first_seed", "processes", *excluded)
    ]
    return {name: to_json(getattr(config, name)) for name in names}


def chosen_fields(config: Any, *names: str) -> dict[str, Any]:
    """Some fields of a config, as plain values."""
    return {name: to_json(getattr(config, name)) for name in names}


def _prepare(job: Job) -> dict[str, Any]:
    assert job.seed is not None
    job.study().prepare(job.config, job.seed, job.directory)
    return {}


def _run(job: Job) -> dict[str, Any]:
    return job.study().run(job.arm, job.seed, job.config, job.directory)


# --- rules ---------------------------------------------------------------------------------------------------------


def judge_above(
    deciding: Sequence[Estimate], measures: Mapping[str, Estimate], bound: float = 0.0, **options: Any
) -> Verdict:
    """Supported where every deciding interval lies above the bound, not supported where one lies below it."""
    if any(one.is_below(bound) for one in deciding):
        return Verdict(NOT_SUPPORTED, measures, ways=len(deciding), **options)
    outcome = SUPPORTED if all(one.is_above(bound) for one in deciding) else INCONCLUSIVE
    return Verdict(outcome, measures, **options)


def judge_below(
    deciding: Sequence[Estimate], measures: Mapping[str, Estimate], bound: float = 0.0, **options: Any
) -> Verdict:
    """Supported where every deciding interval lies below the bound, not supported where one lies above it."""
    if any(one.is_above(bound) for one in deciding):
        return Verdict(NOT_SUPPORTED, measures, ways=len(deciding), **options)
    outcome = SUPPORTED if all(one.is_below(bound) for one in deciding) else INCONCLUSIVE
    return Verdict(outcome, measures, **options)
