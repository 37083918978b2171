"""Sums over tokens by group and latent: how often each latent was on, and how much of it there was.

A group is whatever a token belongs to that is to be told apart later: its bucket, its prompt, how the rollout ended,
its role. There is a row for each group that occurs, so that memory hangs on groups and latents, never on tokens. Codes
are sparse, and only what is on is added: an update costs what an encoder's output costs to look through, no more.

What one checkpoint's latents did while it read one corpus: sums by prompt and outcome, by token role, by place.

A reading is mergeable and is saved whole or not at all: a track that was stopped goes on at the reading it was in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp.activations.documents import STORED_ROLES
from interp.artifacts import BadInput, read_manifest, write_manifest, writing_dir
from interp.encoding.encoder import Looked
from interp.rollouts.record import Rollout
from interp.tracking.behavior import Tally
from interp.tsae.codes import Codes
from interp.tsae.metrics import FVE, LossRecovered

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


KIND = "reading"
FILE = "reading.safetensors"
OUTCOMES = ("valid", "lucky", "correct", "wrong")
"""How a rollout ended; `correct` where nobody knows whether it is valid."""
TABLES = {
    "prompts": ("bucket", "prompt", "outcome", "length"),
    "roles": ("bucket", "outcome", "role"),
    "places": ("bucket", "outcome", "place"),
}
"""What is told apart. Lengths and places are counted in powers of two: 0 is one token, 1 is two or three, and so on."""


Document = tuple[str, int, Rollout]
"""Its bucket, the number of its prompt there, and the rollout."""


def outcome_of(rollout: Rollout) -> str:
    if rollout.valid:
        return "valid"
    return "wrong" if not rollout.correct else "lucky" if rollout.valid is False else "correct"


def octave(n: int) -> int:
    return int(math.log2(n))


@dataclass(frozen=True)
class Known:
    """Of some rollouts, document by document."""

    buckets: list[str]
    bucket_M: Tensor
    """Which of them each is of."""
    outcome_M: Tensor
    """Of `OUTCOMES`."""
    row_M: Tensor
    """Of the table of prompts."""


@dataclass
class Reading:
    step: int
    corpus: str
    width: int
    tables: dict[str, Grouped] = field(default_factory=dict)
    fits: dict[str, FVE] = field(default_factory=dict)
    """How much of the residual is explained, by bucket."""
    recovered: dict[str, LossRecovered] = field(default_factory=dict)
    """Against the mean of the residual in its place, by bucket, where it was measured."""
    tally: Tally = field(default_factory=Tally)
    """What came of the rollouts, those without a token too."""

    def __post_init__(self) -> None:
        self.tables = self.tables or {name: Grouped(keys, self.width) for name, keys in TABLES.items()}

    def known(self, documents: Sequence[Document]) -> "Known":
        """Worked out once for all their tokens, however many pieces these come in."""
        buckets = sorted({bucket for bucket, _, _ in documents})
        bucket_M = torch.tensor([buckets.index(bucket) for bucket, _, _ in documents])
        outcome_M = torch.tensor([OUTCOMES.index(outcome_of(row)) for _, _, row in documents])
        prompts = [(bucket, at, outcome_of(row), octave(len(row.tokens))) for bucket, at, row in documents]
        return Known(buckets, bucket_M, outcome_M, self.tables["prompts"].rows(prompts))

    def update(self, part: Looked, xhat_ND: Tensor, known: "Known") -> None:
        """Some tokens of some rollouts: `part.document_N` says which of those that are known each is of."""
        buckets = known.buckets
        bucket_N, outcome_N = known.bucket_M[part.document_N], known.outcome_M[part.document_N]
        self.tables["prompts"].update(part.codes, known.row_M[part.document_N])
        self._add("roles", part.codes, (bucket_N, buckets), (outcome_N, OUTCOMES), (part.role_N, STORED_ROLES))
        octave_N = (part.place_N + 1).double().log2().floor().long()
        octaves = range(int(octave_N.max()) + 1)
        self._add("places", part.codes, (bucket_N, buckets), (outcome_N, OUTCOMES), (octave_N, octaves))
        for at, bucket in enumerate(buckets):
            mine_N = bucket_N == at
            self.fits.setdefault(bucket, FVE()).update(x_ND=part.x_ND[mine_N], xhat_ND=xhat_ND[mine_N])

    def _add(self, table: str, codes: Codes, *told: tuple[Tensor, Sequence[Any]]) -> None:
        """To the rows of a table, by facts of each token: its code, and what the codes stand for."""
        sizes = [len(names) for _, names in told]
        flat_N = torch.zeros(codes.tokens, dtype=torch.int64)
        for (code_N, _), size in zip(told, sizes, strict=True):
            flat_N = flat_N * size + code_N
        found, which_N = flat_N.unique(return_inverse=True)
        keys = [
            tuple(names[at] for at, (_, names) in zip(places, told, strict=True)) for places in _unflat(found, sizes)
        ]
        self.tables[table].update(codes, self.tables[table].rows(keys)[which_N])

    def merge(self, other: "Reading") -> None:
        for name, table in other.tables.items():
            self.tables[name].merge(table)
        for bucket, fve in other.fits.items():
            self.fits.setdefault(bucket, FVE()).merge(fve)
        for bucket, recovered in other.recovered.items():
            self.recovered.setdefault(bucket, LossRecovered()).merge(recovered)
        self.tally.merge(other.tally)

    def save(self, path: Path, *, made_from: dict[str, str]) -> None:
        tensors = {
            f"{name}.{key}": held for name, table in self.tables.items() for key, held in table.tensors().items()
        }
        tensors |= {f"mean.{bucket}": fve.mean_D for bucket, fve in self.fits.items() if fve.mean_D is not None}
        told: dict[str, Any] = {"width": self.width, "keys": {name: table.keys for name, table in self.tables.items()}}
        told["fits"] = {bucket: [fve.n, fve.error, fve.spread] for bucket, fve in self.fits.items()}
        told["recovered"] = {bucket: vars(recovered) for bucket, recovered in self.recovered.items()}
        told["tally"] = self.tally.rows()
        with writing_dir(path) as aside:
            save_file({name: held.contiguous() for name, held in tensors.items()}, aside / FILE)
            write_manifest(aside, KIND, config={"step": self.step, "corpus": self.corpus}, made_from=made_from, **told)

    @classmethod
    def load(cls, path: Path, *, made_from: dict[str, str] | None = None) -> "Reading":
        manifest, held = read_manifest(path, KIND, made_from=made_from), load_file(path / FILE)
        width = manifest["width"]
        tables = {name: _table(name, manifest, held.__getitem__) for name in TABLES}
        fits = {
            bucket: FVE(int(n), error, spread, held.get(f"mean.{bucket}"))
            for bucket, (n, error, spread) in manifest["fits"].items()
        }
        recovered = {bucket: LossRecovered(**sums) for bucket, sums in manifest["recovered"].items()}
        config, tally = manifest["config"], Tally.of(manifest.get("tally", []))
        return cls(config["step"], config["corpus"], width, tables, fits, recovered, tally)


def table_at(
    path: Path, name: str, *, made_from: dict[str, str] | None = None, latents: Sequence[int] | None = None
) -> Grouped:
    """One table of a reading, of these latents alone if any are named: nothing else is looked at or made room for."""
    manifest = read_manifest(path, KIND, made_from=made_from)
    with safe_open(path / FILE, framework="pt") as held:
        return _table(name, manifest, held.get_tensor, latents)


def _table(
    name: str, manifest: dict[str, Any], held: Callable[[str], Tensor], latents: Sequence[int] | None = None
) -> Grouped:
    mine = {key: held(f"{name}.{key}") for key in ("tokens", "place", "active", "mass")}
    return Grouped.of(TABLES[name], manifest["width"], manifest["keys"][name], mine, latents)


def _unflat(flat: Tensor, sizes: Sequence[int]) -> list[list[int]]:
    """The codes that each number was made of."""
    columns = []
    for size in reversed(sizes):
        columns.append((flat % size).tolist())
        flat = flat // size
    return [list(codes) for codes in zip(*reversed(columns), strict=True)]
