"""Read the documents of a store with another policy: the tokens are the same, only the weights differ."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import polars as pl
from tqdm import tqdm

from interp.activations.documents import compute_document_residuals
from interp.activations.shard import DTYPES
from interp.activations.store import Store
from interp.activations.writer import Writer, is_finished
from interp.artifacts import BadInput, locked
from interp.policy.policy import Policy


def reread(
    store: Store, policy: Policy, *, reader: int, out: str | Path, micro_tokens: int = 8_192, progress: bool = True
) -> Store:
    """A new store with the same documents and the residuals of `policy`.

    `reader` is the step recorded as the documents' reader. A repeated call continues a stopped one after its last
    complete shard."""
    if policy.d_model != store.d_model:
        raise BadInput(
            f"expected a policy of the width of {store.path}, {store.d_model}; got {policy.d_model}: only stores of "
            "one architecture can be compared"
        )
    with ExitStack() as stack:
        if not is_finished(Path(out)):
            stack.enter_context(locked(out))
        writer = Writer(
            out,
            layers=store.layers,
            d_model=store.d_model,
            roles=store.roles,
            dtype=store.dtype,
            config={"reread": True, "micro_tokens": micro_tokens},
            made_from={f"policy-{reader}": policy.fingerprint(), "store": store.fingerprint()},
            site=store.stored_site,
        )
        if not writer.finished:
            stack.enter_context(locked(out))
            n_written, n_shards = len(writer.shards), len(store.shards)
            shards = tqdm(
                range(n_written, n_shards), "reading again", n_shards,
                initial=n_written, unit="shard", delay=1, leave=False,
            )  # fmt: skip
            shards.disable = shards.disable or not progress
            for shard in shards:
                _reread_shard(store, shard, policy, writer, reader=reader, micro_tokens=micro_tokens)
        return writer.finish()


def _reread_shard(store: Store, shard: int, policy: Policy, writer: Writer, *, reader: int, micro_tokens: int) -> None:
    tokens = store.tokens(shard)
    if bool((tokens.ids < 0).any()):
        raise BadInput(f"{store.path}: expected tokens to read again, got a store of activations alone")
    documents = store.documents.filter(pl.col("shard") == shard).drop("shard", "first")
    residuals = compute_document_residuals(
        policy, tokens.ids, documents["length"].to_list(), store.layers,
        dtype=DTYPES[store.dtype], micro_tokens=micro_tokens, site=store.stored_site.kind,
    )  # fmt: skip
    counted_from_0 = replace(tokens, document=tokens.document - tokens.document[0])
    documents = documents.with_columns(reader=pl.lit(reader, pl.Int64))
    writer.add(residuals, counted_from_0, documents, {**store.facts(shard), "reader": reader})
