"""Claims of the credit-truth study, each after its rule in code."""

from collections.abc import Callable

from interp.studies.base import Claim, Verdict, judge_above
from interp.studies.results import Measure, Results
from interp.studies.truth_columns import ALONE, BESIDE, COUNTS, LATENTS, RANDOM_DIRECTIONS, name_of
from interp.studies.truth_runs import (
    ENTROPY,
    FEATURES,
    INPUT_GRADIENT,
    KTAE,
    LEVELS,
    LIKELIHOOD,
    MONTE_CARLO,
    POSITION_MATCHED,
    RANDOM_TOKENS,
    SPLIT,
    SPLIT_BY_LIKELIHOOD,
    SPLIT_OF_OTHERS,
    TEXT,
)

Rule = Callable[[Results], Verdict]
DEEP, MIDDLE = "deep", "middle"
FEW = 8
"""Latents that are few enough to be looked at."""


def measured(name: str) -> Measure:
    return Measure(name, lambda record: record.get(name), -1.0, 1.0)


SPEARMAN = measured("spearman")
PRECISION = measured("precision")
VALID_SHARE = measured("valid share of the pay")
PAID = measured("valid successes paid")
AUROCS = (measured(ALONE), measured(BESIDE))
NAMES = (
    "spearman", "spearman, early", "spearman, late", "precision", "sign agreement", "mass on decisive",
    "mass on shortcut", "mass on filler",
)  # fmt: skip
"""Measures of token weights."""


def at(scheme: str, level: str) -> str:
    """The arm of a scheme on the problems of a level."""
    return f"{scheme}, {level}"


def follows_the_truth(scheme: str, control: str = RANDOM_TOKENS, others: tuple[str, ...] = ()) -> Rule:
    """A rule: the weights of a scheme agree better with the truth than those of its control."""

    def rule(results: Results) -> Verdict:
        pairs = [(control, level) for level in (MIDDLE, *(one for one in LEVELS if one != MIDDLE))]
        (name, deciding), *rest = (
            (f"{scheme} minus {one}, {level}", results.difference(at(scheme, level), at(one, level), SPEARMAN))
            for one, level in (*pairs, *((other, MIDDLE) for other in others))
        )
        return judge_above([deciding], {name: deciding}, beside=dict(rest))

    return rule


def pays_better(other: str) -> Rule:
    """A rule: of what the gate by features pays on deep problems, a larger share is valid."""

    def rule(results: Results) -> Verdict:
        (name, deciding), beside = (
            (
                f"{FEATURES} minus {other}, {DEEP}: {one.name}",
                results.difference(at(FEATURES, DEEP), at(other, DEEP), one),
            )
            for one in (VALID_SHARE, PAID)
        )
        return judge_above([deciding], {name: deciding}, beside=dict([beside]))

    return rule


def tells_better(measure: Measure) -> Rule:
    """A rule: the best few latents tell valid from lucky better than as many random directions."""

    def rule(results: Results) -> Verdict:
        differences = {
            count: results.difference(
                at(name_of(LATENTS, count), DEEP), at(name_of(RANDOM_DIRECTIONS, count), DEEP), measure
            )
            for count in (*COUNTS, None)
        }
        named = {f"{name_of(LATENTS, n)} minus random: {measure.name}": one for n, one in differences.items()}
        deciding = f"{name_of(LATENTS, FEW)} minus random: {measure.name}"
        beside = {name: one for name, one in named.items() if name != deciding}
        return judge_above([named[deciding]], {deciding: named[deciding]}, beside=beside)

    return rule


FEW_LABELS = "Readouts are fitted on labels of the base alone, most of them of shallower problems."
UNIT = "A base is the unit: Student's t takes bases to have one mode. Dictionaries of a base are averaged first."
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
        follows_the_truth(ENTROPY, POSITION_MATCHED),
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
        "features-find-it",
        "Weights up to the first error, as latents beside the likelihood read it, go where the outcome is decided.",
        "Inconclusive: what is decided on the way is whether to go on working, and not which step is wrong.",
        "Rank correlation as above, less that of the same splits dealt to other successes. The same rule.",
        follows_the_truth(SPLIT, SPLIT_OF_OTHERS, (SPLIT_BY_LIKELIHOOD, RANDOM_TOKENS)),
        (UNIT, FEW_LABELS),
    ),
    Claim(
        "features-pay-valid",
        "On deep problems a gate by latents beside the likelihood pays valid successes a larger share than the "
        "likelihood alone.",
        "Yes, by about 0.02.",
        "Valid share of the pay, before any audit, at one threshold. Supported: the interval over bases of the "
        "difference lies above zero. Not supported: below. Else inconclusive.",
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
