"""The task that a run was made in, back from what its manifest says of it."""

from collections.abc import Mapping
from typing import Any

from interp.artifacts import from_json
from interp.tasks.chain import Chain


def revived(world: Mapping[str, Any] | None) -> Chain | None:
    """The chain task with its every knob. Other tasks hang on files or packages, and have to be given again: None."""
    told = world if world and world.get("kind") == Chain.__name__ else None
    return from_json(Chain, told["settings"]) if told else None
