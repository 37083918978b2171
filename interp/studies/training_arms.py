"""Arms of the difficulty study (problems, loss and credit of a run), and one run of an arm.

Parts of the study; an arm of several parts is run once:

difficulty  shallow, middle, deep and all problems; three rewards or losses, at equal prompts
contrast    the same at equal numbers of groups with contrast
credit      on deep problems: oracles, which no scheme can beat, and random or entropy weights, which it must beat
luck        on deep problems: the share of lucky successes that is paid
valid       on middle problems: the share of valid successes that is paid
depth       one depth after another: luck stays, valid successes thin out
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.studies.results import rounded

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme
    from interp.grpo.config import GRPOConfig
    from interp.studies.difficulty import DifficultyConfig

LEVELS = ("shallow", "middle", "deep", "all")
OLD_LEVELS = {"easy": "shallow", "medium": "middle", "hard": "deep"}
"""Names of the levels in the committed records."""
REDUCTIONS = {"rollout mean": "grpo", "token mean": "bnpo"}
LUCK = (0.0, 0.25, 0.5, 0.75, 1.0)
VALID = (0.0, 0.1, 0.25, 0.5, 1.0)
DEPTHS = (5, 6, 7, 8, 9)
PARTS = ("difficulty", "credit", "luck", "depth", "contrast", "valid")
HANDLED = (1, 2, 3)
"""Depths at which the base has something to lose: at least one answer in seven is valid."""
MEASURED = ("pass_rate", "valid_rate", "lucky_rate", "direct_share", "written_share", "malformed_share")
LOGGED = (
    "step", "reward", "pass_rate", "valid_rate", "lucky_share", "direct_share", "length", "entropy_nats_per_token",
    "zero_variance_share", "lone_success_share", "mixed_groups", "groups_drawn", "gradient_norm", "clipped_share",
    "kl_to_base",
)  # fmt: skip
WATCH_EVERY = 5


@dataclass(frozen=True)
class Training:
    """What a run is trained on, by which loss and credit."""

    problems: str
    """A level of the chain task, a depth, or all."""
    loss: str = "grpo"
    credit: str = "uniform"
    """A scheme's name, or valid-only: rewards filtered by validity."""
    luck: float = 1.0
    """Share of lucky successes that is paid."""
    valid: float = 1.0
    """Share of valid successes that is paid."""
    contrast: bool = False
    """Every update is made of the same number of groups with contrast."""

    @property
    def name(self) -> str:
        shares = [f"{name} {share:g}" for name, share in (("luck", self.luck), ("valid", self.valid)) if share < 1]
        rest = [*shares, *(["equal contrast"] if self.contrast else [])]
        return ", ".join([self.problems, self.loss, *([self.credit] if self.credit != "uniform" else []), *rest])

    def scheme(self) -> "CreditScheme | None":
        from interp.credit import RewardSubsample, StepValidity, make_scheme

        if self.credit == "valid-only":
            return StepValidity(weights=False)
        if self.luck < 1 or self.valid < 1:
            return RewardSubsample(self.luck, self.valid)
        return None if self.credit == "uniform" else make_scheme(self.credit)

    @property
    def level(self) -> str | int | None:
        """The problems as a level of the task; None for all."""
        return None if self.problems == "all" else int(self.problems) if self.problems.isdigit() else self.problems


def current_name(name: str) -> str:
    """The current name of an arm in the committed records."""
    problems, _, rest = name.partition(", ")
    return f"{OLD_LEVELS.get(problems, problems)}, {rest}"


def luck_arms(loss: str) -> list[Training]:
    return [
        Training("deep", loss, credit="valid-only") if luck == 0 else Training("deep", loss, luck=luck) for luck in LUCK
    ]


def valid_arms(loss: str) -> list[Training]:
    return [Training("middle", loss, valid=share) for share in VALID]


def depth_arms(loss: str) -> list[Training]:
    return [Training(str(depth), loss) for depth in DEPTHS]


def part_arms(part: str) -> list[Training]:
    if part in ("difficulty", "contrast"):
        arms = [Training(level, loss) for loss in ("grpo", "dr-grpo") for level in LEVELS]
        arms += [Training(level, credit="valid-only") for level in LEVELS]
        return [replace(arm, contrast=part == "contrast") for arm in arms]
    if part == "credit":
        schemes = ("step-validity", "step-validity-weights", "first-error", "entropy", "random", "position-matched")
        return [Training("deep", credit=name) for name in schemes]
    over_doses = {"luck": luck_arms, "valid": valid_arms, "depth": depth_arms}[part]
    return [arm for loss in REDUCTIONS.values() for arm in over_doses(loss)]


MAIN = (
    *(Training(level) for level in LEVELS),
    Training("deep", credit="valid-only"),
    Training("deep", credit="step-validity"),
)
"""Arms with all seeds, measured along the way too."""
TRAININGS: Mapping[str, Training] = {arm.name: arm for part in PARTS for arm in part_arms(part)}


# --- one run -------------------------------------------------------------------------------------------------------


def grpo_config(training: Training, seed: int, config: "DifficultyConfig") -> "GRPOConfig":
    from interp.grpo.config import GRPOConfig, UpdateConfig
    from interp.policy.config import SampleConfig

    return GRPOConfig(
        loss=training.loss,  # pyright: ignore[reportArgumentType]
        steps=config.steps,
        prompts=config.prompts,
        sampling=SampleConfig(group=config.group, rows=1024, seed=seed),
        update=UpdateConfig(lr=config.lr),
        redraw=training.contrast,
        max_draws=config.max_draws,
        save_every=WATCH_EVERY if training in MAIN else 10,
        without_signal="go on",  # an arm that finds none is a result
    )


def train_arm(training: Training, seed: int, config: "DifficultyConfig", directory: Path) -> dict[str, Any]:
    """Train, and measure at every depth at the end; main arms also along the way, at the depths the base handles."""
    from interp.grpo import Diverged, train
    from interp.organism import load_task, shipped_path
    from interp.policy import Policy

    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    out = directory / training.name.replace(", ", "_").replace(" ", "-")
    grpo, scheme = grpo_config(training, seed, config), training.scheme()
    try:
        run = train(base, task, training.level, config=grpo, credit=scheme, out=out, progress=False)
    except Diverged as error:  # a result too: the other arms must still run
        return {"diverged": str(error)}
    watched = [one for one in run.series if one.step % WATCH_EVERY == 0] if training in MAIN else []
    depths, answers, metrics = range(task.depths[0], task.depths[1] + 1), config.answers, run.table()
    return {
        "final": measure(run.policy(device="cpu"), config, depths, answers),
        "watched": {str(one.step): measure(one.load(device="cpu"), config, HANDLED, answers) for one in watched},
        "steps": {name: rounded(metrics[name].to_list()) for name in LOGGED if name in metrics.columns},
    }


def measure_base(config: "DifficultyConfig") -> dict[str, Any]:
    """Every rate of the base at each depth."""
    from interp.organism import load_task, shipped_path
    from interp.policy import Policy

    lowest, highest = load_task(shipped_path()).depths
    base, depths = Policy.load(shipped_path(), device="cpu"), range(lowest, highest + 1)
    return {"final": measure(base, config, depths, config.base_answers)}


def measure(
    policy: Any, config: "DifficultyConfig", depths: Sequence[int], answers: int
) -> dict[str, dict[str, float]]:
    """Every rate at each depth, on the same problems and the same streams of random numbers for all arms and seeds."""
    from interp.organism import load_task, shipped_path
    from interp.policy.config import SampleConfig
    from interp.rollouts import roll_out, summarize

    task = load_task(shipped_path())
    problems = [problem for depth in depths for problem in task.problems("eval", depth, config.problems)]
    sampling = SampleConfig(group=answers, rows=1024)
    rollouts = roll_out(policy, task, problems, sampling, purpose="evaluate", progress=False)
    estimates = summarize(rollouts, "depth", MEASURED).estimates
    return {
        str(depth): {name: round(one.value, 5) for name, one in rates.items()} for depth, rates in estimates.items()
    }
