"""Read the documents of a store again with another policy: the same tokens, so that only the weights differ."""

from dataclasses import replace
from pathlib import Path

import polars as pl
from tqdm import tqdm

from interp.activations import Store, Writer
from interp.activations.documents import residuals_of
from interp.activations.shard import DTYPES
from interp.artifacts import BadInput
from interp.policy.policy import Policy


def reread(
    store: Store, policy: Policy, *, reader: int, out: str | Path, micro_tokens: int = 8_192, bar: bool = True
) -> Store:
    """A store of its own, document for document. `reader` is what the documents say read them. Stopped and asked
    again, it goes on at the last whole shard."""
    if policy.d_model != store.d_model:
        raise BadInput(
            f"expected a policy of the width of {store.path}, {store.d_model}; got {policy.d_model}: stores that are "
            "held against each other are of one architecture"
        )
    writer = Writer(
        out,
        layers=store.layers,
        d_model=store.d_model,
        roles=store.roles,
        dtype=store.dtype,
        config={"reread": True, "micro_tokens": micro_tokens},
        made_from={f"policy-{reader}": policy.fingerprint(), "store": store.fingerprint()},
    )
    if not writer.finished:
        done, every = len(writer.shards), len(store.shards)
        shown = tqdm(range(done, every), "reading again", every, initial=done, unit="shard", delay=1, leave=False)
        shown.disable = not bar
        for shard in shown:
            table = store.table(shard)
            if bool((table.ids < 0).any()):
                raise BadInput(f"{store.path}: expected tokens to read again, got a store of activations alone")
            documents = store.documents.filter(pl.col("shard") == shard).drop("shard", "first")
            told = {"dtype": DTYPES[store.dtype], "micro_tokens": micro_tokens}
            held = residuals_of(policy, table.ids, documents["length"].to_list(), store.layers, **told)
            numbered = replace(table, document=table.document - table.document[0])
            read_by = documents.with_columns(reader=pl.lit(reader, pl.Int64))
            writer.add(held, numbered, read_by, {**store.facts(shard), "reader": reader})
    return writer.finish()
