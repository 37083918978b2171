"""What one checkpoint's latents did while it read one corpus: sums by prompt and outcome, by token role, by place.

A reading is mergeable and is saved whole or not at all: a track that was stopped goes on at the reading it was in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from interp.artifacts import read_manifest, write_manifest, writing_dir
from interp.rollouts.record import Rollout
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
    "places": ("bucket", "place"),
}
"""What is told apart. Lengths and places are counted in powers of two: 0 is one token, 1 is two or three, and so on."""


def outcome_of(rollout: Rollout) -> str:
    if rollout.valid:
        return "valid"
    return "wrong" if not rollout.correct else "lucky" if rollout.valid is False else "correct"


def octave(n: int) -> int:
    return int(math.log2(n))


@dataclass
class Reading:
    step: int
    corpus: str
    width: int
    tables: dict[str, Grouped] = field(default_factory=dict)
    fits: dict[str, FVE] = field(default_factory=dict)
    """How much of the residual is explained, by bucket."""
    recovered: LossRecovered | None = None
    """Against the mean of the residual in its place."""

    def __post_init__(self) -> None:
        self.tables = self.tables or {name: Grouped(keys, self.width) for name, keys in TABLES.items()}

    def update(
        self,
        codes: Codes,
        x_ND: Tensor,
        xhat_ND: Tensor,
        document_N: Tensor,
        role_N: Sequence[str],
        place_N: Sequence[int],
        documents: Sequence[tuple[str, int, Rollout]],
    ) -> None:
        """Tokens of some rollouts. `document_N` says which of `documents` each is of: its bucket, the number of its
        prompt there, and the rollout."""
        prompts = [(bucket, at, outcome_of(row), octave(len(row.tokens))) for bucket, at, row in documents]
        self.tables["prompts"].update(codes, self.tables["prompts"].rows(prompts)[document_N])
        told = [documents[at] for at in document_N.tolist()]
        roles = [(bucket, outcome_of(row), role) for (bucket, _, row), role in zip(told, role_N, strict=True)]
        self.tables["roles"].update(codes, self.tables["roles"].rows(roles))
        places = [(bucket, octave(place + 1)) for (bucket, _, _), place in zip(told, place_N, strict=True)]
        self.tables["places"].update(codes, self.tables["places"].rows(places))
        of_bucket: dict[str, list[int]] = {}
        for at, (bucket, _, _) in enumerate(told):
            of_bucket.setdefault(bucket, []).append(at)
        for bucket, rows in of_bucket.items():
            self.fits.setdefault(bucket, FVE()).update(x_ND=x_ND[rows], xhat_ND=xhat_ND[rows])

    def merge(self, other: "Reading") -> None:
        for name, table in other.tables.items():
            self.tables[name].merge(table)
        for bucket, fve in other.fits.items():
            self.fits.setdefault(bucket, FVE()).merge(fve)
        if other.recovered is not None:
            self.recovered = self.recovered or LossRecovered()
            self.recovered.merge(other.recovered)

    def save(self, path: Path, *, made_from: dict[str, str]) -> None:
        tensors = {
            f"{name}.{key}": held for name, table in self.tables.items() for key, held in table.tensors().items()
        }
        tensors |= {f"mean.{bucket}": fve.mean_D for bucket, fve in self.fits.items() if fve.mean_D is not None}
        told: dict[str, Any] = {"width": self.width, "keys": {name: table.keys for name, table in self.tables.items()}}
        told["fits"] = {bucket: [fve.n, fve.error, fve.spread] for bucket, fve in self.fits.items()}
        told["recovered"] = None if self.recovered is None else vars(self.recovered)
        with writing_dir(path) as aside:
            save_file({name: held.contiguous() for name, held in tensors.items()}, aside / FILE)
            write_manifest(aside, KIND, config={"step": self.step, "corpus": self.corpus}, made_from=made_from, **told)

    @classmethod
    def load(cls, path: Path, *, made_from: dict[str, str] | None = None) -> "Reading":
        manifest, held = read_manifest(path, KIND, made_from=made_from), load_file(path / FILE)
        width, tables = manifest["width"], {}
        for name, names in TABLES.items():
            mine = {key: held[f"{name}.{key}"] for key in ("tokens", "place", "active", "mass")}
            tables[name] = Grouped.of(names, width, manifest["keys"][name], mine)
        fits = {bucket: FVE(*told, held.get(f"mean.{bucket}")) for bucket, told in manifest["fits"].items()}
        sums = manifest["recovered"] and {f.name: manifest["recovered"][f.name] for f in fields(LossRecovered)}
        config = manifest["config"]
        return cls(config["step"], config["corpus"], width, tables, fits, sums and LossRecovered(**sums))
