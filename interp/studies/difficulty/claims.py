"""The claims, what we predict, and the rule by which each is judged. Written before the runs that are reported.

What we had seen before: prototypes on other bases, and single runs of this base at seed 0, which is not reported
(plain GRPO on hard: direct share 0.50 -> 0.9, valid at depth 3 0.15 -> 0.05; Dr.GRPO on hard: valid at depth 3 0.46;
the oracle on hard: 0.92; GRPO on easy and medium: 0.73 and 0.76).

The arithmetic (`prediction.py`): at the base's pass rates nearly every medium or hard group has contrast, and both
have nearly the same positive mass. An inverted U that is forced by arithmetic alone would put hard level with medium.
If hard does worse, it is by what its successes are made of.
"""

from interp.studies.verdict import Claim

CLAIMS = (
    Claim(
        "inverted-u",
        "Learning is an inverted U in difficulty: medium problems teach more than easy and more than hard ones.",
        "Medium above hard clearly; medium above easy, less clearly, for easy problems also reward written work.",
        "Gain in valid rate, mean over all depths, GRPO at equal prompts. Supported: the intervals over seeds of "
        "medium minus easy and of medium minus hard both lie above zero. Not supported: one of them lies below. "
        "Else inconclusive.",
    ),
    Claim(
        "inverted-u-at-equal-contrast",
        "The inverted U is there at equal numbers of groups with contrast too.",
        "The same order: groups with contrast are not what hard lacks.",
        "The same rule, on the arms at equal contrast.",
    ),
    Claim(
        "hard-harms",
        "Training on hard problems lowers what the base could do.",
        "Yes under GRPO: luck pays the short answer, and a mean over rollouts gives each of its tokens more.",
        "Change in valid rate at depths 1 to 3 after GRPO on hard. Supported: its interval lies below zero. Not "
        "supported: above. Else inconclusive.",
    ),
    Claim(
        "harm-under-any-loss",
        "The harm is a property of the problems, whichever of the usual losses is used.",
        "No: with Dr.GRPO, whose tokens weigh alike in short and long answers, hard training heals.",
        "The same change under Dr.GRPO. Supported: its interval lies below zero too. Not supported: above. Else "
        "inconclusive.",
    ),
    Claim(
        "luck-is-the-channel",
        "The harm comes of lucky successes: more of the rewarded are lucky on hard, and paying only valid ones "
        "removes the harm.",
        "P(lucky | success) above 0.95 on hard against about 0.6 to 0.8 on medium; paid for validity alone, hard "
        "training heals.",
        "Supported: P(lucky | success) in the first ten steps is higher on hard than on medium, valid-only reward "
        "beats the plain one on depths 1 to 3, and its own change there is not below zero (each by its interval). "
        "Not supported: one of these is reversed. Else inconclusive.",
    ),
    Claim(
        "shortening-leads",
        "Answers get shorter, and more of them direct, before accuracy falls.",
        "Direct share reaches half its way some five steps before the pass rate at depths 1 to 3 does.",
        "Steps from half-way of the direct share (in training, mean of five steps) to half-way of the held-out pass "
        "rate at depths 1 to 3, GRPO on hard. Supported: the interval lies above zero. Not supported: below. Else "
        "inconclusive.",
    ),
    Claim(
        "dose-of-luck",
        "Harm turns into healing at a dose of luck that can be named.",
        "Under the mean over rollouts, at about half of the luck of the hard bucket; under the mean over tokens "
        "later, or never.",
        "The share of lucky successes paid on hard at which the change at depths 1 to 3 crosses zero, mean over "
        "rollouts. Supported: it crosses in 95% of bootstrap draws over seeds. Not supported: in fewer than 5%. "
        "Else inconclusive.",
    ),
    Claim(
        "dose-of-valid",
        "Harm turns into healing at a dose of valid successes that can be named.",
        "On medium, at about a quarter of its valid successes under the mean over rollouts, earlier under the mean "
        "over tokens.",
        "The share of valid successes paid on medium at which the change at depths 1 to 3 crosses zero, mean over "
        "rollouts; the same rule.",
    ),
    Claim(
        "ceiling",
        "Credit that knows each step turns hard training into healing: more valid answers on hard, and nothing lost "
        "at depths 1 to 3.",
        "Yes, by a wide margin.",
        "Supported: under the step-validity oracle the changes in valid rate on hard and at depths 1 to 3 both lie "
        "above zero, and both lie above those of plain GRPO. Not supported: one of them lies below. Else "
        "inconclusive.",
    ),
    Claim(
        "rescue-costs-the-middle",
        "The rescue is paid for at middle depths.",
        "Other bases paid at depth 6; this one, at seed 0, did not. We predict no cost in valid rate.",
        "Change in valid rate at depths 4 to 7 under the step-validity oracle. Supported: its interval lies below "
        "zero. Not supported: above. Else inconclusive.",
    ),
)
