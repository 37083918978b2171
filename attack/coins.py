"""A study of a second: whether one coin is better than another. It has a ledger and a result like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.studies.base import Claim, Study, Verdict, deciding_fields, judge_above
from interp.studies.results import Arm, Results, share

SCORE = share("score", lambda record: record.get("score"))


def beats_bad(results: Results) -> Verdict:
    difference = results.difference("good", "bad", SCORE)
    return judge_above([difference], {"good minus bad": difference})


@dataclass(frozen=True)
class CoinConfig:
    seeds: int = 3
    first_seed: int = 1
    size: int = 10
    processes: int = 1


class Coins(Study[CoinConfig]):
    name = "coins"
    title = "Coins: is the good one better?"
    question = "Is the good coin better than the bad one?"
    summary = "The good coin is better."
    Config = CoinConfig
    claims = (Claim("better", "The good coin is better.", "Yes.", "Good minus bad, by seed.", beats_bad, ("A toy.",)),)
    measures = {"score": SCORE}  # noqa: RUF012

    def arms(self, config: CoinConfig) -> Sequence[Arm]:
        return [Arm(name, {"name": name, **deciding_fields(config)}) for name in ("good", "bad")]

    def run(self, arm: Arm, seed: int | None, config: CoinConfig, directory: Path) -> dict[str, Any]:
        return {"score": {"good": 0.8, "bad": 0.2}[arm.name] + (seed or 0) / 1000}

    def method(self, config: CoinConfig) -> str:
        return f"Coins of size {config.size}."
