"""What reinforcement learning did inside a model, each claim with its control.

Everything is reached from here, and nothing is imported before it is used: `import interp` is instant.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp import (
        activations,
        artifacts,
        credit,
        features,
        grpo,
        organism,
        policy,
        rollouts,
        tasks,
        tracking,
        tsae,
    )
    from interp.policy import Policy, SampleConfig
    from interp.rollouts import Series

__all__ = [
    "Policy",
    "SampleConfig",
    "Series",
    "activations",
    "artifacts",
    "credit",
    "features",
    "grpo",
    "organism",
    "policy",
    "rollouts",
    "tasks",
    "tracking",
    "tsae",
]
HOMES = {"Policy": "interp.policy", "SampleConfig": "interp.policy", "Series": "interp.rollouts"}


def __getattr__(name: str) -> object:
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    if name in __all__:
        return importlib.import_module(f"interp.{name}")
    raise AttributeError(f"module 'interp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
