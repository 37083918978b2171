"""What one checkpoint's latents did while it read one corpus: sums by prompt and outcome, by token role, by place.

A reading is mergeable and is saved whole or not at all: a track that was stopped goes on at the reading it was in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp.artifacts import read_manifest, write_manifest, writing_dir
from interp.features.looking import Looked
from interp.rollouts.harvest import STORED_ROLES
from interp.rollouts.record import Rollout
from interp.tracking.behaviour import Tally
from interp.tracking.grouped import Grouped
from interp.tsae.codes import Codes
from interp.tsae.metrics import FVE, LossRecovered

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
