"""The three gates that a latent passes to earn a role, as thresholds on one `Trial`, and matched latents.

contrast       The latent separates the family's tokens: AUROC and effect size, significant over prompts, corrected for
               all latents and contrasts tested
falsification  It is not driven by tokens, it needs their order, and it separates them on every surface. (Families with
               `tokens_suffice` are excused from the first two: their tokens are what they are about.)
ablation       Without it the family's tokens are less likely, and more so than tokens of the same kind that are not the
               family's: significantly, by a tenth of a nat at least, and by more than without any matched latent.
               Matched latents have a similar firing rate and activation and did not pass this contrast
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from interp.features.ablation import BehaviorEffects, Effect
from interp.features.falsification import Falsification
from interp.features.families import contrast_kind, role_family
from interp.features.labels import LabeledTokens
from interp.features.separation import ContrastMeans

MIN_SURFACE_AUROC = 0.6
MIN_EFFECT_NATS = 0.1
"""Smaller effects can be significant, and mean next to nothing."""


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
    attribution: float | None = None
    """First-order effect, what `ablation.difference` would be if the policy were linear
    (`interp.features.attribution`). None: not computed."""
    contrast_text: str = ""
    """The name of its contrast with tokens as text: `result '7'`. Empty: it is the name."""

    @property
    def kind(self) -> str:
        """The kind of its contrast, whatever value that is about: `result`, `cue`."""
        return contrast_kind(self.contrast)

    @property
    def contrast_in_words(self) -> str:
        return self.contrast_text or self.contrast

    @property
    def passes_falsification(self) -> bool:
        if self.falsification is None:
            return False
        driven = self.falsification.driven_by_tokens or self.falsification.survives_shuffling
        is_excused = role_family(self.family).tokens_suffice
        return (is_excused or not driven) and self.other_surface_auroc >= MIN_SURFACE_AUROC

    @property
    def has_effect(self) -> bool:
        """Whether its ablation is significant and large enough, whatever matched latents do."""
        if self.ablation is None:
            return False
        target, difference = self.ablation.target, self.ablation.difference
        return max(target.high, difference.high) < 0 and difference.value < -MIN_EFFECT_NATS

    @property
    def passes_ablation(self) -> bool:
        if self.ablation is None or not self.matched_ablations or not self.has_effect:
            return False
        return self.ablation.difference.value < min(self.matched_ablations)

    @property
    def passes_all(self) -> bool:
        return self.passes_contrast and self.passes_falsification and self.passes_ablation


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
