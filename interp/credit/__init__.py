"""Credit schemes: what share of its reward a rollout keeps, and what each of its tokens receives of its advantage.

The floor and the ceiling: what anyone can do without looking inside (uniform, entropy), what chance does in their
place, and what could be done if every step were known to be right or wrong (the oracles). Between them: what a
dictionary sees inside (`FeatureCredit`), with a control of its own.
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.credit.base import Credit, CreditScheme, RolloutBatch, of_mean_one, with_credit
    from interp.credit.entropy import TopEntropy
    from interp.credit.features import FeatureCredit
    from interp.credit.oracles import FirstError, StepValidity
    from interp.credit.random import PositionMatched, RandomTokens
    from interp.credit.registry import SCHEMES, scheme
    from interp.credit.subsample import RewardSubsample
    from interp.credit.uniform import Uniform

__all__ = [
    "SCHEMES",
    "Credit",
    "CreditScheme",
    "RewardSubsample",
    "FeatureCredit",
    "FirstError",
    "PositionMatched",
    "RandomTokens",
    "RolloutBatch",
    "StepValidity",
    "TopEntropy",
    "Uniform",
    "of_mean_one",
    "scheme",
    "with_credit",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "Credit": "interp.credit.base",
        "CreditScheme": "interp.credit.base",
        "RolloutBatch": "interp.credit.base",
        "of_mean_one": "interp.credit.base",
        "with_credit": "interp.credit.base",
        "TopEntropy": "interp.credit.entropy",
        "FeatureCredit": "interp.credit.features",
        "FirstError": "interp.credit.oracles",
        "StepValidity": "interp.credit.oracles",
        "PositionMatched": "interp.credit.random",
        "RandomTokens": "interp.credit.random",
        "SCHEMES": "interp.credit.registry",
        "scheme": "interp.credit.registry",
        "Dial": "interp.credit.subsample",
        "Uniform": "interp.credit.uniform",
    },
)
