"""A local causal language model: load it, sample from it, score with it, look into it."""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports
from interp.policy.config import SampleConfig

if TYPE_CHECKING:
    from interp.policy.policy import Policy
    from interp.policy.sample import Samples

__all__ = ["Policy", "SampleConfig", "Samples"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Policy": "interp.policy.policy",
        "Samples": "interp.policy.sample",
    },
)
