"""Activations on disk: a sharded store of residuals, each token with its position, its role and its document.

store        read a store
writer       write a store shard by shard; `shard` is the format of a shard, `stored_site` where its residuals are from
collecting   `collect`: from a series into a store; `config` is its settings, `collector` its loop
documents    from rollouts to documents, token tables and residuals
reread       a new store of the same documents, read by another policy

A store knows nothing of tasks or policies: a document is a row with whatever keys its writer gives it.
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
