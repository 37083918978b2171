"""Earn roles: one policy's rollouts, every latent through the first gate, candidates and chance through the others."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from tqdm import tqdm

from interp.artifacts import BadInput, Mismatch
from interp.bootstrap import Sums, benjamini_hochberg, change, end_less_start, resampled
from interp.features.ablation import ABLATE, AMPLIFY, Bench, Effect, effect
from interp.features.config import RolesConfig
from interp.features.contrasts import Contrast, contrasts
from interp.features.falsification import Grounds, falsify, shuffled
from interp.features.roles import Roles, Trial
from interp.features.scene import Scene, scene
from interp.features.separation import separation
from interp.policy.policy import Policy
from interp.rollouts.roll_out import roll_out
from interp.rollouts.series import Series
from interp.tasks.base import Task, seeded
from interp.tsae import TSAE

DRAWS = 400


def earn_roles(
    tsae: TSAE,
    subject: Series | Policy,
    task: Task | None = None,
    config: RolesConfig | None = None,
    *,
    layer: int | None = None,
    device: str = "auto",
    bar: bool = True,
) -> Roles:
    """On the base of a series, where all habits are still alive, or on a policy."""
    config = config or RolesConfig()
    task = task if task is not None else getattr(subject, "task", None)
    if task is None:
        raise BadInput("expected a task to ask, got none: earn_roles(tsae, policy, task)")
    policy = subject.base.load(device=device) if isinstance(subject, Series) else subject
    layer = _layer(tsae, layer, policy)
    problems = [problem for level in config.levels for problem in task.problems("train", level, config.problems)]
    rows = roll_out(policy, task, problems, config.sampling, purpose="roles", bar=bar).rows
    seen = scene(policy, tsae, layer, rows)
    made, missing = contrasts(seen)
    trials = [trial for contrast in made for trial in tried(seen, contrast, config)]
    trials = corrected(trials, config)
    gates = Gates(policy, tsae.to(policy.device), layer, seen, {c.name: c for c in made}, config)
    chosen = [gates.through(trial) for trial in _shown(candidates(trials, config), "candidates", bar)]
    drawn = [gates.through(trial) for trial in _shown(at_random(trials, seen, config), "at random", bar)]
    made_from = {"tsae": tsae.fingerprint(), "policy": policy.fingerprint(), "task": task.fingerprint()}
    return Roles(tuple(chosen), tuple(drawn), tsae.width, tuple(missing), made_from, config, layer)


def tried(seen: Scene, contrast: Contrast, config: RolesConfig) -> list[Trial]:
    """Every latent in one contrast. q is p still."""
    told = separation(seen.codes, contrast.positive_N, contrast.negative_N, contrast.stratum_N)
    halves = [
        separation(seen.codes, contrast.positive_N & this, contrast.negative_N & this, contrast.stratum_N).auroc_F
        for this in (contrast.surface_N == 0, contrast.surface_N == 1)
    ]
    p_F = change(sums_of(seen, contrast), end_less_start(2), draws=DRAWS, seed=config.seed).p_F
    other_F = np.minimum(*halves)
    return [
        Trial(at, contrast.family, contrast.name, float(told.auroc_F[at]), float(told.d_F[at]), float(p_F[at]),
              float(other_F[at]), False)
        for at in range(seen.codes.width)
    ]  # fmt: skip


def sums_of(seen: Scene, contrast: Contrast) -> Sums:
    """Negatives, then positives, by stratum and prompt: a change from the one to the other."""
    kept_N = contrast.positive_N | contrast.negative_N
    _, stratum_N = np.unique(contrast.stratum_N[kept_N], return_inverse=True)
    problem_N, codes = seen["problem"][kept_N], seen.codes.at(torch.from_numpy(kept_N))
    strata, prompts = int(stratum_N.max()) + 1, int(seen["problem"].max()) + 1
    cell_N = torch.from_numpy((contrast.positive_N[kept_N] * strata + stratum_N) * prompts + problem_N)
    amount, tokens = torch.zeros(2 * strata * prompts, codes.width), torch.zeros(2 * strata * prompts)
    amount.view(-1).index_add_(0, cell_N[codes.token_K] * codes.width + codes.latent_K, codes.value_K)
    tokens.index_add_(0, cell_N, torch.ones(len(cell_N)))
    shape = (2, strata, prompts)
    return Sums(amount.reshape(*shape, codes.width), tokens.reshape(shape))


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
    """Of each latent and family, the contrast it tells best."""
    best: dict[tuple[int, str], Trial] = {}
    for trial in trials:
        key = (trial.latent, trial.family)
        if key not in best or (trial.tells_apart, trial.auroc) > (best[key].tells_apart, best[key].auroc):
            best[key] = trial
    return list(best.values())


def candidates(trials: list[Trial], config: RolesConfig) -> list[Trial]:
    found = [trial for trial in best_of_each(trials) if trial.tells_apart]
    families = dict.fromkeys(trial.family for trial in found)
    by_family = {f: sorted((t for t in found if t.family == f), key=lambda t: (-t.auroc, t.latent)) for f in families}
    return [trial for held in by_family.values() for trial in held[: config.most]]


def at_random(trials: list[Trial], seen: Scene, config: RolesConfig) -> list[Trial]:
    """Of each family, latents drawn from all that are alive."""
    alive = set(seen.codes.latent_K.unique().tolist())
    best = [trial for trial in best_of_each(trials) if trial.latent in alive]
    found = []
    for family in dict.fromkeys(trial.family for trial in best):
        mine = [trial for trial in best if trial.family == family]
        rng = seeded("roles at random", config.seed, family)
        found += rng.sample(mine, min(config.random, len(mine)))
    return found


class Gates:
    """The second and the third."""

    def __init__(
        self, policy: Policy, tsae: TSAE, layer: int, seen: Scene, made: dict[str, Contrast], config: RolesConfig
    ) -> None:
        self.seen, self.made, self.config = seen, made, config
        texts = shuffled(seen.rollouts[:: max(1, len(seen.rollouts) // config.texts)][: config.texts], config.seed)
        self.grounds = Grounds(policy, tsae, layer, texts, config.seed)
        self.bench = Bench(policy, tsae, layer, seen.rollouts)
        self.starts = np.cumsum([0, *(len(row.tokens) for row in seen.rollouts)])
        counts = torch.bincount(seen.codes.latent_K, minlength=seen.codes.width).numpy()
        mass = np.bincount(seen.codes.latent_K.numpy(), seen.codes.value_K.numpy(), seen.codes.width)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.place_F2 = np.stack([np.log(counts), np.log(mass / counts)], 1)
        """Where a latent stands by frequency and strength."""
        self.drawn_BP = resampled(int(seen["problem"].max()) + 1, DRAWS, config.seed).numpy().astype(float)
        problem_N = seen["problem"]
        self.problem_M = problem_N[self.starts[:-1]]
        self._changes: dict[tuple[int, float], list[ndarray]] = {}

    def through(self, trial: Trial) -> Trial:
        contrast = self.made[trial.contrast]
        matched = tuple(self.effect(other, ABLATE, contrast).nats for other in self.matches(trial.latent))
        return replace(
            trial,
            falsified=falsify(self.grounds, self.seen, trial.latent, contrast.positive_N),
            ablated=self.effect(trial.latent, ABLATE, contrast),
            amplified=self.effect(trial.latent, AMPLIFY, contrast),
            matched=matched,
        )

    def effect(self, latent: int, scale: float, contrast: Contrast) -> Effect:
        if (latent, scale) not in self._changes:
            self._changes[latent, scale] = self.bench.change(latent, scale)
        looked_at = [contrast.target_N[a:b] for a, b in zip(self.starts, self.starts[1:], strict=False)]
        return effect(self._changes[latent, scale], looked_at, self.problem_M, self.drawn_BP)

    def matches(self, latent: int) -> list[int]:
        """The nearest to it by frequency and strength, in the units in which latents differ."""
        alive = np.flatnonzero(np.isfinite(self.place_F2).all(1))
        alive = alive[alive != latent]
        spread = self.place_F2[alive].std(0).clip(min=1e-9)
        far = (((self.place_F2[alive] - self.place_F2[latent]) / spread) ** 2).sum(1)
        return alive[np.argsort(far, kind="stable")[: self.config.matched]].tolist()


def _layer(tsae: TSAE, layer: int | None, policy: Policy) -> int:
    if tsae.layer is None and layer is None:
        raise BadInput("the dictionary does not say which layer it is of: expected a layer, got none (layer=, --layer)")
    if policy.d_model != tsae.d_model:
        raise Mismatch(f"expected a policy of d_model {tsae.d_model}, as the dictionary's; got {policy.d_model}")
    return tsae.layer if tsae.layer is not None else layer or 0


def _shown(trials: list[Trial], what: str, bar: bool) -> Any:
    return tqdm(trials, desc=f"gates, {what}", unit="latent", delay=1, leave=False, disable=not bar)
