"""From records to numbers. Everything is a change against the base on the same problems, one number a seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from interp.studies.difficulty.arms import Arm
from interp.studies.difficulty.config import HANDLED
from interp.studies.estimates import Estimate, mean, smoothed, time_to_half
from interp.studies.harness import Record

EASY, MEDIUM, HARD = (1, 2), (4, 5), (8, 9)
MIDDLE = (4, 5, 6, 7)
FIRST = 10
"""Steps over which the successes that training was fed at first are counted."""
WINDOW = 5
"""Steps over which a training curve is averaged."""


@dataclass(frozen=True)
class Records:
    rows: Sequence[Record]

    @cached_property
    def base(self) -> Record:
        return next(row for row in self.rows if row["arm"] is None)

    def of(self, arm: Arm) -> dict[int, Record]:
        """By seed."""
        return {row["seed"]: row for row in self.rows if row["arm"] == str(arm) and "diverged" not in row}

    @property
    def depths(self) -> tuple[int, ...]:
        return tuple(map(int, self.base["final"]))

    def changes(self, arm: Arm, depths: Iterable[int], measure: str = "valid_rate") -> dict[int, float]:
        """By seed: the mean over depths after training, less that of the base."""
        depths = list(depths)
        before = level(self.base["final"], depths, measure)
        return {seed: level(row["final"], depths, measure) - before for seed, row in self.of(arm).items()}

    def change(self, arm: Arm, depths: Iterable[int], measure: str = "valid_rate") -> Estimate:
        return mean(list(self.changes(arm, depths, measure).values()))

    def difference(self, one: Arm, other: Arm, depths: Iterable[int], measure: str = "valid_rate") -> Estimate:
        """One arm less the other, paired by seed."""
        depths = list(depths)
        first, second = self.changes(one, depths, measure), self.changes(other, depths, measure)
        return mean([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])

    @property
    def diverged(self) -> int:
        return sum("diverged" in row for row in self.rows)

    def lucky_given_success(self, arm: Arm) -> dict[int, float | None]:
        """By seed: of what was rewarded in the first steps, how much was luck."""
        return {seed: _mean_of(row["steps"]["lucky_share"][:FIRST]) for seed, row in self.of(arm).items()}

    def fall(self, arm: Arm, measure: str) -> Estimate:
        """How much less there is at the depths handled at the end of the run than at its beginning."""
        return mean([_watched(row, measure)[0] - _watched(row, measure)[-1] for row in self.of(arm).values()])

    def contrast(self, arm: Arm) -> Estimate:
        """Groups with contrast that the run was fed, in all."""
        return mean([sum(row["steps"]["mixed_groups"][:-1]) for row in self.of(arm).values()])

    def halfway(self, arm: Arm) -> dict[str, list[float | None]]:
        """For each seed, the step at which each thing had gone half its way."""
        return {
            "direct_share": [_training_half(row, "direct_share") for row in self.of(arm).values()],
            "length": [_training_half(row, "length") for row in self.of(arm).values()],
            "pass_rate": [_watched_half(row, "pass_rate") for row in self.of(arm).values()],
            "valid_rate": [_watched_half(row, "valid_rate") for row in self.of(arm).values()],
        }

    def lead(self, arm: Arm, early: str, late: str) -> Estimate:
        """Steps by which one thing goes before the other."""
        half = self.halfway(arm)
        pairs = zip(half[early], half[late], strict=True)
        return mean([after - before for before, after in pairs if before is not None and after is not None])


def level(measured: dict[str, dict[str, float]], depths: Sequence[int], measure: str) -> float:
    return sum(measured[str(depth)][measure] for depth in depths) / len(depths)


def _training_half(row: Record, name: str) -> float | None:
    curve = smoothed(row["steps"][name], WINDOW)
    return time_to_half(row["steps"]["step"], curve)


def _watched_half(row: Record, measure: str) -> float | None:
    return time_to_half(sorted(map(int, row["watched"])), _watched(row, measure))


def _watched(row: Record, measure: str) -> list[float]:
    return [level(row["watched"][str(step)], HANDLED, measure) for step in sorted(map(int, row["watched"]))]


def _mean_of(values: Iterable[float | None]) -> float | None:
    held = [value for value in values if value is not None]
    return sum(held) / len(held) if held else None
