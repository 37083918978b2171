"""Measures of the difficulty study, and what arithmetic alone predicts.

Every measure is read off the record of one run. Changes are against the base on the same problems.
"""

import math
from collections.abc import Sequence

from interp.stats.estimate import Estimate
from interp.studies.results import Measure, Record, Results, share
from interp.studies.training_arms import HANDLED

BASE = "base"
SHALLOW, MIDDLE, DEEP = (1, 2), (4, 5), (8, 9)
RANGES = {"depths 1-3": HANDLED, "depths 4-7": (4, 5, 6, 7), "depths 8-9": DEEP}
RATES = ("valid_rate", "pass_rate")
FIRST = 10
"""First steps of a run, over which its rewarded answers are counted."""
WINDOW = 5
"""Steps over which a training curve is averaged."""


def mean_over_depths(rates: dict[str, dict[str, float]], depths: Sequence[int], rate: str) -> float:
    return sum(rates[str(depth)][rate] for depth in depths) / len(depths)


def at_depths(depths: Sequence[int], rate: str = "valid_rate") -> Measure:
    """A rate at the end of training, mean over depths."""
    return share(rate.replace("_", " "), lambda record: mean_over_depths(record["final"], depths, rate))


def lucky_given_success(record: Record) -> float | None:
    """Share of lucky answers among those rewarded in the first steps."""
    shares = [value for value in record["steps"]["lucky_share"][:FIRST] if value is not None]
    return sum(shares) / len(shares) if shares else None


def watched(record: Record, rate: str) -> list[float]:
    """A rate at the depths the base handles, at every checkpoint that was evaluated."""
    return [mean_over_depths(record["watched"][step], HANDLED, rate) for step in sorted(record["watched"], key=int)]


def fall(rate: str) -> Measure:
    """Loss of a rate from the beginning of a run to its end, at the depths the base handles."""
    return Measure(f"fall of the {rate}", lambda record: watched(record, rate)[0] - watched(record, rate)[-1], -1, 1)


def half_time(record: Record, name: str) -> float:
    """Step at which a curve has gone half its way: a metric of training (mean of five steps), or a held-out rate."""
    from interp.stats.curves import smooth, time_to_half

    if name in ("direct_share", "length"):
        return time_to_half(record["steps"]["step"], smooth(record["steps"][name], WINDOW))
    return time_to_half(sorted(map(int, record["watched"])), watched(record, name))


def lead(early: str, late: str, steps: int = 40) -> Measure:
    """Steps from half-way of the early curve to half-way of the late one."""
    return Measure("lead", lambda record: half_time(record, late) - half_time(record, early), -steps, steps)


LUCKY = share("P(lucky | success), first ten steps", lucky_given_success)
CONTRAST = Measure("groups with contrast", lambda record: sum(record["steps"]["mixed_groups"][:-1]))
CHANGES = {
    f"{rate.replace('_', ' ')}, {name}": at_depths(depths, rate) for rate in RATES for name, depths in RANGES.items()
}


def change(results: Results, arm: str, depths: Sequence[int], rate: str = "valid_rate") -> Estimate:
    """Change of a rate against the base, mean over depths."""
    return results.difference(arm, BASE, at_depths(depths, rate))


# --- what arithmetic predicts --------------------------------------------------------------------------------------


def positive_mass(pass_rate: float, group: int, *, standardized: bool) -> float:
    """Expected sum of positive advantages in a group of a given pass rate.

    With k successes of G, a success has the advantage sqrt((G - k) / k) if standardized (population deviation), and
    (G - k) / G if only centred. Averaged over k this is an inverted U in the pass rate, the same for lucky and for
    valid successes."""
    total = 0.0
    for k in range(1, group):
        chance = math.comb(group, k) * pass_rate**k * (1 - pass_rate) ** (group - k)
        total += chance * (math.sqrt(k * (group - k)) if standardized else k * (group - k) / group)
    return total


def contrast_chance(pass_rate: float, group: int) -> float:
    """Chance that a group holds both successes and failures."""
    return 1 - pass_rate**group - (1 - pass_rate) ** group
