"""One run of one arm: train, measure at the end at every depth, and for the main arms along the way at the depths
handled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.grpo.config import GRPOConfig, UpdateConfig
from interp.organism import shipped, task_of
from interp.policy.config import SampleConfig
from interp.studies.difficulty.arms import MAIN, Arm
from interp.studies.difficulty.config import HANDLED, DifficultyConfig

MEASURES = ("pass_rate", "valid_rate", "lucky_rate", "direct_share", "written_share", "malformed_share")
KEPT = (
    "step", "reward", "pass_rate", "valid_rate", "lucky_share", "direct_share", "length", "entropy_nats_per_token",
    "zero_variance_share", "lone_success_share", "mixed_groups", "groups_drawn", "gradient_norm", "clipped",
    "kl_to_base",
)  # fmt: skip
WATCH_EVERY = 5


@dataclass(frozen=True)
class Job:
    arm: Arm | None
    """None for the base itself."""
    seed: int
    config: DifficultyConfig
    runs: Path
    """Where the runs' own directories are."""

    @property
    def out(self) -> Path:
        return self.runs / str(self.arm).replace(", ", "_").replace(" ", "-") / str(self.seed)


@dataclass(frozen=True)
class Key:
    """What decides a job's record: not where its run lies, how many seeds there are, nor how many cores."""

    arm: Arm | None
    seed: int
    steps: int
    prompts: int
    group: int
    lr: float
    max_draws: int
    problems: int
    answers: int
    policy: str


def key_of(job: Job, policy: str) -> Key:
    c = job.config
    return Key(job.arm, job.seed, c.steps, c.prompts, c.group, c.lr, c.max_draws, c.problems, c.answers, policy)


def run_config(job: Job) -> GRPOConfig:
    assert job.arm is not None, "the base is not trained"
    c = job.config
    return GRPOConfig(
        loss=job.arm.loss,  # pyright: ignore[reportArgumentType]
        steps=c.steps,
        prompts=c.prompts,
        sampling=SampleConfig(group=c.group, rows=1024, seed=job.seed),
        update=UpdateConfig(lr=c.lr),
        redraw=job.arm.contrast,
        max_draws=c.max_draws,
        save_every=WATCH_EVERY if job.arm in MAIN else 10,
        without_signal="go on",  # an arm that finds none is a result
    )


def work(job: Job) -> dict[str, Any]:
    from interp.grpo import train
    from interp.policy import Policy

    base, task = Policy.load(shipped(), device="cpu"), task_of(shipped())
    depths = list(range(task.depths[0], task.depths[1] + 1))
    if job.arm is None:
        return {"arm": None, "seed": 0, "final": measured(base, job.config, depths)}
    run = train(
        base, task, bucket=job.arm.level(), config=run_config(job), credit=job.arm.scheme(), out=job.out, bar=False
    )
    watched = [c for c in run.series if c.step % WATCH_EVERY == 0] if job.arm in MAIN else []
    metrics = run.metrics()
    return {
        "arm": str(job.arm),
        "seed": job.seed,
        "final": measured(run.policy(), job.config, depths),
        "watched": {str(c.step): measured(c.load(device="cpu"), job.config, HANDLED) for c in watched},
        "steps": {name: rounded(metrics[name].to_list()) for name in KEPT if name in metrics.columns},
    }


def measured(policy: Any, config: DifficultyConfig, depths: Any) -> dict[str, dict[str, float]]:
    """Every measure at each depth, on the same problems and the same streams of numbers for every arm and seed."""
    from interp.rollouts import roll_out, summarise

    task = task_of(shipped())
    asked = [problem for depth in depths for problem in task.problems("eval", depth, config.problems)]
    sampling = SampleConfig(group=config.answers, rows=1024)
    rollouts = roll_out(policy, task, asked, sampling, purpose="evaluate", bar=False)
    rows = summarise(rollouts, "depth", MEASURES).rows
    return {str(depth): {name: round(share.value, 5) for name, share in found.items()} for depth, found in rows.items()}


def rounded(values: list[Any]) -> list[Any]:
    return [round(value, 5) if isinstance(value, float) else value for value in values]
