"""Latents with roles as credit reads them: the weight of each, the groups they form, and the latents of the control.

Credit needs two weighted sums of latents at every token. The weights of latent j come from the trial that earned its
role: its mean activation at the contrast's positives and negatives, their standard deviation s_j, and how much less
likely its family's tokens are without it (effect u_j, in nats).

    evidence_weight_j = (positive_j - negative_j) / s_j^2      slope of the log-odds of its family, for normal latents
    effect_weight_j   = sign * u_j / s_j                       what it does, per standard deviation

The sign, and whether the gate uses a family, are in the family's row (`interp.features.families`).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from interp.artifacts import BadInput, Mismatch
from interp.features.families import ROLE_FAMILIES, TokenSelector, role_family
from interp.features.gates import Trial
from interp.features.roles import GATES, Roles
from interp.features.separation import ContrastMeans
from interp.tasks.base import seeded_rng
from interp.tsae import TSAE

MAX_STDS = 10.0
"""A latent counts as separating its contrast's tokens by at most this many standard deviations."""


def credit_families() -> list[str]:
    """The role families that count for a token or against it."""
    return [name for name, family in ROLE_FAMILIES.items() if family.credit_sign]


def gate_families() -> list[str]:
    """The role families that say what a whole answer is worth."""
    return [name for name in credit_families() if ROLE_FAMILIES[name].gates_reward]


@dataclass(frozen=True)
class RoleLatent:
    """A latent with a role, and what its trial measured."""

    latent: int
    family: str
    kind: str
    """Kind of the contrast that it earned its role in."""
    selector: TokenSelector
    """Tokens at which it is read."""
    effect: float
    """How much less likely its family's tokens are without it, in nats."""
    means: ContrastMeans

    @classmethod
    def from_trial(cls, trial: Trial) -> "RoleLatent":
        if trial.means is None:
            raise BadInput(
                f"expected roles with the mean activations of their latents, got none for latent {trial.latent}: earn "
                "the roles again (interp roles)"
            )
        effect = 0.0 if trial.ablation is None else -trial.ablation.target.value
        selector = role_family(trial.family).selector(trial.contrast)
        return cls(trial.latent, trial.family, trial.kind, selector, effect, trial.means)

    @property
    def difference(self) -> float:
        """Mean activation at positives, less that at negatives."""
        return self.means.positive - self.means.negative

    @property
    def std(self) -> float:
        return max(self.means.std, abs(self.difference) / MAX_STDS)

    @property
    def effect_weight(self) -> float:
        return role_family(self.family).credit_sign * self.effect / self.std if self.std > 0 else 0.0

    @property
    def evidence_weight(self) -> float:
        return self.difference / self.std**2 if self.std > 0 else 0.0


@dataclass(frozen=True)
class LatentGroup:
    """Role latents of one family that are read at the same tokens. Their activations are summed."""

    family: str
    selector: TokenSelector
    latents: tuple[RoleLatent, ...]

    @property
    def baseline_evidence(self) -> float:
        """Weighted evidence at the negatives, on average."""
        return sum(latent.evidence_weight * latent.means.negative for latent in self.latents)

    @property
    def evidence_range(self) -> float:
        """Weighted evidence at the positives less that at the negatives, on average."""
        return sum(latent.evidence_weight * latent.difference for latent in self.latents)

    @property
    def baseline_effect(self) -> float:
        """Weighted effect at the negatives, on average."""
        return sum(latent.effect_weight * latent.means.negative for latent in self.latents)


def group_latents(latents: Sequence[RoleLatent]) -> list[LatentGroup]:
    """The latents by family and selector."""
    keys = dict.fromkeys((latent.family, latent.selector) for latent in latents)
    return [
        LatentGroup(*key, tuple(latent for latent in latents if (latent.family, latent.selector) == key))
        for key in keys
    ]


def role_latents(roles: Roles) -> list[RoleLatent]:
    """Every latent whose family counts for credit, by the contrast of its family that it separates best."""
    best: dict[int, Trial] = {}
    for trial in roles.trials:
        if not trial.passes_all or not role_family(trial.family).credit_sign:
            continue
        if roles.role_of(trial.latent) != trial.family:
            continue
        if trial.latent not in best or trial.auroc > best[trial.latent].auroc:
            best[trial.latent] = trial
    return [RoleLatent.from_trial(best[latent]) for latent in sorted(best)]


def control_latents(roles: Roles, latents: Sequence[RoleLatent], seed: int) -> list[RoleLatent]:
    """The control: each latent replaced by a random one without a role.

    The random latent is one that was tested in the same kind of contrast and varies at its tokens. It keeps its own
    means and takes the effect of the latent it replaces. No latent is drawn twice."""
    excluded, controls = {trial.latent for trial in roles.trials if trial.passes_all}, []
    for kind in dict.fromkeys(latent.kind for latent in latents):
        replaced = [latent for latent in latents if latent.kind == kind]
        trials = [trial for trial in roles.random_trials if trial.kind == kind and trial.latent not in excluded]
        available = map(RoleLatent.from_trial, trials)
        pool = {one.latent: one for one in available if one.means.is_finite and one.std > 0}
        if len(pool) < len(replaced):
            raise BadInput(
                f"expected at least {len(replaced)} random latents tested in contrasts of kind {kind}, to replace "
                f"those with a role, got {len(pool)}: earn roles again with more (random_latents=, --random-latents)"
            )
        sample = seeded_rng("stand-ins", seed, kind).sample(sorted(pool), len(replaced))
        excluded |= set(sample)
        pairs = zip(sample, replaced, strict=True)
        controls += [replace(pool[index], effect=latent.effect) for index, latent in pairs]
    return controls


def expect_same_dictionary(tsae: TSAE, roles: Roles) -> None:
    """Refuse roles that were earned by another dictionary, or at another layer."""
    if tsae.width != roles.width:
        raise Mismatch(
            f"expected the dictionary of {roles.width} latents that earned these roles, got one of {tsae.width}"
        )
    if tsae.layer not in (None, roles.layer):
        raise Mismatch(f"expected a dictionary of layer {roles.layer}, as the roles; got one of layer {tsae.layer}")
    if (actual := tsae.fingerprint()) != (expected := roles.made_from.get("tsae")):
        raise Mismatch(
            f"these roles were earned by another dictionary: expected {expected}, got {actual}. Use that dictionary, "
            "or earn roles for this one (interp roles)"
        )


def expect_role_latents(roles: Roles, latents: Sequence[RoleLatent], families: Sequence[str]) -> None:
    """Refuse roles without a latent that credit could use. The message says how many passed each gate."""
    if any(latent.family in families for latent in latents):
        return
    trials = [trial for trial in roles.trials if trial.family in families]
    candidates = {trial.latent for trial in trials}
    passing = {gate: {trial.latent for trial in trials if getattr(trial, gate)} for gate in GATES}
    passes = ", ".join(f"{gate.removeprefix('passes_')} {len(latents)}" for gate, latents in passing.items())
    figures = f"{len(candidates)} candidates, of which pass {passes}" if candidates else "no candidate was tried"
    raise BadInput(
        f"expected a latent with a role of {', '.join(families)}, got none: {figures}. This credit would never change "
        "anything: earn roles of a larger dictionary or another layer, on more problems, or use another credit"
    )


def warn_missing_families(latents: Sequence[RoleLatent]) -> None:
    """Warn of each gate family without a role latent. A gate by shortcuts alone, say, pays for sloppy luck."""
    for family in gate_families():
        if not any(latent.family == family for latent in latents):
            warnings.warn(f"no latent has earned a role of {family}: the gate does not use it", stacklevel=4)
