"""Study: does credit by features beat what needs no features?

The unit of evidence is a base: an organism with weights and data of its own, of which all trainings of a base are runs.
Every scheme that is refitted audits the same number of successes, refits at the same steps, and pays by the same
formula (`interp.credit.readout`). They differ in what is read. Measures are recoveries: 0 is plain GRPO, 1 is the
oracle that pays valid answers alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from interp.artifacts import to_json
from interp.checks import Count
from interp.studies.base import (
    NOT_SUPPORTED,
    SUPPORTED,
    Claim,
    Figure,
    Study,
    Table,
    Verdict,
    judge_above,
    judge_below,
)
from interp.studies.credit_measures import (
    GROUPS,
    HARD,
    RECOVERIES,
    VALID,
    average_runs,
    difference_at_equal_kl,
    rate,
    recovery,
    with_recovery,
)
from interp.studies.credit_runs import (
    ALL,
    BASE,
    COMPLETENESS,
    DEFAULT,
    FEATURES,
    FORMAT,
    LIKELIHOOD,
    NOT_FITTED,
    OTHER_PROCESS,
    OTHER_SPLIT,
    PERMUTED,
    PLAIN,
    PROCESS,
    RANDOM,
    RANDOM_GATE,
    RESIDUAL,
    SPLIT,
    STRENGTHS,
    TEXT,
    TEXT_ALONE,
    Training,
    arm_name,
    measure_base,
    train_run,
    trainings,
)
from interp.studies.credit_world import TrainingConfig, World
from interp.studies.results import Arm, Measure, Observation, Results
from interp.studies.runner import Row

CONTROLS = (TEXT_ALONE, FORMAT, COMPLETENESS, TEXT, RANDOM, PERMUTED, RANDOM_GATE)
"""What a claim for features must beat, besides the likelihood."""
MARGIN = 0.02
"""Malformed answers may be so much more frequent than under plain GRPO."""
EQUAL = 0.05
"""Recoveries that differ by less count as equal."""
BARS = {VALID: 0.8, HARD: 0.6}
"""The recovery that is aimed at."""


@dataclass(frozen=True)
class CreditConfig(TrainingConfig):
    repeats: Count = 8
    """Trainings of every scheme from each base. The features are trained so often with each dictionary."""


# --- claims, each after its rule in code -----------------------------------------------------------------------------


def beats(scheme: str, others: Sequence[str], measures: Sequence[Measure]) -> "Any":
    """A rule: the recovery of a scheme lies above that of each of the others."""

    def rule(results: Results) -> Verdict:
        deciding = {
            f"{scheme} minus {other}: {measure.name}": results.difference(scheme, other, measure)
            for other in others
            for measure in measures
        }
        beside = {
            f"{scheme} minus {other} at equal KL: valid rate": difference_at_equal_kl(results, scheme, other)
            for other in others
        }
        return judge_above(
            list(deciding.values()), deciding, beside=beside,
            beside_note="Valid rates over all depths, where both have gone equally far from the base.",
        )  # fmt: skip

    return rule


def reaches_the_bar(results: Results) -> Verdict:
    recoveries = {measure.name: results.mean(FEATURES, measure) for measure in BARS}
    pairs = list(zip(recoveries.values(), BARS.values(), strict=True))
    if any(one.is_below(bar) for one, bar in pairs):
        return Verdict(NOT_SUPPORTED, recoveries, ways=len(pairs))
    return Verdict(SUPPORTED if all(one.is_above(bar) for one, bar in pairs) else "inconclusive", recoveries)


def keeps_what_the_residual_knows(results: Results) -> Verdict:
    losses = {
        f"{FEATURES} minus {RESIDUAL}: {measure.name}": results.difference(FEATURES, RESIDUAL, measure)
        for measure in RECOVERIES
    }
    if any(one.is_below(0) for one in losses.values()):
        return Verdict(NOT_SUPPORTED, losses, ways=len(losses))
    return judge_above(list(losses.values()), losses, -EQUAL)


def keeps_the_form(results: Results) -> Verdict:
    more = {
        "malformed share, features minus plain": results.difference(FEATURES, PLAIN, rate("malformed_share", "all"))
    }
    return judge_below(list(more.values()), more, MARGIN)


def keeps_the_skill(results: Results) -> Verdict:
    handled = rate("valid_rate", "handled")
    change = {"change in valid rate at depths 1 to 3": results.difference(FEATURES, BASE, handled)}
    beside = {"the same under plain GRPO": results.difference(PLAIN, BASE, handled)}
    return judge_above(list(change.values()), change, beside=beside)


UNIT = "Three bases: Student's t takes them to have one mode. Runs and dictionaries of a base are averaged first."
ORGANISM = "An organism of 0.2 million parameters, on whose task every step can be verified."
CLAIMS = (
    Claim(
        "features-beat-likelihood",
        "Credit by the latents of a dictionary, beside the likelihood, recovers more than the likelihood alone with "
        "the same audits.",
        "Yes, by about 0.07 over all depths and 0.2 on deep problems: what is left undone stands in the residual "
        "before the answer is announced, and not in how likely a token is.",
        "Recovery of the valid rate over all depths and on the deep ones, trained on deep problems. Supported: both "
        "intervals over bases of features minus likelihood lie above zero. Not supported: one lies below. Else "
        "inconclusive.",
        beats(FEATURES, (LIKELIHOOD,), RECOVERIES),
        (UNIT, ORGANISM),
    ),
    Claim(
        "features-beat-controls",
        "The features recover more than every control: the text alone; beside the likelihood the format, the parser's "
        "completeness, the text, random latents and permuted latents; and a random gate that pays as much.",
        "No: the text beside the likelihood recovers more, for its counts say exactly whether a chain is complete. The "
        "parser and random directions come close to the features; format, permuted latents and a random gate do not.",
        "Recovery of the valid rate over all depths. Supported: the intervals of all seven differences lie above zero. "
        "Not supported: one lies below. Else inconclusive.",
        beats(FEATURES, CONTROLS, RECOVERIES[:1]),
        (UNIT, ORGANISM),
    ),
    Claim(
        "dictionary-loses-nothing",
        "The latents recover as much as the residual that they are made of.",
        "No: the sparse code loses a part on the deep problems.",
        "Features minus residual, recovery over all depths and on deep problems. Supported: both intervals lie above "
        "-0.05. Not supported: one lies below zero. Else inconclusive.",
        keeps_what_the_residual_knows,
        (UNIT, "Both are read beside the likelihood, with the same audits."),
    ),
    Claim(
        "recovery-bar",
        "Features recover at least 0.8 of the valid rate over all depths, and 0.6 on deep problems.",
        "Yes: about 0.9 over all depths and 0.75 on deep problems.",
        "Supported: both intervals lie above their bar. Not supported: one lies below. Else inconclusive.",
        reaches_the_bar,
        (UNIT, ORGANISM),
    ),
    Claim(
        "form-kept",
        "Credit by features does not break the form of answers: malformed ones are within 0.02 of plain GRPO.",
        "No: about 0.04 more, as under the oracle, for long chains lose their way more often than direct answers.",
        "Malformed share over all depths, features minus plain. Supported: its interval lies below 0.02. Not "
        "supported: above. Else inconclusive.",
        keeps_the_form,
        (UNIT,),
    ),
    Claim(
        "skill-kept",
        "Credit by features on deep problems does not harm the skill on problems that the base handled.",
        "Yes, it raises it: written work is what valid answers have in common.",
        "Change of the valid rate at depths 1 to 3 against the base. Supported: its interval lies above zero. Not "
        "supported: below. Else inconclusive.",
        keeps_the_skill,
        (UNIT,),
    ),
    Claim(
        "process-beats-its-control",
        "A process advantage by features, apart from that of the outcome, recovers more than the same dealt to other "
        "successes.",
        "Yes, by far: a process advantage that says nothing leaves plain GRPO, which harms.",
        "Recovery of the valid rate over all depths. Supported: the interval of the difference lies above zero. Not "
        "supported: below. Else inconclusive.",
        beats(PROCESS, (OTHER_PROCESS,), RECOVERIES[:1]),
        (UNIT, ORGANISM),
    ),
    Claim(
        "split-beats-its-control",
        "Crediting a paid success up to its first error only, as read by features, recovers more than splits at the "
        "places of other successes.",
        "Inconclusive: what the gate pays is mostly valid, and has no error.",
        "The same rule.",
        beats(SPLIT, (OTHER_SPLIT,), RECOVERIES[:1]),
        (UNIT, ORGANISM),
    ),
    Claim(
        "features-beat-likelihood-mixed",
        "The same as the first claim, trained on problems of all depths.",
        "Inconclusive: with valid successes from the start, likelihood learns enough.",
        "The same rule as for the first claim, trained on all problems, with plain GRPO and the oracle on them too.",
        beats(arm_name(FEATURES, ALL), (arm_name(LIKELIHOOD, ALL),), RECOVERIES),
        (UNIT, ORGANISM),
    ),
)


# --- the study -------------------------------------------------------------------------------------------------------


class CreditStudy(Study[CreditConfig]):
    name = "credit"
    title = "Credit: does a readout of features beat what needs no features?"
    background = (
        "Sources, pay and labels were chosen on the shipped base, which is not reported, by about forty trainings; the "
        "strength of each scheme by `interp study credit-strengths`, whose numbers are in "
        "`data/results/credit-strengths`. A fixed penalty for likely luck ended in policies that fail, in most "
        "trainings; so there is none. The process advantage and the split at the first error were trained once each, "
        "without labels from before the run and by the likelihood alone: valid rates over all depths were 0.39 and "
        "0.34, of their controls 0.08 and 0.32, and of the likelihood's gate 0.31."
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
        base = Arm(BASE, {**config.world_spec, **_fields(config, "problems", "answers", "dictionaries")})
        return [base, *(self._arm(training, config) for training in trainings(config))]

    def _arm(self, training: Training, config: CreditConfig) -> Arm:
        decided = ("build_steps", "steps", "prompts", "group", "problems", "watch_problems", "answers")
        spec = {**to_json(training), **_fields(config, *decided)}
        if training.scheme not in NOT_FITTED:
            spec |= _fields(config, "audits", "ridge", "label_problems", "label_weight", "label_rate", "layer")
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
        training = Training(**{one.name: arm.spec[one.name] for one in fields(Training)})
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
        strengths = f"{DEFAULT:g}" + "".join(f", {name}: {one:g}" for name, one in STRENGTHS.items() if one != DEFAULT)
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
Other designs pay by the same features: the quarter of the successes that look most valid wholly and the others not at
all (*selected*); an advantage for p among the successes beside that of the outcome (*process advantage*); the same gate
with weights up to the first step that is probably wrong (*up to the first error*).

Before the first step, all read the same labelled answers of the base: {config.label_problems} problems of all depths,
the valid and the lucky ones among them, and every lucky edit of a valid one (a step deleted, repeated, swapped, or
changed). They count as {config.label_weight:g} audits of which {config.label_rate:g} are valid.

Rates are of {config.problems} held-out problems of each depth, {config.answers} answers each. Recovery is
(scheme - plain) / (oracle - plain), of the means over the runs of a base. Intervals are over bases."""

    def tables(self, results: Results, config: CreditConfig) -> list[Table]:
        from interp.studies.credit_figures import tables

        return tables(results)

    def figures(self, results: Results, config: CreditConfig) -> list[Figure]:
        from interp.studies.credit_figures import figures

        return figures(results)


def _fields(config: CreditConfig, *names: str) -> dict[str, Any]:
    return {name: getattr(config, name) for name in names}
