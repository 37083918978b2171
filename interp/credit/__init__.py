"""Credit schemes: what share of its reward a rollout keeps, and how its advantage is divided among its tokens.

uniform, entropy   the floor: what anyone can do without reading activations
random             the controls of schemes that select tokens
oracles            the ceiling: the verifier knows which steps are right
monte_carlo        what each step did for the outcome, measured on fresh continuations
ktae               statistics of tokens in the right and wrong rollouts of a group
input_gradient     the gradient of the answer's log-probability at each token
subsample          rewards paid for only a share of the lucky, or of the valid, successes
features           what latents with a role say, with a control of its own
readout            how likely a success is to be valid, read from its text and refitted on audits
first_error        the first step that is probably wrong, read in the same way
process_advantage  how likely a success is to be valid beside the others, as an advantage of its own
random_gate        the gates of another scheme, dealt out at random
controls           every control of a credit by features, by one call
explanation        why a readout pays what it pays: by source and by token, beside a control
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.credit.base import Credit, CreditScheme, RolloutBatch, attach_credit, normalize_weights
    from interp.credit.controls import credit_controls
    from interp.credit.entropy import TopEntropy
    from interp.credit.explanation import CreditExplanation, explain_credit
    from interp.credit.features import FeatureCredit
    from interp.credit.first_error import FirstErrorReadout
    from interp.credit.input_gradient import InputGradient
    from interp.credit.ktae import KTAE
    from interp.credit.monte_carlo import MonteCarloValues
    from interp.credit.oracles import FirstError, StepValidity
    from interp.credit.process_advantage import ProcessAdvantage
    from interp.credit.random import PositionMatched, RandomTokens
    from interp.credit.random_gate import RandomGate
    from interp.credit.readout import ReadoutCredit
    from interp.credit.registry import FEATURE_SCHEMES, SCHEMES, TASK_SCHEMES, make_scheme
    from interp.credit.subsample import RewardSubsample
    from interp.credit.uniform import Uniform

__all__ = [
    "FEATURE_SCHEMES",
    "KTAE",
    "SCHEMES",
    "TASK_SCHEMES",
    "Credit",
    "CreditExplanation",
    "CreditScheme",
    "FeatureCredit",
    "FirstError",
    "FirstErrorReadout",
    "InputGradient",
    "MonteCarloValues",
    "PositionMatched",
    "ProcessAdvantage",
    "RandomGate",
    "RandomTokens",
    "ReadoutCredit",
    "RewardSubsample",
    "RolloutBatch",
    "StepValidity",
    "TopEntropy",
    "Uniform",
    "attach_credit",
    "credit_controls",
    "explain_credit",
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
        "credit_controls": "interp.credit.controls",
        "TopEntropy": "interp.credit.entropy",
        "CreditExplanation": "interp.credit.explanation",
        "explain_credit": "interp.credit.explanation",
        "FeatureCredit": "interp.credit.features",
        "FirstErrorReadout": "interp.credit.first_error",
        "InputGradient": "interp.credit.input_gradient",
        "KTAE": "interp.credit.ktae",
        "MonteCarloValues": "interp.credit.monte_carlo",
        "FirstError": "interp.credit.oracles",
        "StepValidity": "interp.credit.oracles",
        "ProcessAdvantage": "interp.credit.process_advantage",
        "PositionMatched": "interp.credit.random",
        "RandomTokens": "interp.credit.random",
        "RandomGate": "interp.credit.random_gate",
        "ReadoutCredit": "interp.credit.readout",
        "FEATURE_SCHEMES": "interp.credit.registry",
        "SCHEMES": "interp.credit.registry",
        "TASK_SCHEMES": "interp.credit.registry",
        "make_scheme": "interp.credit.registry",
        "RewardSubsample": "interp.credit.subsample",
        "Uniform": "interp.credit.uniform",
    },
)
