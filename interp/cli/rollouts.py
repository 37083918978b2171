"""Roll out a policy, bucket problems by difficulty, evaluate; and test the verifiers on adversarial cases."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from interp.artifacts import reserve
from interp.checks import Name, Step
from interp.cli.app import Args, Flat, app, explain, report_skipped, say, say_json, say_saved
from interp.cli.args import (
    DEFAULT_PROBLEMS,
    OutputArgs,
    PolicyArgs,
    ProblemArgs,
    SeriesArgs,
    TaskArgs,
    expect_affordable,
)
from interp.cli.tables import estimates_table
from interp.display import text_columns, text_table
from interp.policy.config import SampleConfig
from interp.policy.prompts import PromptFormat, same_prompts
from interp.rollouts import BucketConfig, EvaluateConfig
from interp.rollouts.buckets import KIND as BUCKETS
from interp.rollouts.evaluation import KIND as EVALUATION
from interp.rollouts.record import KIND as ROLLOUTS
from interp.tasks import JsonlTask, Problem, Task

if TYPE_CHECKING:
    from interp.rollouts import Rollout

BY_DEPTH = ("pass_rate", "valid_rate", "lucky_rate", "direct_share", "valid_given_success")
BY_STEP = ("pass_rate", "valid_rate", "direct_share")
GALLERY_SIZE = 4


@dataclass(frozen=True)
class RollOut(Args):
    policy: Annotated[PolicyArgs, Flat] = field(default_factory=PolicyArgs)
    problems: Annotated[ProblemArgs, Flat] = field(default_factory=ProblemArgs)
    sampling: Annotated[SampleConfig, Flat] = field(default_factory=SampleConfig)
    run: Name = "base"
    """Name of the run that the rollouts belong to."""
    step: Step = 0
    """Step of the checkpoint in the run."""
    prompts: Annotated[PromptFormat, Flat] = field(default_factory=PromptFormat)
    output: Annotated[OutputArgs, Flat] = field(default_factory=OutputArgs)


def _open_problems(
    config: "RollOut | Bucket", *, default_split: str = "eval"
) -> tuple[Task, list[Problem], list[dict[str, Any]]]:
    """The task, the problems and the skipped lines. Bad input is refused here, before a model is loaded."""
    task = config.problems.open(config.policy.path)
    sampling = config.sampling if isinstance(config, RollOut) else config.buckets.sampling()
    expect_affordable(task, sampling, config.problems.problems or DEFAULT_PROBLEMS)
    problems = config.problems.select(task, default_split=default_split)
    return task, problems, report_skipped(task)


@app.command(name="roll-out")
def roll_out_command(config: Annotated[RollOut, Flat]) -> None:
    """Sample answers of a policy to problems of a task, and verify them."""
    from interp.rollouts import roll_out, summarize
    from interp.rollouts.gallery import gallery

    output, is_json = config.output, config.policy.json
    with output.reserve(ROLLOUTS):
        task, problems, skipped = _open_problems(config)
        policy = config.policy.load()
        prompts = same_prompts(config.prompts, PromptFormat.of_checkpoint(policy.path), of="the run of this policy")
        rollouts = roll_out(
            policy,
            task,
            problems,
            config.sampling,
            run=config.run,
            step=config.step,
            prompt_format=prompts,
            progress=not is_json,
        )
        output.save(rollouts)
    by_depth = summarize(rollouts, "depth")
    if is_json:
        summary, table = rollouts.summary().to_dicts(), by_depth.table().to_dicts()
        return say_json(
            {"rollouts": len(rollouts), "out": output.out, "skipped": skipped, "summary": summary, "table": table}
        )
    rows = [([depth], estimates) for depth, estimates in by_depth.estimates.items()]
    say(f"{rollouts}")
    explain(
        "Shares of rollouts by depth, with 95% intervals over problems:", estimates_table(["depth"], rows, BY_DEPTH)
    )
    _say_unannounced(rollouts, task)
    explain("Examples:", gallery(rollouts, policy.token_texts, GALLERY_SIZE))
    return say_saved(output.out)


def _say_unannounced(rollouts: "Sequence[Rollout]", task: Task) -> None:
    """Say how many rollouts have the right number and do not announce it as their answer."""
    if count := sum(rollout.format == "unannounced" for rollout in rollouts):
        explain(
            f"{count} of {len(rollouts)} rollouts end in the right number and announce no answer, so they count as "
            "wrong. Tell the policy how (--suffix ' State the result as: The answer is N.')"
            f"{', or take the last number (--answer-rule last-number)' if isinstance(task, JsonlTask) else ''}."
        )


@dataclass(frozen=True)
class Bucket(Args):
    policy: Annotated[PolicyArgs, Flat] = field(default_factory=PolicyArgs)
    problems: Annotated[ProblemArgs, Flat] = field(default_factory=ProblemArgs)
    buckets: Annotated[BucketConfig, Flat] = field(default_factory=BucketConfig)
    rollouts: Path | None = None
    """Also save the completions, in this directory, as `interp roll-out --out` does."""
    output: Annotated[OutputArgs, Flat] = field(default_factory=OutputArgs)


@app.command(name="bucket")
def bucket_command(config: Annotated[Bucket, Flat]) -> None:
    """Measure each problem's pass rate under the base policy, and sort the problems into easy, medium and hard."""
    from interp.rollouts import bucket

    output, is_json = config.output, config.policy.json
    with output.reserve(BUCKETS), reserve(config.rollouts, overwrite=output.overwrite, kind=ROLLOUTS):
        task, problems, skipped = _open_problems(config, default_split="train")
        buckets = bucket(config.policy.load(), task, problems, config=config.buckets, progress=not is_json)
        output.save(buckets)
        if config.rollouts is not None and buckets.rollouts is not None:
            buckets.rollouts.save(config.rollouts, overwrite=output.overwrite)
    if is_json:
        summary, table = buckets.summary().to_dicts(), buckets.table().to_dicts()
        return say_json({"out": output.out, "skipped": skipped, "summary": summary, "table": table})
    say(f"{buckets}", "", text_table(buckets.summary()))
    _say_unannounced(buckets.rollouts or (), task)
    explain(
        "Unambiguous: the whole interval of the pass rate lies in the bucket. hard@8: none of the first 8 samples is "
        "correct; easy@8: all are."
    )
    return say_saved(output.out)


@dataclass(frozen=True)
class Evaluate(Args):
    policy: Annotated[SeriesArgs, Flat] = field(default_factory=SeriesArgs)
    task: Annotated[TaskArgs, Flat] = field(default_factory=TaskArgs)
    evaluation: Annotated[EvaluateConfig, Flat] = field(default_factory=EvaluateConfig)
    output: Annotated[OutputArgs, Flat] = field(default_factory=OutputArgs)


@app.command(name="evaluate")
def evaluate_command(config: Annotated[Evaluate, Flat]) -> None:
    """Measure a policy, or every checkpoint of a series, on the same problems: pass@k by answer and by every step."""
    from interp.rollouts import evaluate

    policy, output = config.policy, config.output
    with output.reserve(EVALUATION):
        series = policy.open()
        task = config.task.open(series.base.path)
        skipped = report_skipped(task)
        expect_affordable(
            task, config.evaluation.sampling(), config.evaluation.problems, config.evaluation.levels or task.levels
        )
        evaluation = evaluate(
            series, task, config.evaluation, device=policy.device, dtype=policy.dtype, progress=not policy.json
        )
        output.save(evaluation)
    if policy.json:
        summary, table = evaluation.summary().to_dicts(), evaluation.table().to_dicts()
        policies = {"policies": evaluation.policies, "out": output.out, "skipped": skipped}
        return say_json({**policies, "summary": summary, "table": table})
    k = max(config.evaluation.k)
    at_k = (f"pass_at_{k}", f"valid_at_{k}") if k > 1 else ()
    rows = [
        ([group, step], evaluation.measures(step, by=by, group=group))
        for by, groups in (("level", evaluation.groups("level")), ("all", ("all",)))
        for group in groups
        for step in evaluation.steps
    ]
    say(f"{evaluation}")
    table = estimates_table(["level", "step"], rows, (*BY_STEP, *at_k))
    explain("Shares of rollouts by level and step, with 95% intervals over problems:", table)
    last = evaluation.steps[-1]
    measures = evaluation.measures(last)
    if judged := measures["coherent_valid"].n:
        total = measures["pass_rate"].n
        cross = [
            [name, *(measures[f"{coherence}_{validity}"] for validity in ("valid", "invalid"))]
            for name, coherence in (("every step true", "coherent"), ("a step false", "incoherent"))
        ]
        text = f"Step {last}: {judged} of {total} rollouts wrote steps that can be judged. Shares of these:"
        explain(text, text_columns(["", "valid", "invalid"], cross))
    return say_saved(output.out)


@dataclass(frozen=True)
class Verify(Args):
    tables: tyro.conf.Positional[tuple[Path, ...]] = ()
    """JSONL files of cases, each named for its verifier: chain, math, traces or gym. Default: the shipped ones."""
    json: bool = False
    """Print one JSON object and nothing else."""


@app.command(name="verify")
def verify_command(config: Annotated[Verify, Flat]) -> None:
    """Test the verifiers on tables of adversarial completions. Exits with 1 if a verdict is not the expected one."""
    from interp.tasks.adversarial import run_case_table, shipped_case_tables

    results = [result for table in config.tables or shipped_case_tables() for result in run_case_table(table)]
    failed = [result for result in results if not result.passed]
    if config.json:
        say_json({"cases": len(results), "failed": failed})
    else:
        verifiers = sorted({result.table for result in results})
        rows = [
            [verifier, sum(r.table == verifier for r in results), sum(r.table == verifier for r in failed)]
            for verifier in verifiers
        ]
        say(text_columns(["verifier", "cases", "failed"], rows))
        for r in failed:
            say(f"{r.table}: {r.case}: expected {r.expected}, got {r.verdict}")
    if failed:
        sys.exit(1)
