"""The arms: on what, by which loss, with which credit. An arm may serve in several parts, and is run once.

difficulty  easy, medium, hard, all: three rewards or losses, at equal prompts
contrast    the same at equal numbers of groups with contrast
credit      on the hard bucket: what any scheme could reach, and what it must beat
luck        on the hard bucket: the share of lucky successes that is paid
valid       on the medium bucket: the share of valid successes that is paid
depth       one depth after another: luck stays, valid successes thin out
"""

from dataclasses import dataclass, replace

from interp.credit import RewardSubsample, StepValidity, scheme
from interp.credit.base import CreditScheme
from interp.studies.difficulty.config import DifficultyConfig

BUCKETS = ("easy", "medium", "hard", "all")
REDUCTIONS = {"rollout mean": "grpo", "token mean": "bnpo"}
LUCK = (0.0, 0.25, 0.5, 0.75, 1.0)
VALID = (0.0, 0.1, 0.25, 0.5, 1.0)
DEPTHS = (5, 6, 7, 8, 9)


@dataclass(frozen=True)
class Arm:
    bucket: str
    """A bucket, a depth, or all."""
    loss: str = "grpo"
    credit: str = "uniform"
    """A scheme's name, or valid-only: rewards filtered by validity."""
    luck: float = 1.0
    valid: float = 1.0
    contrast: bool = False
    """Every update is made of the same number of groups with contrast."""

    def __str__(self) -> str:
        dials = [f"{name} {share:g}" for name, share in (("luck", self.luck), ("valid", self.valid)) if share < 1]
        rest = [*dials, *(["equal contrast"] if self.contrast else [])]
        return ", ".join([self.bucket, self.loss, *([self.credit] if self.credit != "uniform" else []), *rest])

    def scheme(self) -> CreditScheme | None:
        if self.credit == "valid-only":
            return StepValidity(weights=False)
        if self.luck < 1 or self.valid < 1:
            return RewardSubsample(self.luck, self.valid)
        return None if self.credit == "uniform" else scheme(self.credit)

    def level(self) -> str | int | None:
        return None if self.bucket == "all" else int(self.bucket) if self.bucket.isdigit() else self.bucket


def difficulty() -> list[Arm]:
    arms = [Arm(bucket, loss) for loss in ("grpo", "dr-grpo") for bucket in BUCKETS]
    return arms + [Arm(bucket, credit="valid-only") for bucket in BUCKETS]


def contrast() -> list[Arm]:
    return [replace(arm, contrast=True) for arm in difficulty()]


def credit() -> list[Arm]:
    schemes = ("step-validity", "step-validity-weights", "first-error", "entropy", "random", "position-matched")
    return [Arm("hard", credit=name) for name in schemes]


def luck(loss: str) -> list[Arm]:
    return [Arm("hard", loss, credit="valid-only") if share == 0 else Arm("hard", loss, luck=share) for share in LUCK]


def valid(loss: str) -> list[Arm]:
    return [Arm("medium", loss, valid=share) for share in VALID]


def depth(loss: str) -> list[Arm]:
    return [Arm(str(depth), loss) for depth in DEPTHS]


def of_part(part: str) -> list[Arm]:
    if part in (whole := {"difficulty": difficulty, "contrast": contrast, "credit": credit}):
        return whole[part]()
    dial = {"luck": luck, "valid": valid, "depth": depth}[part]
    return [arm for loss in REDUCTIONS.values() for arm in dial(loss)]


MAIN = (
    *(Arm(bucket) for bucket in BUCKETS),
    Arm("hard", credit="valid-only"),
    Arm("hard", credit="step-validity"),
)


def seeds(arm: Arm, config: DifficultyConfig) -> list[int]:
    count = config.seeds if arm in MAIN else min(config.few, config.seeds)
    return list(range(config.first_seed, config.first_seed + count))
