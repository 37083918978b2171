"""Study: what of the chain task's findings carries over to word problems in English?

Bases are the shipped words organism and, with `base`, a pretrained model finetuned on the same problems. Easy, medium
and hard are measured buckets here: the base's pass rate on each problem. `deep` is the task's deepest level, as in the
studies of chains. Everything is a change against the base on the same held-out problems.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from interp.artifacts import BadInput
from interp.checks import (
    Count,
    Layer,
    LearningRate,
    Name,
    Processes,
    Range,
    Seed,
    Tokens,
    expect_once_each,
    expect_plausible,
)
from interp.policy.config import NewTokens, Rows
from interp.stats.estimate import Estimate
from interp.studies.base import (
    NOT_SUPPORTED,
    Claim,
    Figure,
    Study,
    Table,
    Verdict,
    deciding_fields,
    judge_above,
    judge_below,
)
from interp.studies.features import ABSENCE, UP, strengthened
from interp.studies.features_measures import CHANGES, RESAMPLED, observe_arm
from interp.studies.results import Arm, Measure, Observation, Results, share
from interp.studies.runner import Row
from interp.studies.words_runs import (
    ALL,
    BASE,
    DEEP,
    EASY,
    HARD,
    MEDIUM,
    RATES,
    TRAINED_ON,
    VALID_ALONE,
    World,
    measure_base,
    measure_dictionary,
    train_arm,
)

DICTIONARY = "dictionary"
FIRST = 10
"""First steps of a run, over which its rewarded answers are counted."""


@dataclass(frozen=True)
class WordsConfig:
    base: Path | None = None
    """Directory of an organism of word problems. Default: the shipped one."""
    seeds: Count = 3
    """Seeds of every arm. Each has a dictionary of its own."""
    first_seed: Seed = 501
    """Seeds below were used to find settings, and are not reported."""
    arms: tuple[Name, ...] = tuple(TRAINED_ON)
    """Which trainings to run: all are needed for the verdicts."""
    train_problems: Count = 60
    """Training problems of each depth that are put into buckets."""
    bucket_samples: Annotated[int, Range(8, 100_000)] = 32
    """Answers of the base to each problem that decide its bucket."""
    steps: Count = 40
    """GRPO steps of every arm."""
    prompts: Count = 32
    """Prompts per step."""
    group: Annotated[int, Range(2, 100_000)] = 8
    """Rollouts per prompt."""
    lr: LearningRate | None = None
    """Learning rate. Default: by the size of the model."""
    problems: Count = 30
    """Held-out problems of each depth."""
    answers: Count = 8
    """Answers to each held-out problem."""
    base_answers: Count = 32
    """Answers of the base to each held-out problem: other ones than decided its bucket."""
    layer: Layer = 2
    """The layer of the dictionary, counted from 0."""
    tokens: Tokens = 300_000
    """Tokens to fit dictionaries on: of the base and of the ends of all trainings."""
    width: Count = 2048
    """Latents of a dictionary."""
    k: Count = 16
    """Active latents per token."""
    fit_steps: Count = 1500
    """Steps of fitting a dictionary."""
    role_problems: Count = 64
    """Problems of each level to earn roles on."""
    candidates: Count = 20
    """Latents of each kind of contrast that go through the later gates."""
    finalists: Count | None = None
    """Latents of each kind that go through exact ablation. Default: all candidates."""
    strength_answers: Count = 2
    """Answers to each held-out problem on which the strength of latents is measured."""
    track_problems: Count = 48
    """Held-out problems of each bucket on which latents are tracked, at most."""
    max_new_tokens: NewTokens = 224
    """Longer answers are cut off."""
    rows: Rows = 512
    """Answers generated at once."""
    micro_tokens: Tokens = 8192
    """Tokens in one forward pass."""
    processes: Processes = 2
    """Runs at once."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        expect_once_each(self, "arms")
        if unknown := sorted(set(self.arms) - set(TRAINED_ON)):
            raise BadInput(f"arms must be some of {'; '.join(TRAINED_ON)}; got {'; '.join(unknown)}")


# --- measures --------------------------------------------------------------------------------------------------------


def rate(name: str, bucket: str = ALL) -> Measure:
    """A rate at the end of training, on the held-out problems of a bucket."""
    title = f"{name.replace('_', ' ')}, {bucket} problems"
    return share(title, lambda record: record.get("rates", {}).get(bucket, {}).get(name))


def lucky_given_success(record: Any) -> float | None:
    """Share of lucky answers among those rewarded in the first steps."""
    shares = [value for value in record.get("steps", {}).get("lucky_share", [])[:FIRST] if value is not None]
    return sum(shares) / len(shares) if shares else None


LUCKY = share("P(lucky | success), first ten steps", lucky_given_success)
MEASURES = {
    **{
        f"{name.replace('_', ' ')}, {bucket}": rate(name, bucket)
        for name in RATES
        for bucket in (ALL, EASY, MEDIUM, HARD)
    },
    "P(lucky | success)": LUCKY,
}


def change(results: Results, arm: str, name: str, bucket: str = ALL) -> Estimate:
    """Change of a rate against the base."""
    return results.difference(arm, BASE, rate(name, bucket))


# --- claims, each after its rule in code -----------------------------------------------------------------------------


def inverted_u(results: Results) -> Verdict:
    def leads(name: str) -> dict[str, Estimate]:
        return {f"medium minus {other}": results.difference(MEDIUM, other, rate(name)) for other in (EASY, HARD)}

    valid = leads("valid_rate")
    passed = {f"pass rate: {name}": one for name, one in leads("pass_rate").items()}
    return judge_above(list(valid.values()), valid, beside=passed)


def lowers_easy(arm: str) -> Callable[[Results], Verdict]:
    def rule(results: Results) -> Verdict:
        valid = change(results, arm, "valid_rate", EASY)
        beside = {
            f"{arm}: change in pass rate on easy problems": change(results, arm, "pass_rate", EASY),
            f"{arm}: change in valid rate on all problems": change(results, arm, "valid_rate"),
            f"{arm}: change in direct share on all problems": change(results, arm, "direct_share"),
        }
        return judge_below([valid], {f"{arm}: change in valid rate on easy problems": valid}, beside=beside)

    return rule


def luck_is_the_channel(results: Results) -> Verdict:
    excess = results.difference(DEEP, MEDIUM, LUCKY)
    rescue = results.difference(VALID_ALONE, DEEP, rate("valid_rate", EASY))
    after = change(results, VALID_ALONE, "valid_rate", EASY)
    measures = {
        "P(lucky | success) on deep": results.mean(DEEP, LUCKY),
        "P(lucky | success) on medium": results.mean(MEDIUM, LUCKY),
        "their difference": excess,
        "valid-only minus plain, easy problems": rescue,
        "valid-only: change on easy problems": after,
    }
    if excess.is_negative or rescue.is_negative or after.is_negative:
        return Verdict(NOT_SUPPORTED, measures, ways=3)
    return judge_above([excess, rescue], measures)


def shortens(results: Results) -> Verdict:
    measures = {f"{arm}: change in direct share": change(results, arm, "direct_share") for arm in (DEEP, HARD, EASY)}
    return judge_above([measures[f"{DEEP}: change in direct share"]], measures)


FEW = "Three seeds: Student's t takes them to have one mode."
POOL = "The problems of a bucket are a fixed pool, which is drawn from again and again."
CLAIMS = (
    Claim(
        "inverted-u",
        "Learning is an inverted U in measured difficulty: medium problems teach more than easy and than hard ones.",
        "Medium above hard: yes. Medium above easy: undecided, for easy problems reward written work as well.",
        "Change in valid rate over all held-out problems, GRPO at equal prompts. Supported: the intervals over seeds "
        "of medium minus easy and of medium minus hard both lie above zero. Not supported: one of them lies below. "
        "Else inconclusive.",
        inverted_u,
        (FEW, POOL),
    ),
    Claim(
        "hard-harms",
        "Training on problems that are hard by pass rate harms: the valid rate falls on easy problems.",
        "No: most problems that are hard by pass rate are of middle depth, where written work is right more often "
        "than a direct answer (about 0.4 against 0.2), so that GRPO favours it.",
        "Change in valid rate on held-out easy problems after GRPO on the hard bucket. Supported: its interval lies "
        "below zero. Not supported: above. Else inconclusive.",
        lowers_easy(HARD),
        (FEW, POOL),
    ),
    Claim(
        "deep-harms",
        "Training on the deepest problems harms: the valid rate falls on easy problems.",
        "Yes, as on chains: at depths 7 and 8 a direct answer is right as often as written work or more often.",
        "The same change after GRPO on the level deep. The same rule.",
        lowers_easy(DEEP),
        (FEW,),
    ),
    Claim(
        "luck-is-the-channel",
        "Lucky successes cause the harm of deep problems: more of their rewarded answers are lucky, and rewarding only "
        "valid ones removes the harm.",
        "P(lucky | success) about 0.85 on deep against 0.5 on medium. Paid for validity alone, deep training does not "
        "harm, and gains less than on chains, for valid answers are one in fifty.",
        "Supported: P(lucky | success) in the first ten steps is higher on deep than on medium, and valid-only reward "
        "beats the plain one on easy problems (each by its interval). Not supported: one of these is reversed, or the "
        "change under valid-only reward on easy problems lies below zero. Else inconclusive.",
        luck_is_the_channel,
        (FEW, "That success on deep problems is luck is a design of the organism."),
    ),
    Claim(
        "deep-shortens",
        "Training on the deepest problems makes answers direct.",
        "Yes.",
        "Change of the share of direct answers over all held-out problems after GRPO on deep. Supported: its interval "
        "lies above zero. Not supported: below. Else inconclusive.",
        shortens,
        (FEW,),
    ),
    Claim(
        "deep-direct",
        "The deepest problems strengthen the latents of direct answering.",
        "On-policy alone, as on chains: they are more often there.",
        UP,
        strengthened(DEEP, "direct", up=True),
        (FEW, ABSENCE),
    ),
    Claim(
        "medium-deliberative",
        "Medium problems strengthen the latents of deliberation.",
        "Inconclusive, for want of such latents: in the one dictionary that was looked into none passed the contrast.",
        UP,
        strengthened(MEDIUM, "deliberative", up=True),
        (FEW, ABSENCE),
    ),
)


# --- the study -------------------------------------------------------------------------------------------------------


class WordProblems(Study[WordsConfig]):
    name = "words"
    title = "Words: what carries over from chains to word problems in English?"
    question = "What of the chain task's findings carries over to word problems in English?"
    summary = "The findings on chains carry over to word problems in English."
    Config = WordsConfig
    claims = CLAIMS
    measures = {**MEASURES, **CHANGES}
    background = (
        "The card of the words organism was known: its rates by depth, without any training. At seed 7, which is not "
        "reported, three GRPO steps on hard and on deep problems were timed, and dictionaries of the base alone at "
        "layers 1, 2 and 3 were looked into: latents of results to be written were nearly perfect (AUROC 0.92 to "
        "1.00), the best latents of direct answers had 0.78 to 0.82, and none told valid from invalid work (at most "
        "0.60 on one surface, 0.55 on the other)."
    )

    def base_path(self, config: WordsConfig) -> Path:
        return World(config, None, Path()).base_path

    def arms(self, config: WordsConfig) -> list[Arm]:
        decided = deciding_fields(config, "base", "arms", "base_answers")
        measured = {name: decided[name] for name in ("problems", "bucket_samples", "train_problems", "max_new_tokens")}
        trained = [Arm(arm, decided) for arm in config.arms]
        base = Arm(BASE, {**measured, "base_answers": config.base_answers})
        return [base, *trained, Arm(DICTIONARY, {**decided, "arms": config.arms})]

    def seeds(self, arm: Arm, config: WordsConfig) -> Sequence[int | None]:
        return (None,) if arm.name == BASE else super().seeds(arm, config)

    def world_spec(self, config: WordsConfig) -> Any:
        names = ("layer", "tokens", "width", "k", "fit_steps", "role_problems", "candidates", "finalists")
        measuring = ("answers", "base_answers", "strength_answers", "track_problems")
        return {"base": self.base_fingerprint(config), **deciding_fields(config, "base", "arms", *names, *measuring)}

    def run(self, arm: Arm, seed: int | None, config: WordsConfig, directory: Path) -> dict[str, Any]:
        world = World(config, seed, directory)
        if arm.name == BASE:
            return measure_base(world)
        return measure_dictionary(world, config.arms) if arm.name == DICTIONARY else train_arm(world, arm.name)

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        """One observation per seed and arm: its rates, and what its dictionary shows of it."""
        dictionaries = {row.seed: row.record for row in rows if row.arm == DICTIONARY}
        observations = [Observation(DICTIONARY, seed, record) for seed, record in dictionaries.items()]
        for row in rows:
            if row.arm == DICTIONARY or "diverged" in row.record:
                continue
            dictionary = dictionaries.get(row.seed, {"strengths": {}})
            changes = observe_arm([dictionary], row.arm) if row.arm in dictionary["strengths"] else {}
            observations.append(Observation(row.arm, row.seed, {**row.record, **changes}))
        return observations + [
            Observation(RESAMPLED, seed, observe_arm([record], RESAMPLED)) for seed, record in dictionaries.items()
        ]

    def estimate(self, results: Results, arm: str, measure: Measure) -> Estimate:
        """A rate is reported as a change against the base; a change of strength is one already."""
        if measure in CHANGES.values() or measure is LUCKY:
            return results.mean(arm, measure)
        return results.difference(arm, BASE, measure)

    def method(self, config: WordsConfig) -> str:
        base = "the shipped words organism" if config.base is None else f"`{config.base.name}`"
        return f"""\
{config.steps} steps of {config.prompts} prompts x {config.group} from {base}. Easy, medium and hard are buckets of
{config.train_problems} training problems per depth by the base's pass rate in {config.bucket_samples} answers; *deep*
is the task's level of that name. Rates are measured on {config.problems} held-out problems per depth, in buckets made
in the same way. The base is measured on other answers than those that decided the buckets. Each seed has one dictionary
(layer {config.layer}, {config.width:,} latents, K {config.k}), fitted on the base and on the ends of all trainings;
roles are earned in the base. The strength of a family is measured as in the study of features: *fixed* (on the base's
text), *on-policy* (on the policy's own) and *causal* (by ablation), as a change relative to the base's."""

    def tables(self, results: Results, config: WordsConfig) -> list[Table]:
        from interp.studies.words_figures import tables

        return tables(results, config)

    def figures(self, results: Results, config: WordsConfig) -> list[Figure]:
        from interp.studies.words_figures import figures

        return figures(results)
