"""The numbers of several sources side by side, and audited rollouts with their labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import (
    BadInput,
    Mismatch,
    describe_changes,
    fingerprint,
    fingerprint_config,
    fingerprint_tensors,
    same_fingerprint,
    spec_of,
    to_json,
)
from interp.policy.policy import Policy
from interp.readouts.logistic import Logistic, fit_logistic
from interp.readouts.reading import Place, Reading, read_rollouts
from interp.readouts.sources import Source, places_of
from interp.rollouts.record import Rollout


def expect_sources(sources: Sequence[Source]) -> tuple[Source, ...]:
    """The sources, if there is one and all are sources."""
    if isinstance(sources, Source) or not sources or not all(isinstance(source, Source) for source in sources):
        raise BadInput(f"expected a list of sources to read, such as [interp.readouts.Likelihood()]; got {sources!r}")
    return tuple(sources)


# --- where numbers are from ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """What some numbers were read from: enough to tell them from others, whatever the last bits of a device are."""

    sources: tuple[Any, ...] = ()
    """Class and settings of each source, as JSON. Empty: not stated."""
    reader: str = ""
    """Fingerprint of the policy that was read. Empty: none was, or not stated."""
    texts: tuple[str, ...] = ()
    """A fingerprint of each text, in order."""

    @classmethod
    def of(cls, sources: Sequence[Source], reader: Policy | None, rollouts: Sequence[Rollout]) -> "Origin":
        """The origin of what `sources` read in `rollouts`."""
        is_read = any(source.needs_logprobs or source.layers for source in sources)
        stated = tuple(to_json(spec_of(source)) for source in sources)
        return cls(stated, reader.fingerprint() if reader is not None and is_read else "", _text_keys(rollouts))

    def fingerprint(self) -> str:
        return fingerprint(fingerprint_config(self.sources), self.reader, *self.texts)

    def expect_sources(self, sources: Sequence[Any], *, of: str) -> None:
        """Refuse other sources, or the same ones with other settings. Where nothing is stated, nothing is refused.

        `sources` are sources, or what another origin states of its own."""
        if not self.sources or not sources:
            return
        others = [to_json(spec_of(source)) if isinstance(source, Source) else source for source in sources]
        got, expected = (dict(enumerate(specs, 1)) for specs in (self.sources, others))
        if changes := describe_changes({"source": got}, {"source": expected}):
            raise Mismatch(f"expected {of} read by the same sources, got others: {changes}. Read them again")

    def expect_reader(self, reader: str, *, of: str) -> None:
        """Refuse another reader. Where nothing is stated, nothing is refused."""
        if self.reader and reader and not same_fingerprint(self.reader, reader):
            raise Mismatch(f"expected {of} read by {reader}, got some read by {self.reader}: read them again with it")


def _text_keys(rollouts: Sequence[Rollout]) -> tuple[str, ...]:
    keys = ((row.run, row.step, row.problem, row.sample, row.prompt_ids, row.tokens) for row in rollouts)
    return tuple(fingerprint(*map(str, key)) for key in keys)


# --- numbers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Columns:
    """A row of numbers for each rollout; NaN where something could not be read."""

    x_BF: Float[Tensor, "B F"]
    widths: tuple[int, ...]
    """How many columns each source has."""

    @property
    def is_readable_B(self) -> Bool[Tensor, " B"]:
        return ~self.x_BF.isnan().any(1)

    def split(self, n: int) -> tuple["Columns", "Columns"]:
        """Those of the first `n` sources, and those of the others."""
        width = sum(self.widths[:n])
        return Columns(self.x_BF[:, :width], self.widths[:n]), Columns(self.x_BF[:, width:], self.widths[n:])

    def at(self, rows: Sequence[int]) -> "Columns":
        return replace(self, x_BF=self.x_BF[list(rows)])


def read_columns(sources: Sequence[Source], reader: Policy | None, rollouts: Sequence[Rollout]) -> Columns:
    """What the sources read in rollouts, from one pass of `reader` over them."""
    places, needs_logprobs = needs_of(sources, reader)
    return columns_of(sources, read_rollouts(reader, rollouts, places, logprobs=needs_logprobs))


def needs_of(sources: Sequence[Source], reader: Policy | None) -> tuple[list[Place], bool]:
    """The tokens whose residuals sources read, and whether they read log-probabilities. Where they read any, a missing
    reader is refused."""
    places = [place for source in sources for place in places_of(source)]
    needs_logprobs = any(source.needs_logprobs for source in sources)
    if reader is None and (places or needs_logprobs):
        raise BadInput(
            f"expected a policy to read {', '.join(source.name for source in sources)}, got none: "
            "RolloutBatch.from_rollouts(..., base=base)"
        )
    return places, needs_logprobs


def columns_of(sources: Sequence[Source], reading: Reading) -> Columns:
    """What the sources read in a reading, beside each other."""
    parts = [source.columns(reading).double() for source in sources]
    return Columns(torch.cat(parts, 1), tuple(part.shape[1] for part in parts))


# --- labels ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Labels:
    """Audited rollouts: the numbers read in each, whether it was valid, and how much it counts in a fit."""

    columns: Columns = field(default_factory=lambda: Columns(torch.zeros(0, 0, dtype=torch.float64), ()))
    is_valid_A: Bool[Tensor, " A"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    weight_A: Float[Tensor, " A"] = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    origin: Origin = Origin()
    """What they were read from."""

    def __len__(self) -> int:
        return len(self.is_valid_A)

    def fingerprint(self) -> str:
        """Of what they were made from: sources, reader, texts, validity and weights. Numbers that are read again on
        another device may differ in their last bits, and are the same labels. Labels that do not state their origin
        have that of their numbers."""
        if len(self.origin.texts) != len(self) or not self.origin.sources:
            tensors = {"x": self.columns.x_BF, "is_valid": self.is_valid_A, "weight": self.weight_A}
            return fingerprint_tensors(tensors, lambda name: tensors[name])
        return fingerprint(self.origin.fingerprint(), str(self.is_valid_A.tolist()), str(self.weight_A.tolist()))

    def plus(self, others: "Labels") -> "Labels":
        """These and others. They must have been read by the same sources."""
        if not len(self):
            return others
        if not len(others):
            return self
        if self.columns.widths != others.columns.widths:
            raise BadInput(
                f"expected labels read by the same sources, with {self.columns.widths} numbers, got "
                f"{others.columns.widths}"
            )
        self.origin.expect_sources(others.origin.sources, of="labels")
        self.origin.expect_reader(others.origin.reader, of="labels")
        x_AF = torch.cat([self.columns.x_BF, others.columns.x_BF])
        is_valid_A, weight_A = (
            torch.cat([getattr(self, name), getattr(others, name)]) for name in ("is_valid_A", "weight_A")
        )
        origin = replace(self.origin, texts=(*self.origin.texts, *others.origin.texts))
        return Labels(Columns(x_AF, self.columns.widths), is_valid_A, weight_A, origin)

    def of_sources(self, places: Sequence[int]) -> "Labels":
        """The same with what some of the sources read, given by their places."""
        if not len(self):
            return self
        parts = self.columns.x_BF.split(self.columns.widths, 1)
        x_AF = torch.cat([parts[at] for at in places], 1)
        stated = self.origin.sources
        origin = replace(self.origin, sources=tuple(stated[at] for at in places) if stated else ())
        return replace(self, columns=Columns(x_AF, tuple(self.columns.widths[at] for at in places)), origin=origin)

    def last(self, n: int) -> "Labels":
        """The last `n`."""
        start = max(0, len(self) - n)
        columns = replace(self.columns, x_BF=self.columns.x_BF[start:])
        origin = replace(self.origin, texts=self.origin.texts[start:] if len(self.origin.texts) == len(self) else ())
        return Labels(columns, self.is_valid_A[start:], self.weight_A[start:], origin)

    @property
    def base_rate(self) -> float:
        """Valid share of the labels by weight. One label of each kind is added, so that it is never 0 or 1."""
        return (float((self.weight_A * self.is_valid_A).sum()) + 1) / (float(self.weight_A.sum()) + 2)

    @property
    def valid_share(self) -> float | None:
        """Valid share of the labels by weight. None without labels."""
        total = float(self.weight_A.sum())
        return float((self.weight_A * self.is_valid_A).sum()) / total if total else None

    @property
    def has_both_kinds(self) -> bool:
        return bool(self.is_valid_A.any()) and not bool(self.is_valid_A.all())

    def fit(self, ridge: float) -> Logistic:
        """The regression of validity on what was read. Each source has the same say under the penalty, however many of
        its numbers differ between the texts."""
        differs = (self.columns.x_BF != self.columns.x_BF[:1]).any(0).split(self.columns.widths)
        scale_F = torch.cat([torch.full((len(one_F),), max(int(one_F.sum()), 1) ** -0.5) for one_F in differs])
        return fit_logistic(self.columns.x_BF, self.is_valid_A, scale_F=scale_F, ridge=ridge, weight_B=self.weight_A)


def label_rollouts(sources: Sequence[Source], reader: Policy | None, rollouts: Sequence[Rollout]) -> Labels:
    """Labels from verified rollouts. Those that cannot be read, or were not judged, are left out."""
    columns = read_columns(sources, reader, rollouts)
    is_judged_B = torch.tensor([row.valid is not None for row in rollouts], dtype=torch.bool)
    rows = (columns.is_readable_B & is_judged_B).nonzero()[:, 0].tolist()
    is_valid_A = torch.tensor([bool(rollouts[row].valid) for row in rows], dtype=torch.bool)
    origin = Origin.of(sources, reader, [rollouts[row] for row in rows])
    return Labels(columns.at(rows), is_valid_A, torch.ones(len(rows), dtype=torch.float64), origin)


def weighted_like(labels: Labels, other: Labels) -> Labels:
    """The labels with the total weight of others, and their share of valid ones. Without both kinds, as they are."""
    total = float(other.weight_A.sum())
    if not labels.has_both_kinds or not total:
        return labels
    return with_base_rate(labels, float((other.weight_A * other.is_valid_A).sum()) / total, total)


def with_base_rate(labels: Labels, base_rate: float, weight: float) -> Labels:
    """The labels with a total weight, of which a share `base_rate` is that of the valid ones.

    Counterfactual edits come in any number; this says how many audits of current text they are worth."""
    n_valid = int(labels.is_valid_A.sum())
    if not 0 < n_valid < len(labels):
        raise BadInput(f"expected labels of both kinds, got {n_valid} valid of {len(labels)}")
    of_valid, of_others = base_rate * weight / n_valid, (1 - base_rate) * weight / (len(labels) - n_valid)
    weight_A = torch.where(labels.is_valid_A, of_valid, of_others).double()
    return replace(labels, weight_A=weight_A)
