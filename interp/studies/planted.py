"""Activations with known latents: slow or fast, frequent or rare, two by two, more of them than dimensions.

Each latent is a random unit direction. Slow latents switch rarely and stay on for tens of tokens; fast latents are
drawn anew at every token. Half of each kind is frequent and half rare, at the same rates. So slow and fast latents
differ in time alone, and not in firing rate, by which a Matryoshka prefix selects latents.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.activations import Store, TokenTable, Writer
from interp.studies.dictionary_config import KINDS, PlantedConfig


@dataclass(frozen=True)
class Planted:
    """A sample of documents, and the latents behind it."""

    directions_GD: Float[Tensor, "G D"]
    kind_G: list[str]
    on_NG: Bool[Tensor, "N G"]
    """Whether each latent is active at each token, document after document."""
    x_ND: Float[Tensor, "N D"]
    length: int

    @property
    def slow_G(self) -> Bool[Tensor, " G"]:
        return torch.tensor([kind.startswith("slow") for kind in self.kind_G])


def plant(config: PlantedConfig, *, draw: int = 0) -> Planted:
    """Documents of the config's latents. `draw` numbers the sample of documents; the latents depend on the seed."""
    directions_GD = _directions(config)
    kind_G = [kind for kind in KINDS for _ in range(config.per_kind)]
    rng = np.random.default_rng([config.seed, 1, draw])
    documents = config.tokens // config.length
    on_BLG = np.concatenate([_active(rng, config, kind, documents) for kind in KINDS], -1)
    magnitude = 1 + 0.25 * rng.standard_normal(on_BLG.shape, dtype=np.float32)
    codes_NG = torch.from_numpy(on_BLG * magnitude.clip(0.25)).reshape(-1, len(kind_G)).float()
    noise_ND = config.noise * rng.standard_normal((len(codes_NG), config.d_model), dtype=np.float32)
    on_NG = torch.from_numpy(on_BLG).reshape(-1, len(kind_G))
    return Planted(directions_GD, kind_G, on_NG, codes_NG @ directions_GD + torch.from_numpy(noise_ND), config.length)


def _directions(config: PlantedConfig) -> Float[Tensor, "G D"]:
    rng = np.random.default_rng([config.seed, 0])
    normal_GD = torch.from_numpy(rng.standard_normal((4 * config.per_kind, config.d_model), dtype=np.float32))
    return normal_GD / normal_GD.norm(dim=-1, keepdim=True)


def _active(
    rng: np.random.Generator, config: PlantedConfig, kind: str, documents: int
) -> Bool[np.ndarray, "B L latents"]:
    """Whether each latent of a kind is active. A slow one is a two-state chain that begins in its stationary state."""
    rate = config.rare_rate if kind.endswith("rare") else config.frequent_rate
    shape = (documents, config.length, config.per_kind)
    if kind.startswith("fast"):
        return rng.random(shape) < rate
    off = 1 / config.dwell
    on = off * rate / (1 - rate)
    uniform, state = rng.random(shape), rng.random((documents, config.per_kind)) < rate
    states = np.empty(shape, bool)
    for place in range(config.length):
        if place:
            state = np.where(state, uniform[:, place] >= off, uniform[:, place] < on)
        states[:, place] = state
    return states


def planted_store(planted: Planted, path: Path, *, shard_documents: int = 1024) -> Store:
    """The documents as a store, to be fitted on like any other."""
    writer = Writer(path, layers=(0,), d_model=planted.x_ND.shape[1], roles=("text",), config={"made": "planted"})
    documents = len(planted.x_ND) // planted.length
    for first in range(len(writer.shards) * shard_documents, documents, shard_documents):
        count = min(shard_documents, documents - first)
        rows = slice(first * planted.length, (first + count) * planted.length)
        n = count * planted.length
        table = TokenTable(
            ids=torch.full((n,), -1, dtype=torch.int32),
            document=torch.arange(count, dtype=torch.int32).repeat_interleave(planted.length),
            position=torch.arange(planted.length, dtype=torch.int32).repeat(count),
            role=torch.zeros(n, dtype=torch.uint8),
            completion=torch.ones(n, dtype=torch.bool),
        )
        frame = pl.DataFrame({"length": [planted.length] * count, "prompt": [0] * count})
        writer.add({0: planted.x_ND[rows]}, table, frame, {})
    return writer.finish()
