"""Stores and configs on which a dictionary is fitted in a second: few planted latents, or tokens that hold their own
number."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from interp.activations import Store, TokenTable, Writer
from interp.studies.dictionary_config import PlantedConfig
from interp.studies.planted import Planted, plant, planted_store
from interp.tsae import TSAE, ContrastConfig, TrainingConfig, TSAEConfig

Layout = Sequence[Sequence[tuple[int, int]]]
"""For each shard, the tokens of each document: in all, and in its prompt."""
TENSORS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
TINY = PlantedConfig(d_model=16, per_kind=4, dwell=12, length=24, rare_rate=0.02, tokens=4800)
WIDTH, K, BLOCKS = 64, 4, (0.25, 0.75)
OVERFLOWING = {"temperature": 1e-44}
"""A contrast whose loss is not finite: a similarity over this temperature is beyond float32."""


def small_config(
    *, contrast: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **fields: Any
) -> TSAEConfig:
    """Twenty steps of 128 tokens, two pools an epoch."""
    training = {"steps": 20, "batch": 128, "save_every": 1000, "pool_gb": 1.6e-4} | (training or {})
    fields = {"width": WIDTH, "k": K, "blocks": BLOCKS, "promote_every": 5} | fields
    return TSAEConfig(**fields, contrast=ContrastConfig(**contrast or {}), training=TrainingConfig(**training))


def small_store(path: Path, planted: PlantedConfig = TINY, *, shard_documents: int = 50, draw: int = 0) -> Store:
    """4800 tokens of planted latents, by default in four shards."""
    return planted_store(plant(planted, draw=draw), path, shard_documents=shard_documents)


def held_out_documents(planted: PlantedConfig = TINY, tokens: int = 4800) -> Planted:
    """Documents of the same latents that are in no store."""
    return plant(replace(planted, tokens=tokens), draw=1)


def numbered_residuals(first: int, n: int, layer: int = 0) -> Tensor:
    """Residuals (number of the token in the store, its cosine)."""
    number_N = torch.arange(first, first + n).float() + 1000 * layer
    return torch.stack([number_N, number_N.cos()], 1)


def noise_residuals(first: int, n: int, layer: int, d_model: int = 16) -> Tensor:
    return torch.randn(n, d_model, generator=torch.Generator().manual_seed(1000 * layer + first))


def store_with_layout(
    path: Path,
    layout: Layout,
    *,
    layers: Sequence[int] = (0,),
    d_model: int = 2,
    fill: Callable[[int, int, int], Tensor] = numbered_residuals,
    made_from: dict[str, str] | None = None,
) -> Store:
    """A store with documents of these lengths. `fill(first, n, layer)` makes the residuals of tokens first, ...,
    first + n - 1."""
    writer = Writer(path, layers=layers, d_model=d_model, roles=("text",), made_from=made_from)
    first = 0
    for shard in layout:
        length_M = np.array([length for length, _ in shard])
        prompt_M = np.array([prompt for _, prompt in shard])
        n, position_N = int(length_M.sum()), np.concatenate([np.arange(length) for length in length_M])
        table = TokenTable(
            ids=torch.full((n,), -1, dtype=torch.int32),
            document=torch.arange(len(shard), dtype=torch.int32).repeat_interleave(torch.from_numpy(length_M)),
            position=torch.from_numpy(position_N).int(),
            role=torch.zeros(n, dtype=torch.uint8),
            completion=torch.from_numpy(position_N >= prompt_M.repeat(length_M)),
        )
        documents = pl.DataFrame({"length": length_M, "prompt": prompt_M})
        writer.add({layer: fill(first, n, layer) for layer in layers}, table, documents)
        first += n
    return writer.finish()


def expect_same_bits(left: TSAE, right: TSAE) -> None:
    different = [name for name in TENSORS if not torch.equal(getattr(left, name), getattr(right, name))]
    assert (different, left.fit_metrics) == ([], right.fit_metrics)


def variance_explained(tsae: TSAE, x_ND: Tensor) -> float:
    """1 - squared error of the reconstruction / squared distance from the mean."""
    error = (tsae.decode(tsae.encode(x_ND)) - x_ND).pow(2).sum()
    return 1 - float(error / (x_ND - x_ND.mean(0)).pow(2).sum())


def identity_tsae(d_model: int, *, layer: int | None = 0, scale: float = 1.0) -> TSAE:
    """Each direction once with each sign: reconstructs every residual exactly, times `scale`."""
    both_FD = torch.cat([torch.eye(d_model), -torch.eye(d_model)])
    zeros_F, zeros_D = torch.zeros(2 * d_model), torch.zeros(d_model)
    blocks = (d_model, d_model)
    return TSAE(both_FD.T.contiguous(), zeros_F, scale * both_FD, zeros_D, zeros_F, block_widths=blocks, layer=layer)


def silent_tsae(tsae: TSAE) -> TSAE:
    """The same dictionary with thresholds that no activation exceeds: reconstructs b_dec."""
    return replace(tsae, threshold=torch.full_like(tsae.threshold, 1e9))
