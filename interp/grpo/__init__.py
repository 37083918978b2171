"""GRPO with an advantage for every token.

`config` settings and the table of losses, `losses` the loss per token, `advantages` rewards to advantages, `sources`
the problems of a run, `strategies` what is asked where problems are hard, `batches` the rollouts of a step, `learner`
the update, `metrics` what a step measures, `run` a run's directory, `specs` the spec of a credit scheme or task, `loop`
the training loop, `learned` what credit had learned in a run. Of credit the loop imports the contract alone
(`interp.credit.base`).
"""

from typing import TYPE_CHECKING

from interp.grpo.config import OBJECTIVES, GRPOConfig, Objective, UpdateConfig
from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.grpo.learned import explain_run, learned_credit
    from interp.grpo.loop import AlarmRaised, Diverged, NoSignal, train
    from interp.grpo.run import Run
    from interp.grpo.strategies.backward import Backward
    from interp.grpo.strategies.curriculum import Curriculum
    from interp.grpo.strategies.hints import PrefixHints
    from interp.grpo.strategies.replay import Replay

__all__ = [
    "OBJECTIVES",
    "AlarmRaised",
    "Backward",
    "Curriculum",
    "Diverged",
    "GRPOConfig",
    "NoSignal",
    "Objective",
    "PrefixHints",
    "Replay",
    "Run",
    "UpdateConfig",
    "explain_run",
    "learned_credit",
    "train",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "explain_run": "interp.grpo.learned",
        "learned_credit": "interp.grpo.learned",
        "AlarmRaised": "interp.grpo.loop",
        "Diverged": "interp.grpo.loop",
        "NoSignal": "interp.grpo.loop",
        "train": "interp.grpo.loop",
        "Run": "interp.grpo.run",
        "Backward": "interp.grpo.strategies.backward",
        "Curriculum": "interp.grpo.strategies.curriculum",
        "PrefixHints": "interp.grpo.strategies.hints",
        "Replay": "interp.grpo.strategies.replay",
    },
)
