"""Latents that bear roles, as credit reads them: what each counts for, and who stands in for it in the control.

All that credit asks of a token are weighted sums of what its latents are, so a bearer comes down to one number for each
question, worked out once from what it earned its role with: where it stood at the two kinds of tokens it was held to
(`Heights`), and what ablating it did.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from interp.artifacts import BadInput, Mismatch
from interp.features.roles import Roles, Trial
from interp.features.separation import Heights
from interp.features.token_selector import Ground, ground_of
from interp.tasks.base import seeded
from interp.tsae import TSAE

SIGNS = {"reasoning": 1, "computation": 1, "shortcut": -1}
"""Whether a family speaks for a token or against it. Format speaks for nothing."""
JUDGING = ("shortcut", "reasoning")
"""Families that tell what a whole answer is worth. (What a valid chain computes, a sloppy one computes too.)"""
SUREST = 10.0
"""A latent does not count as telling more, in deviations, than this."""


@dataclass(frozen=True)
class Bearer:
    latent: int
    family: str
    kind: str
    """Of the contrast it earned its role by."""
    ground: Ground
    """Where that is told."""
    nats: float
    """By how much less likely the tokens of its family are without it."""
    heights: Heights

    @classmethod
    def of(cls, trial: Trial) -> "Bearer":
        if trial.heights is None:
            raise BadInput(
                f"expected roles that say where their latents stand, got none for latent {trial.latent}: they were "
                "earned by an earlier version, earn them again (interp roles)"
            )
        nats = 0.0 if trial.ablated is None else -trial.ablated.target.value
        return cls(trial.latent, trial.family, trial.kind, ground_of(trial.contrast), nats, trial.heights)

    @property
    def apart(self) -> float:
        return self.heights.high - self.heights.low

    @property
    def spread(self) -> float:
        return max(self.heights.spread, abs(self.apart) / SUREST)

    @property
    def pushing(self) -> float:
        """What it counts for at a token: what it does, for each of its deviations."""
        return SIGNS[self.family] * self.nats / self.spread if self.spread > 0 else 0.0

    @property
    def telling(self) -> float:
        """The slope of the log-odds of its family in it, were all latents normal and each for itself."""
        return self.apart / self.spread**2 if self.spread > 0 else 0.0


@dataclass(frozen=True)
class Party:
    """Bearers of one family whose contrasts are told at the same tokens: they are read as one."""

    family: str
    ground: Ground
    bearers: tuple[Bearer, ...]

    @property
    def low(self) -> float:
        """What they tell at their negatives."""
        return sum(bearer.telling * bearer.heights.low for bearer in self.bearers)

    @property
    def apart(self) -> float:
        """How much more at their positives."""
        return sum(bearer.telling * bearer.apart for bearer in self.bearers)

    @property
    def foot(self) -> float:
        """What they push at their negatives."""
        return sum(bearer.pushing * bearer.heights.low for bearer in self.bearers)


def parties_of(bearers: Sequence[Bearer]) -> list[Party]:
    alike = dict.fromkeys((bearer.family, bearer.ground) for bearer in bearers)
    return [Party(*key, tuple(one for one in bearers if (one.family, one.ground) == key)) for key in alike]


def bearers_of(roles: Roles) -> list[Bearer]:
    """Each latent once, in the family it has its role in, by the contrast of that family it tells best."""
    best: dict[int, Trial] = {}
    for trial in roles.trials:
        if trial.passed and trial.family in SIGNS and roles.of(trial.latent) == trial.family:
            held = best.get(trial.latent)
            best[trial.latent] = trial if held is None or trial.auroc > held.auroc else held
    return [Bearer.of(best[latent]) for latent in sorted(best)]


def stand_ins(roles: Roles, bearers: Sequence[Bearer], seed: int) -> list[Bearer]:
    """In the place of each, a latent of those drawn at random from all that are alive, held to the same kind of
    contrast, and on where that is told (else it would stand in for nothing): it counts for as much (`nats`), and is
    read in units of its own. None has a role, none stands in twice."""
    taken, found = {trial.latent for trial in roles.trials if trial.passed}, []
    for kind in dict.fromkeys(bearer.kind for bearer in bearers):
        mine = [bearer for bearer in bearers if bearer.kind == kind]
        drawable = [trial for trial in roles.random if trial.kind == kind and trial.latent not in taken]
        pool = {one.latent: one for one in map(Bearer.of, drawable) if one.heights.known and one.spread > 0}
        if len(pool) < len(mine):
            raise BadInput(
                f"expected at least {len(mine)} latents drawn at random and held to contrasts of {kind}, to stand in "
                f"for those with a role, got {len(pool)}: earn the roles again with more of them (random=, --random)"
            )
        drawn = seeded("stand-ins", seed, kind).sample(sorted(pool), len(mine))
        taken |= set(drawn)
        found += [replace(pool[latent], nats=bearer.nats) for latent, bearer in zip(drawn, mine, strict=True)]
    return found


def expect_own(tsae: TSAE, roles: Roles) -> None:
    """Roles are of one dictionary, at one layer."""
    if tsae.width != roles.width:
        raise Mismatch(
            f"expected the dictionary of {roles.width} latents that these roles are of, got one of {tsae.width}"
        )
    if tsae.layer not in (None, roles.layer):
        raise Mismatch(f"expected a dictionary of layer {roles.layer}, as the roles are; got one of layer {tsae.layer}")
    if (found := tsae.fingerprint()) != (wanted := roles.made_from.get("tsae")):
        raise Mismatch(
            f"these roles were earned by another dictionary: expected {wanted}, got {found}. Use the one they were "
            "earned by, or earn roles for this one (interp roles)"
        )


def expect_some(bearers: Sequence[Bearer], families: Sequence[str]) -> None:
    if not any(bearer.family in families for bearer in bearers):
        raise BadInput(
            f"expected a latent that has earned a role of {', '.join(families)}, got none: this credit would never do "
            "anything. Earn roles of a larger dictionary or another layer, on more problems, or take another credit"
        )


def warn_of_the_missing(bearers: Sequence[Bearer]) -> None:
    """A gate that asks for less than it could is worth knowing of: one that only knows shortcuts pays sloppy luck."""
    for family in JUDGING:
        if not any(bearer.family == family for bearer in bearers):
            warnings.warn(f"no latent has earned a role of {family}: the gate does not ask for it", stacklevel=4)
