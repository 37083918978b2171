"""The demo: the organism at work, what training does to it, and a dictionary of what it became."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from interp.artifacts import BadInput
from interp.cli.app import Flat, app, say, say_json
from interp.flags import Opened
from interp.organism import task_for
from interp.policy.config import SampleConfig
from interp.tasks import BUCKETS


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
    learn: int = 800
    """Steps of fitting a dictionary on the hard run's checkpoints. 0 fits none."""
    out: Path = Path("runs/demo")
    """Where the training runs go."""
    seed: int = 0


@app.command(name="demo")
def demo(config: Annotated[Demo, Flat]) -> None:
    """The organism at work: what it gets right and how, and what training on hard problems does to it."""
    from interp.report.dictionaries import measured, what_is_fitted, what_it_tells
    from interp.report.terminal import by_depth, finding, gallery, introduction
    from interp.report.training import in_a_sentence, side_by_side, what_it_shows
    from interp.rollouts import roll_out, summarise
    from interp.studies.demo import SLOW_FACTS, hard_against_medium, look_inside, place_of

    if min(config.problems, config.group, config.shown) < 1 or min(config.steps, config.learn) < 0:
        raise BadInput("problems, group and shown must be at least 1, steps and learn at least 0")
    policy, task = config.opened.load(), task_for(config.opened.path)
    lo, hi = task.depths
    asked = [p for depth in range(lo, hi + 1) for p in task.problems("eval", depth, config.problems)]
    rollouts = roll_out(policy, task, asked, SampleConfig(group=config.group, seed=config.seed, rows=1024))
    summary = summarise(rollouts)
    if not config.opened.json:
        buckets = {depth: bucket for bucket in BUCKETS for depth in getattr(task, bucket)}
        hard = summarise(rollouts, "bucket").rows.get("hard")
        came_to = [finding(hard), ""] if hard else []
        say(
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
    if ends and not config.opened.json:
        say("", side_by_side(ends), "", in_a_sentence(ends), f"Runs, with checkpoints and rollouts: {config.out}")
    inside = None
    if ends and config.learn:
        run = place_of("hard", config.out, config.steps, config.seed)
        if not config.opened.json:
            say("", what_is_fitted(config.learn), "")
        inside = look_inside(run, task, steps=config.learn, seed=config.seed, device=str(policy.device))
    if config.opened.json:
        after = {name: end.table().to_dicts() for name, end in ends.items()}
        within = inside and {"quality": inside.quality.row(), "told": inside.told}
        say_json({"policy": policy.fingerprint(), "by_depth": summary.rows, "after": after, "dictionary": within})
    elif inside:
        say(measured(inside.quality), "", what_it_tells(inside.told, SLOW_FACTS))
