"""Study: does the credit that does best on chains help on word problems in English?

One base, the shipped words organism or a pretrained language model that was finetuned on the same problems: so what is
asked is the sign. Seeds are of training and of the dictionary. Everything else is that of the credit study: what is
read, how it is refitted and paid, and the strength of each scheme, which was chosen on chains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interp.artifacts import to_json
from interp.checks import Count, Layer, LearningRate, Seed, Tokens
from interp.policy.config import NewTokens, Rows
from interp.stats.estimate import Estimate
from interp.studies.base import Claim, Figure, Study, Table, Verdict, chosen_fields, judge_above
from interp.studies.credit_measures import average_runs, rate, recovery, with_recovery
from interp.studies.credit_runs import (
    BASE,
    COMPLETENESS,
    DEEP,
    FEATURES,
    LIKELIHOOD,
    NOT_FITTED,
    ORACLE,
    PLAIN,
    RANDOM_GATE,
    RANDOM_LATENTS,
    TEXT,
    WITH_DICTIONARY,
    Training,
    measure_base,
    strength_of,
    train_run,
)
from interp.studies.credit_world import ReadingConfig, TrainingSizes, World
from interp.studies.results import Arm, Measure, Observation, Results
from interp.studies.runner import Row

SCHEMES = (PLAIN, LIKELIHOOD, TEXT, COMPLETENESS, FEATURES, RANDOM_LATENTS, RANDOM_GATE, ORACLE)
GROUPS = {"all": None, "deep": (7, 8), "handled": (1, 2, 3)}
"""Depths of word problems: all, those that are trained on, and those that the base handles best."""


@dataclass(frozen=True)
class CreditWordsConfig(TrainingSizes, ReadingConfig):
    base: Path | None = None
    """Directory of an organism of word problems. Default: the shipped one."""
    seeds: Count = 3
    """Trainings of every scheme, each with a dictionary of its own."""
    first_seed: Seed = 601
    """Seed of the first. Those of the study of words are others."""
    dictionaries: Count = 1
    """Dictionaries of each seed."""
    problems: Count = 20
    """Held-out problems of each depth, at the end."""
    watch_problems: Count = 4
    """The same along the way."""
    width: Count = 2048
    """Latents of a dictionary."""
    layer: Layer = 2
    """The layer that is read, counted from 0."""
    label_problems: Count = 200
    """Problems of all depths to which the base's answers are labels before the first step."""
    lr: LearningRate | None = None
    """Learning rate. Default: by the size of the model."""
    max_new_tokens: NewTokens = 224
    """Longer answers are cut off."""
    rows: Rows = 512
    """Answers generated at once."""
    micro_tokens: Tokens = 8192
    """Tokens in one forward pass."""


@dataclass(frozen=True)
class WordsWorld(World):
    """A finished base with a dictionary for each seed."""

    config: CreditWordsConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def base_path(self) -> Path:
        from interp.organism import shipped_path

        return self.config.base or shipped_path("words")

    def sampling(self, group: int, seed: int = 0) -> Any:
        from interp.policy import SampleConfig

        return SampleConfig(group, self.config.max_new_tokens, rows=self.config.rows, seed=seed)

    def update(self) -> Any:
        from interp.grpo import UpdateConfig

        return UpdateConfig(lr=self.config.lr, micro_tokens=self.config.micro_tokens)


# --- claims, each after its rule in code -----------------------------------------------------------------------------


def beats(scheme: str, others: Sequence[str], beside: Sequence[tuple[str, str]] = ()) -> Any:
    """A rule: the valid rate after training with a scheme lies above that of each of the others, over all depths."""

    def rule(results: Results) -> Verdict:
        def differences(pairs: Sequence[tuple[str, str]], *measures: Measure) -> dict[str, Estimate]:
            return {
                f"{one} minus {two}: {measure.name}": results.difference(one, two, measure)
                for one, two in pairs
                for measure in measures
            }

        against = [(scheme, other) for other in others]
        deciding = differences(against, VALID)
        more = differences(against, VALID_DEEP, PASS) | differences(beside, VALID, VALID_DEEP, PASS)
        return judge_above(list(deciding.values()), deciding, beside=more)

    return rule


VALID, VALID_DEEP, PASS = rate("valid_rate", "all"), rate("valid_rate", "deep"), rate("pass_rate", "all")
LIMITS = ("One base, three seeds: what is asked is the sign.", "Strengths were chosen on chains.")
RULE = (
    "Valid rate over all depths after training on deep problems. Supported: all intervals over seeds of differences "
    "lie above zero. Not supported: one lies below. Else inconclusive."
)
CLAIMS = (
    Claim(
        "credit-beats-plain-on-words",
        "Credit by the likelihood and a parser's completeness, the strongest on chains, does better than plain GRPO on "
        "deep word problems, and better than a random gate that pays about as much.",
        "Yes: plain GRPO learns to answer directly there, and a direct answer is never complete.",
        RULE,
        beats(COMPLETENESS, (PLAIN, RANDOM_GATE), [(COMPLETENESS, BASE), (FEATURES, PLAIN), (ORACLE, PLAIN)]),
        LIMITS,
    ),
    Claim(
        "credit-beats-likelihood-on-words",
        "It does better than the likelihood alone.",
        "Inconclusive.",
        RULE,
        beats(COMPLETENESS, (LIKELIHOOD,), [(TEXT, LIKELIHOOD)]),
        LIMITS,
    ),
    Claim(
        "features-beat-likelihood-on-words",
        "Latents beside the likelihood do better than the likelihood alone, and than random directions beside it.",
        "Inconclusive: in this base no latent was found that tells valid from invalid work.",
        RULE,
        beats(FEATURES, (LIKELIHOOD, RANDOM_LATENTS), [(FEATURES, COMPLETENESS)]),
        LIMITS,
    ),
)


# --- the study -------------------------------------------------------------------------------------------------------


class CreditWords(Study[CreditWordsConfig]):
    name = "credit-words"
    title = "Credit on words: does the credit that does best on chains help on a language model?"
    question = "Does the credit that does best on chains help on word problems in English?"
    summary = "The credit that does best on chains helps on word problems in English."
    Config = CreditWordsConfig
    claims = CLAIMS
    measures = {
        **{f"{name}, {group}": rate(name, group) for name in ("valid_rate", "pass_rate") for group in GROUPS},
        "malformed share": rate("malformed_share", "all"),
        "valid share of what is paid": recovery("paid"),
    }
    background = (
        "The study of words was known: at seeds 501 to 503, deep problems taught the same base to answer directly."
    )

    def base_path(self, config: CreditWordsConfig) -> Path:
        return WordsWorld(config, 0, Path()).base_path

    def arms(self, config: CreditWordsConfig) -> list[Arm]:
        decided = (
            "steps", "prompts", "group", "problems", "watch_problems", "answers", "lr", "max_new_tokens", "rows",
            "micro_tokens",
        )  # fmt: skip
        fitted = ("audits", "ridge", "label_problems", "label_weight", "label_rate", "layer")
        base = Arm(BASE, {**config.dictionary_spec, **chosen_fields(config, "problems", "answers", "max_new_tokens")})
        arms = [base]
        for scheme in SCHEMES:
            number = 0 if scheme in WITH_DICTIONARY else None
            training = Training(scheme, DEEP, 0, number, strength_of(scheme))
            spec = {"training": to_json(training), **chosen_fields(config, *decided)}
            spec |= {} if scheme in NOT_FITTED else chosen_fields(config, *fitted)
            arms.append(Arm(scheme, spec | ({} if number is None else config.dictionary_spec)))
        return arms

    def world_spec(self, config: CreditWordsConfig) -> Any:
        sampled = chosen_fields(config, "max_new_tokens", "rows")
        return {"base": self.base_fingerprint(config), **config.dictionary_spec, **sampled}

    def prepare(self, config: CreditWordsConfig, seed: int, directory: Path) -> None:
        WordsWorld(config, seed, directory).make()

    def run(self, arm: Arm, seed: int | None, config: CreditWordsConfig, directory: Path) -> dict[str, Any]:
        assert seed is not None, "every arm has seeds"
        world = WordsWorld(config, seed, directory)
        if arm.name == BASE:
            return measure_base(world, config)
        training = replace(Training(**arm.spec["training"]), run=seed)
        out = directory / arm.directory_name
        return {"training": to_json(training), **train_run(training, world, config, out)}

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        means = {(row.arm, row.seed): average_runs([row.record], GROUPS) for row in rows}
        return [Observation(name, seed, with_recovery(name, seed, means)) for name, seed in means]

    def method(self, config: CreditWordsConfig) -> str:
        base = "the shipped words organism" if config.base is None else f"`{config.base.name}`"
        return f"""\
{config.steps} steps of {config.prompts} prompts x {config.group} on deep word problems (depths 7 and 8), from {base}.
{config.seeds} seeds, each with a dictionary of the base (layer {config.layer}, {config.width:,} latents, K {config.k}).
A scheme that is refitted audits {config.audits} successes a step, and begins with the base's own successes on
{config.label_problems} problems of all depths as labels: word problems have no edits. Rates are of {config.problems}
held-out problems of each depth, {config.answers} answers each. The rest is as in the study of credit on chains."""

    def tables(self, results: Results, config: CreditWordsConfig) -> list[Table]:
        from interp.studies.credit_figures import scheme_table

        note = "Means over the seeds, with Student's intervals over them."
        return [scheme_table(results, [(one, one) for one in SCHEMES if results.seeds(one)], DEEP, note)]

    def figures(self, results: Results, config: CreditWordsConfig) -> list[Figure]:
        from interp.studies.credit_figures import rate_figure

        return [rate_figure(results, [BASE, *SCHEMES], tuple(claim.name for claim in CLAIMS))]
