"""Activations on disk: a sharded store of residuals, each token with its place, its role and its document's key.

It knows nothing of tasks or policies: a document is a row of whatever its writer joins by, and rows of numbers.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.activations.shard import Shard, TokenTable
    from interp.activations.store import Store
    from interp.activations.writer import Writer

__all__ = ["Shard", "Store", "TokenTable", "Writer"]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    if name in ("Shard", "TokenTable"):
        from interp.activations import shard

        return getattr(shard, name)
    if name == "Store":
        from interp.activations.store import Store

        return Store
    if name == "Writer":
        from interp.activations.writer import Writer

        return Writer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
