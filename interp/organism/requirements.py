"""What a base must be for training on luck to harm it, and for credit to repair it: requirements, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from interp.rollouts import BucketConfig
from interp.stats import Estimate
from interp.tasks import Chain

NO_ZERO = "direct_pass_rate_no_zero"
"""The pass rate of direct answers to chains without `* 0`, whose answer depends on every number."""
LEAST_BUCKET = 0.05
"""Share of the problems that each difficulty bucket must hold."""
Measures = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement, and whether the base meets it."""

    requirement: str
    passed: bool
    measured: str


def check(task: Chain, by_depth: Mapping[int, Measures], by_level: Mapping[str, Measures]) -> list[Check]:
    """The requirements of a chain organism for which both harm and repair are possible."""
    from_4 = [measures[NO_ZERO].value for depth, measures in by_depth.items() if depth >= 4]
    valid = [measures["valid_given_written"].value for measures in by_depth.values()]
    luck = 1 / task.modulus
    checks = [
        _both_habits(by_depth),
        _direct_at_first(by_depth, 0.9),
        Check(
            f"from depth 4 on, direct answers to problems without `* 0` are at chance: at most {luck:.2f} + 0.05",
            all(rate <= luck + 0.05 for rate in from_4),
            ", ".join(f"{rate:.2f}" for rate in from_4),
        ),
        Check(
            "the share of written chains that are valid falls with every depth",
            all(a > b for a, b in zip(valid, valid[1:], strict=False)),
            ", ".join(f"{share:.3f}" for share in valid),
        ),
    ]
    return checks + (_deep_checks(by_level["deep"], (0.2, 0.4), (0.005, 0.05)) if "deep" in by_level else [])


def check_words(
    by_depth: Mapping[int, Measures], by_level: Mapping[str, Measures], buckets: Mapping[str, float]
) -> list[Check]:
    """The requirements of a words organism. `buckets` are the shares of problems that are easy, medium and hard."""
    cut = BucketConfig()
    malformed = [measures["malformed_share"].value for measures in by_depth.values()]
    valid = [measures["valid_given_written"].value for measures in by_level.values()]
    checks = [
        _both_habits(by_depth),
        Check(
            "at most one completion in ten is malformed, at every depth",
            max(malformed) <= 0.1,
            f"{min(malformed):.3f} to {max(malformed):.3f}",
        ),
        Check(
            f"easy (pass rate from {cut.easy}), medium and hard (up to {cut.hard}) problems exist: each at least "
            f"{LEAST_BUCKET:.0%}",
            min(buckets.values()) >= LEAST_BUCKET,
            ", ".join(f"{name} {share:.2f}" for name, share in buckets.items()),
        ),
        Check(
            "the share of written solutions that are valid falls from level to level",
            all(a > b for a, b in zip(valid, valid[1:], strict=False)),
            ", ".join(f"{share:.3f}" for share in valid),
        ),
    ]
    return checks + (_deep_checks(by_level["deep"], (0.03, 0.4), (0.005, 0.8)) if "deep" in by_level else [])


def _both_habits(by_depth: Mapping[int, Measures]) -> Check:
    shares = [measures[habit].value for measures in by_depth.values() for habit in ("direct_share", "written_share")]
    return Check(
        "both habits have a share of 0.35 to 0.65 at every depth",
        min(shares) >= 0.35 and max(shares) <= 0.65,
        f"{min(shares):.2f} to {max(shares):.2f}",
    )


def _direct_at_first(by_depth: Mapping[int, Measures], least: float) -> Check:
    first = by_depth[min(by_depth)]["direct_pass_rate"]
    return Check(
        f"the pass rate of direct answers at the first depth is {least} or more", first.value >= least, str(first)
    )


def _deep_checks(deep: Measures, luck: tuple[float, float], valid: tuple[float, float]) -> list[Check]:
    direct, given_success = deep["direct_pass_rate"], deep["valid_given_success"]
    return [
        Check(
            f"at level deep, the pass rate of direct answers (luck) is between {luck[0]} and {luck[1]}",
            luck[0] <= direct.value <= luck[1],
            str(direct),
        ),
        Check(
            f"at level deep, P(valid, given success) is between {valid[0]} and {valid[1]}",
            valid[0] <= given_success.value <= valid[1],
            str(given_success),
        ),
    ]
