"""One run of one arm: train, measure at the end at every depth, and for the main arms along the way at the depths
handled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import fingerprint_config, to_json
from interp.grpo.config import GRPOConfig, UpdateConfig
from interp.grpo.run import identity_of
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
        """Of its own for every config, so that a small trial is not in the way of the whole study."""
        name = str(self.arm).replace(", ", "_").replace(" ", "-")
        return self.runs / f"{name}_{fingerprint_config(run_config(self))[:6]}" / str(self.seed)


@dataclass(frozen=True)
class Key:
    """What decides a job's record: not where its run lies, how many seeds there are, nor how many cores."""

    training: Any
    """The run's whole config, its problems and its credit; None of the base."""
    watched: bool
    handled: tuple[int, ...]
    problems: int
    answers: int
    policy: str


def key_of(job: Job, policy: str) -> Key:
    c, arm = job.config, job.arm
    training = arm and {"config": run_config(job), "level": arm.level(), "credit": identity_of(arm.scheme())}
    answers = c.base_answers if arm is None else c.answers
    return Key(to_json(training), arm in MAIN, HANDLED, c.problems, answers, policy)


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
    from interp.grpo import Diverged, train
    from interp.policy import Policy

    base, task = Policy.load(shipped(), device="cpu"), task_of(shipped())
    depths = list(range(task.depths[0], task.depths[1] + 1))
    if job.arm is None:
        return {"arm": None, "seed": 0, "final": measured(base, job.config, depths, job.config.base_answers)}
    training = {"config": run_config(job), "credit": job.arm.scheme(), "out": job.out}
    try:
        run = train(base, task, bucket=job.arm.level(), **training, bar=False)
    except Diverged as error:  # a result too: it must not keep the others from theirs
        return {"arm": str(job.arm), "seed": job.seed, "diverged": str(error)}
    watched = [c for c in run.series if c.step % WATCH_EVERY == 0] if job.arm in MAIN else []
    answers, metrics = job.config.answers, run.metrics()
    return {
        "arm": str(job.arm),
        "seed": job.seed,
        "final": measured(run.policy(device="cpu"), job.config, depths, answers),
        "watched": {str(c.step): measured(c.load(device="cpu"), job.config, HANDLED, answers) for c in watched},
        "steps": {name: rounded(metrics[name].to_list()) for name in KEPT if name in metrics.columns},
    }


def measured(policy: Any, config: DifficultyConfig, depths: Any, answers: int) -> dict[str, dict[str, float]]:
    """Every measure at each depth, on the same problems and the same streams of numbers for every arm and seed."""
    from interp.rollouts import roll_out, summarise

    task = task_of(shipped())
    asked = [problem for depth in depths for problem in task.problems("eval", depth, config.problems)]
    sampling = SampleConfig(group=answers, rows=1024)
    rollouts = roll_out(policy, task, asked, sampling, purpose="evaluate", bar=False)
    rows = summarise(rollouts, "depth", MEASURES).rows
    return {str(depth): {name: round(share.value, 5) for name, share in found.items()} for depth, found in rows.items()}


def rounded(values: list[Any]) -> list[Any]:
    return [round(value, 5) if isinstance(value, float) else value for value in values]
