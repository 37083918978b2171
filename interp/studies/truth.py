"""Study: does credit go where the outcome is decided?

The truth is delta V: how much each written step moves the chance of the outcome, from 64 continuations of the text
before and after it. Every scheme is asked for the credit of the same rollouts of an untrained base.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from interp.checks import Count, Range
from interp.studies.base import Claim, Figure, Study, Table, Verdict, deciding_fields, judge_above
from interp.studies.credit_world import World, WorldConfig
from interp.studies.results import Arm, Measure, Observation, Results
from interp.studies.runner import Row
from interp.studies.truth_runs import (
    ENTROPY,
    FEATURES,
    GATES,
    INPUT_GRADIENT,
    KTAE,
    LEVELS,
    LIKELIHOOD,
    MONTE_CARLO,
    POSITION_MATCHED,
    RANDOM,
    TEXT,
    WEIGHTS,
    measure_level,
)

DEEP, MIDDLE = "deep", "middle"


@dataclass(frozen=True)
class TruthConfig(WorldConfig):
    problems: Count = 60
    """Held-out problems of each level whose steps are measured."""
    group: Annotated[int, Range(2, 100_000)] = 8
    """Rollouts per problem."""
    continuations: Annotated[int, Range(2, 100_000)] = 64
    """Continuations of each prefix."""
    gate_problems: Count = 400
    """Held-out problems of each level whose successes are paid by the gates."""


# --- measures --------------------------------------------------------------------------------------------------------


def measured(name: str) -> Measure:
    return Measure(name, lambda record: record.get(name), -1.0, 1.0)


SPEARMAN = measured("spearman")
PRECISION = measured("precision")
VALID_SHARE = measured("valid share of the pay")
PAID = measured("valid successes paid")
NAMES = ("spearman", "precision", "sign agreement", "mass on decisive", "mass on shortcut", "mass on filler")


def at(scheme: str, level: str) -> str:
    """The arm of a scheme on the problems of a level."""
    return f"{scheme}, {level}"


# --- claims, each after its rule in code -----------------------------------------------------------------------------


def follows_the_truth(scheme: str) -> Any:
    def rule(results: Results) -> Verdict:
        deciding = results.difference(at(scheme, MIDDLE), at(RANDOM, MIDDLE), SPEARMAN)
        beside = {
            f"{scheme} minus {RANDOM}, {level}": results.difference(at(scheme, level), at(RANDOM, level), SPEARMAN)
            for level in LEVELS
            if level != MIDDLE
        }
        return judge_above([deciding], {f"{scheme} minus {RANDOM}, {MIDDLE}": deciding}, beside=beside)

    return rule


def beats_its_positions(results: Results) -> Verdict:
    difference = results.difference(at(ENTROPY, MIDDLE), at(POSITION_MATCHED, MIDDLE), SPEARMAN)
    return judge_above([difference], {f"{ENTROPY} minus {POSITION_MATCHED}, {MIDDLE}": difference})


def pays_better(other: str) -> Any:
    def rule(results: Results) -> Verdict:
        measures = {
            f"{FEATURES} minus {other}, {DEEP}: {measure.name}": results.difference(
                at(FEATURES, DEEP), at(other, DEEP), measure
            )
            for measure in (VALID_SHARE, PAID)
        }
        return judge_above(list(measures.values())[:1], measures)

    return rule


UNIT = "Three bases: Student's t takes them to have one mode."
RULE = (
    "Rank correlation between the mean weight of a segment and the size of its delta V, on problems of middle depth, "
    "less that of random token weights. Supported: the interval over bases lies above zero. Not supported: below. Else "
    "inconclusive."
)
CLAIMS = (
    Claim(
        "monte-carlo-finds-it",
        "Nine continuations of each step are enough to find the steps that decide.",
        "Yes, about 0.4 above random weights.",
        RULE,
        follows_the_truth(MONTE_CARLO),
        (UNIT,),
    ),
    Claim(
        "entropy-finds-it",
        "The tokens of highest entropy are where the outcome is decided.",
        "No more than their positions: operators after a separator are uncertain and decide in one.",
        "Rank correlation as above, entropy less random tokens at the same positions. The same rule.",
        beats_its_positions,
        (UNIT,),
    ),
    Claim(
        "ktae-finds-it",
        "Statistics of tokens in right and wrong rollouts of a group find the steps that decide.",
        "No: the numbers of a chain mean nothing outside their place.",
        RULE,
        follows_the_truth(KTAE),
        (UNIT,),
    ),
    Claim(
        "gradient-finds-it",
        "The gradient of the answer's log-probability finds the steps that decide.",
        "Inconclusive: it points at the last results, which decide rarely.",
        RULE,
        follows_the_truth(INPUT_GRADIENT),
        (UNIT,),
    ),
    Claim(
        "features-pay-valid",
        "On deep problems a gate by latents beside the likelihood pays valid successes a larger share than the "
        "likelihood alone.",
        "Yes.",
        "Valid share of the pay, before any audit. Supported: the interval over bases of the difference lies above "
        "zero. Not supported: below. Else inconclusive.",
        pays_better(LIKELIHOOD),
        (UNIT, "Readouts are fitted on labels of the base alone, most of them of shallower problems."),
    ),
    Claim(
        "features-pay-better-than-text",
        "The same against the text beside the likelihood.",
        "No: counts of tokens say whether a chain is complete.",
        "The same rule.",
        pays_better(TEXT),
        (UNIT,),
    ),
)


# --- the study -------------------------------------------------------------------------------------------------------


class CreditTruth(Study[TruthConfig]):
    name = "credit-truth"
    title = "Credit and truth: does credit go where the outcome is decided?"
    question = "Does credit go where the outcome is decided?"
    summary = "Credit schemes find the steps that decide the outcome."
    Config = TruthConfig
    claims = CLAIMS
    measures = {name: measured(name) for name in (*NAMES, VALID_SHARE.name, PAID.name)}
    background = (
        "On one batch of the shipped base (depth 5), which is not reported, rank correlations with the helpful part of "
        "delta V were 0.59 for nine continuations, 0.15 for entropy, 0.11 for the input gradient and for random "
        "weights, and -0.01 for token statistics."
    )

    def arms(self, config: TruthConfig) -> list[Arm]:
        return [Arm(level, {"level": level, **deciding_fields(config)}) for level in LEVELS]

    def base_fingerprint(self, config: TruthConfig) -> str:
        return "built for each seed"

    def world_spec(self, config: TruthConfig) -> Any:
        return config.world_spec

    def prepare(self, config: TruthConfig, seed: int, directory: Path) -> None:
        World(config, seed, directory).make()

    def run(self, arm: Arm, seed: int | None, config: TruthConfig, directory: Path) -> dict[str, Any]:
        assert seed is not None, "every arm has bases"
        return measure_level(World(config, seed, directory), arm.name, config)

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        """One observation per scheme, level and base."""
        return [
            Observation(at(scheme, row.arm), row.seed, record)
            for row in rows
            for scheme, record in row.record["schemes"].items()
        ]

    def method(self, config: TruthConfig) -> str:
        return f"""\
{config.seeds} bases, each an organism built with a seed of its own. On {config.problems} held-out problems of each
level (shallow, middle, deep), {config.group} rollouts each, the value of the prompt and of the text after every step is
measured by {config.continuations} continuations by the base. A segment is a step, or what comes after the last one. It
is decisive if its delta V is at least 0.1 and two standard errors from zero; a shortcut if it is not and does work that
was not due, or answers before the work was done; else filler.

Gates are asked on {config.gate_problems} other problems of each level. Their readouts are fitted on labels of the base,
before any audit, and those with latents on {config.dictionaries} dictionaries, whose numbers are averaged. Intervals
are over bases."""

    def tables(self, results: Results, config: TruthConfig) -> list[Table]:
        from interp.studies.report import cell

        tables = []
        for title, schemes, names in (
            ("Token weights", WEIGHTS, NAMES),
            ("Gates", GATES, (VALID_SHARE.name, PAID.name)),
        ):
            rows = [
                [scheme, level, *(cell(results.mean(at(scheme, level), measured(name)), 3) for name in names)]
                for scheme in schemes
                for level in LEVELS
                if results.seeds(at(scheme, level))
            ]
            tables.append(Table(title, ["scheme", "level", *names], rows))
        return tables

    def figures(self, results: Results, config: TruthConfig) -> list[Figure]:
        from interp.plots import dots
        from interp.studies.report import point

        figures = []
        for title, schemes, measure, y in (
            ("How weights agree with delta V", WEIGHTS, SPEARMAN, "rank correlation"),
            ("What gates pay", GATES, VALID_SHARE, "valid share of the pay"),
        ):
            panels = {
                level: {title: [point(one, results.mean(at(one, level), measure)) for one in schemes]}
                for level in LEVELS
            }
            figures.append(Figure(title, "Means over bases, 95% intervals (Student's).", dots(panels, y=y)))
        return figures
