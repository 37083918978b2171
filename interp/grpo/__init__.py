"""GRPO with an advantage for every token: losses, the loop, run directories. It knows credit only as a callable."""

from typing import TYPE_CHECKING

from interp.grpo.config import GRPOConfig, UpdateConfig
from interp.grpo.objectives import OBJECTIVES, Objective

if TYPE_CHECKING:
    from interp.grpo.loop import Diverged, NoSignal, train
    from interp.grpo.run import Run

__all__ = ["OBJECTIVES", "Diverged", "GRPOConfig", "NoSignal", "Objective", "Run", "UpdateConfig", "train"]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    if name in ("Diverged", "NoSignal", "train"):
        from interp.grpo import loop

        return getattr(loop, name)
    if name == "Run":
        from interp.grpo.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
