"""GRPO with an advantage for every token: losses, the loop, run directories. It knows credit only as a callable."""

from typing import TYPE_CHECKING

from interp.grpo.config import OBJECTIVES, GRPOConfig, Objective, UpdateConfig
from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.grpo.loop import Diverged, NoSignal, train
    from interp.grpo.run import Run

__all__ = ["OBJECTIVES", "Diverged", "GRPOConfig", "NoSignal", "Objective", "Run", "UpdateConfig", "train"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Diverged": "interp.grpo.loop",
        "NoSignal": "interp.grpo.loop",
        "train": "interp.grpo.loop",
        "Run": "interp.grpo.run",
    },
)
