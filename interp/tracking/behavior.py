"""What came of the answers: rates by prompt, and what lies between those of two checkpoints.

Both were asked the same problems, so what lies between their shares is paired by prompt. Its interval is Newcombe's
(1998, method 10; Zou and Donner 2008): of the intervals of the two, and of how far they rise and fall together from
prompt to prompt. A bootstrap's has no width where a thing was never seen to happen; none of forty is not surely none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from interp.bootstrap import LEAST_PROMPTS
from interp.rollouts.intervals import Share, share
from interp.rollouts.record import Rollout
from interp.rollouts.summary import MEASURES
from interp.tracking.changes import FEW, UNDECIDED

TOLD = ("pass_rate", "valid_rate", "lucky_rate", "direct_share")
MORE, LESS = "more", "less"


@dataclass(frozen=True)
class Counts:
    """Of one bucket and measure, by prompt."""

    successes_P: Int[np.ndarray, " P"]
    trials_P: Int[np.ndarray, " P"]

    @property
    def share(self) -> Share:
        return share(self.successes_P.tolist(), self.trials_P.tolist())


@dataclass
class Tally:
    """Successes and trials of each measure, by bucket and number of prompt. Mergeable."""

    counts: dict[tuple[str, int], Int[np.ndarray, "M 2"]] = field(default_factory=dict)

    def update(self, documents: Iterable[tuple[str, int, Rollout]]) -> None:
        for bucket, at, row in documents:
            mine_M2 = self._of((bucket, at))
            for which, (success, among) in enumerate(MEASURES[name] for name in TOLD):
                if among(row):
                    mine_M2[which] += (bool(success(row)), 1)

    def merge(self, other: "Tally") -> None:
        for key, counts_M2 in other.counts.items():
            self._of(key)[:] += counts_M2

    def _of(self, key: tuple[str, int]) -> np.ndarray:
        return self.counts.setdefault(key, np.zeros((len(TOLD), 2), dtype=np.int64))

    def at(self, bucket: str, measure: str, prompts: int) -> Counts:
        found_P2 = np.zeros((prompts, 2), dtype=np.int64)
        for (held, prompt), counts_M2 in self.counts.items():
            if held == bucket:
                found_P2[prompt] = counts_M2[TOLD.index(measure)]
        return Counts(found_P2[:, 0], found_P2[:, 1])

    def rows(self) -> list[list[Any]]:
        """To be kept, as plain values."""
        return [[*key, counts_M2.tolist()] for key, counts_M2 in self.counts.items()]

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> "Tally":
        """As `rows` gave it away."""
        return cls({(bucket, prompt): np.array(counts) for bucket, prompt, counts in rows})


@dataclass(frozen=True)
class Apart:
    """The second share less the first. Where there are too few prompts for an interval, it is NaN."""

    value: float
    low: float
    high: float
    prompts: int
    """At which both have a trial."""

    @property
    def verdict(self) -> str:
        if self.prompts < LEAST_PROMPTS:
            return FEW
        return MORE if self.low > 0 else LESS if self.high < 0 else UNDECIDED


def apart(one: Counts, other: Counts) -> Apart:
    first, second = one.share, other.share
    value, prompts = second.value - first.value, int(((one.trials_P > 0) & (other.trials_P > 0)).sum())
    if prompts < LEAST_PROMPTS:
        return Apart(value, float("nan"), float("nan"), prompts)
    together = _together(one, other)
    below = _reach(second.value - second.low, first.high - first.value, together)
    above = _reach(second.high - second.value, first.value - first.low, together)
    return Apart(value, value - below, value + above, prompts)


def _reach(mine: float, theirs: float, together: float) -> float:
    return max(0.0, mine**2 - 2 * together * mine * theirs + theirs**2) ** 0.5


def _together(one: Counts, other: Counts) -> float:
    """How far two shares rise and fall together, from prompt to prompt: the correlation of what each prompt has above
    its due. None where either never varies."""
    above = [c.successes_P - c.successes_P.sum() / c.trials_P.sum() * c.trials_P for c in (one, other)]
    spread = (above[0] ** 2).sum() * (above[1] ** 2).sum()
    return float((above[0] * above[1]).sum() / spread**0.5) if spread > 0 else 0.0


def rates(tallies: Mapping[str, Tally], prompts: Mapping[str, int]) -> list[dict[str, Any]]:
    """One row for each bucket and measure. `tallies` are those of `a` and `b`; of the `base`, if there is one; and of
    `again`, if the first was asked a second time."""
    rows = []
    for bucket, held in prompts.items():
        for measure in TOLD:
            counts = {name: tally.at(bucket, measure, held) for name, tally in tallies.items()}
            found = apart(counts["a"], counts["b"])
            row = {"bucket": bucket, "measure": measure, "prompts": found.prompts}
            for name in ("base", "a", "b"):
                if name in counts:
                    rate = counts[name].share
                    row |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
            row |= {"difference": found.value, "low": found.low, "high": found.high, "verdict": found.verdict}
            if "again" in counts:
                control = apart(counts["a"], counts["again"])
                row |= {"again": control.value, "again_low": control.low, "again_high": control.high}
            rows.append(row)
    return rows
