"""Rollouts encoded with a dictionary, and the loss recovered by its reconstructions: both need a policy too."""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.encoding.encode import EncodedChunk, encode_rollouts, latent_on_rollouts, peaks_on_rollouts
    from interp.encoding.recovery import LossRecovery, SpliceEvaluator, loss_recovered

__all__ = [
    "EncodedChunk",
    "LossRecovery",
    "SpliceEvaluator",
    "encode_rollouts",
    "latent_on_rollouts",
    "peaks_on_rollouts",
    "loss_recovered",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "EncodedChunk": "interp.encoding.encode",
        "encode_rollouts": "interp.encoding.encode",
        "latent_on_rollouts": "interp.encoding.encode",
        "peaks_on_rollouts": "interp.encoding.encode",
        "LossRecovery": "interp.encoding.recovery",
        "SpliceEvaluator": "interp.encoding.recovery",
        "loss_recovered": "interp.encoding.recovery",
    },
)
