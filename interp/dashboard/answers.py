"""Answers of checkpoints to problems held out: rates, and changes from the base's answers.

They come from the first of these that has both ends of a run:

rollouts     answers of both to the same problems, given to the report: paired by problem
tracks       the same, as tracks or a comparison counted them: paired by problem
evaluation   rates alone: not paired, so that intervals are wider

Rollouts of training are no source: the problems of its first and last steps are others.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interp.dashboard.inputs import Inputs
from interp.dashboard.learning import GIVEN_SUCCESS, LUCKY_SHARE, with_lucky_share
from interp.dashboard.levels import ALL
from interp.dashboard.tracked import TrackedRun
from interp.policy.fingerprints import weights_of
from interp.rollouts.record import Rollout
from interp.rollouts.summary import MEASURES
from interp.stats.estimate import Estimate
from interp.stats.shares import share_difference
from interp.tracking.behavior import BEHAVIOR_MEASURES, BehaviorCounts, PromptCounts, rate_difference
from interp.tracking.config import ON_POLICY, RESAMPLED
from interp.tracking.tracks import Tracks

COLUMNS = ("pass_rate", "valid_rate", LUCKY_SHARE, "direct_share", "malformed_share")
ROLLOUTS, TRACKS, EVALUATION = "rollouts", "tracks", "evaluation"
Key = tuple[str, str]
"""A bucket and a measure."""


@dataclass(frozen=True)
class Counted:
    """Answers counted by problem: changes are paired."""

    source: str
    counts: Mapping[Key, Mapping[Hashable, tuple[int, int]]]
    """Successes and trials at each problem."""

    @classmethod
    def of_rollouts(cls, rows: Iterable[Rollout], level_of: Callable[[Rollout], str | None]) -> "Counted":
        counts: dict[Key, dict[Hashable, list[int]]] = {}
        for row in rows:
            for measure, (is_success, is_trial) in MEASURES.items():
                if measure in (*COLUMNS, GIVEN_SUCCESS) and is_trial(row):
                    success = bool(is_success(row))
                    name = LUCKY_SHARE if measure == GIVEN_SUCCESS else measure
                    for bucket in dict.fromkeys((ALL, level_of(row))):
                        if bucket is not None:
                            pair = counts.setdefault((bucket, name), {}).setdefault((row.problem, row.prompt), [0, 0])
                            pair[0] += success != (name == LUCKY_SHARE)  # lucky: right and not valid
                            pair[1] += 1
        return cls(ROLLOUTS, _as_pairs(counts))

    @classmethod
    def of_tracks(cls, behavior: BehaviorCounts, problems: str = "") -> "Counted":
        """`problems` tells sets of problems apart: in the counts problems have numbers alone."""
        counts: dict[Key, dict[Hashable, list[int]]] = {}
        for (bucket, prompt), counts_M2 in behavior.counts.items():
            of_prompt: dict[str, list[int]] = dict(zip(BEHAVIOR_MEASURES, counts_M2.tolist(), strict=True))
            lucky, valid = of_prompt["lucky_rate"][0], of_prompt["valid_rate"][0]
            of_prompt[LUCKY_SHARE] = [lucky, lucky + valid]
            for measure in COLUMNS:
                if measure in of_prompt:
                    for name in (bucket, ALL):
                        counts.setdefault((name, measure), {})[problems, bucket, prompt] = of_prompt[measure]
        return cls(TRACKS, _as_pairs(counts))

    def _pair(self, other: "Counted", key: Key) -> tuple[PromptCounts, PromptCounts]:
        """Counts of both, problem by problem."""
        own, others = self.counts.get(key, {}), other.counts.get(key, {})
        problems = list(dict.fromkeys([*others, *own]))
        both = (np.array([of.get(problem, (0, 0)) for problem in problems]).reshape(-1, 2) for of in (others, own))
        first, second = (PromptCounts(counts_P2[:, 0], counts_P2[:, 1]) for counts_P2 in both)
        return first, second

    def rate(self, key: Key) -> Estimate:
        return self._pair(self, key)[0].rate

    def change_from(self, other: "Counted", key: Key) -> Estimate:
        first, second = self._pair(other, key)
        return rate_difference(first, second) if first.rate.n and second.rate.n else Estimate(np.nan)


@dataclass(frozen=True)
class Rated:
    """Rates with intervals alone, from an evaluation: changes are not paired."""

    rates: Mapping[Key, Estimate]
    source: str = EVALUATION

    def rate(self, key: Key) -> Estimate:
        return self.rates.get(key, Estimate(np.nan))

    def change_from(self, other: "Rated", key: Key) -> Estimate:
        return share_difference(other.rate(key), self.rate(key))


Answers = Counted | Rated
Ends = tuple[Answers, Answers, Answers | None]
"""Answers of the base of a run, of its last checkpoint, and of the base sampled again."""


def _as_pairs(counts: Mapping[Key, Mapping[Hashable, Sequence[int]]]) -> dict[Key, dict[Hashable, tuple[int, int]]]:
    return {key: {problem: (pair[0], pair[1]) for problem, pair in of.items()} for key, of in counts.items()}


# --- where answers come from -----------------------------------------------------------------------------------------


class Sources:
    """Answers of checkpoints, by their weights."""

    def __init__(
        self, inputs: Inputs, tracked: Sequence[TrackedRun], level_of: Callable[[Rollout], str | None]
    ) -> None:
        self.tracked = {each.run: each for each in tracked}
        self.rollouts: dict[str, list[Counted]] = {}
        for named in inputs.rollouts:
            if (policy := named.result.made_from.get("policy")) and not any(row.advantages for row in named.result):
                counted = Counted.of_rollouts(named.result, level_of)
                self.rollouts.setdefault(weights_of(policy), []).append(counted)
        self.compared = [named.result.tracks for named in inputs.comparisons]
        self.evaluations: dict[str, Rated] = {}
        for named in inputs.evaluations:
            evaluation = named.result
            for step, policy in evaluation.policies.items():
                groups = [(ALL, ALL), *(("level", group) for group in evaluation.groups("level"))]
                rates = {
                    (group, measure): estimate
                    for by, group in groups
                    for measure, estimate in with_lucky_share(evaluation.measures(step, by=by, group=group)).items()
                }
                self.evaluations.setdefault(weights_of(policy), Rated(rates))

    def ends(self, run: int, weights: Sequence[str | None]) -> Ends | None:
        """Answers of the base, of the last checkpoint that has any, and of the base again. `weights` are those of the
        run's checkpoints, the base first."""
        base, later = weights[0], [each for each in reversed(weights[1:]) if each is not None]
        if base in self.rollouts and (ends := [each for each in later if each in self.rollouts]):
            first, *resampled = self.rollouts[base]
            return first, self.rollouts[ends[0]][0], resampled[0] if resampled else None
        if (tracked := self.tracked.get(run)) and len(tracked.tracks.steps) > 1:
            return _tracked_answers(tracked.tracks, tracked.tracks.steps[-1])
        for tracks in self.compared:
            steps = {weights_of(tracks.made_from[f"policy-{step}"]): step for step in reversed(tracks.steps)}
            ends = [steps[each] for each in later if each in steps]
            if ends and base is not None and steps.get(base) == tracks.steps[0] != ends[0]:
                return _tracked_answers(tracks, ends[0])
        if base in self.evaluations and (ends := [each for each in later if each in self.evaluations]):
            return self.evaluations[base], self.evaluations[ends[0]], None
        return None


def _tracked_answers(tracks: Tracks, last: int) -> Ends:
    """Answers of the base of tracks, of the checkpoint `last`, and of the base again if it was sampled twice."""
    base, problems = tracks.steps[0], tracks.made_from.get(ON_POLICY, "")
    places = [(base, ON_POLICY), (last, ON_POLICY), *([(base, RESAMPLED)] if base in tracks.resampled_steps else [])]
    counted = [Counted.of_tracks(tracks.checkpoint_sums(*place).behavior, problems) for place in places]
    return counted[0], counted[1], counted[2] if len(counted) > 2 else None
