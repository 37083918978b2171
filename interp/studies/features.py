"""Study: which families of features does training on each difficulty strengthen?

The claims are those of arXiv 2605.28388, which says neither how features were assigned to families nor what strength
is. Families here are latents that have earned their role in the base. Easy, medium and hard problems of the chain task
are its depth groups shallow (depths 1-2), middle (4-5) and deep (8-9). The unit of evidence is a seed, a training run
of each arm; it counts by the mean over its dictionaries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from interp.checks import Count, LearningRate, Processes, Range, Seed, Tokens, expect_plausible
from interp.organism.config import ModelShape, OrganismLayer
from interp.stats.estimate import Estimate
from interp.studies.base import (
    INCONCLUSIVE,
    NO_EVIDENCE,
    NOT_SUPPORTED,
    SUPPORTED,
    Claim,
    Figure,
    Study,
    Table,
    Verdict,
    deciding_fields,
    judge_above,
)
from interp.studies.features_measures import (
    AGREEMENT,
    ALL_ARMS,
    BASE,
    CHANGES,
    KINDS,
    LEVELS,
    LUCK_ALONE,
    OLD_NAMES,
    RESAMPLED,
    TRAINED_ON,
    VALID_ALONE,
    change_beyond_matches,
    change_of,
    observe_arm,
    sign_agreement,
)
from interp.studies.results import Arm, Observation, Record, Results
from interp.studies.runner import Row
from interp.tsae.config import TSAEConfig

POLICIES = "policies"
TRAINING = ("steps", "prompts", "group", "lr")
"""Settings that decide a training run."""
MIN_AGREEMENT = 0.8


@dataclass(frozen=True)
class FeaturesConfig:
    seeds: Count = 5
    """GRPO runs of each arm. Each has dictionaries of its own."""
    first_seed: Seed = 211
    """Seeds below were used to find settings, and are not reported."""
    dictionaries: Count = 3
    """Dictionaries per seed, which differ only in the seed of their weights. Their mean counts."""
    steps: Count = 40
    """GRPO steps, as in the difficulty study."""
    prompts: Count = 32
    """Prompts per step."""
    group: Annotated[int, Range(2, 100_000)] = 8
    """Rollouts per prompt."""
    lr: LearningRate = 2e-4
    """Learning rate."""
    layer: OrganismLayer = 2
    """The layer of the dictionary, of four, counted from 0."""
    tokens: Tokens = 400_000
    """Tokens to fit dictionaries on: of the base and of the ends of training on shallow, middle and deep problems."""
    width: Count = 1024
    """Latents of a dictionary."""
    k: Count = 16
    """Active latents per token."""
    fit_steps: Count = 2000
    """Steps of fitting a dictionary."""
    earn_problems: Count = 128
    """Problems of each level to earn roles on."""
    problems: Count = 96
    """Problems of each level to measure activations on: other ones than roles were earned on."""
    answers: Count = 4
    """Answers to each problem."""
    processes: Processes = 2
    """Seeds that run at once."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        TSAEConfig(width=self.width, k=self.k).resolved(ModelShape().d_model)  # refuses what would not fit


# --- claims, each after its rule in code ---------------------------------------------------------------------------


def strengthened(arm: str, family: str, *, up: bool) -> Callable[[Results], Verdict]:
    def rule(results: Results) -> Verdict:
        changes = {kind: results.mean(arm, change_of(family, kind)) for kind in KINDS}
        beyond = results.mean(arm, change_beyond_matches(family))
        measures = {f"{kind} strength": change for kind, change in changes.items()} | {
            "fixed, less its matches'": beyond
        }
        agrees, contradicts = (is_up, is_down) if up else (is_down, is_up)
        if any(map(contradicts, changes.values())):
            return Verdict(NOT_SUPPORTED, measures, ways=len(KINDS))
        if not any(map(agrees, changes.values())):
            return Verdict(NO_EVIDENCE, measures)
        return Verdict(SUPPORTED if all(map(agrees, (*changes.values(), beyond))) else INCONCLUSIVE, measures)

    return rule


def is_up(change: Estimate) -> bool:
    return change.is_positive


def is_down(change: Estimate) -> bool:
    return change.is_negative


def through_success(results: Results) -> Verdict:
    measures: dict[str, Estimate] = {
        f"{kind} strength, less that with luck alone paid": results.difference(
            "deep", LUCK_ALONE, change_of("deliberative", kind)
        )
        for kind in KINDS
    }
    is_above = [one.is_positive for one in measures.values()]
    if not any(is_above):
        return Verdict(NO_EVIDENCE, measures)
    return Verdict(SUPPORTED if all(is_above) else INCONCLUSIVE, measures)


def strengths_agree(results: Results) -> Verdict:
    agreement = results.mean(ALL_ARMS, AGREEMENT)
    return judge_above([agreement], {"share of arms and families": agreement}, MIN_AGREEMENT)


STRENGTH = (
    "Change against the base as a share of the base's, by seed (the mean over its dictionaries), three ways: on fixed "
    "text, on-policy, by ablation. "
)
UP, DOWN = (
    f"{STRENGTH}Supported: all three intervals lie {side} zero, and on fixed text the family's change {side} its "
    f"matches' too. Not supported: none of the three lies {side} zero, or one lies {other_side}. Else inconclusive."
    for side, other_side in (("above", "below"), ("below", "above"))
)
ABSENCE = (
    '"Not supported" may rest on a lack of evidence: the rule says so where none of the three intervals excludes zero.'
)
SMALL_BASE = (
    "The change by ablation divides by effects in the base of -0.02 to 1.02 nats, so that it is mostly noise where the "
    "base's effect is small."
)


def claim(name: str, text: str, prediction: str, arm: str, family: str, *, up: bool = True) -> Claim:
    """A claim that an arm strengthens a family or, with `up` False, weakens it."""
    rule = UP if up else DOWN
    return Claim(name, text, prediction, rule, strengthened(arm, family, up=up), (ABSENCE, SMALL_BASE))


EASY, MEDIUM, HARD = LEVELS
CLAIMS = (
    claim(
        "easy-direct",
        "Easy problems strengthen direct answering.",
        "No: it is weakened, as the habit is.",
        EASY,
        "direct",
    ),
    claim(
        "easy-computation",
        "Easy problems strengthen computation.",
        "No: it is there already.",
        EASY,
        "computation",
    ),
    claim(
        "easy-deliberative",
        "Easy problems weaken deliberation.",
        "No: they strengthen it.",
        EASY,
        "deliberative",
        up=False,
    ),
    claim("medium-computation", "Medium problems strengthen computation.", "No.", MEDIUM, "computation"),
    claim("medium-deliberative", "Medium problems strengthen deliberation.", "Yes.", MEDIUM, "deliberative"),
    claim(
        "hard-direct",
        "Hard problems strengthen direct answering.",
        "On-policy alone: it is more often there.",
        HARD,
        "direct",
    ),
    Claim(
        "hard-success",
        "Hard problems strengthen deliberation only through the rare valid success.",
        "Inconclusive: they are so rare that plain training does not feel them.",
        "Deliberation's change where all that is right is paid, less its change where valid successes are not, by "
        "seed, three ways. Supported: all three intervals lie above zero. Not supported: none does. Else inconclusive.",
        through_success,
        (ABSENCE, SMALL_BASE),
    ),
    claim(
        "hard-valid-alone",
        "Where only valid successes are paid, hard problems strengthen deliberation.",
        "Yes.",
        VALID_ALONE,
        "deliberative",
    ),
    Claim(
        "strengths-agree",
        "The three measures of strength agree.",
        "No: what is on more often need not do more.",
        "Of all arms and families, the share in which the three changes have the same sign, by seed. Supported: the "
        f"interval lies above {MIN_AGREEMENT}. Not supported: below it. Else inconclusive.",
        strengths_agree,
        ("In no arm and family do all three changes surely differ from zero: this is mostly the sign of noise.",),
    ),
)


# --- the study -----------------------------------------------------------------------------------------------------


class Features(Study[FeaturesConfig]):
    name = "features"
    title = "Features: what does difficulty feed?"
    question = "Which families of features does each difficulty strengthen?"
    summary = "Each difficulty strengthens its own families of features (arXiv 2605.28388)."
    Config = FeaturesConfig
    committed = FeaturesConfig()
    claims = CLAIMS
    measures = CHANGES
    background = """\
With one dictionary of one seed that is not reported (0; fixed, on-policy, causal): direct -0.01, -0.19, -0.12 after
easy problems, -0.07, -0.24, -0.37 after medium, -0.04, 0.17, 0.01 after hard; computation -0.03, -0.09, 0.01 and
-0.05, -0.10, -0.05 and -0.03, 0.01, 0.00; deliberative 0.25, 0.51, 0.94 and 0.22, 0.51, 1.24 and -0.02, -0.10, 0.14,
with luck alone paid 0.01, -0.14, 0.02, with valid answers alone 0.67, 1.10, 1.82.

Then seeds 201 to 205 were run and reported: of the paper's claims none was supported, and medium-deliberative was
inconclusive. Since then it was mended how the second gate puts tokens into texts and which texts it takes (see the
study of roles), and all is run again on new seeds, 211 to 215. Claims, predictions and rules are as they were: the
runs are a replication."""

    def arms(self, config: FeaturesConfig) -> list[Arm]:
        names = [POLICIES, *(f"dictionary {number}" for number in range(config.dictionaries))]
        return [Arm(name, deciding_fields(config, "dictionaries")) for name in names]

    def world_spec(self, config: FeaturesConfig) -> Any:
        return {name: getattr(config, name) for name in TRAINING}

    def prepare(self, config: FeaturesConfig, seed: int, directory: Path) -> None:
        from interp.studies.family_strengths import train_arm

        for arm in TRAINED_ON:
            train_arm(arm, seed, config, directory)

    def run(self, arm: Arm, seed: int | None, config: FeaturesConfig, directory: Path) -> dict[str, Any]:
        from interp.studies.family_strengths import measure_dictionary, training_shares

        assert seed is not None, "every arm has seeds"
        if arm.name == POLICIES:
            return {"training": training_shares(seed, config, directory)}
        return measure_dictionary(int(arm.name.removeprefix("dictionary ")), seed, config, directory)

    def migrate(self, record: dict[str, Any]) -> Row:
        """A record under the current names of arms and levels."""
        seed, number = record["seed"], record["dictionary"]
        if number is None:
            return Row({"training": renamed(record["paid"])}, POLICIES, seed)
        levels = {arm: renamed(by_level) for arm, by_level in record["behaviour"].items()}
        changed = {"strengths": renamed(record["strengths"]), "behavior": renamed(levels)}
        return Row({**record, **changed}, f"dictionary {number}", seed)

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        """One observation per seed and arm of training, from all dictionaries of the seed."""
        training = {row.seed: row.record["training"] for row in rows if row.arm == POLICIES}
        dictionaries: dict[int | None, list[Record]] = {}
        for row in rows:
            if row.arm != POLICIES:
                dictionaries.setdefault(row.seed, []).append(row.record)
        observations = []
        for seed, records in dictionaries.items():
            by_arm = {arm: observe_arm(records, arm) for arm in (*TRAINED_ON, RESAMPLED)}
            for arm, record in {BASE: {}, **by_arm}.items():
                beside = {
                    "behavior": records[-1]["behavior"].get(arm, {}),  # all dictionaries have the same policies
                    "training": training.get(seed, {}).get(arm, {}),
                }
                observations.append(Observation(arm, seed, {**record, **beside}))
            latents = [{name: one["latents"] for name, one in record["families"].items()} for record in records]
            observations.append(Observation(ALL_ARMS, seed, {"agreement": sign_agreement(by_arm), "latents": latents}))
        return observations

    def method(self, config: FeaturesConfig) -> str:
        return f"""\
Every arm is plain GRPO on problems of one level, from the shipped organism, as in the difficulty study: easy, medium
and hard problems are the depth groups shallow (depths 1-2), middle (4-5) and deep (8-9). In two arms on deep problems
only lucky successes are paid, or only valid ones. Each seed has {config.dictionaries} dictionaries, fitted on the
base and on the last checkpoints of training on shallow, middle and deep problems. For each dictionary, roles are earned
in the base, in three gates: `direct` (a direct answer), `computation` (a result about to be written),
`deliberative` (all steps are done, so the answer may be announced). The strength of a family in a policy is measured
three ways: *fixed* (its activation per token on text that the base wrote), *on-policy* (on what the policy writes)
and *causal* (how much less likely its tokens in the fixed text are without all of its latents at once). All are
changes against the base, as a share of what it was there. *Matches* are latents of similar firing
rate and activation that passed no contrast. A seed counts by the mean over its dictionaries."""

    def tables(self, results: Results, config: FeaturesConfig) -> list[Table]:
        from interp.studies.features_figures import tables

        return tables(results)

    def figures(self, results: Results, config: FeaturesConfig) -> list[Figure]:
        from interp.studies.features_figures import figures

        return figures(results)


def renamed(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping from arms or levels, under their current names."""
    return {OLD_NAMES.get(name, name): value for name, value in by_name.items()}
