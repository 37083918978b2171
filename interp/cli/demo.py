"""The demo: the organism at work, what training does to it, and what a dictionary of its latents says of that."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from interp.checks import expect_at_least
from interp.cli.app import Flat, app, say, say_json
from interp.cli.args import Opened
from interp.organism import task_for
from interp.policy.config import SampleConfig
from interp.tasks import BUCKETS, Chain

if TYPE_CHECKING:
    from interp.policy import Policy


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
    """Of training, on medium and on hard problems. 0 trains nothing."""
    learn: int = 1500
    """Steps of fitting a dictionary on what training made of the base. 0 stops before it."""
    out: Path = Path("runs/demo")
    """Where everything goes that takes long, and the page with the figures. Asked for again, it goes on."""
    seed: int = 0


@app.command(name="demo")
def demo(config: Annotated[Demo, Flat]) -> None:
    """The whole loop: the organism at work, what training does to it, and what a dictionary's latents say of that."""
    expect_at_least(config, 1, "problems", "group", "shown")
    expect_at_least(config, 0, "steps", "learn")
    policy, task = config.opened.load(), task_for(config.opened.path)
    tell = _silent if config.opened.json else say
    found = {"policy": policy.fingerprint(), "by_depth": _at_work(config, policy, task, tell)}
    if config.steps:
        from interp.demo.loop import Loop
        from interp.demo.plan import Plan

        plan = Plan(config.out, config.steps, config.learn, config.seed)
        found |= Loop(policy, task, plan, tell, bar=not config.opened.json).go()
    if config.opened.json:
        say_json(found)


def _at_work(config: Demo, policy: "Policy", task: Chain, tell: Callable[..., None]) -> dict[Any, Any]:
    """What it gets right, and how, by depth."""
    from interp.report.terminal import by_depth, finding, gallery, introduction
    from interp.rollouts import roll_out, summarise

    tell(introduction(task), "")
    lo, hi = task.depths
    asked = [p for depth in range(lo, hi + 1) for p in task.problems("eval", depth, config.problems)]
    rollouts = roll_out(policy, task, asked, SampleConfig(group=config.group, seed=config.seed, rows=1024))
    summary, hard = summarise(rollouts), summarise(rollouts, "bucket").rows.get("hard")
    buckets = {depth: bucket for bucket in BUCKETS for depth in getattr(task, bucket)}
    came_to = [finding(hard), ""] if hard else []
    shown = gallery(rollouts, policy.words, config.shown)
    tell(by_depth(summary, buckets), "", *came_to, shown)
    return summary.rows


def _silent(*_: str) -> None:
    """Where one JSON object is wanted, and nothing else."""
