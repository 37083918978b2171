"""Runs of the credit study: which trainings there are, the scheme of each, and one training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.studies.credit_world import World
from interp.studies.results import rounded

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme
    from interp.policy import Policy
    from interp.studies.credit import CreditConfig
    from interp.studies.credit_world import TrainingSizes

BASE, PLAIN, ORACLE = "base", "plain", "oracle"
LIKELIHOOD, TEXT_ALONE, LATENTS_ALONE = "likelihood", "text alone", "latents alone"
FORMAT, COMPLETENESS, TEXT = "likelihood + format", "likelihood + completeness", "likelihood + text"
RESIDUAL, PRE_ACTIVATIONS, FEATURES = "likelihood + residual", "likelihood + pre-activations", "likelihood + latents"
INTENTION, RANDOM_INTENTION = "latents + intention", "random latents + intention"
RESIDUAL_INTENTION = "residual + its intention"
LIKELIHOOD_WRITTEN, LATENTS_WRITTEN = "likelihood, written answers", "latents alone, written answers"
"""Controls of an intention that leave out what it cannot read: answers without a copied token, such as direct ones."""
RANDOM_LATENTS, PERMUTED, RANDOM_GATE = "likelihood + random latents", "likelihood + permuted latents", "random gate"
USUAL, SELECTED = "plain, usual scale", "features, selected"
PROCESS, OTHER_PROCESS = "features, process advantage", "process advantage, dealt to others"
SPLIT, OTHER_SPLIT = "features, up to the first error", "first error, that of others"
NOT_FITTED = (PLAIN, USUAL, ORACLE)
"""Schemes that read nothing."""
WITHOUT_DICTIONARY = (
    *NOT_FITTED,
    LIKELIHOOD,
    LIKELIHOOD_WRITTEN,
    TEXT_ALONE,
    FORMAT,
    COMPLETENESS,
    TEXT,
    RESIDUAL,
    RESIDUAL_INTENTION,
)
DESIGNS = (SELECTED, PROCESS, OTHER_PROCESS, SPLIT, OTHER_SPLIT)
"""Other ways to pay by the features, two of them with a control of their own."""
WITH_DICTIONARY = (
    FEATURES, LATENTS_ALONE, LATENTS_WRITTEN, INTENTION, RANDOM_INTENTION, PRE_ACTIVATIONS, RANDOM_LATENTS, PERMUTED,
    RANDOM_GATE, *DESIGNS,
)  # fmt: skip
DEEP, ALL = "deep", "all"
RATES = ("valid_rate", "pass_rate", "malformed_share")
LOGGED = (
    "step", "reward", "valid_rate", "lucky_share", "malformed_share", "paid_valid_share", "gate", "turned_share",
    "length", "entropy_nats_per_token", "kl_to_base", "audited",
)  # fmt: skip
WATCH_EVERY = 10
DEFAULT = 1.0
STRENGTHS: Mapping[str, float] = {
    LIKELIHOOD: 0.5,
    LIKELIHOOD_WRITTEN: 0.25,
    TEXT_ALONE: 1.0,
    FORMAT: 0.5,
    COMPLETENESS: 0.25,
    TEXT: 0.25,
    RESIDUAL: 0.0,
    RESIDUAL_INTENTION: 0.5,
    FEATURES: 0.5,
    LATENTS_ALONE: 0.0,
    LATENTS_WRITTEN: 0.0,
    INTENTION: 0.0,
    RANDOM_INTENTION: 0.25,
    PRE_ACTIVATIONS: 0.25,
    RANDOM_LATENTS: 0.5,
    PERMUTED: 0.5,
}
"""The threshold of each scheme: the best one in `interp study credit-strengths`."""
SAME_STRENGTH: Mapping[str, str] = dict.fromkeys((RANDOM_GATE, *DESIGNS), FEATURES)
"""Schemes that take the threshold of another, where they have one."""


@dataclass(frozen=True)
class Training:
    """One training: by which credit, on which problems, with which dictionary, from which seed."""

    scheme: str
    problems: str
    run: int
    dictionary: int | None = None
    threshold: float = DEFAULT
    """The strength of a scheme that reads, chosen on a base that is not reported."""
    penalty: float = 0.0
    """What a success that is surely lucky loses."""

    @property
    def name(self) -> str:
        """The arm, the same for all runs and dictionaries."""
        return arm_name(self.scheme, self.problems)


def arm_name(scheme: str, problems: str) -> str:
    return scheme if problems == DEEP else f"{scheme}, {problems} problems"


def trainings(config: "CreditConfig") -> list[Training]:
    """Every training from one base: the first run of each scheme, then the second, and so on."""
    listed = []
    for run in range(config.repeats):
        for problems in (DEEP, ALL):
            for scheme in (*WITHOUT_DICTIONARY, *WITH_DICTIONARY):
                for dictionary in _dictionaries(scheme, run, config):
                    listed.append(Training(scheme, problems, run, dictionary, strength_of(scheme)))
    return listed


def strength_of(scheme: str) -> float:
    """The threshold that was chosen for a scheme."""
    return STRENGTHS.get(SAME_STRENGTH.get(scheme, scheme), DEFAULT)


def _dictionaries(scheme: str, run: int, config: "CreditConfig") -> Sequence[int | None]:
    """The features are trained with every dictionary in every run; the rest takes them in turn."""
    if scheme not in WITH_DICTIONARY:
        return (None,)
    if scheme == FEATURES:
        return range(config.dictionaries)
    return (run % config.dictionaries,)


# --- schemes -----------------------------------------------------------------------------------------------------


def scheme_of(training: Training, world: World, base: "Policy", audits: int = 8) -> "CreditScheme | None":
    """The credit of a training. All that are refitted audit as many successes, of those that they can read."""
    from interp.credit import FirstErrorReadout, ProcessAdvantage, RandomGate, ReadoutCredit, StepValidity
    from interp.readouts import label_rollouts, with_base_rate

    if training.scheme in NOT_FITTED:
        return StepValidity(weights=False) if training.scheme == ORACLE else None
    sources = sources_of(training, world, base)
    config = world.config
    labels = with_base_rate(
        label_rollouts(sources, base, world.labelled_answers()), config.label_rate, config.label_weight
    )
    credit = ReadoutCredit(
        sources, audits=audits, threshold=training.threshold, penalty=training.penalty, ridge=config.ridge,
        pay="select" if training.scheme == SELECTED else "graded", labels=labels,
    )  # fmt: skip
    if training.scheme == RANDOM_GATE:
        return RandomGate(credit, training.run)
    if training.scheme in (PROCESS, OTHER_PROCESS):
        score = replace(credit, threshold=0.0)
        return ProcessAdvantage(score if training.scheme == PROCESS else RandomGate(score, training.run))
    if training.scheme in (SPLIT, OTHER_SPLIT):
        at_ends = at_step_ends(sources)
        control_seed = training.run if training.scheme == OTHER_SPLIT else None
        return FirstErrorReadout(at_ends, gate=credit, audits=audits, ridge=config.ridge, control_seed=control_seed)
    return credit


def at_step_ends(sources: Sequence[Any]) -> list[Any]:
    """The same sources, with latents read at the end of each step."""
    from interp.readouts import STEP_END, Latents

    return [replace(one, selector=STEP_END) if isinstance(one, Latents) else one for one in sources]


def sources_of(training: Training, world: World, base: "Policy") -> list[Any]:
    from interp.readouts import (
        Completeness,
        Format,
        Latents,
        Likelihood,
        Permuted,
        Residual,
        TextCounts,
        WithRoles,
        random_latents,
    )

    layer, likelihood = world.config.layer, Likelihood()
    without: Mapping[str, list[Any]] = {
        LIKELIHOOD: [likelihood],
        LIKELIHOOD_WRITTEN: [likelihood, WithRoles()],
        TEXT_ALONE: [TextCounts(buckets=32)],
        FORMAT: [likelihood, Format()],
        COMPLETENESS: [likelihood, Completeness()],
        TEXT: [likelihood, TextCounts(buckets=32)],
        RESIDUAL: [likelihood, Residual(layer)],
    }
    if training.scheme == RESIDUAL_INTENTION:
        return [Residual(layer), _intention_of_residual(world)]
    if training.scheme in without:
        return without[training.scheme]
    assert training.dictionary is not None
    latents = Latents(world.dictionary(training.dictionary), layer)
    if training.scheme in (LATENTS_ALONE, LATENTS_WRITTEN):
        return [latents] if training.scheme == LATENTS_ALONE else [latents, WithRoles()]
    if training.scheme in (INTENTION, RANDOM_INTENTION):
        seed = training.dictionary if training.scheme == RANDOM_INTENTION else None
        return [*_latents_and_intention(world, training.dictionary, seed)]
    if training.scheme == PRE_ACTIVATIONS:
        return [likelihood, replace(latents, before_threshold=True)]
    if training.scheme == RANDOM_LATENTS:
        return [likelihood, random_latents(latents, base, world.base_answers(), training.dictionary)]
    return [likelihood, Permuted(latents, training.run) if training.scheme == PERMUTED else latents]


@lru_cache(maxsize=4)
def _latents_and_intention(world: World, number: int, seed: int | None) -> tuple[Any, Any]:
    """The latents of a dictionary and what they were about to write; with a seed, those of random directions instead.
    The same for every run of a base: a process fits the lens once."""
    from interp.readouts import Intention, Latents, random_intention, random_latents

    tsae, layer, base, answers = world.dictionary(number), world.config.layer, world.base(), world.base_answers()
    latents, intention = Latents(tsae, layer), Intention.fit(tsae, layer, base, answers)
    if seed is None:
        return latents, intention
    return random_latents(latents, base, answers, seed), random_intention(intention, base, answers, seed)


@lru_cache(maxsize=4)
def _intention_of_residual(world: World) -> Any:
    from interp.readouts import Intention
    from interp.readouts.controls import residual_dictionary

    base, layer = world.base(), world.config.layer
    return Intention.fit(residual_dictionary(base.d_model, layer), layer, base, world.base_answers())


# --- one run -----------------------------------------------------------------------------------------------------


def train_run(training: Training, world: World, config: "TrainingSizes", out: Path) -> dict[str, Any]:
    """Train, and measure at every depth at the end; along the way with fewer answers.

    A run that diverges is a result: it is measured at its last whole checkpoint, which is what its user is left with.
    """
    from interp.grpo import Diverged, GRPOConfig, Run, train
    from interp.organism import load_task

    base, task = world.base(), load_task(world.base_path)
    grpo = GRPOConfig(
        steps=config.steps,
        prompts=config.prompts,
        sampling=world.sampling(config.group, training.run),
        update=world.update(),
        scale="group" if training.scheme == USUAL else "none",
        save_every=WATCH_EVERY,
        kl_every=WATCH_EVERY,
        without_signal="go on",  # an arm that finds none is a result
    )
    problems = DEEP if training.problems == DEEP else None
    scheme = scheme_of(training, world, base, config.audits)
    diverged = None
    try:
        run = train(base, task, problems, config=grpo, credit=scheme, out=out, progress=False)
    except Diverged as error:
        run, diverged = Run.open(out), str(error)
    *earlier, last = run.series
    watched = {
        str(one.step): measure(one.load(device="cpu"), world, config.answers, config.watch_problems)
        for one in earlier
        if one.step
    }
    table = run.table()
    record = {
        "final": measure(last.load(device="cpu"), world, config.answers, config.problems),
        "watched": watched,
        "steps": {column: rounded(table[column].to_list()) for column in LOGGED if column in table.columns},
    }
    return record if diverged is None else {**record, "diverged": diverged}


def measure(policy: "Policy", world: World, answers: int, problems: int) -> dict[str, dict[str, float]]:
    """Every rate at each depth, on the same held-out problems and random streams for all runs of a base."""
    from interp.organism import load_task
    from interp.rollouts import roll_out, summarize

    task = load_task(world.base_path)
    lowest, highest = task.depths
    chosen = [problem for depth in range(lowest, highest + 1) for problem in task.problems("eval", depth, problems)]
    rollouts = roll_out(policy, task, chosen, world.sampling(answers), purpose="evaluate", progress=False)
    estimates = summarize(rollouts, "depth", RATES).estimates
    return {
        str(depth): {name: round(one.value, 5) for name, one in rates.items()} for depth, rates in estimates.items()
    }


def measure_base(world: World, config: "TrainingSizes") -> dict[str, Any]:
    """The rates of a base, and how well its dictionaries explain its residuals."""
    fits = [world.dictionary(number).fit_metrics for number in range(world.config.dictionaries)]
    return {
        "final": measure(world.base(), world, config.answers, config.problems),
        "dictionaries": [{name: fit.get(name) for name in ("fve", "l0", "dead")} for fit in fits],
    }
