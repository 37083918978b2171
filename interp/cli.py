"""The commands. Their flags are the fields of the config dataclasses here and of those they hold."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from interp.artifacts import BadInput, to_json, versions
from interp.flags import Asked, Kept, Opened, OpenedSeries, Trained, World
from interp.grpo.config import GRPOConfig
from interp.organism import OrganismConfig, task_for
from interp.policy.config import SampleConfig
from interp.rollouts import BucketConfig, CollectConfig, EvaluateConfig
from interp.studies.difficulty.config import DifficultyConfig
from interp.tasks import BUCKETS, Problem, Task

Flat = tyro.conf.arg(name="", prefix_name=False)
FlatThroughout = tyro.conf.OmitArgPrefixes
app = tyro.extras.SubcommandApp()
organism_app = tyro.extras.SubcommandApp()
study_app = tyro.extras.SubcommandApp()
app.command(organism_app, name="organism", help="Raise a base organism, or measure one again.")
app.command(study_app, name="study", help="A claim of the literature as an experiment, with its controls.")


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        return _say(f"interp {versions('interp').get('interp', 'not installed')}")
    try:
        app.cli(prog="interp", description="What reinforcement learning did inside a model.")
    except BadInput as error:
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(2)
    except OSError as error:  # a full disk, a place that may not be written
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(2)
    except ArithmeticError as error:  # a policy that has diverged
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt as stopped:
        sys.stderr.write(f"interp: {stopped}\n" if stopped.args else "")
        sys.exit(130)


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def _say_json(value: Any) -> None:
    _say(json.dumps(to_json(value), ensure_ascii=False, allow_nan=False))


def _warn_of_skipped(task: Task) -> list[dict[str, Any]]:
    skipped = to_json(getattr(task, "skipped", ()))
    if skipped:
        listed = [f"  line {row['line']}: {row['reason']}" for row in skipped]
        sys.stderr.write("\n".join([f"interp: {len(skipped)} lines skipped", *listed]) + "\n")
    return skipped


# --- the commands ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Demo:
    opened: Annotated[Opened, Flat] = field(default_factory=Opened)
    problems: int = 60
    """Per depth."""
    group: int = 16
    """Rollouts per problem."""
    shown: int = 6
    """Rollouts to show in colour."""
    steps: int = 40
    """Of training on hard and on medium problems. 0 trains nothing."""
    out: Path = Path("runs/demo")
    """Where the training runs go."""
    seed: int = 0


@app.command(name="demo")
def demo(config: Annotated[Demo, Flat]) -> None:
    """The organism at work: what it gets right and how, and what training on hard problems does to it."""
    from interp.report.terminal import by_depth, finding, gallery, introduction
    from interp.report.training import in_a_sentence, side_by_side, what_it_shows
    from interp.rollouts import roll_out, summarise
    from interp.studies.demo import hard_against_medium

    if min(config.problems, config.group, config.shown) < 1 or config.steps < 0:
        raise BadInput("problems, group and shown must be at least 1, steps at least 0")
    policy, task = config.opened.load(), task_for(config.opened.path)
    lo, hi = task.depths
    asked = [p for depth in range(lo, hi + 1) for p in task.problems("eval", depth, config.problems)]
    rollouts = roll_out(policy, task, asked, SampleConfig(group=config.group, seed=config.seed, rows=1024))
    summary = summarise(rollouts)
    if not config.opened.json:
        buckets = {depth: bucket for bucket in BUCKETS for depth in getattr(task, bucket)}
        hard = summarise(rollouts, "bucket").rows.get("hard")
        came_to = [finding(hard), ""] if hard else []
        _say(
            introduction(task),
            "",
            by_depth(summary, buckets),
            "",
            *came_to,
            gallery(rollouts, policy.words, config.shown),
            *(["", what_it_shows(config.steps), ""] if config.steps else []),
        )
    trained = hard_against_medium(policy, task, config.out, steps=config.steps, seed=config.seed)
    ends = dict(trained) if config.steps else {}
    if config.opened.json:
        after = {name: end.table().to_dicts() for name, end in ends.items()}
        _say_json({"policy": policy.fingerprint(), "by_depth": summary.rows, "after": after})
    elif ends:
        _say("", side_by_side(ends), "", in_a_sentence(ends), f"Runs, with checkpoints and rollouts: {config.out}")


@dataclass(frozen=True)
class Build:
    out: Path
    """The directory to make."""
    organism: Annotated[OrganismConfig, Flat] = field(default_factory=OrganismConfig)
    overwrite: bool = False
    json: bool = False
    """Print one JSON object and nothing else."""


@organism_app.command(name="build")
def organism_build(config: Annotated[Build, Flat]) -> None:
    """Raise a base organism and measure it. Killed and started again, it goes on where it was."""
    from interp.organism import build

    build(config.organism, config.out, overwrite=config.overwrite)
    _say_card(config.out, config.json)


@dataclass(frozen=True)
class Card:
    organism: tyro.conf.Positional[Path]
    """The directory of an organism."""
    json: bool = False
    """Print one JSON object and nothing else."""


@organism_app.command(name="card")
def organism_card(config: Annotated[Card, Flat]) -> None:
    """Measure an organism again and write its card anew. Its weights are left alone."""
    from interp.organism import renew_card

    renew_card(config.organism)
    _say_card(config.organism, config.json)


def _say_card(organism: Path, as_json: bool) -> None:
    checks = json.loads((organism / "measured.json").read_text())["checks"]
    if as_json:
        _say_json({"organism": organism, "checks": checks})
    else:
        held = [f"{'yes' if check['held'] else 'NO':3}  {check['claim']}: {check['found']}" for check in checks]
        _say(*held, f"the card is {organism / 'README.md'}")


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
    config.kept.refuse_existing()
    task = config.asked.open(config.opened.path)
    asked = config.asked.draw(task, otherwise=otherwise)
    return task, asked, _warn_of_skipped(task)


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
        _say_json({"rows": len(rollouts), "out": config.kept.out, "skipped": skipped, "by_split": summary.rows})
    else:
        _say(shares(summary), "", gallery(rollouts, policy.words, 4))


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
        _say_json({"counts": measured.counts(), "out": config.kept.out, "skipped": skipped, "problems": measured.rows})
    else:
        _say(bucket_table(measured))


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

    config.kept.refuse_existing()
    series, opened = config.opened.open(), config.opened
    task = config.world.open(series.base.path)
    skipped = _warn_of_skipped(task)
    found = evaluate(series, task, config.evaluation, device=opened.device, dtype=opened.dtype)
    if config.kept.out:
        found.save(config.kept.out, overwrite=config.kept.overwrite)
    if opened.json:
        table = found.table().to_dicts()
        _say_json({"policies": found.policies, "out": config.kept.out, "skipped": skipped, "table": table})
    else:
        _say(over_steps(found), "", crossed(found))


@dataclass(frozen=True)
class Collect:
    collecting: Annotated[CollectConfig, Flat, FlatThroughout]
    opened: Annotated[OpenedSeries, Flat] = field(default_factory=OpenedSeries)
    world: Annotated[World, Flat] = field(default_factory=World)
    out: Path | None = None
    """The store's directory. Beside the checkpoints of a --series if not given. Asked for again, it goes on."""


@app.command(name="collect")
def collect_command(config: Annotated[Collect, Flat]) -> None:
    """Collect the residuals of a policy, or of every checkpoint of a series, on its own rollouts and on the base's."""
    from interp.report.activations import collected, shares

    series, opened = config.opened.open(), config.opened
    task = config.world.open(series.base.path)
    skipped = _warn_of_skipped(task)
    store = series.collect(task, config=config.collecting, out=config.out, device=opened.device, dtype=opened.dtype)
    if opened.json:
        held = {"layers": store.layers, "tokens": len(store), "bytes": store.size, "shards": store.shards}
        _say_json({"out": store.path, "skipped": skipped, **held, "read": shares(store)})
    else:
        _say(collected(store))


@dataclass(frozen=True)
class Grpo:
    out: Path
    """The run's directory. Asked for again, a run that was stopped goes on."""
    opened: Annotated[Opened, Flat] = field(default_factory=Opened)
    world: Annotated[World, Flat] = field(default_factory=World)
    trained: Annotated[Trained, Flat] = field(default_factory=Trained)
    training: Annotated[GRPOConfig, Flat, FlatThroughout] = field(default_factory=GRPOConfig)


@app.command(name="grpo")
def grpo_command(config: Annotated[Grpo, Flat]) -> None:
    """Train a policy with GRPO on a bucket, and keep its checkpoints and what they wrote."""
    from interp.credit import scheme
    from interp.grpo import train
    from interp.report.training import over_steps

    task = config.world.open(config.opened.path)
    skipped, credit, sinks = _warn_of_skipped(task), scheme(config.trained.credit), config.trained.sinks()
    config.trained.settle_in()
    base = config.opened.load()
    bucket = config.trained.problems(base)
    run = train(base, task, bucket=bucket, config=config.training, credit=credit, out=config.out, sinks=sinks)
    metrics = run.metrics()
    if config.opened.json:
        _say_json(
            {"run": run.path, "checkpoints": run.series.steps, "skipped": skipped, "last": metrics.to_dicts()[-1]}
        )
    else:
        _say(
            over_steps(metrics, config.training.save_every), f"the run is {run.path}: {run.metrics_path}, {run.series}"
        )


@dataclass(frozen=True)
class Difficulty:
    study: Annotated[DifficultyConfig, Flat] = field(default_factory=DifficultyConfig)
    out: Path = Path("data/results/difficulty")
    """Where the result goes, and the ledger of runs."""
    runs: Path = Path("runs/difficulty")
    """Where the runs' own directories go."""
    json: bool = False
    """Print one JSON object and nothing else."""


@study_app.command(name="difficulty")
def difficulty_command(config: Annotated[Difficulty, Flat]) -> None:
    """Is learning an inverted U, does hard training harm, is luck the channel? Goes on where it was stopped."""
    from interp.studies.difficulty.study import study

    judged = study(config.study, config.out, config.runs)
    if config.json:
        _say_json({"out": config.out, "verdicts": {j.claim.name: j.verdict for j in judged}})
    else:
        _say(*(f"{j.verdict:14} {j.claim.claim}" for j in judged), f"the result is {config.out / 'README.md'}")


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
        _say_json({"cases": len(results), "failed": [r for r in results if not r.agreed]})
    else:
        _say(case_table(results))
    if not all(result.agreed for result in results):
        sys.exit(1)
