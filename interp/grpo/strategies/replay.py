"""Replay of audited valid successes: a valid answer of an earlier step is put back into a later group of its problem.

Where one answer in a thousand is valid, most batches hold none, and nothing is learned from the one that was. So the
run keeps its valid successes. Whether a success is valid is a label that somebody has to pay for: each step, up to
`audits` rewarded answers are looked at, and the labels are counted.

A replayed answer keeps the log-probabilities that it was written with, so its ratio is that of the policy now to the
policy then, and clipping holds: once a token is likelier than then by the clip, it is pushed no further. With a ratio
of 1 instead, each replay would push as far as the first, however often the answer comes back, and a memory of a few
answers would be learned by heart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from interp.artifacts import from_json, to_json
from interp.checks import Count, Share, expect_plausible
from interp.grpo.sources import draw_from_epochs
from interp.grpo.specs import spec_of
from interp.grpo.strategies.base import Draw, Group, RunSetting
from interp.rollouts.record import Rollout
from interp.tasks.base import Problem, hash_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Replay:
    """A share of the groups asks problems that the run has answered validly before; one of those answers takes the
    place of the group's last rollout."""

    share: Share = 0.25
    """Share of the groups of each batch. While the memory holds fewer problems, it is less."""
    capacity: Count = 256
    """Problems in memory, each with its newest valid answer. The oldest make room."""
    audits: Count = 8
    """Rewarded answers whose validity is looked at, per step."""

    def __post_init__(self) -> None:
        expect_plausible(self)

    @property
    def name(self) -> str:
        return "replay"

    def spec(self) -> Any:
        return spec_of(self)

    def start(self, setting: RunSetting) -> "ReplayMemory":
        return ReplayMemory(self, setting.config.seed)


@dataclass(frozen=True)
class Success:
    """A valid answer, and the problem it solves."""

    problem: Problem
    rollout: Rollout


@dataclass
class ReplayMemory:
    """The valid answers of one run, the oldest first."""

    config: Replay
    seed: int
    name: str = "replay"
    successes: dict[str, Success] = field(default_factory=dict)
    """By id of the problem."""
    audits_done: int = 0
    """Answers whose validity was looked at since the run began."""

    @property
    def share(self) -> float:
        return self.config.share

    def fill(self, draws: Sequence[Draw], step: int, position: int) -> list[Draw]:
        n = min(len(draws), len(self.successes))
        # the end of one pass and the beginning of the next may hold the same problem
        ids = list(dict.fromkeys(draw_from_epochs(list(self.successes), position, n, self.seed))) if n else []
        chosen = [self.successes[problem_id] for problem_id in ids]
        replayed = [Draw(each.problem, strategy=self.name, replay=each.rollout) for each in chosen]
        return [*replayed, *draws[len(replayed) :]]

    def observe(self, step: int, groups: Sequence[Group]) -> Mapping[str, float]:
        """Audit rewarded answers of the step, and remember the valid ones."""
        candidates = [
            Success(draw.problem, row)
            for draw, rollouts in groups
            for row in rollouts
            if row.reward > 0 and row.replayed_from is None and row.hint_tokens is None
        ]
        candidates.sort(key=lambda each: hash_of("audit", self.seed, step, each.problem.id, each.rollout.sample))
        audited = candidates[: self.config.audits]
        self.audits_done += len(audited)
        for each in audited:
            if each.rollout.valid:
                self.successes.pop(each.problem.id, None)
                self.successes[each.problem.id] = replace(each, rollout=_without_credit(each.rollout))
        for problem_id in list(self.successes)[: -self.config.capacity]:
            del self.successes[problem_id]
        return {"audits": len(audited), "audits_done": self.audits_done, "replay_memory": len(self.successes)}

    def state(self) -> "Mapping[str, Tensor]":
        import torch

        text = json.dumps([to_json(each) for each in self.successes.values()])
        return {
            "successes": torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8),
            "audits_done": torch.tensor(self.audits_done),
        }

    def load_state(self, state: "Mapping[str, Tensor]") -> None:
        rows = json.loads(bytes(state["successes"].tolist()))
        successes = [from_json(Success, row) for row in rows]
        self.successes = {each.problem.id: each for each in successes}
        self.audits_done = int(state["audits_done"])


_SET_BY_TRAINING = [f.name for f in fields(Rollout) if f.default is None]


def _without_credit(rollout: Rollout) -> Rollout:
    """The record without what training set: the credit of another batch is not this one's."""
    return replace(rollout, **dict.fromkeys(_SET_BY_TRAINING))
