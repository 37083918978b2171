"""Study: is learning an inverted U in difficulty, does training on hard problems harm, and is luck the channel?

Parent paper: arXiv 2605.28388. Easy, medium and hard problems of the chain task are its depth groups shallow (depths
1-2), middle (4-5) and deep (8-9): a design of the task, not buckets measured by pass rate. Everything is a change
against the base on the same problems, one number per seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from interp.artifacts import BadInput
from interp.checks import Count, LearningRate, Name, Processes, Range, Seed, expect_once_each, expect_plausible
from interp.stats.estimate import Estimate
from interp.studies.base import (
    INCONCLUSIVE,
    NOT_SUPPORTED,
    SUPPORTED,
    Claim,
    Figure,
    Study,
    Table,
    Verdict,
    deciding_fields,
    judge_above,
    judge_below,
)
from interp.studies.difficulty_measures import (
    BASE,
    CHANGES,
    DEEP,
    LUCKY,
    MIDDLE,
    RANGES,
    at_depths,
    change,
    fall,
    lead,
)
from interp.studies.readings import LEVEL
from interp.studies.results import Arm, Measure, Observation, Results
from interp.studies.runner import Row
from interp.studies.training_arms import (
    HANDLED,
    LUCK,
    MAIN,
    OLD_LEVELS,
    PARTS,
    REDUCTIONS,
    TRAININGS,
    VALID,
    Training,
    current_name,
    luck_arms,
    measure_base,
    part_arms,
    train_arm,
    valid_arms,
)

EASY, MEDIUM, HARD = (Training(level).name for level in OLD_LEVELS.values())
ORACLE, FILTERED = (Training("deep", credit=name).name for name in ("step-validity", "valid-only"))


@dataclass(frozen=True)
class DifficultyConfig:
    seeds: Count = 8
    """Seeds of the main arms. The others have at most `other_seeds`."""
    other_seeds: Count = 5
    """Seeds of the other arms, at most."""
    first_seed: Seed = 101
    """Seeds below were used to find settings, and are not reported."""
    steps: Count = 40
    """GRPO steps of every arm."""
    prompts: Count = 32
    """Prompts per step."""
    group: Annotated[int, Range(2, 100_000)] = 8
    """Rollouts per prompt."""
    lr: LearningRate = 2e-4
    """Learning rate."""
    max_draws: Count = 4
    """At equal contrast, groups without contrast are drawn anew, at most this many batches per step."""
    problems: Count = 40
    """Problems of each depth to evaluate on."""
    answers: Count = 8
    """Answers to each problem."""
    processes: Processes = 2
    """Arms that run at once."""
    base_answers: Count = 128
    """Answers of the base to each problem: every change is measured against them."""
    parts: tuple[Name, ...] = PARTS
    """Which parts to run: all are needed for the verdict."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        expect_once_each(self, "parts")
        if unknown := sorted(set(self.parts) - set(PARTS)):
            raise BadInput(f"parts must be some of {', '.join(PARTS)}; got {', '.join(unknown)}")


# --- claims, each after its rule in code ---------------------------------------------------------------------------

RateRule = Callable[[Results, str], Verdict]


def on_both_rates(rule: RateRule) -> Callable[[Results], Verdict]:
    """A rule about the valid rate, with the same rule about the pass rate beside it."""

    def judge(results: Results) -> Verdict:
        valid = rule(results, "valid_rate")
        if results.level != LEVEL:
            return valid  # only the outcome is asked for
        passed = rule(results, "pass_rate")
        in_pass_rate = {f"pass rate: {name}": one for name, one in {**passed.measures, **passed.beside}.items()}
        note = f"By the same rule the pass rate would say: {passed.outcome}."
        return replace(valid, beside={**valid.beside, **in_pass_rate}, beside_note=note)

    return judge


def inverted_u(*, contrast: bool) -> RateRule:
    def rule(results: Results, rate: str) -> Verdict:
        easy, medium, hard = (Training(level, contrast=contrast).name for level in OLD_LEVELS.values())
        depths = tuple(map(int, results.baseline(BASE)["final"]))
        measures = {
            "medium minus easy": results.difference(medium, easy, at_depths(depths, rate)),
            "medium minus hard": results.difference(medium, hard, at_depths(depths, rate)),
        }
        low = results.difference(medium, easy, at_depths(HANDLED, rate))
        return judge_above(list(measures.values()), measures, beside={"medium minus easy, depths 1-3 alone": low})

    return rule


DESIGNED_LUCK = (
    "Difficulty here is depth, not the literature's pass rate: the base passes a third of the deep problems by luck at "
    "modulus 5, and problems that are next to impossible (0 of 8) are hardly among them. What varies is "
    "P(valid | success), and that it is small on deep problems is a design of the organism."
)
U = (
    Claim(
        "inverted-u",
        "Learning is an inverted U in difficulty: medium problems teach more than easy and more than hard ones.",
        "Medium above hard clearly; medium above easy, less clearly, for easy problems also reward written work.",
        "Gain in valid rate, mean over all depths, GRPO at equal prompts. Supported: the intervals over seeds of "
        "medium minus easy and of medium minus hard both lie above zero. Not supported: one of them lies below. "
        "Else inconclusive.",
        on_both_rates(inverted_u(contrast=False)),
        (DESIGNED_LUCK, "The literature reports the pass rate, which stands beside the valid rate."),
    ),
    Claim(
        "inverted-u-at-equal-contrast",
        "Learning is an inverted U at equal numbers of groups with contrast too.",
        "The same order: groups with contrast are not what hard lacks.",
        "The same rule, on the arms at equal contrast.",
        on_both_rates(inverted_u(contrast=True)),
        (
            "In pass rate at depths 1 to 3 medium problems teach less than easy ones.",
            "Equal contrast means up to four draws a step: easy problems still got fewer groups (last table).",
        ),
    ),
)


def lowers_handled(arm: str) -> RateRule:
    def rule(results: Results, rate: str) -> Verdict:
        handled = change(results, arm, HANDLED, rate)
        depths = tuple(map(int, results.baseline(BASE)["final"]))
        beside = {
            f"{arm}: change at all depths": change(results, arm, depths, rate),
            f"{arm}: change at depths 8-9": change(results, arm, DEEP, rate),
        }
        return judge_below([handled], {f"{arm}: change at depths 1-3": handled}, beside=beside)

    return rule


def harm_under_any_loss(results: Results, rate: str) -> Verdict:
    verdict = lowers_handled(Training("deep", "dr-grpo").name)(results, rate)
    token_mean = Training("deep", REDUCTIONS["token mean"]).name  # Dr.GRPO also drops the division by the deviation
    beside = {f"{token_mean} (mean over tokens): change at depths 1-3": change(results, token_mean, HANDLED, rate)}
    return replace(verdict, measures={**verdict.measures, **beside})


def luck_is_the_channel(results: Results, rate: str) -> Verdict:
    excess = results.difference(HARD, MEDIUM, LUCKY)
    rescue = results.difference(FILTERED, HARD, at_depths(HANDLED, rate))
    after = change(results, FILTERED, HANDLED, rate)
    measures = {
        "P(lucky | success) on hard": results.mean(HARD, LUCKY),
        "P(lucky | success) on medium": results.mean(MEDIUM, LUCKY),
        "their difference": excess,
        "valid-only minus plain at depths 1-3": rescue,
        "valid-only: change at depths 1-3": after,
    }
    if excess.is_negative or rescue.is_negative or after.is_negative:
        return Verdict(NOT_SUPPORTED, measures, ways=3)
    return judge_above([excess, rescue], measures)


def shortening_leads(results: Results) -> Verdict:
    names = {rate: rate.replace("_", " ") for rate in ("direct_share", "length", "pass_rate", "valid_rate")}
    leads = {
        f"{names[early]} before {names[late]}": results.mean(HARD, lead(early, late))
        for early in ("direct_share", "length")
        for late in ("pass_rate", "valid_rate")
    }
    falls = {f"fall of the {names[rate]}": results.mean(HARD, fall(rate)) for rate in ("pass_rate", "valid_rate")}
    if not falls["fall of the pass rate"].is_positive:
        return Verdict(INCONCLUSIVE, leads | falls)  # nothing fell, so nothing can have led
    return judge_above([leads["direct share before pass rate"]], leads | falls)


HARM = (
    Claim(
        "hard-harms",
        "Training on hard problems harms: the valid rate falls where the base already answered validly.",
        "Yes under GRPO: luck pays the short answer, and a mean over rollouts gives each of its tokens more.",
        "Change in valid rate at depths 1 to 3 after GRPO on hard. Supported: its interval lies below zero. Not "
        "supported: above. Else inconclusive.",
        on_both_rates(lowers_handled(HARD)),
        (DESIGNED_LUCK, "In pass rate over all depths nothing is lost; at depths 8 and 9 the pass rate rises."),
    ),
    Claim(
        "harm-under-any-loss",
        "The harm is a property of the problems, whichever of the usual losses is used.",
        "No: with Dr.GRPO, whose tokens weigh alike in short and long answers, hard training heals.",
        "The same change under Dr.GRPO. Supported: its interval lies below zero too. Not supported: above. Else "
        "inconclusive.",
        on_both_rates(harm_under_any_loss),
        ("Under Dr.GRPO seeds differ widely: a few take off, so that Student's interval is too narrow.",),
    ),
    Claim(
        "luck-is-the-channel",
        "Lucky successes cause the harm: more of the rewarded answers are lucky on hard problems, and rewarding only "
        "valid ones removes the harm.",
        "P(lucky | success) above 0.95 on hard against about 0.6 to 0.8 on medium; paid for validity alone, hard "
        "training heals.",
        "Supported: P(lucky | success) in the first ten steps is higher on hard than on medium, valid-only reward "
        "beats the plain one on depths 1 to 3, and its own change there is not below zero (each by its interval). "
        "Not supported: one of these is reversed. Else inconclusive.",
        on_both_rates(luck_is_the_channel),
        (DESIGNED_LUCK, "That nearly all successes on deep problems are lucky is therefore largely planted."),
    ),
    Claim(
        "shortening-leads",
        "Answers get shorter, and more of them direct, before accuracy falls.",
        "Direct share reaches half its way some five steps before the pass rate at depths 1 to 3 does.",
        "Steps from half-way of the direct share (in training, mean of five steps) to half-way of the held-out pass "
        "rate at depths 1 to 3, GRPO on hard. Supported: the interval lies above zero. Not supported: below. Else, or "
        "where the interval of the fall of that pass rate does not lie above zero, inconclusive.",
        shortening_leads,
    ),
)


def crosses_zero(
    name: str, doses: Sequence[float], arms_of: Callable[[str], list[Training]], trained: Sequence[int]
) -> RateRule:
    """The change falls with the lucky successes that are paid, and rises with the valid ones."""

    def rule(results: Results, rate: str) -> Verdict:
        measures: dict[str, Estimate] = {}
        ends: dict[str, Estimate] = {}
        outcomes: list[str] = []
        for reduction, loss in REDUCTIONS.items():
            for where, depths in (("depths 1-3", HANDLED), ("where it was trained", trained)):
                arms = [arm.name for arm in arms_of(loss)]
                curve = results.crossing(doses, arms, BASE, at_depths(depths, rate), falling=name == "luck")
                if curve is None:
                    return Verdict(INCONCLUSIVE)  # this part was not run
                outcomes.append(SUPPORTED if curve.crosses else NOT_SUPPORTED if curve.never else INCONCLUSIVE)
                measures[f"{name} at the crossing, {where}, {reduction}"] = curve.dose
                measures[f"share of draws that cross, {where}, {reduction}"] = Estimate(curve.share, n=curve.n)
                for place in (0, -1):
                    label = f"change at dose {doses[place]:g}, {where}, {reduction}"
                    ends[label] = change(results, arms[place], depths, rate)
        return Verdict(outcomes[0], measures, ends)  # the mean over rollouts at the depths the base handles decides

    return rule


BOOTSTRAP = (
    "The bootstrap is the registered rule, and too narrow with five seeds. The other readings ask instead that the "
    "mean lies surely on the one side of zero at the first dose and surely on the other at the last; their interval of "
    "the crossing is Fieller's."
)
DOSES = (
    Claim(
        "dose-of-luck",
        "As fewer lucky successes are rewarded, harm turns into a gain at an identifiable dose of luck.",
        "Under the mean over rollouts, at about half of the luck of the hard problems; under the mean over tokens "
        "later, or never.",
        "The share of lucky successes paid on hard at which the change at depths 1 to 3 crosses zero, mean over "
        "rollouts. Supported: it crosses in 95% of bootstrap draws over seeds. Not supported: in fewer than 5%. "
        "Else inconclusive.",
        on_both_rates(crosses_zero("luck", LUCK, luck_arms, DEEP)),
        (BOOTSTRAP,),
    ),
    Claim(
        "dose-of-valid",
        "As more valid successes are rewarded, harm turns into a gain at an identifiable dose.",
        "On medium, at about a quarter of its valid successes under the mean over rollouts, earlier under the mean "
        "over tokens.",
        "The share of valid successes paid on medium at which the change at depths 1 to 3 crosses zero, mean over "
        "rollouts; the same rule.",
        on_both_rates(crosses_zero("valid", VALID, valid_arms, MIDDLE)),
        (BOOTSTRAP,),
    ),
)


def ceiling(results: Results, rate: str) -> Verdict:
    measures = {
        "oracle: change on hard": change(results, ORACLE, DEEP, rate),
        "oracle: change at depths 1-3": change(results, ORACLE, HANDLED, rate),
        "oracle minus plain on hard": results.difference(ORACLE, HARD, at_depths(DEEP, rate)),
        "oracle minus plain at depths 1-3": results.difference(ORACLE, HARD, at_depths(HANDLED, rate)),
    }
    plain = {"plain: change on hard": change(results, HARD, DEEP, rate)}
    return judge_above(list(measures.values()), measures | plain)


def rescue_costs_the_middle(results: Results, rate: str) -> Verdict:
    depths = RANGES["depths 4-7"]
    oracle = change(results, ORACLE, depths, rate)
    against = results.difference(ORACLE, MEDIUM, at_depths(depths, rate))
    measures = {
        "oracle on hard: change at depths 4-7": oracle,
        "oracle on hard minus plain on medium, depths 4-7": against,
    }
    return judge_below([oracle], measures)


CREDIT = (
    Claim(
        "ceiling",
        "Oracle credit by step turns the harm of hard training into a gain: more valid answers on hard problems, and "
        "no loss at depths 1 to 3.",
        "Yes, by a wide margin.",
        "Supported: under the step-validity oracle the changes in valid rate on hard and at depths 1 to 3 both lie "
        "above zero, and both lie above those of plain GRPO. Not supported: one of them lies below. Else "
        "inconclusive.",
        on_both_rates(ceiling),
    ),
    Claim(
        "rescue-costs-the-middle",
        "The gain from oracle credit costs validity at middle depths.",
        "Other bases paid at depth 6; this one, at seed 0, did not. We predict no cost in valid rate.",
        "Change in valid rate at depths 4 to 7 under the step-validity oracle. Supported: its interval lies below "
        "zero. Not supported: above. Else inconclusive.",
        on_both_rates(rescue_costs_the_middle),
    ),
)


# --- the study -----------------------------------------------------------------------------------------------------


class Difficulty(Study[DifficultyConfig]):
    name = "difficulty"
    title = "Difficulty: is learning an inverted U, does hard training harm, and is luck the channel?"
    question = "Is learning an inverted U, does hard training harm, is luck the channel?"
    summary = (
        "Learning is an inverted U in difficulty, hard training harms, and luck is the channel (arXiv 2605.28388)."
    )
    Config = DifficultyConfig
    committed = DifficultyConfig()
    claims = (*U, *HARM, *DOSES, *CREDIT)
    measures = CHANGES
    background = (
        "Prototypes on other bases, and single runs of this base at seed 0, which is not reported: plain GRPO on hard "
        "took the direct share from 0.50 to 0.9 and the valid rate at depth 3 from 0.15 to 0.05; after Dr.GRPO on hard "
        "it was 0.46, after the oracle on hard 0.92, after GRPO on easy and medium 0.73 and 0.76. So the predictions "
        "come before these runs, and after others like them: the runs are a replication.\n\nThe arithmetic of group "
        "advantages (table above) puts hard level with medium: nearly every medium or hard group has contrast, and "
        "both have nearly the same positive mass. If hard does worse, it is by what its successes are made of."
    )

    def arms(self, config: DifficultyConfig) -> list[Arm]:
        measured = {"problems": config.problems, "base_answers": config.base_answers}
        decided = deciding_fields(config, "other_seeds", "base_answers", "parts")
        trainings = dict.fromkeys(arm for part in config.parts for arm in part_arms(part))
        return [Arm(BASE, measured), *(Arm(one.name, {"training": asdict(one), **decided}) for one in trainings)]

    def seeds(self, arm: Arm, config: DifficultyConfig) -> Sequence[int | None]:
        if arm.name == BASE:
            return (None,)
        count = config.seeds if TRAININGS[arm.name] in MAIN else min(config.other_seeds, config.seeds)
        return range(config.first_seed, config.first_seed + count)

    def world_spec(self, config: DifficultyConfig) -> Any:
        return deciding_fields(config, "other_seeds", "parts", "problems", "answers", "base_answers")

    def run(self, arm: Arm, seed: int | None, config: DifficultyConfig, directory: Path) -> dict[str, Any]:
        if seed is None:
            return measure_base(config)
        return train_arm(TRAININGS[arm.name], seed, config, directory)

    def migrate(self, record: dict[str, Any]) -> Row:
        if record["arm"] is None:
            return Row(record, BASE, None)
        return Row(record, current_name(record["arm"]), record["seed"])

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        return [Observation(row.arm, row.seed, row.record) for row in rows if "diverged" not in row.record]

    def estimate(self, results: Results, arm: str, measure: Measure) -> Estimate:
        return results.difference(arm, BASE, measure)

    def method(self, config: DifficultyConfig) -> str:
        return (
            f"{config.steps} steps of {config.prompts} prompts x {config.group}, learning rate {config.lr:g}, from the "
            f"shipped base. Changes are against the base (measured with {config.base_answers} answers a problem) on "
            f"the same {config.problems} held-out problems per depth. They are about these problems and this base. "
            "Easy, medium and hard are the depth groups shallow (depths 1-2), middle (4-5) and deep (8-9), and "
            "arms are named by these."
        )

    def tables(self, results: Results, config: DifficultyConfig) -> list[Table]:
        from interp.studies.difficulty_figures import tables

        return tables(results, config)

    def figures(self, results: Results, config: DifficultyConfig) -> list[Figure]:
        from interp.studies.difficulty_figures import figures

        return figures(results)
