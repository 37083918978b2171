"""Strength of a family of latents in a policy, measured three ways; and one dictionary of the features study.

fixed       activation of the family per token, on text that is the same for all policies (the base wrote it)
on-policy   the same, on text that the policy writes
causal      drop in the log-odds of the tokens that the family's roles are about, in the fixed text, when all its
            latents are ablated at once

The first two are also measured on matches: for each latent one of similar firing rate and activation in the base that
passed no contrast. A change that matches share is not the family's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from interp.artifacts import locked
from interp.features.ablation import ABLATE, LatentEditor
from interp.features.families import make_contrasts
from interp.features.gates import MatchedLatents
from interp.features.labels import LabeledTokens, label_tokens
from interp.features.roles import Roles
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.studies.features_measures import (
    BASE,
    CAUSAL,
    FAMILIES,
    FITTED_ON,
    FIXED,
    LUCK_ALONE,
    ON_POLICY,
    RESAMPLED,
    TRAINED_ON,
    VALID_ALONE,
)
from interp.tsae import TSAE

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme
    from interp.grpo.run import Run
    from interp.studies.features import FeaturesConfig

STREAMS = {RESAMPLED: "base, asked again"}
"""Purposes under which answers are sampled, other than `strengths`. Each is a stream of random numbers."""


@dataclass(frozen=True)
class Family:
    """The latents of a family in one dictionary, and their matches."""

    latents: tuple[int, ...]
    matches: tuple[int, ...]


def find_families(roles: Roles, base: LabeledTokens) -> dict[str, Family]:
    """The families that have a latent, with their matches."""
    candidates, nearest, families = {trial.latent for trial in roles.trials}, MatchedLatents(base).nearest, {}
    for name, kind in FAMILIES.items():
        latents = tuple(sorted({trial.latent for trial in roles.trials if trial.kind == kind and trial.passes_all}))
        matches = {other for latent in latents for other in nearest(latent, 1, exclude=candidates)}
        if latents:
            families[name] = Family(latents, tuple(sorted(matches)))
    return families


@dataclass(frozen=True)
class FamilyMeter:
    """Measures families in any policy, on text that the base wrote and on the policy's own."""

    tsae: TSAE
    layer: int
    text: Sequence[Rollout]
    families: Mapping[str, Family]
    target_N: Mapping[str, Bool[np.ndarray, " N"]]
    """Tokens of the text that the roles of each family are about."""

    @classmethod
    def from_roles(cls, tsae: TSAE, layer: int, roles: Roles, base: Policy, text: Sequence[Rollout]) -> "FamilyMeter":
        tokens = label_tokens(tsae, base, layer, text)
        contrasts, _ = make_contrasts(tokens)
        target_N = {}
        for name, kind in FAMILIES.items():
            earned = {trial.contrast for trial in roles.trials if trial.kind == kind and trial.passes_all}
            targets = [one.target_N for one in contrasts if one.name in earned]
            target_N[name] = np.logical_or.reduce(targets) if targets else np.zeros(len(tokens), bool)
        return cls(tsae, layer, text, find_families(roles, tokens), target_N)

    def measure(self, policy: Policy, rollouts: Sequence[Rollout]) -> dict[str, dict[str, float]]:
        """Strength of each family in a policy that wrote `rollouts`."""
        fixed, own = (label_tokens(self.tsae, policy, self.layer, rows) for rows in (self.text, rollouts))
        editor, strengths = LatentEditor(self.tsae, policy, self.layer, self.text), {}
        for name, family in self.families.items():
            shift_N = editor.log_odds_shift(family.latents, ABLATE)
            target_N = self.target_N[name]
            strengths[name] = {
                FIXED: mean_activation(fixed, family.latents),
                ON_POLICY: mean_activation(own, family.latents),
                CAUSAL: -float(shift_N[target_N].mean()) if target_N.any() else float("nan"),
                f"{FIXED}, matches": mean_activation(fixed, family.matches),
                f"{ON_POLICY}, matches": mean_activation(own, family.matches),
            }
        return strengths


def mean_activation(tokens: LabeledTokens, latents: Sequence[int]) -> float:
    """Summed activation of some latents, per token."""
    is_selected_K = np.isin(tokens.codes.latent_K.numpy(), latents)
    return float(tokens.codes.value_K.numpy()[is_selected_K].sum()) / len(tokens)


# --- one seed's policies, and one of its dictionaries --------------------------------------------------------------


def scheme_of(arm: str) -> "CreditScheme | None":
    from interp.credit import RewardSubsample, StepValidity

    return {LUCK_ALONE: RewardSubsample(valid_paid=0.0), VALID_ALONE: StepValidity(weights=False)}.get(arm)


def train_arm(arm: str, seed: int, config: "FeaturesConfig", directory: Path) -> "Run":
    """The training run of an arm. A finished run is opened, not run again."""
    from interp.grpo import train
    from interp.grpo.config import GRPOConfig, UpdateConfig
    from interp.organism import load_task, shipped_path
    from interp.policy import SampleConfig

    training = GRPOConfig(
        steps=config.steps,
        prompts=config.prompts,
        sampling=SampleConfig(group=config.group, rows=1024, seed=seed),
        update=UpdateConfig(lr=config.lr),
        save_every=config.steps,
        without_signal="go on",  # an arm that finds none is a result
    )
    out = directory / arm.replace(", ", "-").replace(" ", "-")
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    with locked(directory, wait=True):
        return train(
            base, task, problems=TRAINED_ON[arm], config=training, credit=scheme_of(arm), out=out, progress=False
        )


def training_shares(seed: int, config: "FeaturesConfig", directory: Path) -> dict[str, Any]:
    """For each arm, the share of its training rollouts that were valid, and of luck among its successes."""
    shares: dict[str, Any] = {}
    for arm in TRAINED_ON:
        metrics = train_arm(arm, seed, config, directory).table()
        columns = {name: metrics[name].drop_nulls().to_list() for name in ("valid_rate", "lucky_share")}
        shares[arm] = {name: sum(values) / len(values) if values else None for name, values in columns.items()}
    return shares


def measure_dictionary(number: int, seed: int, config: "FeaturesConfig", directory: Path) -> dict[str, Any]:
    """Fit one of a seed's dictionaries, earn roles in the base, and measure the families in every policy."""
    import torch

    torch.set_num_threads(1)
    runs = {arm: train_arm(arm, seed, config, directory) for arm in TRAINED_ON}
    base = Policy.load(runs[FITTED_ON[0]].series.base.path, device="cpu")
    policies = {BASE: base, **{arm: run.series.checkpoints[-1].load(device="cpu") for arm, run in runs.items()}}
    tsae = fit_seed_dictionary(number, seed, config, directory, runs)
    roles = earn_base_roles(tsae, base, seed, config)
    text = sample_answers(base, seed, config, split="probe")
    meter = FamilyMeter.from_roles(tsae, config.layer, roles, base, text)
    strengths, behavior = {}, {}
    for arm, policy in {**policies, RESAMPLED: base}.items():
        rollouts = sample_answers(policy, seed, config, purpose=STREAMS.get(arm, "strengths"))
        strengths[arm], behavior[arm] = meter.measure(policy, rollouts), behavior_by_level(rollouts)
    families = {name: {"latents": one.latents, "matches": one.matches} for name, one in meter.families.items()}
    facts = {"counts": roles.summary().to_dicts(), "fve": tsae.fit_metrics.get("fve")}
    return {"families": families, "strengths": strengths, "behavior": behavior, **facts}


def fit_seed_dictionary(
    number: int, seed: int, config: "FeaturesConfig", directory: Path, runs: "Mapping[str, Run]"
) -> TSAE:
    from interp.activations import CollectConfig
    from interp.organism import load_task, shipped_path
    from interp.rollouts import Series
    from interp.studies.fitting import fit_dictionary

    ends = [runs[arm].series.checkpoints[-1].path for arm in FITTED_ON]
    series, task = Series.from_dirs([shipped_path(), *ends]), load_task(shipped_path())
    collecting = CollectConfig((config.layer,), tokens=config.tokens)
    store = directory / f"store-{config.layer}-{config.tokens}"
    sizes = {"width": config.width, "k": config.k, "steps": config.fit_steps}
    return fit_dictionary(series, task, collecting, store, **sizes, seed=1000 * seed + number)


def earn_base_roles(tsae: TSAE, base: Policy, seed: int, config: "FeaturesConfig") -> Roles:
    from interp.features import RolesConfig, earn_roles
    from interp.organism import load_task, shipped_path

    earning = RolesConfig(problems=config.earn_problems, random_latents=8, rollout_problems=0, test_seed=seed)
    return earn_roles(tsae, base, load_task(shipped_path()), earning, device="cpu", progress=False)


def sample_answers(
    policy: Policy, seed: int, config: "FeaturesConfig", *, split: str = "eval", purpose: str = "strengths"
) -> list[Rollout]:
    """Answers to the same problems of every level."""
    from interp.organism import load_task, shipped_path
    from interp.policy import SampleConfig
    from interp.rollouts import roll_out

    task = load_task(shipped_path())
    problems = [problem for level in task.levels for problem in task.problems(split, level, config.problems)]
    sampling = SampleConfig(group=config.answers, rows=1024, seed=seed)
    return roll_out(policy, task, problems, sampling, purpose=purpose, progress=False).rows


def behavior_by_level(rollouts: Sequence[Rollout]) -> dict[str, dict[str, float]]:
    """Shares of valid, correct and direct answers, for each level."""
    shares = {}
    for level in dict.fromkeys(row.level for row in rollouts):
        rows = [row for row in rollouts if row.level == level]
        flags = {
            "valid": [bool(row.valid) for row in rows],
            "correct": [row.correct for row in rows],
            "direct": [row.format == "direct" for row in rows],
        }
        shares[str(level)] = {name: round(sum(values) / len(values), 5) for name, values in flags.items()}
    return shares
