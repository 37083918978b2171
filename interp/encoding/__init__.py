"""Rollouts through a dictionary: latent codes at every token, and the loss recovered by its reconstructions."""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.encoding.encode import EncodedChunk, encode_rollouts, latent_on_rollouts
    from interp.encoding.recovery import SpliceEvaluator

__all__ = ["EncodedChunk", "SpliceEvaluator", "encode_rollouts", "latent_on_rollouts"]
__getattr__ = lazy_exports(
    __name__,
    {
        "EncodedChunk": "interp.encoding.encode",
        "encode_rollouts": "interp.encoding.encode",
        "latent_on_rollouts": "interp.encoding.encode",
        "SpliceEvaluator": "interp.encoding.recovery",
    },
)
