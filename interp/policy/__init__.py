"""A local causal language model: load it, sample from it, score with it, look into it."""

from typing import TYPE_CHECKING

from interp.policy.config import SampleConfig

if TYPE_CHECKING:
    from interp.policy.policy import Policy
    from interp.policy.sample import Samples

__all__ = ["Policy", "SampleConfig", "Samples"]


def __getattr__(name: str) -> object:  # torch and transformers take seconds to import, a command's --help must not
    if name == "Policy":
        from interp.policy.policy import Policy

        return Policy
    if name == "Samples":
        from interp.policy.sample import Samples

        return Samples
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
