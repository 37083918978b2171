"""A world in which a dictionary is fitted in a second: planted latents few enough to count, tokens that say who they
are, and fits that are stopped where a test wants them stopped."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from interp.activations import Store, TokenTable, Writer
from interp.studies.dictionary.config import PlantedConfig
from interp.studies.dictionary.planted import Planted, plant, store_of
from interp.tsae import TSAE, ContrastConfig, TrainingConfig, TSAEConfig

Layout = Sequence[Sequence[tuple[int, int]]]
"""Of each shard, of each of its documents: tokens in all, and of the prompt."""
TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
TINY = PlantedConfig(d_model=16, each=4, dwell=12, length=24, rare=0.02, tokens=4800)
WIDTH, K, BLOCKS = 64, 4, (0.25, 0.75)


def small(*, contrast: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **rest: Any) -> TSAEConfig:
    """Twenty steps of 128 tokens, two pools to an epoch."""
    training = {"steps": 20, "batch": 128, "save_every": 1000, "pool_gb": 1.6e-4} | (training or {})
    chosen: dict[str, Any] = {"width": WIDTH, "k": K, "blocks": BLOCKS, "promote_every": 5} | rest
    return TSAEConfig(**chosen, contrast=ContrastConfig(**contrast or {}), training=TrainingConfig(**training))


def planted_store(path: Path, planted: PlantedConfig = TINY, *, shard_documents: int = 50, draw: int = 0) -> Store:
    """Four shards of 1200 tokens, unless told otherwise."""
    return store_of(plant(planted, draw=draw), path, shard_documents=shard_documents)


def held_out(planted: PlantedConfig = TINY, tokens: int = 4800) -> Planted:
    """Documents that no dictionary has seen."""
    return plant(replace(planted, tokens=tokens), draw=1)


def numbered(first: int, n: int, layer: int = 0) -> Tensor:
    """Residuals of two dimensions: a token's number in the store, and how far it lies above zero all the same."""
    places = torch.arange(first, first + n).float() + 1000 * layer
    return torch.stack([places, places.cos()], 1)


def store_of_layout(
    path: Path,
    layout: Layout,
    *,
    layers: Sequence[int] = (0,),
    d_model: int = 2,
    fill: Callable[[int, int, int], Tensor] = numbered,
    made_from: dict[str, str] | None = None,
) -> Store:
    """`fill` makes n residuals from the number of the first token, n, and the layer."""
    writer = Writer(path, layers=layers, d_model=d_model, roles=("text",), made_from=made_from)
    at = 0
    for shard in layout:
        lengths = np.array([length for length, _ in shard])
        prompts = np.array([prompt for _, prompt in shard])
        n, place = int(lengths.sum()), np.concatenate([np.arange(length) for length in lengths])
        table = TokenTable(
            ids=torch.full((n,), -1, dtype=torch.int32),
            document=torch.arange(len(shard), dtype=torch.int32).repeat_interleave(torch.from_numpy(lengths)),
            position=torch.from_numpy(place).int(),
            role=torch.zeros(n, dtype=torch.uint8),
            completion=torch.from_numpy(place >= prompts.repeat(lengths)),
        )
        documents = pl.DataFrame({"length": lengths, "prompt": prompts})
        writer.add({layer: fill(at, n, layer) for layer in layers}, table, documents)
        at += n
    return writer.finish()


def noise(first: int, n: int, layer: int, d_model: int = 16) -> Tensor:
    return torch.randn(n, d_model, generator=torch.Generator().manual_seed(1000 * layer + first))


def expect_same_bits(left: TSAE, right: TSAE) -> None:
    different = [name for name in TENSORS if not torch.equal(getattr(left, name), getattr(right, name))]
    assert (different, left.fit_metrics) == ([], right.fit_metrics)


def fve(dictionary: TSAE, x_ND: Tensor) -> float:
    """Share of the variance that the reconstruction explains."""
    error = (dictionary.decode(dictionary.encode(x_ND)) - x_ND).pow(2).sum()
    return 1 - float(error / (x_ND - x_ND.mean(0)).pow(2).sum())
