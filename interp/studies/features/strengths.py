"""How strong a family of latents is in a policy, told three ways: they may disagree.

fixed       how much of them there is at a token, on text that is the same for all policies (the base wrote it)
on-policy   the same, on what the policy itself writes
causal      how much less likely the tokens they earned their roles with are without all of them at once, in that fixed
            text (log-odds)

Beside the first two stand the family's matches, each as frequent and as strong in the base as its latent: what all
latents do is no doing of a family.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interp.features.ablation import ABLATE, Bench
from interp.features.contrasts import contrasts
from interp.features.gates import Matches
from interp.features.labels import Scene, scene
from interp.features.roles import Roles
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tsae import TSAE

FAMILIES = {"direct": "direct", "computation": "result", "deliberative": "valid"}
"""By the kind of contrast that their latents earned their role in."""
FIXED, ON_POLICY, CAUSAL = KINDS = ("fixed", "on-policy", "causal")


@dataclass(frozen=True)
class Family:
    latents: tuple[int, ...]
    matches: tuple[int, ...]


def families_of(roles: Roles, base: Scene) -> dict[str, Family]:
    """Those with a latent at least. Matches are of those that no contrast told anything of."""
    telling, nearest_to, found = {trial.latent for trial in roles.trials}, Matches(base), {}
    for name, kind in FAMILIES.items():
        latents = tuple(sorted({trial.latent for trial in roles.trials if trial.kind == kind and trial.passed}))
        matches = {other for latent in latents for other in nearest_to(latent, 1, but=telling)}
        if latents:
            found[name] = Family(latents, tuple(sorted(matches)))
    return found


@dataclass(frozen=True)
class Ruler:
    """What every policy is held against: text that the base wrote, and where the families' tokens are in it."""

    tsae: TSAE
    layer: int
    text: Sequence[Rollout]
    families: Mapping[str, Family]
    target_N: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, tsae: TSAE, layer: int, roles: Roles, base: Policy, text: Sequence[Rollout]) -> "Ruler":
        seen = scene(base, tsae, layer, text)
        made, _ = contrasts(seen)
        target_N = {}
        for name, kind in FAMILIES.items():
            earned_by = {trial.contrast for trial in roles.trials if trial.kind == kind and trial.passed}
            mine = [one.target_N for one in made if one.name in earned_by]
            target_N[name] = np.logical_or.reduce(mine) if mine else np.zeros(len(seen), bool)
        return cls(tsae, layer, text, families_of(roles, seen), target_N)

    def measure(self, policy: Policy, written: Sequence[Rollout]) -> dict[str, dict[str, float]]:
        """Of each family, every kind of strength in a policy that has `written` something of its own."""
        fixed, own = (scene(policy, self.tsae, self.layer, rows) for rows in (self.text, written))
        bench, found = Bench(policy, self.tsae, self.layer, self.text), {}
        for name, family in self.families.items():
            change_N = bench.change(family.latents, ABLATE)
            found[name] = {
                FIXED: amount(fixed, family.latents),
                ON_POLICY: amount(own, family.latents),
                CAUSAL: -float(change_N[self.target_N[name]].mean()) if self.target_N[name].any() else float("nan"),
                f"{FIXED}, matches": amount(fixed, family.matches),
                f"{ON_POLICY}, matches": amount(own, family.matches),
            }
        return found


def amount(seen: Scene, latents: Sequence[int]) -> float:
    """Of all of them together, at a token in the mean."""
    mine_K = np.isin(seen.codes.latent_K.numpy(), latents)
    return float(seen.codes.value_K.numpy()[mine_K].sum()) / len(seen)
