"""Activations on disk: a sharded store of residuals, each token with its place, its role and its document's key.

It knows nothing of tasks or policies: a document is a row of whatever its writer joins by, and rows of numbers.
"""

from typing import TYPE_CHECKING

from interp.activations.config import CollectConfig
from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.activations.collecting import collect
    from interp.activations.shard import Shard, TokenTable
    from interp.activations.store import Store
    from interp.activations.writer import Writer

__all__ = ["CollectConfig", "Shard", "Store", "TokenTable", "Writer", "collect"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Shard": "interp.activations.shard",
        "TokenTable": "interp.activations.shard",
        "Store": "interp.activations.store",
        "Writer": "interp.activations.writer",
        "collect": "interp.activations.collecting",
    },
)
