"""Claims of the credit study, each after its rule in code."""

from collections.abc import Callable, Sequence

from interp.studies.base import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Claim, Verdict, judge_above, judge_below
from interp.studies.credit_measures import HARD, RECOVERIES, VALID, difference_at_equal_kl, rate
from interp.studies.credit_runs import (
    ALL,
    BASE,
    COMPLETENESS,
    FEATURES,
    FORMAT,
    INTENTION,
    LATENTS_WRITTEN,
    LIKELIHOOD,
    LIKELIHOOD_WRITTEN,
    OTHER_PROCESS,
    OTHER_SPLIT,
    PERMUTED,
    PLAIN,
    PROCESS,
    RANDOM_GATE,
    RANDOM_INTENTION,
    RANDOM_LATENTS,
    RESIDUAL,
    RESIDUAL_INTENTION,
    SPLIT,
    TEXT,
    TEXT_ALONE,
    arm_name,
)
from interp.studies.results import Measure, Results

Rule = Callable[[Results], Verdict]
CONTROLS = (TEXT_ALONE, FORMAT, COMPLETENESS, TEXT, RANDOM_LATENTS, PERMUTED, RANDOM_GATE)
"""What a claim for features must beat, besides the likelihood."""
MARGIN = 0.02
"""Malformed answers may be so much more frequent than under plain GRPO."""
EQUAL = 0.05
"""Recoveries that differ by less count as equal."""
BARS = {VALID: 0.8, HARD: 0.6}
"""The recovery that is aimed at."""


def beats(scheme: str, others: Sequence[str], measures: Sequence[Measure]) -> Rule:
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
    return Verdict(SUPPORTED if all(one.is_above(bar) for one, bar in pairs) else INCONCLUSIVE, recoveries)


def is_no_worse(scheme: str, other: str, beside: Sequence[tuple[str, str]] = ()) -> Rule:
    """A rule: the recovery of a scheme is at most a little below that of another."""

    def rule(results: Results) -> Verdict:
        losses, others = (
            {
                f"{first} minus {second}: {measure.name}": results.difference(first, second, measure)
                for first, second in pairs
                for measure in RECOVERIES
            }
            for pairs in ([(scheme, other)], beside)
        )
        return judge_above(list(losses.values()), losses, -EQUAL, beside=others)

    return rule


def on_all(scheme: str) -> str:
    """The arm of a scheme that is trained on problems of all depths."""
    return arm_name(scheme, ALL)


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


UNIT = (
    "A base is the unit: Student's t takes bases to have one mode. Runs and dictionaries of a base are averaged first."
)
ORGANISM = "An organism of 0.2 million parameters, on whose task every step can be verified."
SCREENED = (
    "A success without a copied token, such as a direct answer, cannot be read: it takes no part and is not audited, "
    "on either side. To leave it out is worth something too."
)
CLAIMS = (
    Claim(
        "features-beat-likelihood",
        "Credit by the latents of a dictionary, beside the likelihood, recovers more than the likelihood alone with "
        "the same audits.",
        "Yes, but by little, about 0.04 over all depths and 0.1 on deep problems: what is left undone stands in the "
        "residual before the answer is announced, and not in how likely a token is.",
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
        "No: the parser beside the likelihood recovers more, for it says exactly whether a chain is complete; the text "
        "and random directions as much; format, permuted latents and a random gate less.",
        "Recovery of the valid rate over all depths. Supported: the intervals of all seven differences lie above zero. "
        "Not supported: one lies below. Else inconclusive.",
        beats(FEATURES, CONTROLS, RECOVERIES[:1]),
        (UNIT, ORGANISM),
    ),
    Claim(
        "dictionary-loses-nothing",
        "The latents recover as much as the residual that they are made of.",
        "Inconclusive: with the best strength of each, they are about equal.",
        "Features minus residual, recovery over all depths and on deep problems. Supported: both intervals lie above "
        "-0.05. Not supported: one lies below. Else inconclusive.",
        is_no_worse(FEATURES, RESIDUAL, beside=[(INTENTION, RESIDUAL_INTENTION)]),
        (
            UNIT,
            "Both are read beside the likelihood, with the same audits; without it, each with its intention, beside.",
        ),
    ),
    Claim(
        "features-alone-near-likelihood",
        "Features alone, that is latents before the answer is announced and what latents were about to write at each "
        "copied token, recover as much as the likelihood, on the answers that both can read.",
        "Inconclusive: within about 0.03 of it, on either side.",
        "Features alone minus likelihood, recovery over all depths and on deep problems. Supported: both intervals lie "
        "above -0.05. Not supported: one lies below. Else inconclusive.",
        is_no_worse(INTENTION, LIKELIHOOD_WRITTEN, beside=[(INTENTION, LIKELIHOOD)]),
        (UNIT, SCREENED),
    ),
    Claim(
        "features-alone-beat-random",
        "Features alone recover more than random directions that are read in the same way.",
        "Inconclusive: on the shipped base the valid rates over all depths were 0.55 and 0.56.",
        "The same rule as for the first claim.",
        beats(INTENTION, (RANDOM_INTENTION,), RECOVERIES),
        (UNIT, ORGANISM),
    ),
    Claim(
        "intention-is-needed",
        "What latents were about to write adds to what they say before the answer is announced.",
        "Yes, by far: latents there say whether the work is complete, and nothing of a wrong step on the way.",
        "The same rule as for the first claim.",
        beats(INTENTION, (LATENTS_WRITTEN,), RECOVERIES),
        (UNIT, SCREENED),
    ),
    Claim(
        "recovery-bar",
        "Features recover at least 0.8 of the valid rate over all depths, and 0.6 on deep problems.",
        "Yes: about 0.93 over all depths and 0.8 on deep problems.",
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
        "Credit by features on deep problems raises the skill on problems that the base handled.",
        "Yes: written work is what valid answers have in common.",
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
        beats(on_all(FEATURES), (on_all(LIKELIHOOD),), RECOVERIES),
        (UNIT, ORGANISM),
    ),
    Claim(
        "features-beat-controls-mixed",
        "The same as the second claim, trained on problems of all depths.",
        "Inconclusive: with valid successes from the start, all of them come near the oracle.",
        "The same rule as for the second claim, trained on all problems.",
        beats(on_all(FEATURES), tuple(map(on_all, CONTROLS)), RECOVERIES[:1]),
        (UNIT, ORGANISM),
    ),
    Claim(
        "features-alone-near-likelihood-mixed",
        "The same as the claim for features alone, trained on problems of all depths.",
        "Inconclusive.",
        "The same rule as for features alone, trained on all problems.",
        is_no_worse(on_all(INTENTION), on_all(LIKELIHOOD_WRITTEN), beside=[(on_all(INTENTION), on_all(LIKELIHOOD))]),
        (UNIT, SCREENED),
    ),
)
