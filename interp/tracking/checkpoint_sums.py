"""Sums of one checkpoint on one corpus: latents by prompt, role and position, fit of the dictionary, behavior.

Sums can be merged. They are saved whole or not at all, so that a track that was stopped continues with the corpus it
was on.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from interp.activations.documents import STORED_ROLES
from interp.artifacts import Artifact, reading, write_manifest, writing_dir
from interp.encoding.encode import EncodedChunk
from interp.rollouts.record import Rollout
from interp.tracking.activation_sums import TENSORS, ActivationSums
from interp.tracking.behavior import BehaviorCounts
from interp.tracking.layout import FILE, OUTCOMES, SUMS_KIND, TABLES, expect_table, open_sums
from interp.tsae.codes import Codes
from interp.tsae.metrics import FVE, SpliceLosses


class TrackedRollout(NamedTuple):
    """A rollout, with its bucket and its prompt."""

    bucket: str
    prompt: int
    """Number of its prompt in the bucket."""
    rollout: Rollout


def outcome_of(rollout: Rollout) -> str:
    if rollout.valid:
        return "valid"
    return "wrong" if not rollout.correct else "lucky" if rollout.valid is False else "correct"


def log2_bin(n: int) -> int:
    """floor(log2 n)."""
    return int(math.log2(n))


@dataclass(frozen=True)
class RolloutGroups:
    """Bucket, outcome and row of each of some rollouts, worked out once for all their tokens."""

    buckets: list[str]
    bucket_M: Int[Tensor, " M"]
    """Index into `buckets`."""
    outcome_M: Int[Tensor, " M"]
    """Index into `OUTCOMES`."""
    row_M: Int[Tensor, " M"]
    """Row of the table by prompt."""


@dataclass
class CheckpointSums:
    """All sums of one checkpoint on one corpus."""

    step: int
    corpus: str
    width: int
    tables: dict[str, ActivationSums] = field(default_factory=dict)
    fve: dict[str, FVE] = field(default_factory=dict)
    """Variance explained, by bucket."""
    loss_recovered: dict[str, SpliceLosses] = field(default_factory=dict)
    """Loss recovered against mean ablation, by bucket, where it was measured."""
    behavior: BehaviorCounts = field(default_factory=BehaviorCounts)
    """Outcomes of all rollouts, also of those without a token."""

    def __post_init__(self) -> None:
        self.tables = self.tables or {name: ActivationSums(keys, self.width) for name, keys in TABLES.items()}

    def group_rollouts(self, rollouts: Sequence[TrackedRollout]) -> RolloutGroups:
        buckets = sorted({bucket for bucket, _, _ in rollouts})
        bucket_M = torch.tensor([buckets.index(bucket) for bucket, _, _ in rollouts])
        outcome_M = torch.tensor([OUTCOMES.index(outcome_of(row)) for _, _, row in rollouts])
        keys = [(bucket, prompt, outcome_of(row), log2_bin(len(row.tokens))) for bucket, prompt, row in rollouts]
        return RolloutGroups(buckets, bucket_M, outcome_M, self.tables["prompts"].row_indices(keys))

    def update(self, chunk: EncodedChunk, xhat_ND: Float[Tensor, "N D"], groups: RolloutGroups) -> None:
        """Add tokens. `chunk.rollout_N` is the rollout of each token, an index into `groups`."""
        buckets = groups.buckets
        bucket_N, outcome_N = groups.bucket_M[chunk.rollout_N], groups.outcome_M[chunk.rollout_N]
        self.tables["prompts"].update(chunk.codes, groups.row_M[chunk.rollout_N])
        bucket, outcome = (bucket_N, buckets), (outcome_N, OUTCOMES)
        self._update_by("roles", chunk.codes, bucket, outcome, (chunk.role_N, STORED_ROLES))
        position_N = (chunk.position_N + 1).double().log2().floor().long()
        positions = range(int(position_N.max()) + 1)
        self._update_by("positions", chunk.codes, bucket, outcome, (position_N, positions))
        for index, name in enumerate(buckets):
            in_bucket_N = bucket_N == index
            self.fve.setdefault(name, FVE()).update(x_ND=chunk.x_ND[in_bucket_N], xhat_ND=xhat_ND[in_bucket_N])

    def _update_by(self, table: str, codes: Codes, *properties: tuple[Int[Tensor, " N"], Sequence[Any]]) -> None:
        """Add tokens to a table whose key is made of these properties, each an index by token and the values it points
        into."""
        sizes = [len(values) for _, values in properties]
        flat_N = torch.zeros(codes.tokens, dtype=torch.int64)
        for (index_N, _), size in zip(properties, sizes, strict=True):
            flat_N = flat_N * size + index_N
        flat_K, key_N = flat_N.unique(return_inverse=True)
        keys = [
            tuple(values[index] for index, (_, values) in zip(indices, properties, strict=True))
            for indices in _unflatten(flat_K, sizes)
        ]
        self.tables[table].update(codes, self.tables[table].row_indices(keys)[key_N])

    def merge(self, other: "CheckpointSums") -> None:
        for name, table in other.tables.items():
            self.tables[name].merge(table)
        for bucket, fve in other.fve.items():
            self.fve.setdefault(bucket, FVE()).merge(fve)
        for bucket, losses in other.loss_recovered.items():
            self.loss_recovered.setdefault(bucket, SpliceLosses()).merge(losses)
        self.behavior.merge(other.behavior)

    def save(
        self, path: Path, *, made_from: dict[str, str], settings: str | None = None, overwrite: bool = False
    ) -> None:
        """Save the sums. `settings` is the fingerprint of the config of the tracks they belong to."""
        tensors = {
            f"{name}.{part}": tensor
            for name, table in self.tables.items()
            for part, tensor in table.to_tensors().items()
        }
        tensors |= {f"mean.{bucket}": fve.mean_D for bucket, fve in self.fve.items() if fve.mean_D is not None}
        entries: dict[str, Any] = {
            "width": self.width,
            "keys": {name: table.keys for name, table in self.tables.items()},
            "fve": {bucket: [fve.n, fve.error, fve.spread] for bucket, fve in self.fve.items()},
            "loss_recovered": {bucket: vars(losses) for bucket, losses in self.loss_recovered.items()},
            "behavior": self.behavior.to_rows(),
        }
        config = {"step": self.step, "corpus": self.corpus, "settings": settings}
        with writing_dir(path, overwrite=overwrite) as aside:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside / FILE)
            write_manifest(aside, SUMS_KIND, config=config, made_from=made_from, **entries)

    @classmethod
    def load(cls, path: Path, *, made_from: dict[str, str] | None = None) -> "CheckpointSums":
        return cls.read(open_sums(path, made_from=made_from))

    @classmethod
    def read(cls, sums: Artifact) -> "CheckpointSums":
        """From sums that `open_sums` has opened."""
        manifest, tensors = sums.manifest, sums.tensors(FILE)
        with reading(sums.path / FILE, "sums of one checkpoint"):
            tables = {name: _table(name, manifest, tensors.__getitem__) for name in TABLES}
            fve = {
                bucket: FVE(n, error, spread, tensors[f"mean.{bucket}"] if n else None)
                for bucket, (n, error, spread) in manifest["fve"].items()
            }
            losses = {bucket: _losses(sums) for bucket, sums in manifest["loss_recovered"].items()}
            _expect_same_tokens(tables, fve)
        behavior, config = BehaviorCounts.from_rows(manifest["behavior"]), manifest["config"]
        return cls(config["step"], config["corpus"], manifest["width"], tables, fve, losses, behavior)


def load_table(sums: Artifact, name: str, *, latents: Sequence[int] | None = None) -> ActivationSums:
    """One table of the sums of a checkpoint, of some latents alone if they are named. Nothing else is read."""
    with sums.open_tensors(FILE) as tensors:
        return _table(name, sums.manifest, tensors.get_tensor, latents)


def _table(
    name: str, manifest: dict[str, Any], tensor: Callable[[str], Tensor], latents: Sequence[int] | None = None
) -> ActivationSums:
    tensors, keys, width = (
        {part: tensor(f"{name}.{part}") for part in TENSORS},
        manifest["keys"][name],
        manifest["width"],
    )
    expect_table(name, width, keys, tensors)
    return ActivationSums.from_tensors(TABLES[name], width, keys, tensors, latents)


def _losses(sums: dict[str, Any]) -> SpliceLosses:
    if set(sums) != set(vars(SpliceLosses())) or not all(math.isfinite(value) for value in sums.values()):
        raise ValueError(f"losses that are no numbers of {', '.join(vars(SpliceLosses()))}: {sums}")
    return SpliceLosses(**sums)


def _expect_same_tokens(tables: Mapping[str, ActivationSums], fve: Mapping[str, FVE]) -> None:
    """Refuse tables that count other tokens than each other, or than the fit of the dictionary."""
    if len(totals := {int(table.tokens_R.sum()) for table in tables.values() if len(table.tokens_R)}) > 1:
        raise ValueError(f"tables of {' and '.join(map(str, sorted(totals)))} tokens")
    keys, tokens_R = tables["prompts"].keys, tables["prompts"].tokens_R
    for bucket, fit in fve.items():
        rows = [row for row, key in enumerate(keys) if key[0] == bucket]
        if fit.n != (tokens := int(tokens_R[rows].sum())):
            raise ValueError(f"{tokens} tokens of bucket {bucket}, and variance explained of {fit.n}")
        if fit.mean_D is not None and (fit.mean_D.ndim != 1 or not bool(fit.mean_D.isfinite().all())):
            raise ValueError(f"a mean residual of bucket {bucket} that is no finite vector")


def _unflatten(flat_K: Int[Tensor, " K"], sizes: Sequence[int]) -> list[list[int]]:
    """The indices that each flat index stands for."""
    columns = []
    for size in reversed(sizes):
        columns.append((flat_K % size).tolist())
        flat_K = flat_K // size
    return [list(indices) for indices in zip(*reversed(columns), strict=True)]
