"""The three gates that a latent passes to earn a role, as thresholds on one `Trial`, and the runner of the last two.

contrast       The latent separates the family's tokens: AUROC and effect size, significant over prompts, corrected for
               all latents and contrasts tested
falsification  It is not driven by tokens, it needs their order, and it separates them on every surface. (Families with
               `tokens_suffice` are excused from the first two: their tokens are what they are about.)
ablation       Without it the family's tokens are less likely, and more so than tokens of the same kind that are not the
               family's: significantly, by a tenth of a nat at least, and by more than without any matched latent.
               Matched latents have a similar firing rate and activation and did not pass this contrast
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from interp.features.ablation import (
    ABLATE,
    AMPLIFY,
    BehaviorEffects,
    Effect,
    LatentEditor,
    OutcomeMasks,
    estimate_effect,
)
from interp.features.config import RolesConfig
from interp.features.falsification import Falsification, InjectionTest, falsify
from interp.features.families import Contrast, contrast_kind, role_family
from interp.features.labels import LabeledTokens
from interp.features.sampling import AblatedSampling, RolloutEffect
from interp.features.separation import ContrastMeans
from interp.policy.policy import Policy
from interp.stats.bootstrap import DRAWS, resampled_prompts
from interp.tasks.base import Task
from interp.tsae import TSAE

Item = TypeVar("Item")

MIN_SURFACE_AUROC = 0.6
MIN_EFFECT_NATS = 0.1
"""Smaller effects can be significant, and mean next to nothing."""
GROUP = 4
"""Answers to each problem that is answered again."""


@dataclass(frozen=True)
class Trial:
    """One latent in one contrast, and what each gate measured of it."""

    latent: int
    family: str
    contrast: str
    auroc: float
    d: float
    q: float
    other_surface_auroc: float
    """AUROC on the surface where it is lowest."""
    passes_contrast: bool
    falsification: Falsification | None = None
    """None: this gate was not run."""
    ablation: Effect | None = None
    """None: this gate was not run."""
    amplification: Effect | None = None
    """Effect of doubling the latent. No gate uses it."""
    matched_ablations: tuple[float, ...] = ()
    """`ablation.difference` of each matched latent."""
    means: ContrastMeans | None = None
    """Its mean activation at the contrast's positives and negatives. Credit reads activations in these units."""
    ablated_behavior: BehaviorEffects | None = None
    amplified_behavior: BehaviorEffects | None = None
    matched_behavior: tuple[float, ...] = ()
    """Mean effect of ablating each matched latent on valid chains, right answers and direct answers."""

    @property
    def kind(self) -> str:
        """The kind of its contrast, whatever value that is about: `result`, `cue`."""
        return contrast_kind(self.contrast)

    @property
    def passes_falsification(self) -> bool:
        if self.falsification is None:
            return False
        driven = self.falsification.driven_by_tokens or self.falsification.survives_shuffling
        is_excused = role_family(self.family).tokens_suffice
        return (is_excused or not driven) and self.other_surface_auroc >= MIN_SURFACE_AUROC

    @property
    def passes_ablation(self) -> bool:
        if self.ablation is None or not self.matched_ablations:
            return False
        target, difference = self.ablation.target, self.ablation.difference
        is_significant = max(target.high, difference.high) < 0
        return is_significant and difference.value < min(-MIN_EFFECT_NATS, *self.matched_ablations)

    @property
    def passes_all(self) -> bool:
        return self.passes_contrast and self.passes_falsification and self.passes_ablation


@dataclass(frozen=True)
class EditEffects:
    """Effects of one edit of one latent: by contrast, and on behavior."""

    by_contrast: dict[str, Effect]
    behavior: BehaviorEffects


class GateRunner:
    """Falsification and ablation, for one latent after another on the same rollouts."""

    def __init__(
        self,
        tsae: TSAE,
        policy: Policy,
        layer: int,
        labeled: LabeledTokens,
        contrasts: Sequence[Contrast],
        config: RolesConfig,
        passing: Mapping[str, Collection[int]],
    ) -> None:
        """`passing`: the latents that passed the first gate, by kind of contrast. They are no matches."""
        self.labeled, self.config, self.passing = labeled, config, passing
        self.contrasts = {contrast.name: contrast for contrast in contrasts}
        self.injection_test = InjectionTest(
            tsae, policy, layer, labeled, texts=config.injection_texts, seed=config.test_seed
        )
        self.editor = LatentEditor(tsae, policy, layer, labeled.rollouts)
        self.matched = MatchedLatents(labeled)
        self.outcomes = OutcomeMasks.from_labels(labeled)
        prompts = int(labeled["problem"].max()) + 1
        self.counts_BP = resampled_prompts(prompts, DRAWS, config.test_seed).numpy().astype(float)
        self._effects: dict[tuple[int, float], EditEffects] = {}

    def evaluate(self, trial: Trial) -> Trial:
        """The trial with what falsification and ablation measured."""
        passing = self.passing.get(trial.kind, ())
        matches = self.matched.nearest(trial.latent, self.config.matched_latents, exclude=passing)
        ablated, amplified = (self.edit_effects(trial.latent, scale) for scale in (ABLATE, AMPLIFY))
        matched = [self.edit_effects(match, ABLATE) for match in matches]
        return replace(
            trial,
            falsification=falsify(self.injection_test, trial.latent, self.contrasts[trial.contrast]),
            ablation=ablated.by_contrast[trial.contrast],
            amplification=amplified.by_contrast[trial.contrast],
            matched_ablations=tuple(effects.by_contrast[trial.contrast].difference.value for effects in matched),
            ablated_behavior=ablated.behavior,
            amplified_behavior=amplified.behavior,
            matched_behavior=_means([effects.behavior.values for effects in matched]),
        )

    def edit_effects(self, latent: int, scale: float) -> EditEffects:
        """Effects of one edit, measured once for all contrasts: the shift of every token is too large to keep."""
        if (latent, scale) not in self._effects:
            shift_N = self.editor.log_odds_shift(latent, scale)
            by_contrast = {
                name: estimate_effect(
                    shift_N, contrast.target_N, contrast.other_N, self.labeled["problem"], self.counts_BP
                )
                for name, contrast in self.contrasts.items()
            }
            self._effects[latent, scale] = EditEffects(by_contrast, self.outcomes.effects(shift_N, self.counts_BP))
        return self._effects[latent, scale]

    def sample_edited(self, latents: list[int], task: Task, progress: bool) -> list[RolloutEffect]:
        """Problems answered again with each latent ablated and doubled, and so with its nearest match."""
        if not latents:
            return []
        editor, problems = self.editor, self.config.rollout_problems
        sampling = AblatedSampling.prepare(
            editor.tsae, editor.policy, editor.layer, task, self.labeled.rollouts, problems, GROUP
        )
        effects = []
        for latent in with_progress(latents, "latents with a role", progress):
            for scale in (ABLATE, AMPLIFY):
                effects.append(sampling.run(latent, scale))
                matches = self.matched.nearest(latent, 1, exclude=latents)
                effects += [sampling.run(match, scale, match_of=latent) for match in matches]
        return effects


class MatchedLatents:
    """Latents with a similar firing rate and mean activation when active, both in logarithms and standardized."""

    def __init__(self, labeled: LabeledTokens) -> None:
        latent_K, value_K, width = labeled.codes.latent_K, labeled.codes.value_K.numpy(), labeled.codes.width
        count_F = torch.bincount(latent_K, minlength=width).numpy()
        sum_F = np.bincount(latent_K.numpy(), value_K, width)
        self.alive = np.flatnonzero(count_F)
        """Latents that are active at some token."""
        self.place_AX: Float[ndarray, "A 2"] = np.log(
            np.stack([count_F[self.alive], sum_F[self.alive] / count_F[self.alive]], 1)
        )
        self.std_X = self.place_AX.std(0).clip(min=1e-9) if len(self.alive) else np.ones(2)

    def nearest(self, latent: int, count: int, *, exclude: Collection[int] = ()) -> list[int]:
        """The `count` most similar latents, without itself and those excluded. A dead latent has none."""
        index = np.flatnonzero(self.alive == latent)
        if not len(index):
            return []
        distance_A = (((self.place_AX - self.place_AX[index[0]]) / self.std_X) ** 2).sum(1)
        excluded = {latent, *exclude}
        ordered = self.alive[np.argsort(distance_A, kind="stable")].tolist()
        return [other for other in ordered if other not in excluded][:count]


def with_progress(items: Sequence[Item], what: str, progress: bool) -> Iterable[Item]:
    return tqdm(items, desc=f"gates, {what}", unit="latent", delay=1, leave=False, disable=not progress)


def _means(rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(np.mean(rows, 0).tolist()) if rows else ()
