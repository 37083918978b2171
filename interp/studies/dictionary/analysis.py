"""From records to estimates: the unit of evidence is a seed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interp.studies.dictionary.facts import FAST, SLOW
from interp.studies.estimates import Estimate, mean

Record = Mapping[str, Any]
Measure = Callable[[Record], float | None]


class Records:
    def __init__(self, records: Sequence[Record]) -> None:
        self.by: dict[tuple[str, str], dict[int, Record]] = {}
        for record in records:
            if record["arm"] is not None:
                self.by.setdefault((record["world"], record["arm"]), {})[record["seed"]] = record

    def arms(self, world: str) -> list[str]:
        return [arm for held, arm in self.by if held == world]

    def seeds(self, world: str, arm: str) -> list[int]:
        return sorted(self.by.get((world, arm), {}))

    def of(self, world: str, arm: str, measure: Measure) -> Estimate:
        return mean([measure(record) for record in self.by.get((world, arm), {}).values()])

    def minus(self, world: str, arm: str, other: str, measure: Measure) -> Estimate:
        """By seed: what the two arms share cancels."""
        mine, theirs = (self.by.get((world, name), {}) for name in (arm, other))
        pairs = [(measure(mine[seed]), measure(theirs[seed])) for seed in sorted(mine.keys() & theirs.keys())]
        return mean([a - b for a, b in pairs if a is not None and b is not None])


def quality(name: str) -> Measure:
    return lambda record: record["quality"].get(name)


def recall(kind: str | None = None, *, slow_block: bool = False) -> Measure:
    if kind is None:
        return lambda record: record["recall"]
    return lambda record: record["slow_block_recall_by_kind" if slow_block else "recall_by_kind"][kind]


def told(fact: str, block: str = "slow block") -> Measure:
    return lambda record: record["read"][fact].get(block)


def told_on_average(facts: Sequence[str], block: str = "slow block") -> Measure:
    def measure(record: Record) -> float | None:
        found = [told(fact, block)(record) for fact in facts]
        held = [value for value in found if value is not None]
        return sum(held) / len(held) if len(held) == len(facts) else None

    return measure


SLOW_FACTS, FAST_FACTS = told_on_average(SLOW), told_on_average(FAST)
SLOW_AND_RARE = recall("slow rare", slow_block=True)
