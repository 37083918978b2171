"""Runs of the credit study: a base and its dictionaries, the schemes, and one training.

A base is the unit of evidence: an organism with weights and training data of its own. Its dictionaries are fitted on
what the base alone wrote and read, before any reward.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import locked

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme
    from interp.policy import Policy
    from interp.studies.credit import CreditConfig
    from interp.tsae import TSAE

BASE, PLAIN, ORACLE = "base", "plain", "oracle"
LIKELIHOOD, TEXT_ALONE, LATENTS_ALONE = "likelihood", "text alone", "latents alone"
FORMAT, COMPLETENESS, TEXT = "likelihood + format", "likelihood + completeness", "likelihood + text"
RESIDUAL, PRE_ACTIVATIONS, FEATURES = "likelihood + residual", "likelihood + pre-activations", "likelihood + latents"
RANDOM, PERMUTED, RANDOM_GATE = "likelihood + random latents", "likelihood + permuted latents", "random gate"
WITHOUT_DICTIONARY = (PLAIN, ORACLE, LIKELIHOOD, TEXT_ALONE, FORMAT, COMPLETENESS, TEXT, RESIDUAL)
WITH_DICTIONARY = (FEATURES, LATENTS_ALONE, PRE_ACTIVATIONS, RANDOM, PERMUTED, RANDOM_GATE)
ON_ALL_PROBLEMS = (PLAIN, ORACLE, LIKELIHOOD, RESIDUAL, FEATURES)
"""Schemes that are also trained on problems of all depths."""
DEEP, ALL = "deep", "all"
RATES = ("valid_rate", "pass_rate", "malformed_share")
LOGGED = (
    "step", "reward", "valid_rate", "lucky_share", "malformed_share", "paid_valid_share", "gate", "turned_share",
    "length", "entropy_nats_per_token", "kl_to_base", "audited",
)  # fmt: skip
WATCH_EVERY = 10


@dataclass(frozen=True)
class Training:
    """One training: by which credit, on which problems, with which dictionary, from which seed."""

    scheme: str
    problems: str
    threshold: float
    """The strength of the scheme, chosen on a base that is not reported."""
    run: int
    dictionary: int | None = None

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
        for problems, schemes in ((DEEP, (*WITHOUT_DICTIONARY, *WITH_DICTIONARY)), (ALL, ON_ALL_PROBLEMS)):
            for scheme in schemes:
                for dictionary in _dictionaries(scheme, problems, run, config):
                    listed.append(Training(scheme, problems, config.threshold_of(scheme), run, dictionary))
    return listed


def _dictionaries(scheme: str, problems: str, run: int, config: "CreditConfig") -> Sequence[int | None]:
    """The features are trained with every dictionary in every run on deep problems; the rest takes them in turn."""
    if scheme not in WITH_DICTIONARY:
        return (None,)
    if scheme == FEATURES and problems == DEEP:
        return range(config.dictionaries)
    return (run % config.dictionaries,)


# --- the world of a base -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A base with its dictionaries."""

    config: Any
    """The config of a study, which says how both are made."""
    seed: int
    directory: Path

    @property
    def base_path(self) -> Path:
        return self.directory / "base"

    def make(self) -> None:
        """Build the base and fit its dictionaries, as far as they are not there."""
        from interp.organism import build
        from interp.organism.config import OrganismConfig

        with locked(self.directory, wait=True):
            if not self.base_path.exists():
                recipe = OrganismConfig(seed=self.seed, steps=self.config.build_steps, threads=1)
                build(recipe, self.base_path, progress=False)
        for dictionary in range(self.config.dictionaries):
            self._fit(dictionary)

    def base(self) -> "Policy":
        from interp.policy import Policy

        return Policy.load(self.base_path, device="cpu")

    def dictionary(self, number: int) -> "TSAE":
        from interp.tsae import TSAE

        return TSAE.load(self.directory / f"dictionary-{number}")

    def _fit(self, number: int) -> None:
        from interp.activations import CollectConfig
        from interp.organism import load_task
        from interp.policy import SampleConfig
        from interp.rollouts import Series
        from interp.studies.fitting import fit_dictionary

        config, out = self.config, self.directory / f"dictionary-{number}"
        with locked(out.with_name(f"{out.name}-once"), wait=True):
            if out.exists():
                return
            sampling = SampleConfig(group=4, rows=1024, seed=self.seed)
            collecting = CollectConfig((config.layer,), tokens=config.tokens, corpora=("on-policy",), sampling=sampling)
            series, task = Series.from_dirs([self.base_path]), load_task(self.base_path)
            sizes = {"width": config.width, "k": config.k, "steps": config.fit_steps}
            tsae = fit_dictionary(
                series, task, collecting, self.directory / "store", **sizes, seed=1000 * self.seed + number
            )
            tsae.save(out)


# --- schemes -----------------------------------------------------------------------------------------------------


def scheme_of(training: Training, world: World, base: "Policy") -> "CreditScheme | None":
    """The credit of a training. All that are refitted audit the same successes in the same way."""
    from interp.credit import RandomGate, ReadoutCredit, StepValidity
    from interp.readouts import label_rollouts, with_base_rate

    if training.scheme in (PLAIN, ORACLE):
        return None if training.scheme == PLAIN else StepValidity(weights=False)
    sources = sources_of(training, world, base)
    config = world.config
    labels = with_base_rate(
        label_rollouts(sources, base, labelled_answers(world, base)), config.label_rate, config.label_weight
    )
    credit = ReadoutCredit(
        sources, audits=config.audits, threshold=training.threshold, ridge=config.ridge, labels=labels
    )
    return RandomGate(credit, training.run) if training.scheme == RANDOM_GATE else credit


def sources_of(training: Training, world: World, base: "Policy") -> list[Any]:
    from interp.readouts import Completeness, Format, Latents, Likelihood, Residual, TextCounts
    from interp.readouts.controls import Permuted, random_dictionary

    layer, likelihood = world.config.layer, Likelihood()
    without: Mapping[str, list[Any]] = {
        LIKELIHOOD: [likelihood],
        TEXT_ALONE: [TextCounts(buckets=32)],
        FORMAT: [likelihood, Format()],
        COMPLETENESS: [likelihood, Completeness()],
        TEXT: [likelihood, TextCounts(buckets=32)],
        RESIDUAL: [likelihood, Residual(layer)],
    }
    if training.scheme in without:
        return without[training.scheme]
    assert training.dictionary is not None
    latents = Latents(world.dictionary(training.dictionary), layer)
    if training.scheme == LATENTS_ALONE:
        return [latents]
    if training.scheme == PRE_ACTIVATIONS:
        return [likelihood, replace(latents, before_threshold=True)]
    if training.scheme == RANDOM:
        x_ND = base_residuals(world, base)
        return [likelihood, replace(latents, tsae=random_dictionary(latents.tsae, x_ND, training.dictionary))]
    return [likelihood, Permuted(latents, training.run) if training.scheme == PERMUTED else latents]


def labelled_answers(world: World, base: "Policy") -> list[Any]:
    """The base's own successes at all depths, and every lucky edit of its valid ones."""
    from interp.organism import load_task
    from interp.policy import SampleConfig
    from interp.readouts import lucky_edits
    from interp.rollouts import roll_out

    task = load_task(world.base_path)
    problems, sampling = task.problems("train", None, world.config.label_problems), SampleConfig(group=4, rows=1024)
    rows = roll_out(base, task, problems, sampling, purpose="labels", progress=False).rows
    successes = [row for row in rows if row.reward > 0]
    return [*successes, *lucky_edits(base, task, successes)]


def base_residuals(world: World, base: "Policy") -> Any:
    """Residuals of the base on its own answers: how often each latent is active."""
    from interp.organism import load_task
    from interp.policy import SampleConfig
    from interp.rollouts import roll_out

    task = load_task(world.base_path)
    problems = task.problems("train", None, 200)
    rows = roll_out(base, task, problems, SampleConfig(group=2, rows=1024), purpose="controls", progress=False).rows
    prompts, completions = [row.prompt_ids for row in rows], [row.tokens for row in rows]
    return base.completion_residuals(prompts, completions, world.config.layer)


# --- one run -----------------------------------------------------------------------------------------------------


def train_run(training: Training, world: World) -> dict[str, Any]:
    """Train, and measure at every depth at the end; along the way with fewer answers."""
    from interp.grpo import Diverged, GRPOConfig, train
    from interp.grpo.config import UpdateConfig
    from interp.organism import load_task
    from interp.policy import SampleConfig

    config, base, task = world.config, world.base(), load_task(world.base_path)
    grpo = GRPOConfig(
        steps=config.steps,
        prompts=config.prompts,
        sampling=SampleConfig(group=config.group, rows=1024, seed=training.run),
        update=UpdateConfig(),
        scale="none",
        save_every=WATCH_EVERY,
        kl_every=WATCH_EVERY,
        without_signal="go on",  # an arm that finds none is a result
    )
    name = re.sub("[^a-z0-9]+", "-", f"{training.name} {training.dictionary} {training.run}".lower())
    problems = DEEP if training.problems == DEEP else None
    scheme = scheme_of(training, world, base)
    try:
        run = train(base, task, problems, config=grpo, credit=scheme, out=world.directory / name, progress=False)
    except Diverged as error:  # a result too: the other arms must still run
        return {"diverged": str(error)}
    table = run.table()
    watched = {
        str(one.step): measure(one.load(device="cpu"), world, config.watch_problems)
        for one in run.series
        if 0 < one.step < config.steps
    }
    return {
        "final": measure(run.policy(device="cpu"), world, config.problems),
        "watched": watched,
        "steps": {column: _rounded(table[column].to_list()) for column in LOGGED if column in table.columns},
    }


def measure(policy: "Policy", world: World, problems: int) -> dict[str, dict[str, float]]:
    """Every rate at each depth, on the same held-out problems and random streams for all runs of a base."""
    from interp.organism import load_task
    from interp.policy import SampleConfig
    from interp.rollouts import roll_out, summarize

    task = load_task(world.base_path)
    lowest, highest = task.depths
    chosen = [problem for depth in range(lowest, highest + 1) for problem in task.problems("eval", depth, problems)]
    sampling = SampleConfig(group=world.config.answers, rows=1024)
    rollouts = roll_out(policy, task, chosen, sampling, purpose="evaluate", progress=False)
    estimates = summarize(rollouts, "depth", RATES).estimates
    return {
        str(depth): {name: round(one.value, 5) for name, one in rates.items()} for depth, rates in estimates.items()
    }


def measure_base(world: World) -> dict[str, Any]:
    """The rates of a base, and how well its dictionaries explain its residuals."""
    fits = [world.dictionary(number).fit_metrics for number in range(world.config.dictionaries)]
    return {
        "final": measure(world.base(), world, world.config.problems),
        "dictionaries": [{name: fit.get(name) for name in ("fve", "l0", "dead")} for fit in fits],
    }


def _rounded(values: Sequence[Any]) -> list[Any]:
    return [round(value, 5) if isinstance(value, float) else value for value in values]
