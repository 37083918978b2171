"""Credit schemes: what share of its reward a rollout keeps, and how its advantage is divided among its tokens.

uniform, entropy   the floor: what anyone can do without reading activations
random             the controls of schemes that select tokens
oracles            the ceiling: the verifier knows which steps are right
subsample          rewards paid for only a share of the lucky, or of the valid, successes
features           what a dictionary's latents say, with a control of its own
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.credit.base import Credit, CreditScheme, RolloutBatch, attach_credit, normalize_weights
    from interp.credit.entropy import TopEntropy
    from interp.credit.features import FeatureCredit
    from interp.credit.oracles import FirstError, StepValidity
    from interp.credit.random import PositionMatched, RandomTokens
    from interp.credit.registry import FEATURE_SCHEMES, SCHEMES, make_scheme
    from interp.credit.subsample import RewardSubsample
    from interp.credit.uniform import Uniform

__all__ = [
    "FEATURE_SCHEMES",
    "SCHEMES",
    "Credit",
    "CreditScheme",
    "FeatureCredit",
    "FirstError",
    "PositionMatched",
    "RandomTokens",
    "RewardSubsample",
    "RolloutBatch",
    "StepValidity",
    "TopEntropy",
    "Uniform",
    "attach_credit",
    "make_scheme",
    "normalize_weights",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "Credit": "interp.credit.base",
        "CreditScheme": "interp.credit.base",
        "RolloutBatch": "interp.credit.base",
        "attach_credit": "interp.credit.base",
        "normalize_weights": "interp.credit.base",
        "TopEntropy": "interp.credit.entropy",
        "FeatureCredit": "interp.credit.features",
        "FirstError": "interp.credit.oracles",
        "StepValidity": "interp.credit.oracles",
        "PositionMatched": "interp.credit.random",
        "RandomTokens": "interp.credit.random",
        "FEATURE_SCHEMES": "interp.credit.registry",
        "SCHEMES": "interp.credit.registry",
        "make_scheme": "interp.credit.registry",
        "RewardSubsample": "interp.credit.subsample",
        "Uniform": "interp.credit.uniform",
    },
)
