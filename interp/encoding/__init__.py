"""Rollouts through a dictionary: latent codes at every token, and the loss recovered by its reconstructions."""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.encoding.encoder import Looked, look, look_at_one
    from interp.encoding.loss_recovered import Splices

__all__ = ["Looked", "Splices", "look", "look_at_one"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Looked": "interp.encoding.encoder",
        "look": "interp.encoding.encoder",
        "look_at_one": "interp.encoding.encoder",
        "Splices": "interp.encoding.loss_recovered",
    },
)
