"""The second gate and the third, for one latent after another, and what the policy does without it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from interp.bootstrap import resampled
from interp.features.ablation import ABLATE, AMPLIFY, Bench, Effect, effect
from interp.features.behavior import Consequences, Outcomes
from interp.features.config import RolesConfig
from interp.features.contrasts import Contrast
from interp.features.falsification import Grounds, falsify
from interp.features.labels import Scene
from interp.features.roles import Trial
from interp.features.sampling import Played, Stage
from interp.policy.policy import Policy
from interp.tasks.base import Task
from interp.tsae import TSAE

DRAWS = 400
GROUP = 4
"""Rollouts of each problem that is played."""


@dataclass(frozen=True)
class Told:
    """Of one edit."""

    effects: dict[str, Effect]
    """By contrast."""
    consequences: Consequences


class Gates:
    def __init__(
        self,
        policy: Policy,
        tsae: TSAE,
        layer: int,
        seen: Scene,
        made: list[Contrast],
        config: RolesConfig,
        telling: Mapping[str, Collection[int]],
    ) -> None:
        """`telling`: of each kind of contrast, the latents that passed the first gate."""
        self.seen, self.made, self.config = seen, {contrast.name: contrast for contrast in made}, config
        self.grounds = Grounds(policy, tsae, layer, seen, texts=config.texts, seed=config.gates_seed)
        self.bench = Bench(policy, tsae, layer, seen.rollouts)
        self.nearest_to, self.telling = Matches(seen), telling
        self.drawn_BP = resampled(int(seen["problem"].max()) + 1, DRAWS, config.gates_seed).numpy().astype(float)
        self.outcomes = Outcomes.of(seen)
        self._told: dict[tuple[int, float], Told] = {}

    def through(self, trial: Trial) -> Trial:
        matches = self.nearest_to(trial.latent, self.config.matched, but=self.telling.get(trial.kind, ()))
        ablated, amplified = (self.told(trial.latent, scale) for scale in (ABLATE, AMPLIFY))
        like_it = [self.told(other, ABLATE) for other in matches]
        return replace(
            trial,
            falsified=falsify(self.grounds, trial.latent, self.made[trial.contrast]),
            ablated=ablated.effects[trial.contrast],
            amplified=amplified.effects[trial.contrast],
            matched=tuple(told.effects[trial.contrast].apart.value for told in like_it),
            without=ablated.consequences,
            doubled=amplified.consequences,
            without_matches=tuple(np.mean([told.consequences.values for told in like_it], 0)) if like_it else (),
        )

    def told(self, latent: int, scale: float) -> "Told":
        """Read once for all contrasts: a change of every token is too much to keep."""
        if (latent, scale) not in self._told:
            change_N = self.bench.change(latent, scale)
            effects = {
                name: effect(change_N, one.target_N, one.against_N, self.seen["problem"], self.drawn_BP)
                for name, one in self.made.items()
            }
            self._told[latent, scale] = Told(effects, self.outcomes.consequences(change_N, self.drawn_BP))
        return self._told[latent, scale]

    def played(self, latents: list[int], task: Task, bar: bool) -> list[Played]:
        """Without each and with each doubled, and so with its nearest match that is none of them."""
        if not latents:
            return []
        held = self.bench
        stage = Stage.set(held.policy, held.tsae, held.layer, task, self.seen.rollouts, self.config.played, GROUP)
        found = []
        for latent in shown(latents, "played", bar):
            for scale in (ABLATE, AMPLIFY):
                found.append(stage.play(latent, scale))
                nearest = self.nearest_to(latent, 1, but=latents)
                found += [stage.play(other, scale, match_of=latent) for other in nearest]
        return found


class Matches:
    """Latents as frequent and as strong as a latent, in the units in which latents differ."""

    def __init__(self, seen: Scene) -> None:
        latent_K, value_K, width = seen.codes.latent_K, seen.codes.value_K.numpy(), seen.codes.width
        counts_F = torch.bincount(latent_K, minlength=width).numpy()
        mass_F = np.bincount(latent_K.numpy(), value_K, width)
        self.alive = np.flatnonzero(counts_F)
        self.place_AX: Float[ndarray, "A 2"] = np.log(
            np.stack([counts_F[self.alive], mass_F[self.alive] / counts_F[self.alive]], 1)
        )
        self.spread_X = self.place_AX.std(0).clip(min=1e-9) if len(self.alive) else np.ones(2)

    def __call__(self, latent: int, count: int, *, but: Collection[int] = ()) -> list[int]:
        """The nearest, but for itself and some others. None for one that is dead."""
        mine = np.flatnonzero(self.alive == latent)
        if not len(mine):
            return []
        far_A = (((self.place_AX - self.place_AX[mine[0]]) / self.spread_X) ** 2).sum(1)
        left_out = {latent, *but}
        return [other for other in self.alive[np.argsort(far_A, kind="stable")].tolist() if other not in left_out][
            :count
        ]


def shown(latents: list[Any], what: str, bar: bool) -> Any:
    return tqdm(latents, desc=f"gates, {what}", unit="latent", delay=1, leave=False, disable=not bar)
