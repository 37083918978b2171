"""Study: which strength of each credit scheme is the best on a base that is not reported?

The strength of a scheme is its threshold: the probability of being valid from which a success is paid, in units of the
mean. It is chosen on the shipped base, by the valid rate over all depths. `interp study credit` takes the chosen ones
to bases that had no part in it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import to_json
from interp.checks import Count, Seed
from interp.studies.base import Figure, Study, Table, deciding_fields
from interp.studies.credit_measures import GROUPS, average_runs, rate
from interp.studies.credit_runs import (
    DEEP,
    FEATURES,
    LIKELIHOOD,
    NOT_FITTED,
    SAME_STRENGTH,
    WITH_DICTIONARY,
    WITHOUT_DICTIONARY,
    Training,
    train_run,
)
from interp.studies.credit_world import ShippedWorld, TrainingConfig
from interp.studies.results import Arm, Observation, Results
from interp.studies.runner import Row

THRESHOLDS = (0.0, 0.25, 0.5, 1.0, 2.0)
PENALIZED = (LIKELIHOOD, FEATURES)
"""Schemes that are also tried with a penalty for successes that are likely lucky."""
CHOSEN_BY = rate("valid_rate", "all")


@dataclass(frozen=True)
class StrengthsConfig(TrainingConfig):
    seeds: Count = 2
    """Trainings of each scheme at each strength."""
    first_seed: Seed = 0
    """Seed of the first."""
    dictionaries: Count = 1
    """Dictionaries of each training."""


def trials() -> list[Training]:
    """Every scheme at every threshold. Seeds are added by the study."""
    fitted = [one for one in (*WITHOUT_DICTIONARY, *WITH_DICTIONARY) if one not in (*NOT_FITTED, *SAME_STRENGTH)]
    listed = [Training(scheme, DEEP, 0) for scheme in NOT_FITTED]
    for scheme in fitted:
        dictionary = 0 if scheme in WITH_DICTIONARY else None
        listed += [Training(scheme, DEEP, 0, dictionary, threshold) for threshold in THRESHOLDS]
        if scheme in PENALIZED:
            listed.append(Training(scheme, DEEP, 0, dictionary, penalty=1.0))
    return listed


def trial_name(training: Training) -> str:
    if training.scheme in NOT_FITTED:
        return training.scheme
    penalty = f", penalty {training.penalty:g}" if training.penalty else ""
    return f"{training.scheme}, threshold {training.threshold:g}{penalty}"


def chosen_strengths(rates: Mapping[str, float]) -> dict[str, float]:
    """The best threshold of each scheme without a penalty, from the rate of each trial. Of equal ones, the least."""
    best: dict[str, tuple[float, float]] = {}
    for training in trials():
        if training.scheme in NOT_FITTED or training.penalty or math.isnan(rates[trial_name(training)]):
            continue
        candidate = (rates[trial_name(training)], -training.threshold)
        best[training.scheme] = max(best.get(training.scheme, candidate), candidate)
    return {scheme: -threshold for scheme, (_, threshold) in best.items()}


class CreditStrengths(Study[StrengthsConfig]):
    name = "credit-strengths"
    title = "Strengths: which threshold of each credit scheme is the best?"
    background = (
        "Found before, by about forty trainings on the shipped base: a penalty for likely luck ended in policies that "
        "fail, in most trainings, and without one a threshold of 1 did well. The first grid was 0.5, 1 and 2; most "
        "schemes were best at its lower edge, so 0 and 0.25 were added."
    )
    question = "Which threshold of each credit scheme is the best on the shipped base?"
    summary = "The strength of each scheme is chosen where nothing is reported."
    Config = StrengthsConfig
    claims = ()
    measures = {
        **{f"valid rate, {group}": rate("valid_rate", group) for group in GROUPS},
        "malformed share": rate("malformed_share", "all"),
    }

    def arms(self, config: StrengthsConfig) -> list[Arm]:
        return [Arm(trial_name(one), self._spec(one, config)) for one in trials()]

    def _spec(self, training: Training, config: StrengthsConfig) -> dict[str, Any]:
        """What decides a trial."""
        not_of_all = {*config.dictionary_spec, "build_steps", "dictionaries", "audits", "ridge"}
        not_of_all |= {"label_problems", "label_weight", "label_rate"}
        decided = deciding_fields(config, "build_steps", "dictionaries")
        if training.scheme in NOT_FITTED:
            decided = deciding_fields(config, *not_of_all)
        return {"training": to_json(training), **decided}

    def world_spec(self, config: StrengthsConfig) -> Any:
        return config.dictionary_spec

    def prepare(self, config: StrengthsConfig, seed: int, directory: Path) -> None:
        ShippedWorld(config, seed, directory).make()

    def run(self, arm: Arm, seed: int | None, config: StrengthsConfig, directory: Path) -> dict[str, Any]:
        assert seed is not None, "every arm has seeds"
        training = Training(**{**arm.spec["training"], "run": seed})
        return train_run(training, ShippedWorld(config, seed, directory), config, directory / arm.directory_name)

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        return [Observation(row.arm, row.seed, average_runs([row.record])) for row in rows]

    def method(self, config: StrengthsConfig) -> str:
        return f"""\
Every scheme is trained from the shipped base on deep problems, {config.seeds} times at each threshold:
{config.steps} steps of {config.prompts} prompts x {config.group}. A success is paid
max(0, p - threshold x mean p), with a penalty max(p - threshold x mean p, -penalty x mean p), where p is the
probability that it is valid. Each training has a dictionary of its own (width {config.width}, K {config.k}). The best
threshold of a scheme is the one of the highest valid rate over all depths, on {config.problems} held-out problems of
each depth, {config.answers} answers each. `interp study credit` takes it to other bases."""

    def tables(self, results: Results, config: StrengthsConfig) -> list[Table]:
        from interp.studies.report import cell

        names = [trial_name(one) for one in trials() if results.seeds(trial_name(one))]
        rows = [[name, *(cell(results.mean(name, one), 3) for one in self.measures.values())] for name in names]
        rates = {one.name: results.mean(one.name, CHOSEN_BY).value for one in self.arms(config)}
        chosen = [[scheme, f"{threshold:g}"] for scheme, threshold in chosen_strengths(rates).items()]
        return [
            Table("Chosen strengths", ["scheme", "threshold"], chosen),
            Table("Rates after training", ["scheme", *self.measures], rows, "Means over trainings of one base."),
        ]

    def figures(self, results: Results, config: StrengthsConfig) -> list[Figure]:
        from interp.plots import Point, dots

        by_threshold = {
            f"threshold {threshold:g}": [
                Point(one.scheme, mean.value, n=mean.n)
                for one in trials()
                if one.scheme not in NOT_FITTED
                and one.threshold == threshold
                and not one.penalty
                and (mean := results.mean(trial_name(one), CHOSEN_BY)).n
            ]
            for threshold in THRESHOLDS
        }
        figure = dots({CHOSEN_BY.name: by_threshold}, y="valid rate")
        room_for_names = {"t": 110, "b": 150, "r": 170}
        figure.update_layout(legend={"y": 1.1, "yanchor": "bottom"}, margin=room_for_names)
        text = "Means over trainings of one base. Their intervals, wide for so few trainings, are in the table."
        return [Figure("Valid rate over all depths", text, figure)]
