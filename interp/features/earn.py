"""Earn roles: one policy's rollouts, every latent through the first gate, candidates and chance through the others."""

from dataclasses import replace

import numpy as np
import torch

from interp.artifacts import BadInput, Mismatch
from interp.bootstrap import Sums, benjamini_hochberg, change, end_less_start
from interp.features.config import RolesConfig
from interp.features.contrasts import Contrast, contrasts
from interp.features.gates import Gates, shown
from interp.features.labels import Scene, scene
from interp.features.roles import Roles, Trial
from interp.features.separation import separation
from interp.policy.policy import Policy
from interp.rollouts.prompts import by_level
from interp.rollouts.record import Rollout, Rollouts
from interp.rollouts.roll_out import roll_out
from interp.rollouts.series import Series
from interp.tasks.base import Task, seeded
from interp.tsae import TSAE
from interp.tsae.provenance import expect_kin, layer_of

DRAWS = 400
AT_ONCE = 1024
"""Latents whose sums by stratum and prompt are held at once."""


def earn_roles(
    tsae: TSAE,
    subject: Series | Policy,
    task: Task | None = None,
    config: RolesConfig | None = None,
    *,
    rollouts: Rollouts | None = None,
    layer: int | None = None,
    any_policy: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    bar: bool = True,
) -> Roles:
    """On the base of a series, where all habits are still alive, or on a policy. `rollouts` are what it wrote, if that
    is there already; it is asked if not. A dictionary fitted on other weights is refused, unless any policy will do."""
    config = config or RolesConfig()
    task = task if task is not None else getattr(subject, "task", None)
    if task is None:
        raise BadInput("expected a task to ask, got none: earn_roles(tsae, policy, task)")
    policy = subject.base.load(device=device, dtype=dtype) if isinstance(subject, Series) else subject
    weights = subject.base.fingerprint() if isinstance(subject, Series) else policy.fingerprint()
    layer = layer_of(tsae, layer)
    if policy.d_model != tsae.d_model:
        raise Mismatch(f"expected a policy of d_model {tsae.d_model}, as the dictionary's; got {policy.d_model}")
    if not any_policy:
        expect_kin(tsae, {"policy-0": weights}, "policy")  # as stored: read in half precision they are others
    rows = _expect_own(rollouts, policy, task).rows if rollouts is not None else _asked(policy, task, config, bar)
    seen = scene(policy, tsae, layer, rows, decoys=getattr(task, "decoys", None))
    made, missing = contrasts(seen)
    trials = [trial for contrast in made for trial in tried(seen, contrast, config)]
    trials = corrected(trials, config)
    telling = {mine[0].kind: {trial.latent for trial in mine if trial.tells_apart} for mine in by_kind(trials)}
    gates = Gates(policy, tsae.to(policy.device), layer, seen, made, config, telling)
    chosen = [gates.through(trial) for trial in shown(candidates(trials, config), "candidates", bar)]
    drawn = [gates.through(trial) for trial in shown(at_random(trials, seen, config), "at random", bar)]
    made_from = {"tsae": tsae.fingerprint(), "policy": policy.fingerprint(), "task": task.fingerprint()}
    earned = list(dict.fromkeys(trial.latent for trial in chosen if trial.passed))
    played = gates.played(earned, task, bar) if config.played else []
    return Roles(tuple(chosen), tuple(drawn), tsae.width, tuple(missing), made_from, config, layer, tuple(played))


def _asked(policy: Policy, task: Task, config: RolesConfig, bar: bool) -> list[Rollout]:
    asked = by_level(task, "train", config.levels, config.problems).values()
    problems = list({problem.id: problem for held in asked for problem in held}.values())  # levels may share some
    if not problems:
        told = ", ".join(map(str, config.levels))
        raise BadInput(
            f"{task.name}: expected problems of the split train at levels {told}, got none: name levels that it has, "
            "or give rollouts (rollouts=, --rollouts)"
        )
    return roll_out(policy, task, problems, config.sampling, purpose="roles", bar=bar).rows


def _expect_own(rollouts: Rollouts, policy: Policy, task: Task) -> Rollouts:
    if (wrote := rollouts.made_from.get("policy")) not in (None, policy.fingerprint()):
        raise Mismatch(
            f"expected what the policy itself wrote ({policy.fingerprint()}), got rollouts of {wrote}: roll it out "
            "again, or give none"
        )
    if (asked := rollouts.made_from.get("task")) not in (None, task.fingerprint()):
        raise Mismatch(
            f"expected answers to this task ({task.fingerprint()}), got rollouts of {asked}: name the task they are "
            "of, or give none"
        )
    if not any(row.tokens for row in rollouts):
        raise BadInput(f"expected rollouts in which something was written, got {len(rollouts)} in which nothing was")
    return rollouts


def tried(seen: Scene, contrast: Contrast, config: RolesConfig) -> list[Trial]:
    """Every latent in one contrast. q is p still."""
    told = separation(seen.codes, contrast.positive_N, contrast.negative_N, contrast.stratum_N)
    elsewhere = [
        separation(seen.codes, contrast.positive_N & this_N, contrast.negative_N & this_N, stratum_N).auroc_F
        for this_N, stratum_N in contrast.surfaces
    ]
    some = [range(start, min(start + AT_ONCE, seen.codes.width)) for start in range(0, seen.codes.width, AT_ONCE)]
    told_apart = [
        change(sums_of(seen, contrast, mine), end_less_start(2), draws=DRAWS, seed=config.gates_seed) for mine in some
    ]
    p_F = np.concatenate([part.p_F for part in told_apart])
    other_F = np.min(elsewhere, axis=0)
    return [
        Trial(at, contrast.family, contrast.name, float(told.auroc_F[at]), float(told.d_F[at]), float(p_F[at]),
              float(other_F[at]), False, heights=told.heights(at))
        for at in range(seen.codes.width)
    ]  # fmt: skip


def sums_of(seen: Scene, contrast: Contrast, latents: range | None = None) -> Sums:
    """Of some latents, negatives, then positives, by stratum and prompt: a change from the one to the other."""
    latents = range(seen.codes.width) if latents is None else latents
    kept_N = contrast.positive_N | contrast.negative_N
    _, stratum_N = np.unique(contrast.stratum_N[kept_N], return_inverse=True)
    problem_N, codes = seen["problem"][kept_N], seen.codes.at(torch.from_numpy(kept_N))
    strata, prompts = int(stratum_N.max()) + 1, int(seen["problem"].max()) + 1
    cell_N = torch.from_numpy((contrast.positive_N[kept_N] * strata + stratum_N) * prompts + problem_N)
    amount, tokens = torch.zeros(2 * strata * prompts, len(latents)), torch.zeros(2 * strata * prompts)
    mine_K = (codes.latent_K >= latents.start) & (codes.latent_K < latents.stop)
    place_K = cell_N[codes.token_K[mine_K]] * len(latents) + codes.latent_K[mine_K] - latents.start
    amount.view(-1).index_add_(0, place_K, codes.value_K[mine_K])
    tokens.index_add_(0, cell_N, torch.ones(len(cell_N)))
    shape = (2, strata, prompts)
    return Sums(amount.reshape(*shape, len(latents)), tokens.reshape(shape))


def corrected(trials: list[Trial], config: RolesConfig) -> list[Trial]:
    """With false-discovery rates over all latents and contrasts together, and the first gate's verdict."""
    q = benjamini_hochberg(np.array([trial.q for trial in trials]))
    return [
        replace(
            trial,
            q=float(rate),
            tells_apart=bool(rate <= config.rate and trial.auroc >= config.auroc and trial.d >= config.d),
        )
        for trial, rate in zip(trials, q, strict=True)
    ]


def best_of_each(trials: list[Trial]) -> list[Trial]:
    """Of each latent and kind of contrast, the one it tells best."""
    best: dict[tuple[int, str], Trial] = {}
    for trial in trials:
        key = (trial.latent, trial.kind)
        if key not in best or (trial.tells_apart, trial.auroc) > (best[key].tells_apart, best[key].auroc):
            best[key] = trial
    return list(best.values())


def candidates(trials: list[Trial], config: RolesConfig) -> list[Trial]:
    found = [trial for trial in best_of_each(trials) if trial.tells_apart]
    return [trial for mine in by_kind(found) for trial in sorted(mine, key=_surest)[: config.most]]


def at_random(trials: list[Trial], seen: Scene, config: RolesConfig) -> list[Trial]:
    """Of each kind of contrast, latents drawn from all that are alive."""
    alive, found = set(seen.codes.latent_K.unique().tolist()), []
    for mine in by_kind([trial for trial in best_of_each(trials) if trial.latent in alive]):
        rng = seeded("roles at random", config.gates_seed, mine[0].kind)
        found += rng.sample(mine, min(config.random, len(mine)))
    return found


def by_kind(trials: list[Trial]) -> list[list[Trial]]:
    kinds = dict.fromkeys(trial.kind for trial in trials)
    return [[trial for trial in trials if trial.kind == kind] for kind in kinds]


def _surest(trial: Trial) -> tuple[float, int]:
    return -trial.auroc, trial.latent
