"""Sums of each latent's activity over tokens, by group of tokens.

A group is a tuple of properties of a token: its bucket and prompt, how its rollout ended, its role. For a group r and a
latent f with activation z at token n,

    tokens_r = sum_n 1        active_rf = sum_n 1[z_nf > 0]        sum_rf = sum_n z_nf

Only groups that occur have a row, so memory depends on groups and latents, never on tokens. Codes are sparse, and an
update touches active latents alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.tsae.codes import Codes

Key = tuple[Any, ...]
TENSORS = ("tokens", "index", "active", "sum")
"""What is stored of a table: token counts of its rows, and, where a latent was active, place and sums."""


@dataclass
class ActivationSums:
    """One table of sums: a row for each group, a column for each latent. Two tables can be merged."""

    key_names: tuple[str, ...]
    """The properties that make up a group's key."""
    width: int
    """Number of latents."""

    def __post_init__(self) -> None:
        self.row_of_key: dict[Key, int] = {}
        self.tokens_R: Int[Tensor, " R"] = torch.zeros(0, dtype=torch.int64)
        self.active_RF: Int[Tensor, "R F"] = torch.zeros(0, self.width, dtype=torch.int32)
        self.sum_RF: Float[Tensor, "R F"] = torch.zeros(0, self.width, dtype=torch.float64)

    @property
    def keys(self) -> list[Key]:
        """The key of each row, in order."""
        return list(self.row_of_key)

    def column(self, name: str) -> np.ndarray:
        """One property of every row."""
        column = self.key_names.index(name)
        return np.array([key[column] for key in self.row_of_key])

    def row_indices(self, keys: Sequence[Key]) -> Int[Tensor, " K"]:
        """The row of each key. A new key gets a new row of zeros."""
        for key in keys:
            if len(key) != len(self.key_names):
                raise BadInput(f"expected keys of {', '.join(self.key_names)}; got {key}")
            self.row_of_key.setdefault(key, len(self.row_of_key))
        if (new := len(self.row_of_key) - len(self.tokens_R)) > 0:
            self.tokens_R = torch.cat([self.tokens_R, self.tokens_R.new_zeros(new)])
            self.active_RF = torch.cat([self.active_RF, self.active_RF.new_zeros(new, self.width)])
            self.sum_RF = torch.cat([self.sum_RF, self.sum_RF.new_zeros(new, self.width)])
        return torch.tensor([self.row_of_key[key] for key in keys], dtype=torch.int64)

    def update(self, codes: Codes, row_N: Int[Tensor, " N"]) -> None:
        """Add tokens. `row_N` is the row of each, as `row_indices` returns it."""
        if codes.width != self.width or codes.tokens != len(row_N):
            expected = f"{len(row_N)} tokens over {self.width} latents"
            raise BadInput(f"expected codes of {expected}, got {codes.tokens} over {codes.width}")
        self.tokens_R += torch.bincount(row_N, minlength=len(self.tokens_R))
        flat_K = row_N[codes.token_K] * self.width + codes.latent_K
        self.active_RF.view(-1).index_add_(0, flat_K, torch.ones(len(flat_K), dtype=torch.int32))
        self.sum_RF.view(-1).index_add_(0, flat_K, codes.value_K.double())

    def merge(self, other: "ActivationSums") -> None:
        if (self.key_names, self.width) != (other.key_names, other.width):
            raise BadInput(
                f"expected sums by {', '.join(self.key_names)} over {self.width} latents, got sums by "
                f"{', '.join(other.key_names)} over {other.width}"
            )
        row_R = self.row_indices(other.keys)
        self.tokens_R.index_add_(0, row_R, other.tokens_R)
        self.active_RF.index_add_(0, row_R, other.active_RF)
        self.sum_RF.index_add_(0, row_R, other.sum_RF)

    def to_tensors(self) -> dict[str, Tensor]:
        """The tensors to store: sums that are not zero, and where they stand."""
        index_P = self.active_RF.view(-1).nonzero()[:, 0]
        active_P, sum_P = (sums_RF.view(-1)[index_P] for sums_RF in (self.active_RF, self.sum_RF))
        return dict(zip(TENSORS, (self.tokens_R, index_P, active_P, sum_P), strict=True))

    @classmethod
    def from_tensors(
        cls,
        key_names: Sequence[str],
        width: int,
        keys: Sequence[Sequence[Any]],
        tensors: Mapping[str, Tensor],
        latents: Sequence[int] | None = None,
    ) -> "ActivationSums":
        """The table whose `keys` and `to_tensors` were stored. With `latents`, of these alone, in this order."""
        index_P, active_P, sum_P = (tensors[name] for name in ("index", "active", "sum"))
        if latents is not None:
            expect_latents(latents, width)
            column_F = torch.full((width,), -1)
            column_F[list(latents)] = torch.arange(len(latents))
            is_selected_P = column_F[index_P % width] >= 0
            index_P, active_P, sum_P = index_P[is_selected_P], active_P[is_selected_P], sum_P[is_selected_P]
            index_P, width = index_P // width * len(latents) + column_F[index_P % width], len(latents)
        table = cls(tuple(key_names), width)
        table.row_indices([tuple(key) for key in keys])
        table.tokens_R = tensors["tokens"]
        table.active_RF.view(-1)[index_P] = active_P
        table.sum_RF.view(-1)[index_P] = sum_P
        return table


def expect_latents(latents: Sequence[int], width: int) -> None:
    """Refuse latents that a dictionary of this width does not have."""
    if missing := [latent for latent in latents if not 0 <= latent < width]:
        raise BadInput(
            f"expected latents of a dictionary of {width:,}, from 0 to {width - 1}; got {', '.join(map(str, missing))}"
        )
