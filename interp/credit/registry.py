"""Credit schemes by name, for the command line and for studies.

A name also stands in `interp.credit.names`, which help reads without importing torch."""

from pathlib import Path
from typing import Any

from interp.artifacts import BadInput
from interp.credit.base import CreditScheme
from interp.credit.entropy import TopEntropy
from interp.credit.names import FEATURE_SCHEME_NAMES, SCHEME_NAMES
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
FEATURE_SCHEMES: dict[str, dict[str, Any]] = {
    "features": {},
    "features-gate": {"weights": False},
    "features-weights": {"gate": False},
    "features-control": {"control_seed": 0},
}
"""Settings of `FeatureCredit`. These schemes need a dictionary and the roles of its latents."""


def make_scheme(name: str, *, tsae: Path | None = None, roles: Path | None = None) -> CreditScheme:
    """The scheme of this name. `tsae` and `roles` are directories, for feature schemes only."""
    if name not in SCHEMES | FEATURE_SCHEMES:
        raise BadInput(f"credit must be one of {', '.join(SCHEME_NAMES + FEATURE_SCHEME_NAMES)}; got {name!r}")
    if name in SCHEMES:
        if tsae or roles:
            raise BadInput(
                f"--tsae and --roles are for credit by {', '.join(FEATURE_SCHEME_NAMES)}; got them with {name!r}"
            )
        return SCHEMES[name]
    if tsae is None or roles is None:
        raise BadInput(
            f"expected --tsae and --roles for credit by {name}, got {_path_or_none(tsae)} and {_path_or_none(roles)}: "
            "interp tsae fits a dictionary, interp roles earns the roles of its latents"
        )
    from interp.credit.features import FeatureCredit
    from interp.features import Roles
    from interp.tsae import TSAE

    return FeatureCredit(TSAE.load(tsae), Roles.load(roles), **FEATURE_SCHEMES[name])


def _path_or_none(path: Path | None) -> str:
    return "none" if path is None else str(path)
