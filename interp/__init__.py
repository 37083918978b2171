"""Measure what reinforcement learning changed inside a model, and use it in training.

    tasks, policy, organism    problems and verifiers; a local causal LM; the shipped base
    rollouts, activations      completions of a policy with their verdicts; its residuals on disk
    tsae, encoding             temporal SAEs; rollouts encoded by one
    features, tracking         roles of latents; latents through the checkpoints of a run
    readouts                   how likely a rewarded answer is to be valid, from what is read in it
    credit, monitors, grpo     credit for tokens, what goes wrong while it is trained on, and training with it
    studies, dashboard, demo   claims with controls, tested; results to look at; a guided run of the whole loop
    stats, artifacts           estimates with intervals; atomic files, manifests and fingerprints

Nothing is imported before it is used: `import interp` is instant.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp import (
        activations,
        artifacts,
        credit,
        dashboard,
        demo,
        encoding,
        features,
        grpo,
        monitors,
        organism,
        plots,
        policy,
        readouts,
        rollouts,
        stats,
        studies,
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
    "dashboard",
    "demo",
    "encoding",
    "features",
    "grpo",
    "monitors",
    "organism",
    "plots",
    "policy",
    "readouts",
    "rollouts",
    "stats",
    "studies",
    "tasks",
    "tracking",
    "tsae",
]
CLASSES = {"Policy": "interp.policy", "SampleConfig": "interp.policy", "Series": "interp.rollouts"}
"""Classes that are exported here, each with the room that defines it."""


def __getattr__(name: str) -> object:
    if name in CLASSES:
        return getattr(importlib.import_module(CLASSES[name]), name)
    if name in __all__:
        return importlib.import_module(f"interp.{name}")
    raise AttributeError(f"module 'interp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
