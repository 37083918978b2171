"""The second gate and the third, for one latent after another, and what the policy does without it."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from interp.bootstrap import resampled
from interp.features.ablation import ABLATE, AMPLIFY, Bench, Effect, effect
from interp.features.config import RolesConfig
from interp.features.contrasts import Contrast
from interp.features.falsification import Grounds, falsify
from interp.features.playing import Played, Stage
from interp.features.roles import Trial
from interp.features.scene import Scene
from interp.policy.policy import Policy
from interp.tasks.base import Task
from interp.tsae import TSAE

DRAWS = 400
GROUP = 4
"""Rollouts of each problem that is played."""


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
        self._effects: dict[tuple[int, float], dict[str, Effect]] = {}

    def through(self, trial: Trial) -> Trial:
        matches = self.nearest_to(trial.latent, self.config.matched, but=self.telling.get(trial.kind, ()))
        return trial.with_gates(
            falsified=falsify(self.grounds, trial.latent, self.made[trial.contrast]),
            ablated=self.effect(trial.latent, ABLATE, trial.contrast),
            amplified=self.effect(trial.latent, AMPLIFY, trial.contrast),
            matched=tuple(self.effect(other, ABLATE, trial.contrast).apart.value for other in matches),
        )

    def effect(self, latent: int, scale: float, contrast: str) -> Effect:
        """Read once for all contrasts: a change of every token is too much to keep."""
        if (latent, scale) not in self._effects:
            change_N = self.bench.change(latent, scale)
            self._effects[latent, scale] = {
                name: effect(change_N, one.target_N, one.against_N, self.seen["problem"], self.drawn_BP)
                for name, one in self.made.items()
            }
        return self._effects[latent, scale][contrast]

    def played(self, latents: list[int], task: Task, bar: bool) -> list[Played]:
        """Each, and its nearest match that is none of them."""
        if not latents:
            return []
        held = self.bench
        stage = Stage.set(held.policy, held.tsae, held.layer, task, self.seen.rollouts, self.config.played, GROUP)
        found = []
        for latent in shown(latents, "played", bar):
            found.append(stage.play(latent, ABLATE))
            nearest = self.nearest_to(latent, 1, but=latents)
            found += [stage.play(other, ABLATE, match_of=latent) for other in nearest]
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
        self.spread_X = self.place_AX.std(0).clip(min=1e-9)

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
