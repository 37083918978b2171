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
from interp.studies.truth_columns import ALONE, BESIDE, COUNTS, LATENTS, READ, name_of
from interp.studies.truth_columns import NAMES as COLUMNS
from interp.studies.truth_columns import RANDOM as RANDOM_LATENTS
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
TEXT_OF_FIGURES = "Means over bases, 95% intervals (Student's)."


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
    gate_group: Annotated[int, Range(2, 100_000)] = 32
    """Rollouts per problem for them."""


# --- measures --------------------------------------------------------------------------------------------------------


def measured(name: str) -> Measure:
    return Measure(name, lambda record: record.get(name), -1.0, 1.0)


SPEARMAN = measured("spearman")
PRECISION = measured("precision")
VALID_SHARE = measured("valid share of the pay")
PAID = measured("valid successes paid")
AUROCS = (measured(ALONE), measured(BESIDE))
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


def tells_better(measure: Measure) -> Any:
    """A rule: the best few latents tell valid from lucky better than as many random directions."""

    def rule(results: Results) -> Verdict:
        differences = {
            count: results.difference(
                at(name_of(LATENTS, count), DEEP), at(name_of(RANDOM_LATENTS, count), DEEP), measure
            )
            for count in (*COUNTS, None)
        }
        named = {f"{name_of(LATENTS, n)} minus random: {measure.name}": one for n, one in differences.items()}
        deciding = f"{name_of(LATENTS, FEW)} minus random: {measure.name}"
        beside = {name: one for name, one in named.items() if name != deciding}
        return judge_above([named[deciding]], {deciding: named[deciding]}, beside=beside)

    return rule


FEW = 8
"""Latents that are few enough to be looked at."""
FEW_LABELS = "Readouts are fitted on labels of the base alone, most of them of shallower problems."
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
        (UNIT, FEW_LABELS),
    ),
    Claim(
        "features-pay-better-than-text",
        "The same against the text beside the likelihood.",
        "No: counts of tokens say whether a chain is complete.",
        "The same rule.",
        pays_better(TEXT),
        (UNIT,),
    ),
    Claim(
        "few-latents-beat-random",
        "Eight latents, chosen by labels and read alone, tell valid deep answers from lucky ones better than eight "
        "random directions that are chosen in the same way.",
        "Yes, by about 0.1: a sparse direction holds more of it than a random one.",
        "AUROC among the successes on deep problems, means over dictionaries. Supported: the interval over bases of "
        "the difference lies above zero. Not supported: below. Else inconclusive.",
        tells_better(AUROCS[0]),
        (UNIT, FEW_LABELS),
    ),
    Claim(
        "few-latents-beat-random-beside-likelihood",
        "The same beside the likelihood.",
        "Inconclusive: of what the likelihood leaves open, random directions tell about as much.",
        "The same rule.",
        tells_better(AUROCS[1]),
        (UNIT, FEW_LABELS),
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
    measures = {name: measured(name) for name in (*NAMES, VALID_SHARE.name, PAID.name, ALONE, BESIDE)}
    background = (
        "On one batch of the shipped base (depth 5), which is not reported, rank correlations with the helpful part of "
        "delta V were 0.59 for nine continuations, 0.15 for entropy, 0.11 for the input gradient and for random "
        "weights, and -0.01 for token statistics. On its deep problems (36 valid of 3,116 successes), the AUROC of "
        "eight chosen latents was 0.90 and 0.83 with two dictionaries, of eight random directions 0.72, 0.82 and 0.76; "
        "beside the likelihood 0.98 and 0.98 against 0.97, 0.98 and 0.98; of the likelihood alone 0.97."
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

Gates are asked on {config.gate_problems} problems of each level, {config.gate_group} rollouts each. Their readouts are
fitted on labels of the base, before any audit, and those with latents on {config.dictionaries} dictionaries, whose
numbers are averaged. On the same labels, columns of the residual, latents and random directions are chosen one after
the other, each as the one that goes best with what the regression on those before leaves unexplained. A regression on
them is measured on the successes that the gates pay. Intervals are over bases."""

    def tables(self, results: Results, config: TruthConfig) -> list[Table]:
        from interp.studies.report import cell

        tables = []
        for title, schemes, names in (
            ("Token weights", WEIGHTS, NAMES),
            ("Gates", GATES, (VALID_SHARE.name, PAID.name)),
            ("How well valid is told from lucky, by what is read", COLUMNS, (ALONE, BESIDE)),
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
        from interp.plots import curves, dots
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
            figures.append(Figure(title, TEXT_OF_FIGURES, dots(panels, y=y)))
        lines = {
            measure.name: {
                read: [point(count, results.mean(at(name_of(read, count), DEEP), measure)) for count in COUNTS]
                for read in READ
            }
            for measure in AUROCS
        }
        title = "How few numbers tell valid deep answers from lucky ones"
        claims = ("few-latents-beat-random", "few-latents-beat-random-beside-likelihood")
        figure = curves(lines, x="columns read", y="AUROC")
        figure.update_xaxes(type="log", tickvals=COUNTS)
        figures.append(Figure(title, TEXT_OF_FIGURES, figure, claims))
        return figures
