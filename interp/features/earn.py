"""Earn roles: every latent through the contrast gate, candidates and random latents through the other two.

1. The policy answers problems; its rollouts are encoded and their tokens labeled.
2. Every latent is tested in every contrast: AUROC and d within strata, p-value by a bootstrap over prompts of the
   difference in mean activation, Benjamini-Hochberg over all latents and contrasts together.
3. The best candidates of each kind of contrast, and random latents as the control, are falsified and ablated.
4. The policy answers some problems again, with each latent that has earned a role ablated and doubled.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from interp.artifacts import BadInput, Mismatch, from_json, same_fingerprint
from interp.artifacts.writing import expect_place
from interp.features.config import RolesConfig
from interp.features.families import RESULT, Contrast, make_contrasts
from interp.features.gates import Trial
from interp.features.labels import LabeledTokens, label_tokens
from interp.features.roles import Roles
from interp.features.runner import GateRunner
from interp.features.separation import measure_separation
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.policy.prompts import PromptFormat, same_prompts
from interp.rollouts.problems import problems_by_level
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.roll_out import roll_out
from interp.rollouts.series import Series
from interp.stats.bootstrap import PromptSums, estimate_changes, last_minus_first
from interp.stats.multiple_testing import benjamini_hochberg
from interp.tasks.base import Task, seeded_rng
from interp.tsae import TSAE
from interp.tsae.provenance import expect_shared_policy, resolve_layer

LATENTS_PER_BLOCK = 1024
"""Latents whose sums by stratum and prompt are in memory at once."""


def earn_roles(
    tsae: TSAE,
    subject: Series | Policy,
    task: Task | None = None,
    config: RolesConfig | None = None,
    *,
    rollouts: Rollouts | None = None,
    layer: int | None = None,
    out: str | Path | None = None,
    allow_unrelated_policies: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = True,
) -> Roles:
    """Roles of a dictionary's latents, in a policy or in the base of a series (where all habits are still alive).

    `rollouts` are the policy's own answers, if there are any already: prompts, temperature and length are then theirs,
    also where the policy answers again. Else it answers `config.problems` problems of each level. A dictionary that was
    fitted on other policies is refused, unless `allow_unrelated_policies`. `out` is where the roles are saved: a place
    that holds anything is refused before the work."""
    if out is not None:
        expect_place(out, overwrite=False)
    config = _with_sampling(_with_prompts(config or RolesConfig(), subject, rollouts), rollouts)
    task = task if task is not None else getattr(subject, "task", None)
    if task is None:
        raise BadInput("expected a task with problems to answer, got none: earn_roles(tsae, policy, task)")
    policy = subject.base.load(device=device, dtype=dtype) if isinstance(subject, Series) else subject
    weights = subject.base.fingerprint() if isinstance(subject, Series) else policy.fingerprint()
    layer = resolve_layer(tsae, layer)
    if policy.d_model != tsae.d_model:
        raise Mismatch(f"expected a policy of d_model {tsae.d_model}, as the dictionary's; got {policy.d_model}")
    if not allow_unrelated_policies:
        # the fingerprint of the weights on disk: in half precision the loaded weights are others
        expect_shared_policy(tsae, {"policy-0": weights}, "policy")
    rows = _answers(policy, task, config, progress) if rollouts is None else _expect_own(rollouts, policy, task).rows
    labeled = label_tokens(tsae, policy, layer, rows, decoys=task.decoys, micro_tokens=config.micro_tokens)
    contrasts, missing = make_contrasts(labeled)
    trials = [trial for contrast in contrasts for trial in contrast_trials(labeled, contrast, config)]
    trials = correct_trials(trials, config)
    passing = {one[0].kind: {trial.latent for trial in one if trial.passes_contrast} for one in by_kind(trials)}
    gates = GateRunner(tsae.to(policy.device), policy, layer, labeled, contrasts, config, passing, progress=progress)
    candidates, random_trials = gates.evaluate(
        [select_candidates(trials, config), select_random(trials, labeled, config)]
    )
    role_latents = list(dict.fromkeys(trial.latent for trial in candidates if trial.passes_all))
    texts = {name: contrast_text(name, policy) for name in (*gates.contrasts, *missing)}
    roles = Roles(
        trials=tuple(replace(trial, contrast_text=texts[trial.contrast]) for trial in candidates),
        random_trials=tuple(replace(trial, contrast_text=texts[trial.contrast]) for trial in random_trials),
        width=tsae.width,
        missing_contrasts=tuple(texts[name] for name in missing),
        made_from={"tsae": tsae.fingerprint(), "policy": policy.fingerprint(), "task": task.fingerprint()},
        config=config,
        layer=layer,
        rollout_effects=tuple(gates.sample_edited(role_latents, task) if config.rollout_problems else ()),
    )
    if out is not None:
        roles.save(out)
    return roles


def _with_prompts(config: RolesConfig, subject: Series | Policy, rollouts: Rollouts | None) -> RolesConfig:
    """The config with the prompt format of the rollouts, or of the run, so that the policy is asked as it was there."""
    if rollouts is not None and (stated := PromptFormat.stated_in(rollouts.config)) is not None:
        return same_prompts(config, stated, of="the rollouts")
    if rollouts is None and isinstance(subject, Series):
        config.sampling.warn_if_other(subject.sampling, of="the run of this policy")
    recorded = subject.prompt_format if isinstance(subject, Series) else PromptFormat.of_checkpoint(subject.path)
    return same_prompts(config, recorded, of="the run of this policy")


def _with_sampling(config: RolesConfig, rollouts: Rollouts | None) -> RolesConfig:
    """The config with the sampling of the rollouts, if they are given and say how they were sampled."""
    recorded = None if rollouts is None else rollouts.config.get("sampling")
    return config if recorded is None else replace(config, sampling=from_json(SampleConfig, recorded))


def _answers(policy: Policy, task: Task, config: RolesConfig, progress: bool) -> list[Rollout]:
    by_level = problems_by_level(task, "train", config.levels, config.problems).values()
    problems = list({problem.id: problem for problems in by_level for problem in problems}.values())  # levels may share
    if not problems:
        levels = ", ".join(map(str, config.levels or task.levels)) or "(all)"
        raise BadInput(
            f"{task.name}: expected problems of the split train at levels {levels}, got none: name levels that it has, "
            "or give rollouts (rollouts=, --rollouts)"
        )
    return roll_out(
        policy, task, problems, config.sampling,
        prompt_format=config.prompt_format, purpose="roles", progress=progress,
    ).rows  # fmt: skip


def _expect_own(rollouts: Rollouts, policy: Policy, task: Task) -> Rollouts:
    author, own = rollouts.made_from.get("policy"), policy.fingerprint()
    if author is not None and not same_fingerprint(own, author):
        raise Mismatch(
            f"expected rollouts of this policy ({own}), got rollouts of {author}: roll it out again, or give none"
        )
    if (answered := rollouts.made_from.get("task")) not in (None, task.fingerprint()):
        raise Mismatch(
            f"expected answers to this task ({task.fingerprint()}), got rollouts of {answered}: name the task they "
            "answer, or give none"
        )
    if not any(row.tokens for row in rollouts):
        raise BadInput(f"expected rollouts with completions, got {len(rollouts)} that are all empty")
    return rollouts


def contrast_text(name: str, policy: Policy) -> str:
    """The name of a contrast with its token as text, in one line: `result '7'` for `result 236770`."""
    kind, *value = name.split()
    return f"{kind} {''.join(policy.token_texts([int(value[0])]))!r}" if kind == RESULT else name


# --- the contrast gate ------------------------------------------------------------------------------------------------


def contrast_trials(labeled: LabeledTokens, contrast: Contrast, config: RolesConfig) -> list[Trial]:
    """Every latent in one contrast. Its `q` is still the uncorrected p-value."""
    positive_N, negative_N = contrast.positive_N, contrast.negative_N
    separation = measure_separation(labeled.codes, positive_N, negative_N, contrast.stratum_N)
    on_surfaces = [
        measure_separation(labeled.codes, positive_N & surface_N, negative_N & surface_N, stratum_N).auroc_F
        for surface_N, stratum_N in contrast.surfaces
    ]
    width = labeled.codes.width
    blocks = [range(start, min(start + LATENTS_PER_BLOCK, width)) for start in range(0, width, LATENTS_PER_BLOCK)]
    changes = [
        estimate_changes(contrast_sums(labeled, contrast, block), last_minus_first(2), seed=config.test_seed)
        for block in blocks
    ]
    p_F = np.concatenate([change.p_F for change in changes])
    other_surface_F = np.min(on_surfaces, axis=0)
    return [
        Trial(
            latent=latent,
            family=contrast.family,
            contrast=contrast.name,
            auroc=float(separation.auroc_F[latent]),
            d=float(separation.d_F[latent]),
            q=float(p_F[latent]),
            other_surface_auroc=float(other_surface_F[latent]),
            passes_contrast=False,
            means=separation.means(latent),
        )
        for latent in range(width)
    ]


def contrast_sums(labeled: LabeledTokens, contrast: Contrast, latents: range | None = None) -> PromptSums:
    """Activations summed by stratum and prompt, at negatives and then at positives, as two "checkpoints"."""
    latents = range(labeled.codes.width) if latents is None else latents
    used_N = contrast.positive_N | contrast.negative_N
    _, stratum_N = np.unique(contrast.stratum_N[used_N], return_inverse=True)
    problem_N, codes = labeled["problem"][used_N], labeled.codes.select_tokens(torch.from_numpy(used_N))
    strata, prompts = int(stratum_N.max()) + 1, int(labeled["problem"].max()) + 1
    cell_N = torch.from_numpy((contrast.positive_N[used_N] * strata + stratum_N) * prompts + problem_N)
    amount, tokens = torch.zeros(2 * strata * prompts, len(latents)), torch.zeros(2 * strata * prompts)
    in_block_K = (codes.latent_K >= latents.start) & (codes.latent_K < latents.stop)
    index_K = cell_N[codes.token_K[in_block_K]] * len(latents) + codes.latent_K[in_block_K] - latents.start
    amount.view(-1).index_add_(0, index_K, codes.value_K[in_block_K])
    tokens.index_add_(0, cell_N, torch.ones(len(cell_N)))
    shape = (2, strata, prompts)
    return PromptSums(amount.reshape(*shape, len(latents)), tokens.reshape(shape))


def correct_trials(trials: list[Trial], config: RolesConfig) -> list[Trial]:
    """The trials with false-discovery rates over all of them together, and the verdict of the contrast gate."""
    q = benjamini_hochberg(np.array([trial.q for trial in trials]))
    return [
        replace(
            trial,
            q=float(rate),
            passes_contrast=bool(
                rate <= config.false_discovery_rate and trial.auroc >= config.min_auroc and trial.d >= config.min_d
            ),
        )
        for trial, rate in zip(trials, q, strict=True)
    ]


# --- candidates and random latents ------------------------------------------------------------------------------------


def best_trials(trials: list[Trial]) -> list[Trial]:
    """The best trial of each latent in each kind of contrast."""
    best: dict[tuple[int, str], Trial] = {}
    for trial in trials:
        key = (trial.latent, trial.kind)
        if key not in best or (trial.passes_contrast, trial.auroc) > (best[key].passes_contrast, best[key].auroc):
            best[key] = trial
    return list(best.values())


def select_candidates(trials: list[Trial], config: RolesConfig) -> list[Trial]:
    """The latents of highest AUROC in each kind of contrast, among those that passed it."""
    passing = [trial for trial in best_trials(trials) if trial.passes_contrast]
    by_auroc = (sorted(of_kind, key=lambda trial: (-trial.auroc, trial.latent)) for of_kind in by_kind(passing))
    return [trial for of_kind in by_auroc for trial in of_kind[: config.max_candidates]]


def select_random(trials: list[Trial], labeled: LabeledTokens, config: RolesConfig) -> list[Trial]:
    """For each kind of contrast, latents drawn from all that are active at some token."""
    active, selected = set(labeled.codes.latent_K.unique().tolist()), []
    for of_kind in by_kind([trial for trial in best_trials(trials) if trial.latent in active]):
        rng = seeded_rng("roles at random", config.test_seed, of_kind[0].kind)
        selected += rng.sample(of_kind, min(config.random_latents, len(of_kind)))
    return selected


def by_kind(trials: list[Trial]) -> list[list[Trial]]:
    """Trials grouped by the kind of their contrast."""
    kinds = dict.fromkeys(trial.kind for trial in trials)
    return [[trial for trial in trials if trial.kind == kind] for kind in kinds]
