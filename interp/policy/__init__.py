"""Policies: a local causal language model to load, sample from, score with and look into.

`directory` opens a Hugging Face directory or says why it cannot, `policy` the Policy class, `sample` and `cache` exact
batched sampling, `score` teacher-forced log-probabilities, `residual` capture and edit the residual stream, `bridge` a
TransformerLens view of the same weights, `text` tokens back to characters.
"""

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
