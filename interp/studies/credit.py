"""Study: does credit by features beat what needs no features?

The unit of evidence is a base: an organism with weights and data of its own, of which all trainings of a base are runs.
Every scheme that is refitted audits the same number of successes, refits at the same steps, and pays by the same
formula (`interp.credit.readout`). They differ in what is read. Measures are recoveries: 0 is plain GRPO, 1 is the
oracle that pays valid answers alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import to_json
from interp.checks import Count
from interp.studies.base import Figure, Study, Table, chosen_fields
from interp.studies.credit_claims import CLAIMS
from interp.studies.credit_measures import GROUPS, MIN_GAIN, RECOVERIES, average_runs, rate, recovery, with_recovery
from interp.studies.credit_runs import (
    BASE,
    NOT_FITTED,
    STRENGTHS,
    Training,
    arm_name,
    measure_base,
    train_run,
    trainings,
)
from interp.studies.credit_world import TrainingConfig, World
from interp.studies.results import Arm, Observation, Results
from interp.studies.runner import Row


@dataclass(frozen=True)
class CreditConfig(TrainingConfig):
    seeds: Count = 6
    """Bases: the unit of evidence. More trainings of one base would not say how bases differ."""
    repeats: Count = 2
    """Trainings of every scheme from each base. The features are trained so often with each dictionary."""


class CreditStudy(Study[CreditConfig]):
    name = "credit"
    title = "Credit: does a readout of features beat what needs no features?"
    background = (
        "Sources, pay and labels were chosen on the shipped base, which is not reported, by about forty trainings; the "
        "strength of each scheme by `interp study credit-strengths`, whose numbers are in "
        "`data/results/credit-strengths`. A fixed penalty for likely luck ended in policies that fail, in most "
        "trainings; so there is none. The process advantage and the split at the first error were trained once each, "
        "without labels from before the run and by the likelihood alone: valid rates over all depths were 0.39 and "
        "0.34, of their controls 0.08 and 0.32, and of the likelihood's gate 0.31. "
        "By an error every arm was first trained on problems of all depths. Those 390 runs are the arms of that name "
        "now; the 65 that had been planned so came out twice, equal bit for bit. The error was seen in the names of "
        "the arms, when nothing of the results was known but the rates of the bases and one run by features. The "
        "claims on all problems after the first were written then."
    )
    question = "Does credit by features beat what needs no features?"
    summary = "Credit by features, refitted on a few audits, beats everything that reads no features."
    Config = CreditConfig
    claims = CLAIMS
    measures = {
        **{f"{name}, {group}": rate(name, group) for name in ("valid_rate", "pass_rate") for group in GROUPS},
        "malformed share": rate("malformed_share", "all"),
        **{measure.name: measure for measure in RECOVERIES},
        "valid share of what is paid": recovery("paid"),
        "labels audited": recovery("audited"),
    }

    def arms(self, config: CreditConfig) -> list[Arm]:
        base = Arm(BASE, {**config.world_spec, **chosen_fields(config, "problems", "answers", "dictionaries")})
        return [base, *(self._arm(training, config) for training in trainings(config))]

    def _arm(self, training: Training, config: CreditConfig) -> Arm:
        decided = ("build_steps", "steps", "prompts", "group", "problems", "watch_problems", "answers")
        spec = {"training": to_json(training), **chosen_fields(config, *decided)}
        if training.scheme not in NOT_FITTED:
            spec |= chosen_fields(config, "audits", "ridge", "label_problems", "label_weight", "label_rate", "layer")
        if training.dictionary is not None:
            spec |= config.dictionary_spec
        return Arm(f"{training.name} / dictionary {training.dictionary} / run {training.run}", spec)

    def base_fingerprint(self, config: CreditConfig) -> str:
        return "built for each seed"

    def world_spec(self, config: CreditConfig) -> Any:
        return config.world_spec

    def prepare(self, config: CreditConfig, seed: int, directory: Path) -> None:
        World(config, seed, directory).make()

    def run(self, arm: Arm, seed: int | None, config: CreditConfig, directory: Path) -> dict[str, Any]:
        assert seed is not None, "every arm has bases"
        world = World(config, seed, directory)
        if arm.name == BASE:
            return measure_base(world, config)
        training = Training(**arm.spec["training"])
        return {"training": to_json(training), **train_run(training, world, config, directory / arm.directory_name)}

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        """One observation per scheme and base: its runs averaged, with the recovery between plain GRPO and oracle."""
        runs: dict[tuple[str, int | None], list[Any]] = defaultdict(list)
        for row in rows:
            training = row.record.get("training")
            name = BASE if training is None else arm_name(training["scheme"], training["problems"])
            runs[name, row.seed].append(row.record)
        means = {key: average_runs(records) for key, records in runs.items()}
        return [Observation(name, seed, with_recovery(name, seed, means)) for name, seed in means]

    def method(self, config: CreditConfig) -> str:
        strengths = ", ".join(f"{name} {strength:g}" for name, strength in STRENGTHS.items())
        return f"""\
{config.seeds} bases, each an organism built with a seed of its own ({config.build_steps} steps), and
{config.dictionaries} dictionaries of each (width {config.width}, K {config.k}, layer {config.layer}, fitted on
{config.tokens:,} tokens of the base's own answers before any reward). From each base every scheme is trained
{config.repeats} times, the features with each dictionary: {config.steps} steps of {config.prompts} prompts x
{config.group} on deep problems (depths 8 and 9). Advantages have no unit (scale none), for gates are graded; plain GRPO
is also trained with the usual unit, the deviation of the group. A run that diverges is measured at its last whole
checkpoint.

A scheme that is refitted audits {config.audits} successes a step, refits every second step, and pays
max(0, p - strength x mean p), where p is the probability that a success is valid, as the frozen base reads it. The
strength of each scheme was chosen by `interp study credit-strengths` on the shipped base: {strengths}.
Features alone are read without the likelihood: latents before the answer is announced, and, by a lens that is fitted
without labels on the base's own answers, how surprising each copied token was to the latents before it. An answer
without a copied token cannot be read so. *written answers*: the same is left out of what others read, as a control.
Other designs pay by latents beside the likelihood: the quarter of the successes that look most valid wholly and the
others not at all (*selected*); an advantage for p among the successes beside that of the outcome (*process advantage*);
the same gate with weights up to the first step that is probably wrong (*up to the first error*). The first two have no
threshold and the last has that of the features; nothing else of them was chosen by a sweep.

Before the first step, all gates read the same labelled answers of the base: {config.label_problems} problems of all
depths, the valid and the lucky ones among them, and every lucky edit of a valid one (a step deleted, repeated, swapped,
or changed). They count as {config.label_weight:g} audits of which {config.label_rate:g} are valid. Where the first
error is, is learned from audits alone.

Rates are of {config.problems} held-out problems of each depth, {config.answers} answers each. Recovery is
(scheme - plain) / (oracle - plain), of the means over the runs of a base. A base on which the oracle gains less than
{MIN_GAIN:g} has none. Intervals are over bases."""

    def tables(self, results: Results, config: CreditConfig) -> list[Table]:
        from interp.studies.credit_figures import tables

        return tables(results)

    def figures(self, results: Results, config: CreditConfig) -> list[Figure]:
        from interp.studies.credit_figures import figures

        return figures(results)
