"""What a store must hold for a fit: the layer, enough tokens for a batch, and pairs for the contrast."""

import warnings

import polars as pl

from interp.activations import Store
from interp.artifacts import BadInput
from interp.tsae.config import TSAEConfig
from interp.tsae.pools import Pools
from interp.tsae.trainer import PROMOTION_SHARE


def expect_layer(store: Store, layer: int) -> None:
    if layer not in store.layers:
        raise BadInput(
            f"{store.path}: expected one of its layers ({', '.join(map(str, store.layers))}), got {layer}: choose one "
            "of these, or collect that layer"
        )


def expect_enough(pools: Pools, config: TSAEConfig) -> None:
    """Refuse a store that cannot fill a batch, or has no pairs for the contrast, before training starts."""
    store, documents, batch = pools.store, pools.store.documents, config.training.batch
    training = config.training
    skipped = documents.select(pl.max_horizontal(pl.col("prompt") * (not training.prompts), training.skip_first or 0))
    trained = (documents["length"] - skipped.to_series()).clip(0)
    if (tokens := int(trained.sum())) < batch:
        left_out = 0 if training.prompts else len(store) - store.completion_tokens
        hint = f" ({left_out:,} more are of prompts: train on them too, prompts=True, --prompts)" if left_out else ""
        raise BadInput(
            f"{store.path}: expected at least one batch of {batch} tokens, got {tokens:,}{hint}: collect more, or use "
            "a smaller batch"
        )
    if tokens / pools.per_epoch < batch:
        raise BadInput(
            f"{store.path}: expected a batch of {batch} tokens in each pool, got {tokens // pools.per_epoch} on "
            "average: raise pool_gb, or use a smaller batch"
        )
    if config.contrast.alpha:
        _expect_pairs(store, trained, config)


def _expect_pairs(store: Store, trained: pl.Series, config: TSAEConfig) -> None:
    contrast = config.contrast
    partners = store.documents["length"] if contrast.run == 1 and contrast.partner_mask == "anchor" else trained
    with_pair, needed = int(((trained >= 1) & (partners >= 2)).sum()), 1 if contrast.same_sequence else 2
    if not with_pair:
        raise BadInput(
            f"{store.path}: expected documents with two consecutive tokens that are trained on, for the contrast, got "
            "none: train on prompts too, or use alpha=0"
        )
    if with_pair < needed:
        raise BadInput(
            f"{store.path}: expected two documents of at least two tokens, got one: its tokens have no negatives. "
            "Collect more documents, or use same_sequence=True"
        )


def warn_no_promotion(config: TSAEConfig) -> None:
    """Warn that a resolved config has too few steps for its first promotion."""
    steps = config.training.steps or 0
    if config.promote_every and config.promote_every >= PROMOTION_SHARE * steps:
        warnings.warn(
            f"a fit of {steps} steps promotes nothing: the first promotion would be at step {config.promote_every}, "
            f"and there is none in the last {1 - PROMOTION_SHARE:.0%}. Use more steps, or a smaller promote_every "
            "(--promote-every)",
            stacklevel=5,
        )
