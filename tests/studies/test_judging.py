"""Claims judged: p-values of known tests, Holm over claims, and a lack of evidence that decides nothing."""

import pytest

from interp.stats import Estimate, student_p_value
from interp.studies.base import (
    INCONCLUSIVE,
    NO_EVIDENCE,
    NOT_SUPPORTED,
    SUPPORTED,
    Claim,
    Verdict,
    judge_above,
    judge_below,
)
from interp.studies.judging import claim_p_value, judge_claims
from interp.studies.readings import ANY_SHAPE, EXACT, LEVEL
from interp.studies.results import Observation, Results, share

SCORE = share("score", lambda record: record["score"])
VALUES = (0.30, 0.34, 0.36, 0.31, 0.33)


def results(*values: float) -> Results:
    return Results(Observation("a", seed, {"score": value}) for seed, value in enumerate(values))


def above(bound: float, *, ways: int = 1) -> Claim:
    def judge(study_results: Results) -> Verdict:
        mean = study_results.mean("a", SCORE)
        return judge_above([mean] * ways, {"mean": mean}, bound)

    return Claim(f"above {bound}", "", "", "", judge)


def test_above_and_below_are_said_of_whole_intervals():
    high, over_zero, low = Estimate(2, 1, 3), Estimate(0, -1, 1), Estimate(-2, -3, -1)
    assert judge_above([high], {}).outcome == judge_below([low], {}).outcome == SUPPORTED
    assert judge_above([high, low], {}).outcome == judge_below([high, low], {}).outcome == NOT_SUPPORTED
    assert judge_above([high, over_zero], {}).outcome == INCONCLUSIVE
    assert judge_above([high], {}, bound=1.5).outcome == INCONCLUSIVE, "the bound lies within the interval"
    assert judge_above([Estimate(2)], {}).outcome == INCONCLUSIVE, "without an interval nothing is sure"


@pytest.mark.parametrize("bound", [0.25, 0.3, 0.31, 0.36])
def test_the_p_value_of_a_plain_rule_is_that_of_students_test(bound):
    (judgement,) = judge_claims([above(bound)], results(*VALUES))
    assert judgement.p_values[EXACT.name] == pytest.approx(student_p_value(VALUES, bound), rel=0.01)


def test_what_one_of_several_measures_refutes_is_corrected_for_their_number():
    one, three = (judge_claims([above(0.38, ways=ways)], results(*VALUES))[0] for ways in (1, 3))
    assert one.registered == three.registered == NOT_SUPPORTED
    assert three.p_values[EXACT.name] == pytest.approx(3 * one.p_values[EXACT.name])
    supported = judge_claims([above(0.25, ways=3)], results(*VALUES))[0]
    assert supported.p_values[EXACT.name] == pytest.approx(student_p_value(VALUES, 0.25), rel=0.01), "all had to hold"


def test_holm_multiplies_the_smallest_p_value_by_the_number_of_claims():
    claims = [above(0.28), above(0.31), above(0.328)]
    judgements = judge_claims(claims, results(*VALUES))
    plain = [one.p_values[EXACT.name] for one in judgements]
    corrected = [one.holm[EXACT.name] for one in judgements]
    assert corrected[0] == pytest.approx(3 * plain[0]) and corrected[1] == pytest.approx(2 * plain[1])
    assert [one.verdict for one in judgements] == [SUPPORTED, INCONCLUSIVE, INCONCLUSIVE]
    many = judge_claims([claims[0], *(above(0.3285 + n / 1e5) for n in range(30))], results(*VALUES))
    assert many[0].registered == SUPPORTED and many[0].verdict == INCONCLUSIVE


def test_five_seeds_cannot_support_a_difference_whatever_its_shape():
    """D = w (-1) + (1 - w) 1 with w ~ Beta(1, 5): its 2.5% quantile lies below zero."""

    def judge(study_results: Results) -> Verdict:
        difference = study_results.difference("a", "b", SCORE)
        return judge_above([difference], {"difference": difference})

    both = Results(
        Observation(arm, seed, {"score": 1 - seed / 1000 if arm == "a" else 0.0})
        for arm in ("a", "b")
        for seed in range(5)
    )
    (judgement,) = judge_claims([Claim("a above b", "", "", "", judge)], both)
    assert judgement.registered == judgement.verdict == SUPPORTED and judgement.any_shape == INCONCLUSIVE
    assert judgement.p_values[ANY_SHAPE.name] == pytest.approx(2 * 0.5**5, rel=0.03)


def test_a_lack_of_evidence_counts_as_not_supported_only_as_registered():
    (judgement,) = judge_claims(
        [Claim("nothing", "", "", "", lambda study_results: Verdict(NO_EVIDENCE))], results(*VALUES)
    )
    assert (judgement.registered, judgement.verdict, judgement.any_shape) == (NOT_SUPPORTED, INCONCLUSIVE, INCONCLUSIVE)
    assert set(judgement.p_values.values()) == {1.0} and judgement.is_changed


def test_a_rule_that_is_sure_at_no_level_has_a_p_value_of_one():
    assert claim_p_value(lambda level: INCONCLUSIVE) == 1
    assert claim_p_value(lambda level: SUPPORTED if level <= LEVEL else INCONCLUSIVE) == pytest.approx(0.05, rel=0.01)
    assert claim_p_value(lambda level: SUPPORTED) < 1e-8
