"""Flags of the strategies for hard problems, of `interp grpo`."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import BadInput
from interp.cli.app import Args
from interp.cli.args import TrainArgs, parse_level
from interp.grpo.strategies.backward import Backward
from interp.grpo.strategies.curriculum import Curriculum, CurriculumConfig
from interp.grpo.strategies.hints import HintConfig, PrefixHints
from interp.grpo.strategies.replay import Replay
from interp.tasks import BUCKETS

if TYPE_CHECKING:
    from interp.grpo.sources import Problems
    from interp.grpo.strategies.base import Strategy

WITHOUT_BACKWARD, WITHOUT_REPLAY = Backward(share=0.0), Replay(share=0.0)


@dataclass(frozen=True, kw_only=True)
class HintArgs(HintConfig):
    """Hints: a share of the problems is asked with the beginning of a valid answer of the base."""

    rollouts: Path | None = None
    """Rollouts of the base, as `interp roll-out --split train --out` saves them. Without them there are no hints."""


@dataclass(frozen=True)
class StrategyArgs(Args):
    """What is asked where problems are hard. Without any of these flags, the problems as they are."""

    by_pass_rate: bool = False
    """Take the --levels, or the buckets of --buckets, by the pass rate of the run instead of in turn."""
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    """When --by-pass-rate moves."""
    backward: Backward = WITHOUT_BACKWARD
    """Backward problems."""
    hints: HintArgs = field(default_factory=HintArgs)
    replay: Replay = WITHOUT_REPLAY
    """Replay of valid answers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.curriculum != CurriculumConfig() and not self.by_pass_rate:
            raise BadInput("--curriculum flags are for --by-pass-rate: expected it too, got none")
        if self.hints != HintArgs() and self.hints.rollouts is None:
            raise BadInput("--hints flags are for hints from --hints.rollouts: expected it too, got none")
        if self.replay != WITHOUT_REPLAY and not self.replay.share:
            raise BadInput("--replay flags are for a --replay.share above 0: expected one, got 0")

    def strategies(self) -> "list[Strategy]":
        from interp.rollouts import Rollouts

        chosen: list[Strategy] = [each for each in (self.backward, self.replay) if each.share]
        if self.hints.rollouts is not None:
            settings = {each.name: getattr(self.hints, each.name) for each in fields(HintConfig)}
            chosen.append(PrefixHints(Rollouts.load(self.hints.rollouts), **settings))
        return chosen

    def problems(self, train: TrainArgs) -> "Problems | Curriculum":
        """What to train on, by the pass rate of the run if that is asked for."""
        if not self.by_pass_rate:
            return train.problems()
        n_levels = len(train.levels)
        if train.bucket is not None or n_levels == 1 or (train.buckets is None) == (n_levels == 0):
            raise BadInput(
                "--by-pass-rate goes through two --levels or more, easiest first, or through all buckets of --buckets: "
                "name the one or the other, and no --bucket"
            )
        settings = {each.name: getattr(self.curriculum, each.name) for each in fields(CurriculumConfig)}
        if train.buckets is None:
            return Curriculum([parse_level(level) for level in train.levels], **settings)
        from interp.rollouts import Buckets

        buckets = Buckets.load(train.buckets)
        parts = {name: buckets.problems(name) for name in BUCKETS if buckets.counts()[name]}
        return Curriculum(parts, **settings)
