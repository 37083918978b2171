"""The commands. Their flags are the fields of the config dataclasses here and of those they hold."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from interp.artifacts import BadInput, to_json
from interp.organism import OrganismConfig, shipped, task_for
from interp.policy.config import SampleConfig
from interp.rollouts import BucketConfig
from interp.tasks import BUCKETS, SPLITS, Chain, GymTask, JsonlTask, Problem, Task

if TYPE_CHECKING:
    from interp.policy import Policy

Flat = tyro.conf.arg(name="", prefix_name=False)
app = tyro.extras.SubcommandApp()
ENDLESS = 64
"""Problems asked of a task that never runs out of them, unless told otherwise."""
organism_app = tyro.extras.SubcommandApp()
app.command(organism_app, name="organism")


def main() -> None:
    try:
        app.cli(prog="interp", description="What reinforcement learning did inside a model.")
    except BadInput as error:
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


# --- what commands share -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """The policy to work with."""

    policy: Path | None = None
    """A local Hugging Face directory. The shipped organism if not given."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    dtype: str = "auto"
    """auto, float32, bfloat16 or float16."""
    json: bool = False
    """Print one JSON object and nothing else."""

    @property
    def path(self) -> Path:
        return self.policy or shipped()

    def load(self) -> "Policy":
        from interp.policy import Policy

        return Policy.load(self.path, device=self.device, dtype=self.dtype)


@dataclass(frozen=True)
class Asked:
    """The problems to ask: of the chain task, unless --jsonl or --gym names another."""

    split: str = "eval"
    """train, eval or probe."""
    level: str | None = None
    """A bucket (easy, medium, hard) or a depth. All depths in turn if not given."""
    problems: int | None = None
    """How many. If not given, all there are in --jsonl, 64 of a task without end."""
    jsonl: Path | None = None
    """Your own problems, one {"id", "prompt", "answer", ...} a line."""
    skip_bad: bool = False
    """Go on past lines of --jsonl that cannot be read. They are counted and listed."""
    gym: str | None = None
    """A dataset of reasoning-gym, by name."""
    task: Chain = field(default_factory=Chain)
    """The chain task's dials. If none is turned, those of the world the policy was raised in."""

    def open(self, policy: Path) -> Task:
        if self.jsonl and self.gym:
            raise BadInput("expected one of --jsonl and --gym, got both")
        if self.task != Chain() and (self.jsonl or self.gym):
            raise BadInput("--task flags shape the chain task: leave them out with --jsonl or --gym")
        if self.skip_bad and not self.jsonl:
            raise BadInput("--skip-bad is about the lines of --jsonl, and none was given")
        if self.jsonl:
            return JsonlTask(self.jsonl, skip_bad=self.skip_bad)
        if self.gym:
            return GymTask(self.gym)
        return task_for(policy) if self.task == Chain() else self.task

    def draw(self, task: Task) -> list[Problem]:
        splits = (*SPLITS, "memorised")
        if self.split not in splits:
            raise BadInput(f"split must be one of {', '.join(splits)}; got {self.split!r}")
        level: int | str | None = self.level
        if level is not None and level not in BUCKETS:
            if not (level.isascii() and level.isdigit()):
                raise BadInput(f"level must be a depth or one of {', '.join(BUCKETS)}; got {level!r}")
            level = int(level)
        every = task.size(self.split, level) if isinstance(task, JsonlTask) else ENDLESS
        return task.problems(self.split, level, every if self.problems is None else self.problems)


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
    seed: int = 0


@app.command(name="demo")
def demo(config: Annotated[Demo, Flat]) -> None:
    """The organism at work: pass rate, valid rate and direct share per depth, and a few rollouts in colour."""
    from interp.report.terminal import by_depth, finding, gallery
    from interp.rollouts import roll_out, summarise

    policy, task = config.opened.load(), task_for(config.opened.path)
    lo, hi = task.depths
    asked = [p for depth in range(lo, hi + 1) for p in task.problems("eval", depth, config.problems)]
    rollouts = roll_out(policy, task, asked, SampleConfig(group=config.group, seed=config.seed, rows=1024))
    summary = summarise(rollouts)
    if config.opened.json:
        _say_json({"policy": policy.fingerprint(), "by_depth": summary.rows})
    else:
        buckets = {depth: bucket for bucket in BUCKETS for depth in getattr(task, bucket)}
        hard = summarise(rollouts, "bucket").rows.get("hard")
        came_to = [finding(hard), ""] if hard else []
        _say(by_depth(summary, buckets), "", *came_to, gallery(rollouts, policy.words, config.shown))


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
    out: Path | None = None
    """A directory to keep the rollouts in, as Parquet."""
    overwrite: bool = False


@app.command(name="roll-out")
def roll_out_command(config: Annotated[RollOut, Flat]) -> None:
    """Roll a policy out on problems of a task and keep the joined record."""
    from interp.report.terminal import gallery, shares
    from interp.rollouts import roll_out, summarise

    task = config.asked.open(config.opened.path)
    asked = config.asked.draw(task)
    skipped = _warn_of_skipped(task)
    policy = config.opened.load()
    rollouts = roll_out(policy, task, asked, config.sampling, run=config.run, step=config.step, chat=config.chat)
    if config.out:
        rollouts.save(config.out, overwrite=config.overwrite)
    summary = summarise(rollouts, "split")
    if config.opened.json:
        _say_json({"rows": len(rollouts), "out": config.out, "skipped": skipped, "by_split": summary.rows})
    else:
        _say(shares(summary), "", gallery(rollouts, policy.words, 4))


@dataclass(frozen=True)
class Bucket:
    opened: Annotated[Opened, Flat] = field(default_factory=Opened)
    asked: Annotated[Asked, Flat] = field(default_factory=lambda: Asked(split="train"))
    buckets: Annotated[BucketConfig, Flat] = field(default_factory=BucketConfig)
    out: Path | None = None
    """A directory to keep the buckets in, as Parquet."""
    overwrite: bool = False


@app.command(name="bucket")
def bucket_command(config: Annotated[Bucket, Flat]) -> None:
    """Measure each problem's pass rate under the base policy and sort problems by it."""
    from interp.report.terminal import bucket_table
    from interp.rollouts import bucket

    task = config.asked.open(config.opened.path)
    asked = config.asked.draw(task)
    skipped = _warn_of_skipped(task)
    measured = bucket(config.opened.load(), task, asked, config=config.buckets)
    if config.out:
        measured.save(config.out, overwrite=config.overwrite)
    if config.opened.json:
        _say_json({"counts": measured.counts(), "out": config.out, "skipped": skipped, "problems": measured.rows})
    else:
        _say(bucket_table(measured))


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
