"""Prefix hints: a problem is asked with the beginning of one of the base's own valid answers, shorter and shorter.

The hint belongs to the prompt: the policy writes the rest, and learns from what it wrote alone. The verifier judges the
whole answer. So a success that the policy would never reach from the question is within reach from the middle of an
answer, and then, step by step, from the question.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interp.artifacts import BadInput, Mismatch, fingerprint, same_fingerprint, to_json
from interp.checks import Count, Share, expect_plausible
from interp.grpo.sources import draw_from_epochs
from interp.grpo.strategies.base import Draw, RunSetting
from interp.policy.prompts import PromptFormat
from interp.rollouts.record import Rollout, Rollouts
from interp.tasks.base import Problem, seeded_rng

FROM_ANSWER_ROLES = ("marker", "answer", "end")
"""Roles of the tokens that give the answer. A hint ends before the first of them."""


@dataclass(frozen=True, kw_only=True)
class HintConfig:
    """How many problems get a hint, and how long it is in the course of a run."""

    share: Share = 0.5
    """Share of the groups of each batch that are problems with a hint."""
    length_from: Share = 0.75
    """Length of hints at the first step, as a share of what the base wrote before its answer."""
    length_to: Share = 0.0
    """Length of hints from step `hint_steps` on. 0: the problem is asked without a hint."""
    hint_steps: Count | None = None
    """Steps in which the length changes, evenly, from the one to the other. Default: the steps of the run."""
    trains_hint: bool = False
    """Train on the tokens of the hint too, as if the policy had written them."""

    def __post_init__(self) -> None:
        expect_plausible(self)


@dataclass(frozen=True)
class PrefixHints(HintConfig):
    """A share of the groups asks problems with the beginning of a valid answer of the base.

    The problems are those of `rollouts` that the base answered validly at least once: pass
    `interp.rollouts.roll_out(base, task, problems)`, or rollouts that were saved."""

    rollouts: Rollouts
    """Rollouts of the base on problems of the training split."""

    @property
    def name(self) -> str:
        return "hint"

    def spec(self) -> Any:
        rows = [row for row in self.rollouts if _is_valid(row)]
        content = fingerprint(*(str((row.problem, row.prompt, row.label, row.tokens)) for row in rows))
        settings = {name: value for name, value in to_json(vars(self)).items() if name != "rollouts"}
        return {"kind": "PrefixHints", "settings": settings | {"valid_rollouts": len(rows), "content": content}}

    def start(self, setting: RunSetting) -> "HintedProblems":
        self._expect_fitting(setting)
        answers: dict[Problem, list[tuple[int, ...]]] = {}
        for row in filter(_is_valid, self.rollouts):
            if (length := _length_before_answer(row)) > 0:
                problem = Problem(row.problem, row.prompt, row.label, row.split, row.depth, row.level)
                answers.setdefault(problem, []).append(row.tokens[:length])
        if not answers:
            raise BadInput(
                f"expected valid rollouts to take hints from, got none among {len(self.rollouts)} rollouts: roll out "
                "more, or easier problems"
            )
        return HintedProblems(self, answers, setting.config.steps, setting.config.seed)

    def _expect_fitting(self, setting: RunSetting) -> None:
        """Refuse rollouts of another policy or task, with other prompts, or of a split that is kept to measure on."""
        for name, own in (("policy", setting.base.fingerprint()), ("task", setting.task.fingerprint())):
            recorded = self.rollouts.made_from.get(name)
            if recorded is not None and not same_fingerprint(own, recorded):
                raise Mismatch(
                    f"expected rollouts of this {name} ({own}) to take hints from, got those of {recorded}: roll the "
                    "base out on this task"
                )
        stated = PromptFormat.stated_in(self.rollouts.config)
        if stated is not None and stated != setting.config.prompt_format:
            raise Mismatch(
                f"expected rollouts that were asked as the run asks, got {stated}: roll the base out with the prompts "
                "(chat, prefix, suffix, stop) of the run"
            )
        if others := sorted({row.split for row in self.rollouts} - {"train"}):
            raise BadInput(
                f"expected rollouts on the split train to take hints from, got some on {' and '.join(others)}, which "
                "are kept to measure on: roll out problems of the training split (--split train)"
            )


@dataclass(frozen=True)
class HintedProblems:
    """Problems with hints within one run."""

    config: HintConfig
    answers: Mapping[Problem, Sequence[tuple[int, ...]]]
    """For each problem, the valid answers of the base, up to where they give the answer."""
    steps: int
    """Steps of the run."""
    seed: int
    name: str = "hint"

    @property
    def share(self) -> float:
        return self.config.share

    def fill(self, draws: Sequence[Draw], step: int, position: int) -> list[Draw]:
        problems = draw_from_epochs(list(self.answers), position, len(draws), self.seed)
        return [self._hinted(problem, step, position + index) for index, problem in enumerate(problems)]

    def length(self, step: int) -> float:
        """Length of hints at a step, as a share of what the base wrote before its answer."""
        progress = min(1.0, step / (self.config.hint_steps or self.steps))
        return self.config.length_from + progress * (self.config.length_to - self.config.length_from)

    def _hinted(self, problem: Problem, step: int, number: int) -> Draw:
        answer = seeded_rng("hint", self.seed, number).choice(self.answers[problem])
        hint = answer[: math.floor(self.length(step) * len(answer))]
        return Draw(problem, strategy=self.name, hint=hint, trains_hint=self.config.trains_hint and bool(hint))


def _is_valid(row: Rollout) -> bool:
    """Whether a rollout may be a hint: valid, rewarded, and without a hint itself."""
    return bool(row.valid) and row.reward > 0 and row.hint_tokens is None


def _length_before_answer(row: Rollout) -> int:
    return next((index for index, role in enumerate(row.roles) if role in FROM_ANSWER_ROLES), len(row.tokens))
