"""Claims of the hard-samples study, each after its rule in code, with what we expect and why.

All were written before the runs. What refutes a claim is the second case of its rule: an interval on the other side.
"""

from collections.abc import Callable

from interp.studies.base import INCONCLUSIVE, Claim, Verdict, judge_above, judge_below
from interp.studies.credit_runs import BASE, LIKELIHOOD, PLAIN
from interp.studies.hard_samples_measures import ALL, DEEP, DEEPER, KEPT, LUCKY, STEPS, VALID, rate
from interp.studies.hard_samples_runs import (
    BACKWARD,
    BEST,
    CURRICULUM,
    DYNAMIC,
    HINTS,
    REPLAY,
    STRATEGIES,
    arm_name,
)
from interp.studies.results import Measure, Results

Rule = Callable[[Results], Verdict]
BESIDE: tuple[Measure, ...] = (
    KEPT, rate("valid_rate", DEEPER), rate("malformed_share", ALL), rate(LUCKY, DEEP), rate("valid_rate", DEEP, STEPS),
)  # fmt: skip
"""What stands beside a gain on hard problems: earlier skill, form, luck, and the same at equal steps."""
NOTE = "The same difference in other measures."


def helps(strategy: str, role: str) -> Rule:
    """A rule: with a strategy, the valid rate on hard problems is higher than by its credit without it."""
    return gains(arm_name(strategy, role), role)


def gains(first: str, second: str) -> Rule:
    def rule(results: Results) -> Verdict:
        gain = results.difference(first, second, VALID)
        beside = {one.name: results.difference(first, second, one) for one in BESIDE}
        return judge_above([gain], {f"{first} minus {second}": gain}, beside=beside, beside_note=NOTE)

    return rule


def credit_does_more(results: Results) -> Verdict:
    """Credit without a strategy against every strategy without credit."""
    differences = {f"{BEST} minus {one}": results.difference(BEST, one, VALID) for one in STRATEGIES}
    beside = {f"{BEST} minus {one}, equal steps": results.difference(BEST, one, BESIDE[-1]) for one in STRATEGIES}
    return judge_above(list(differences.values()), differences, beside=beside)


def credit_adds_to_pairs(results: Results) -> Verdict:
    """The best credit against the likelihood, each with the same strategy, wherever both were run."""
    pairs = {one: (arm_name(one, BEST), arm_name(one, LIKELIHOOD)) for one in STRATEGIES}
    differences = {
        f"with {strategy}": results.difference(best, likelihood, VALID)
        for strategy, (best, likelihood) in pairs.items()
        if results.seeds(likelihood)
    }
    beside = {"without a strategy": results.difference(BEST, LIKELIHOOD, VALID)}
    if not differences:
        return Verdict(INCONCLUSIVE, beside=beside)
    return judge_above(list(differences.values()), differences, beside=beside)


def loses_skill(results: Results) -> Verdict:
    """Strategies that stay on hard problems, without credit: the change on problems that the base handled."""
    changes = {one: results.difference(one, BASE, KEPT) for one in ON_HARD_PROBLEMS}
    beside = {one: results.difference(one, BASE, KEPT) for one in (PLAIN, CURRICULUM)}
    return judge_below(list(changes.values()), changes, beside=beside)


def keeps_skill(results: Results) -> Verdict:
    """The same change with the best credit, for every strategy."""
    changes = {arm: results.difference(arm, BASE, KEPT) for arm in (arm_name(one, BEST) for one in STRATEGIES)}
    beside = {
        f"{arm} minus {BEST}": results.difference(arm, BEST, KEPT)
        for arm in (arm_name(one, BEST) for one in STRATEGIES)
    }
    return judge_above(list(changes.values()), changes, beside=beside)


ON_HARD_PROBLEMS = (BACKWARD, HINTS, DYNAMIC, REPLAY)
"""Strategies whose problems are hard from the first step on."""
UNIT = "A base is the unit: Student's t takes bases to have one mode. Runs of a base are averaged first."
DICTIONARY = "The tokens on which a dictionary is fitted are no part of the price: one serves all runs of a base."
ORGANISM = (
    "An organism of 0.2 million parameters, on whose task every step can be verified. A third of its answers to hard "
    "problems are right by luck, so that most groups have different rewards from the first step on."
)
RULE = (
    "Valid rate on held-out problems of depths 8 and 9, {first} minus {second}, at equal sampled tokens. Supported: "
    "its interval over bases lies above zero. Not supported: below. Else inconclusive."
)
PREDICTIONS_ALONE = {
    BACKWARD: "No: the base has never read the sign for a missing number, so that these groups pay chance as well.",
    HINTS: "Yes, by about 0.05: behind a valid beginning most successes are valid, so that a quarter of the groups "
    "pays for work. The rest still pays for luck.",
    CURRICULUM: "Yes, the most of all: on problems of middle depth one success in five is valid, so that written work "
    "is what pays, and it is learned before hard problems come.",
    DYNAMIC: "No: nearly every group of hard problems has both rewards, so that a second batch is drawn to fill the "
    "few places that are left, and most of it is thrown away.",
    REPLAY: "Yes, by about 0.05, and late: one success in a hundred is valid, so that eight audits a step find one in "
    "twelve steps; but each comes back until written work pays. Before the trial we expected nothing.",
}
PREDICTIONS_TOGETHER = {
    BACKWARD: "No, a little less than the credit alone: a quarter of the groups asks what the base cannot read.",
    HINTS: "Inconclusive: valid successes from the first step on help, and the search for hints takes a fifth of the "
    "budget. At equal steps it helps.",
    CURRICULUM: "Yes, by about 0.05: the credit has valid successes to pay from the first step on, and the first "
    "answers are short. It is held back by what it spends on problems that are not hard.",
    DYNAMIC: "No, clearly less: nearly every step draws two batches to train on one, and half of the steps fit into "
    "the budget. At equal steps it makes no difference.",
    REPLAY: "Inconclusive: once the credit works, valid answers are in the batch anyway, and half of its "
    "audits are gone.",
}
WHAT = {
    BACKWARD: "Backward problems (the answer is stated, a number is asked for)",
    HINTS: "Beginnings of the base's own valid answers, annealed away,",
    CURRICULUM: "A curriculum on the live pass rate",
    DYNAMIC: "Dynamic sampling",
    REPLAY: "Replay of audited valid successes",
}
"""Strategies as the subject of a sentence."""
HELP = {one: "help" if one in (BACKWARD, HINTS) else "helps" for one in STRATEGIES}
LIMITS = {
    BACKWARD: ("The base has never read the sign for a missing number.",),
    HINTS: (
        "The search for hints is part of the price; at equal steps it is not. It looks at every rewarded answer of the "
        "base, which are more labels than replay has.",
    ),
    REPLAY: ("It has as many labels per step as the credit has; together they share that number.",),
}


def strategy_claims(strategy: str) -> tuple[Claim, Claim]:
    """The claim for a strategy alone, and the one for it together with the best credit."""
    word, what = strategy.split()[0], f"{WHAT[strategy]} {HELP[strategy]} on hard problems"
    limits = (UNIT, ORGANISM, *LIMITS.get(strategy, ()))
    return (
        Claim(
            f"{word}-alone",
            f"{what}, without credit.",
            PREDICTIONS_ALONE[strategy],
            RULE.format(first=strategy, second="plain GRPO"),
            helps(strategy, PLAIN),
            limits,
        ),
        Claim(
            f"{word}-with-credit",
            f"{what}, together with the best credit.",
            PREDICTIONS_TOGETHER[strategy],
            RULE.format(first=f"{strategy} with the best credit", second="the best credit alone"),
            helps(strategy, BEST),
            limits,
        ),
    )


CLAIMS = (
    *(claim for strategy in STRATEGIES for claim in strategy_claims(strategy)),
    Claim(
        "credit-does-more",
        "Credit alone does more on hard problems than any strategy alone.",
        "Yes against four of them, by 0.2 and more; against the curriculum by less.",
        "Valid rate on held-out problems of depths 8 and 9 at equal sampled tokens, the best credit minus each of the "
        "five strategies without credit. Supported: all five intervals over bases lie above zero. Not supported: one "
        "lies below. Else inconclusive.",
        credit_does_more,
        (UNIT, ORGANISM, DICTIONARY, "The credit has labels, and of the strategies only replay and hints have."),
    ),
    Claim(
        "credit-adds-to-pairs",
        "With the same strategy, the best credit does more than the likelihood alone: what else it reads adds to it.",
        "Inconclusive: about 0.03, less than without a strategy, for a strategy gives the likelihood valid successes "
        "to learn from.",
        "The same measure, best credit minus likelihood, with each strategy of `likelihood_with`. Supported: every "
        "interval over bases lies above zero. Not supported: one lies below. Else, or where the best credit is the "
        "likelihood, inconclusive.",
        credit_adds_to_pairs,
        (UNIT, ORGANISM, DICTIONARY, "The strategy was chosen before the runs, by the trainings on the shipped base."),
    ),
    Claim(
        "strategies-lose-skill",
        "Without credit, every strategy whose problems are hard from the first step on costs earlier skill, as plain "
        "GRPO does.",
        "No: backward problems and dynamic sampling do; hints and replay make work pay, which raises it.",
        "Change of the valid rate at depths 1 to 3 against the base, at equal sampled tokens, for backward problems, "
        "hints, dynamic sampling and replay. Supported: all four intervals over bases lie below zero. Not supported: "
        "one lies above. Else inconclusive.",
        loses_skill,
        (UNIT, ORGANISM),
    ),
    Claim(
        "pairs-keep-skill",
        "With the best credit, no strategy costs earlier skill.",
        "Yes: each raises it well above the base, for written work is what valid answers have in common.",
        "The same change for every strategy with the best credit. Supported: all five intervals over bases lie above "
        "zero. Not supported: one lies below. Else inconclusive.",
        keeps_skill,
        (UNIT, ORGANISM),
    ),
)  # fmt: skip
