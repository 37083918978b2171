"""Study: which strategies for hard problems help GRPO, alone and together with credit that tells valid from lucky?

Arms are compared at an equal number of sampled tokens, for that is what a strategy costs: dynamic sampling draws more
per step, hints shorten what is left to write, a curriculum asks problems with short answers, and credit makes answers
longer. A number of steps is no such price. Every run goes on until it has spent the same budget, and is read off its
checkpoints there. That is cleaner than reading all curves at the fewest tokens that any arm has reached: the place
would then depend on the results, and a policy that answers directly writes so little that the others would be read at
their first steps. What the base wrote before the first step, for hints and labels, is part of the price. At equal
steps, where nothing before the first step counts, everything is reported beside it.

The unit of evidence is a base: an organism with weights and data of its own, of which all trainings of a base are
runs. Six trainings of each of fifteen arms take about two hours of one core, after the bases are made: one of each arm
without credit and the credit alone took 57 to 91 seconds on the shipped base.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from interp.artifacts import BadInput, to_json
from interp.checks import Count, Name, Range, Seed, Share, Tokens, expect_once_each, expect_one_of
from interp.studies.base import Figure, Study, Table, chosen_fields
from interp.studies.credit_runs import (
    BASE,
    FEATURES,
    LIKELIHOOD,
    NOT_FITTED,
    WITH_DICTIONARY,
    WITHOUT_DICTIONARY,
    measure_base,
    strength_of,
)
from interp.studies.credit_world import TrainingConfig, World
from interp.studies.hard_samples_claims import CLAIMS
from interp.studies.hard_samples_measures import (
    ALL,
    DEEP,
    GROUPS,
    LUCKY,
    STEPS,
    TOKENS,
    average_base,
    average_runs,
    count,
    number,
    rate,
)
from interp.studies.hard_samples_runs import (
    BACKWARD,
    CURRICULUM,
    DYNAMIC,
    HINTS,
    REPLAY,
    STRATEGIES,
    HardTraining,
    arm_name,
    train_run,
    trainings,
)
from interp.studies.results import Arm, Observation, Results
from interp.studies.runner import Row

CREDITS = tuple(one for one in (*WITHOUT_DICTIONARY, *WITH_DICTIONARY) if one not in NOT_FITTED)
"""Credits that can be the best one."""


@dataclass(frozen=True)
class HardSamplesConfig(TrainingConfig):
    seeds: Count = 6
    """Bases: the unit of evidence."""
    first_seed: Seed = 951
    """Seed of the first base. No base of the credit study is among the default ones: the credit was chosen there."""
    dictionaries: Count = 1
    """Dictionaries of each base; runs take them in turn."""
    repeats: Count = 1
    """Trainings of every arm from each base."""
    credit: Name = FEATURES
    """The best credit, by its name in the credit study: a readout, and what it reads."""
    threshold: Annotated[float, Range(0, 1000)] | None = None
    """Strength of every credit: the probability from which a success is paid, in units of the mean. Default: what was
    chosen for each in the credit study."""
    likelihood_with: tuple[Name, ...] = (CURRICULUM,)
    """Strategies that are also trained with credit by the likelihood alone."""
    steps: Count = 40
    """GRPO steps of every training, at least. Beside equal tokens, arms are compared at this number."""
    token_budget: Tokens = 400_000
    """Tokens sampled by every training, with those sampled for it before: arms are compared at this number."""
    max_steps: Count = 200
    """Steps of every training, at most, even where the budget is not spent."""
    watch_every: Count = 10
    """Steps between checkpoints, of which all are measured."""
    share: Share = 0.25
    """Share of the groups that backward problems, hints, or replay take."""
    hint_problems: Count = 500
    """Hard problems that the base answers to find valid beginnings."""
    hint_answers: Count = 8
    """Its answers to each."""
    hint_length: Share = 0.75
    """Length of hints at the first step, as a share of the work that is given."""
    hint_steps: Count = 30
    """Steps until hints are gone."""
    curriculum_target: Share = 0.5
    """Pass rate that the curriculum aims at."""
    curriculum_margin: Annotated[float, Range(0, 0.5)] = 0.2
    """Distance from it at which the curriculum moves."""
    max_draws: Count = 4
    """Batches of problems that dynamic sampling draws per step, at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_one_of(self, CREDITS, "credit")
        expect_once_each(self, "likelihood_with")
        if unknown := sorted(set(self.likelihood_with) - set(STRATEGIES)):
            raise BadInput(f"likelihood_with must be some of {', '.join(STRATEGIES)}; got {', '.join(unknown)}")
        if self.max_steps < self.steps:
            raise BadInput(f"max_steps must be at least steps ({self.steps}); got {self.max_steps}")

    def threshold_of(self, scheme: str) -> float:
        return strength_of(scheme) if self.threshold is None else self.threshold


# --- the study -------------------------------------------------------------------------------------------------------

OF_STRATEGY: dict[str | None, tuple[str, ...]] = {
    BACKWARD: ("share",),
    HINTS: ("share", "hint_problems", "hint_answers", "hint_length", "hint_steps"),
    CURRICULUM: ("curriculum_target", "curriculum_margin"),
    DYNAMIC: ("max_draws",),
    REPLAY: ("share", "audits"),
}
"""Fields of the config that decide only trainings with a strategy."""
OF_CREDIT = ("audits", "ridge", "label_problems", "label_weight", "label_rate", "layer")
OF_ALL = (
    "build_steps", "steps", "max_steps", "token_budget", "watch_every", "prompts", "group", "problems",
    "watch_problems", "answers",
)  # fmt: skip


class HardSamples(Study[HardSamplesConfig]):
    name = "hard-samples"
    title = "Hard samples: which strategies help on hard problems, alone and with credit?"
    background = (
        "In the study of difficulty, plain GRPO on deep problems lowered the valid rate at depths 1 to 3 and left deep "
        "ones where they were; on problems of middle depth it raised the valid rate over all depths, and paid for "
        "valid answers alone it raised that of deep ones. Backward problems are those of arXiv 2605.28388, where "
        "they help; dynamic sampling is that of DAPO (arXiv 2503.14476). One training of each strategy on the shipped "
        "base, which is not reported, was seen while the predictions were written. Valid rates at equal tokens, on "
        "deep problems (at depths 1 to 3): plain GRPO 0.00 (0.09), backward 0.00 (0.11), hints, with a search twice as "
        "long, 0.05 (0.37), curriculum 0.10 (0.70), dynamic sampling 0.00 (0.11), replay 0.06 (0.42), the credit "
        "alone 0.26 (0.86), the oracle 0.36 (0.88). Replay did more than we had expected. Nothing had been seen "
        "of strategies together with credit."
    )
    question = "Which strategies for hard problems help, alone and with credit?"
    summary = "Strategies for hard problems help where credit tells valid answers from lucky ones."
    Config = HardSamplesConfig
    claims = CLAIMS
    measures = {
        **{
            one.name: one
            for by in (TOKENS, STEPS)
            for one in (
                *(rate(name, group, by) for name in ("valid_rate", "pass_rate") for group in GROUPS),
                rate(LUCKY, DEEP, by),
                rate("malformed_share", ALL, by),
            )
        },
        "labels at equal tokens": number("labels"),
        "steps at equal tokens": number(STEPS),
        "tokens at equal steps": number(TOKENS, STEPS),
        **{name: count(name) for name in ("tokens before", "labels before", "runs", "diverged", "ended early")},
    }

    def arms(self, config: HardSamplesConfig) -> list[Arm]:
        base = Arm(BASE, {**config.world_spec, **chosen_fields(config, "problems", "answers", "dictionaries")})
        return [base, *(self._arm(training, config) for training in trainings(config))]

    def _arm(self, training: HardTraining, config: HardSamplesConfig) -> Arm:
        spec = {
            "training": to_json(training),
            **chosen_fields(config, *OF_ALL, *OF_STRATEGY.get(training.strategy, ())),
        }
        if training.scheme in CREDITS:
            spec |= {"threshold": config.threshold_of(training.scheme), **chosen_fields(config, *OF_CREDIT)}
        if training.dictionary is not None:
            spec |= config.dictionary_spec
        return Arm(f"{training.name} / run {training.run}", spec)

    def base_fingerprint(self, config: HardSamplesConfig) -> str:
        return "built for each seed"

    def world_spec(self, config: HardSamplesConfig) -> Any:
        return config.world_spec

    def prepare(self, config: HardSamplesConfig, seed: int, directory: Path) -> None:
        World(config, seed, directory).make()

    def run(self, arm: Arm, seed: int | None, config: HardSamplesConfig, directory: Path) -> dict[str, Any]:
        assert seed is not None, "every arm has bases"
        world = World(config, seed, directory)
        if arm.name == BASE:
            return measure_base(world, config)
        training = HardTraining(**arm.spec["training"])
        return {"training": to_json(training), **train_run(training, world, config, directory / arm.directory_name)}

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        """One observation per arm and base: its runs averaged, read at equal tokens and at equal steps."""
        runs: dict[tuple[str, int | None], list[Any]] = defaultdict(list)
        for row in rows:
            training = row.record.get("training")
            name = BASE if training is None else arm_name(training["strategy"], training["role"])
            runs[name, row.seed].append(row.record)
        return [
            Observation(name, seed, average_base(records[0]) if name == BASE else average_runs(records))
            for (name, seed), records in runs.items()
        ]

    def method(self, config: HardSamplesConfig) -> str:
        alone = ", ".join(config.likelihood_with) or "no strategy"
        best, of_likelihood = config.threshold_of(config.credit), config.threshold_of(LIKELIHOOD)
        return f"""\
{config.seeds} bases, each an organism built with a seed of its own ({config.build_steps} steps). From each, every arm
has {config.repeats} trainings on deep problems (depths 8 and 9), in steps of {config.prompts} prompts x
{config.group}. Advantages have no unit (scale none), in all arms alike, for gates are graded.

Every training goes on until it has sampled {config.token_budget:,} tokens and made {config.steps} steps, at most
{config.max_steps}, with a checkpoint every {config.watch_every} steps. It is read at exactly that many tokens (and
steps), linearly between the two checkpoints around. All that the policy wrote counts, and all that the base wrote
before the first step to find hints or labels. The {config.tokens:,} tokens of the base on which a dictionary is fitted
do not count, for one serves all runs of a base. A run that ends before is read at its end, and one that diverges at its
last whole checkpoint.

Strategies: *backward* states the answer and asks for a number, in {config.share:g} of the groups. *hints* give the
beginning of a valid answer of the base to {config.share:g} of the groups, at first {config.hint_length:g} of the
work, after {config.hint_steps} steps none; the base answers {config.hint_problems} deep problems
{config.hint_answers} times to find them. *curriculum* asks shallow, middle or deep problems: harder ones where the
pass rate of two batches is above {config.curriculum_target + config.curriculum_margin:g}, easier ones where it is
below {config.curriculum_target - config.curriculum_margin:g}. *dynamic sampling* draws up to {config.max_draws}
batches a step until {config.prompts} groups have different rewards. *replay* puts a valid answer of an earlier step
into {config.share:g} of the groups; {config.audits} rewarded answers a step are audited for it.

The best credit is a readout of `{config.credit}`, with threshold {best:g} (the likelihood alone: {of_likelihood:g})
and {config.audits} audits a step, refitted every second step; with replay the two share these audits. It and the
likelihood begin with the same labelled answers of the base to {config.label_problems} problems of all depths. The
likelihood alone is also trained with: {alone}. The oracle pays valid answers alone. Rates are of {config.problems}
held-out problems of each depth, {config.answers} answers each. Intervals are over bases."""

    def tables(self, results: Results, config: HardSamplesConfig) -> list[Table]:
        from interp.studies.hard_samples_figures import tables

        return tables(results, config)

    def figures(self, results: Results, config: HardSamplesConfig) -> list[Figure]:
        from interp.studies.hard_samples_figures import figures

        return figures(results)
