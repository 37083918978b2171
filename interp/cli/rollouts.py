"""What a policy does: roll out, sort by difficulty, evaluate; and the verifiers held to their tables."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from interp.cli.app import Flat, app, say, say_json, warn_of_skipped
from interp.cli.args import Asked, Kept, Opened, OpenedSeries, World
from interp.policy.config import SampleConfig
from interp.rollouts import BucketConfig, EvaluateConfig
from interp.tasks import Problem, Task


@dataclass(frozen=True)
class RollOut:
    opened: Annotated[Opened, Flat] = field(default_factory=Opened)
    asked: Annotated[Asked, Flat] = field(default_factory=Asked)
    sampling: Annotated[SampleConfig, Flat] = field(default_factory=SampleConfig)
    run: str = "base"
    """Name of the run the rollouts belong to."""
    step: int = 0
    """Step of the checkpoint in it."""
    chat: bool = False
    """Ask as a user's turn in the tokenizer's chat template."""
    kept: Annotated[Kept, Flat] = field(default_factory=Kept)


def _ready(config: "RollOut | Bucket", *, otherwise: str = "eval") -> tuple[Task, list[Problem], list[dict[str, Any]]]:
    """Task, problems and skipped lines; whatever can be refused is refused here, before any model is loaded."""
    config.kept.expect_free()
    task = config.asked.open(config.opened.path)
    asked = config.asked.draw(task, otherwise=otherwise)
    return task, asked, warn_of_skipped(task)


@app.command(name="roll-out")
def roll_out_command(config: Annotated[RollOut, Flat]) -> None:
    """Roll a policy out on problems of a task and keep the joined record."""
    from interp.report.terminal import gallery, shares
    from interp.rollouts import roll_out, summarise

    task, asked, skipped = _ready(config)
    policy = config.opened.load()
    rollouts = roll_out(policy, task, asked, config.sampling, run=config.run, step=config.step, chat=config.chat)
    if config.kept.out:
        rollouts.save(config.kept.out, overwrite=config.kept.overwrite)
    summary = summarise(rollouts, "split")
    if config.opened.json:
        say_json({"rows": len(rollouts), "out": config.kept.out, "skipped": skipped, "by_split": summary.rows})
    else:
        say(shares(summary), "", gallery(rollouts, policy.words, 4))


@dataclass(frozen=True)
class Bucket:
    opened: Annotated[Opened, Flat] = field(default_factory=Opened)
    asked: Annotated[Asked, Flat] = field(default_factory=Asked)
    buckets: Annotated[BucketConfig, Flat] = field(default_factory=BucketConfig)
    kept: Annotated[Kept, Flat] = field(default_factory=Kept)


@app.command(name="bucket")
def bucket_command(config: Annotated[Bucket, Flat]) -> None:
    """Measure each problem's pass rate under the base policy and sort problems by it."""
    from interp.report.terminal import bucket_table
    from interp.rollouts import bucket

    task, asked, skipped = _ready(config, otherwise="train")
    measured = bucket(config.opened.load(), task, asked, config=config.buckets)
    if config.kept.out:
        measured.save(config.kept.out, overwrite=config.kept.overwrite)
    if config.opened.json:
        say_json({"counts": measured.counts(), "out": config.kept.out, "skipped": skipped, "problems": measured.rows})
    else:
        say(bucket_table(measured))


@dataclass(frozen=True)
class Evaluate:
    opened: Annotated[OpenedSeries, Flat] = field(default_factory=OpenedSeries)
    world: Annotated[World, Flat] = field(default_factory=World)
    evaluation: Annotated[EvaluateConfig, Flat] = field(default_factory=EvaluateConfig)
    kept: Annotated[Kept, Flat] = field(default_factory=Kept)


@app.command(name="evaluate")
def evaluate_command(config: Annotated[Evaluate, Flat]) -> None:
    """Measure a policy, or every checkpoint of a series, on the same problems: pass@k by answer and by every step."""
    from interp.report.evaluation import crossed, over_steps
    from interp.rollouts import evaluate

    config.kept.expect_free()
    series, opened = config.opened.open(), config.opened
    task = config.world.open(series.base.path)
    skipped = warn_of_skipped(task)
    found = evaluate(series, task, config.evaluation, device=opened.device, dtype=opened.dtype)
    if config.kept.out:
        found.save(config.kept.out, overwrite=config.kept.overwrite)
    if opened.json:
        table = found.table().to_dicts()
        say_json({"policies": found.policies, "out": config.kept.out, "skipped": skipped, "table": table})
    else:
        say(over_steps(found), "", crossed(found))


@dataclass(frozen=True)
class Verify:
    tables: tyro.conf.Positional[tuple[Path, ...]] = ()
    """JSONL files of cases, each named for its verifier: chain, math, traces or gym. The shipped ones if none."""
    json: bool = False
    """Print one JSON object and nothing else."""


@app.command(name="verify")
def verify_command(config: Annotated[Verify, Flat]) -> None:
    """Run the verifiers over tables of adversarial completions. Exits with 1 if any verdict is not the expected one."""
    from interp.report.terminal import case_table
    from interp.tasks.cases import run_table, shipped_tables

    results = [result for table in config.tables or shipped_tables() for result in run_table(table)]
    if config.json:
        say_json({"cases": len(results), "failed": [r for r in results if not r.agreed]})
    else:
        say(case_table(results))
    if not all(result.agreed for result in results):
        sys.exit(1)
