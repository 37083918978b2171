"""Schemes by name, for the command line and for studies."""

from pathlib import Path
from typing import Any

from interp.artifacts import BadInput
from interp.credit.base import CreditScheme
from interp.credit.entropy import TopEntropy
from interp.credit.oracles import FirstError, StepValidity
from interp.credit.random import PositionMatched, RandomTokens
from interp.credit.uniform import Uniform

SCHEMES: dict[str, CreditScheme] = {
    "uniform": Uniform(),
    "entropy": TopEntropy(),
    "random": RandomTokens(),
    "position-matched": PositionMatched(),
    "first-error": FirstError(),
    "step-validity": StepValidity(),
    "step-validity-gate": StepValidity(weights=False),
    "step-validity-weights": StepValidity(gate=False),
}

LOOKING: dict[str, dict[str, Any]] = {
    "features": {},
    "features-gate": {"weights": False},
    "features-weights": {"gate": False},
    "features-permuted": {"permuted": 0},
}
"""Schemes that look inside, with a dictionary and the roles its latents have earned."""


def scheme(name: str, *, tsae: Path | None = None, roles: Path | None = None) -> CreditScheme:
    """`tsae` and `roles` are directories, for those schemes that look inside, and for no others."""
    if name not in SCHEMES | LOOKING:
        raise BadInput(f"credit must be one of {', '.join(SCHEMES | LOOKING)}; got {name!r}")
    if name in SCHEMES:
        if tsae or roles:
            raise BadInput(f"--tsae and --roles are for credit by {', '.join(LOOKING)}; got them with {name!r}")
        return SCHEMES[name]
    if tsae is None or roles is None:
        raise BadInput(
            f"credit by {name} needs a dictionary and the roles of its latents (--tsae, --roles), got "
            f"{_given(tsae)} and {_given(roles)}: interp tsae fits the one, interp roles earns the other"
        )
    from interp.credit.features import FeatureCredit
    from interp.features import Roles
    from interp.tsae import TSAE

    return FeatureCredit(TSAE.load(tsae), Roles.load(roles), **LOOKING[name])


def _given(path: Path | None) -> str:
    return "none" if path is None else str(path)
