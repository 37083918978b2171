"""Schemes by name, for the command line and for studies."""

from interp.artifacts import BadInput
from interp.credit.chance import PositionMatched, RandomTokens
from interp.credit.entropy import TopEntropy
from interp.credit.oracle import FirstError, StepValidity
from interp.credit.uniform import Uniform
from interp.rollouts.batch import CreditScheme

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


def scheme(name: str) -> CreditScheme:
    if name not in SCHEMES:
        raise BadInput(f"credit must be one of {', '.join(SCHEMES)}; got {name!r}")
    return SCHEMES[name]
