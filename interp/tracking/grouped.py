"""Sums over tokens by group and latent: how often each latent was on, and how much of it there was.

A group is whatever a token belongs to that is to be told apart later: its bucket, its prompt, how the rollout ended,
its role. There is a row for each group that occurs, so that memory hangs on groups and latents, never on tokens. Codes
are sparse, and only what is on is added: an update costs what an encoder's output costs to look through, no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.codes import Codes

Key = tuple[Any, ...]


@dataclass
class Grouped:
    names: tuple[str, ...]
    """What a group is told by."""
    width: int

    def __post_init__(self) -> None:
        self.places: dict[Key, int] = {}
        self.tokens_R: Int[Tensor, " R"] = torch.zeros(0, dtype=torch.int64)
        self.active_RF: Int[Tensor, "R F"] = torch.zeros(0, self.width, dtype=torch.int32)
        self.mass_RF: Float[Tensor, "R F"] = torch.zeros(0, self.width, dtype=torch.float64)

    @property
    def keys(self) -> list[Key]:
        """Of the rows, in order."""
        return list(self.places)

    def column(self, name: str) -> np.ndarray:
        """Of the rows: which `name` each is of."""
        at = self.names.index(name)
        return np.array([key[at] for key in self.places])

    def rows(self, keys: Sequence[Key]) -> Int[Tensor, " K"]:
        """The row of each key; those that are new get one."""
        for key in keys:
            if len(key) != len(self.names):
                raise BadInput(f"a group is told by {', '.join(self.names)}; got {key}")
            self.places.setdefault(key, len(self.places))
        if (more := len(self.places) - len(self.tokens_R)) > 0:
            self.tokens_R = torch.cat([self.tokens_R, self.tokens_R.new_zeros(more)])
            self.active_RF = torch.cat([self.active_RF, self.active_RF.new_zeros(more, self.width)])
            self.mass_RF = torch.cat([self.mass_RF, self.mass_RF.new_zeros(more, self.width)])
        return torch.tensor([self.places[key] for key in keys], dtype=torch.int64)

    def update(self, codes: Codes, row_N: Int[Tensor, " N"]) -> None:
        """`row_N`: the row of each token, as `rows` gave it."""
        if codes.width != self.width or codes.tokens != len(row_N):
            expected = f"{len(row_N)} tokens over {self.width} latents"
            raise BadInput(f"expected codes of {expected}, got {codes.tokens} over {codes.width}")
        self.tokens_R += torch.bincount(row_N, minlength=len(self.tokens_R))
        flat_K = row_N[codes.token_K] * self.width + codes.latent_K
        self.active_RF.view(-1).index_add_(0, flat_K, torch.ones(len(flat_K), dtype=torch.int32))
        self.mass_RF.view(-1).index_add_(0, flat_K, codes.value_K.double())

    def merge(self, other: "Grouped") -> None:
        if (self.names, self.width) != (other.names, other.width):
            raise BadInput(f"expected groups by {self.names} over {self.width} latents, got {other.names}")
        row_R = self.rows(other.keys)
        self.tokens_R.index_add_(0, row_R, other.tokens_R)
        self.active_RF.index_add_(0, row_R, other.active_RF)
        self.mass_RF.index_add_(0, row_R, other.mass_RF)

    def tensors(self) -> dict[str, Tensor]:
        """What is not zero, to be kept."""
        place_P = self.active_RF.view(-1).nonzero()[:, 0]
        active_P, mass_P = (held.view(-1)[place_P] for held in (self.active_RF, self.mass_RF))
        return {"tokens": self.tokens_R, "place": place_P, "active": active_P, "mass": mass_P}

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        width: int,
        keys: Sequence[Key],
        held: dict[str, Tensor],
        latents: Sequence[int] | None = None,
    ) -> "Grouped":
        """As `keys` and `tensors` gave it away; of these latents alone, in this order, if any are named."""
        place_P, active_P, mass_P = (held[name] for name in ("place", "active", "mass"))
        if latents is not None:
            expect_latents(latents, width)
            column_F = torch.full((width,), -1)
            column_F[list(latents)] = torch.arange(len(latents))
            kept_P = column_F[place_P % width] >= 0
            place_P, active_P, mass_P = place_P[kept_P], active_P[kept_P], mass_P[kept_P]
            place_P, width = place_P // width * len(latents) + column_F[place_P % width], len(latents)
        grouped = cls(tuple(names), width)
        grouped.rows([tuple(key) for key in keys])
        grouped.tokens_R = held["tokens"]
        grouped.active_RF.view(-1)[place_P] = active_P
        grouped.mass_RF.view(-1)[place_P] = mass_P
        return grouped


def expect_latents(latents: Sequence[int], width: int) -> None:
    """That a dictionary has them."""
    if strange := [latent for latent in latents if not 0 <= latent < width]:
        raise BadInput(
            f"expected latents of a dictionary of {width:,}, from 0 to {width - 1}; got {', '.join(map(str, strange))}"
        )
