"""A terminal's view of a store: what each checkpoint has read, and how much of it there is."""

from typing import Any

from interp.activations import Store
from interp.report.terminal import grid


def shares(store: Store) -> list[dict[str, Any]]:
    """Of each checkpoint and corpus, in the order they were collected."""
    import polars as pl

    by = store.documents.group_by("reader", "corpus", maintain_order=True)
    found = by.agg(
        shards=pl.col("shard").n_unique(),
        documents=pl.len(),
        tokens=pl.col("length").sum(),
        correct=pl.col("correct").mean(),
    )
    return found.with_columns(gb=pl.col("tokens") / len(store) * store.size / 1e9).to_dicts()


def collected(store: Store) -> str:
    head = ["checkpoint", "corpus", "shards", "GB", "documents", "tokens", "correct"]
    rows = [
        [*(row[name] for name in ("reader", "corpus", "shards")), f"{row['gb']:.3g}"]
        + [f"{row[name]:,}" for name in ("documents", "tokens")]
        + [f"{row['correct']:.2f}"]
        for row in shares(store)
    ]
    layers = f"layer{'s' if len(store.layers) > 1 else ''} {', '.join(map(str, store.layers))}"
    shards = f"{len(store.shards)} shard{'s' if len(store.shards) > 1 else ''}"
    held = f"{len(store):,} tokens of {layers} in {shards}, {store.size / 1e9:.3g} GB"
    return "\n".join([grid(head, rows), "", f"the store is {store.path}: {held} ({store.dtype})"])
