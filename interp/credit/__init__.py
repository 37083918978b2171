"""Credit schemes: what share of its reward a rollout keeps, and what each of its tokens receives of its advantage.

The floor and the ceiling: what anyone can do without looking inside (uniform, entropy), what chance does in their
place, and what could be done if every step were known to be right or wrong (the oracles). Between them: what a
dictionary sees inside (`FeatureCredit`), with a control of its own.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.credit.chance import PositionMatched, RandomTokens
    from interp.credit.dial import Dial
    from interp.credit.entropy import TopEntropy
    from interp.credit.features import FeatureCredit
    from interp.credit.oracle import FirstError, StepValidity
    from interp.credit.schemes import SCHEMES, scheme
    from interp.credit.uniform import Uniform

_HOMES = {
    "Uniform": "uniform",
    "TopEntropy": "entropy",
    "RandomTokens": "chance",
    "PositionMatched": "chance",
    "Dial": "dial",
    "FeatureCredit": "features",
    "FirstError": "oracle",
    "StepValidity": "oracle",
    "SCHEMES": "schemes",
    "scheme": "schemes",
}
__all__ = [
    "SCHEMES",
    "Dial",
    "FeatureCredit",
    "FirstError",
    "PositionMatched",
    "RandomTokens",
    "StepValidity",
    "TopEntropy",
    "Uniform",
    "scheme",
]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"interp.credit.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
