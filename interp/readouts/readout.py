"""A readout as an artifact: what is read, the labels that were read so far, and how well it tells valid from lucky.

    log-odds that a rewarded answer is valid = regression on what the sources read in it

It scores any rollouts. Credit starts from it (`interp.credit.ReadoutCredit.of`), and refits it on audits in training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import (
    BadInput,
    fingerprint,
    from_json,
    open_artifact,
    reading,
    to_json,
    write_json,
    write_manifest,
    writing_dir,
)
from interp.display import HtmlSummary
from interp.policy.policy import Policy
from interp.readouts.columns import Columns, Labels, expect_sources, read_columns
from interp.readouts.config import ReadoutConfig
from interp.readouts.error_range import ErrorRange
from interp.readouts.logistic import Logistic
from interp.readouts.range_files import (
    error_range_from_json,
    error_range_to_json,
    origin_from_json,
    text_range_from_files,
    text_range_to_files,
)
from interp.readouts.source_files import sources_from_files, sources_to_files
from interp.readouts.sources import Source
from interp.readouts.text_range import TextRange
from interp.rollouts.record import Rollout
from interp.stats.estimate import Estimate
from interp.tsae import TSAE

if TYPE_CHECKING:
    import polars as pl

KIND, FILE, TENSORS = "readout", "readout.json", "labels.safetensors"


@dataclass(frozen=True)
class ReadoutTest:
    """How well a readout tells valid from lucky successes on held-out problems."""

    level: str
    """A level of the task, a depth, or "all"."""
    successes: int
    """Rewarded answers that could be read."""
    valid: int
    unreadable: int
    """Rewarded answers in which something could not be read."""
    auroc: Estimate
    """With an interval over problems. NaN where all are of one kind."""
    top_valid: float
    """The share of valid ones in the most likely tenth."""
    mean_probability: float
    """Of being valid, as read. A readout that is calibrated gives the share of valid ones."""
    brier: float
    """Mean square of the probability less the truth. Always the share of valid ones v would give v (1 - v)."""


@dataclass(frozen=True, eq=False)
class Readout(HtmlSummary):
    """Sources, labels, and the regression of validity on what is read."""

    sources: tuple[Source, ...]
    labels: Labels
    config: ReadoutConfig = field(default_factory=ReadoutConfig)
    tests: tuple[ReadoutTest, ...] = ()
    made_from: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the policy that reads, and of the task."""
    text_range: TextRange | None = None
    """Texts outside of it are like none that it knows: credit pays nothing for them."""
    error_range: ErrorRange | None = None
    """The same, by how well a dictionary explains what is read of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", expect_sources(self.sources))
        self.labels.origin.expect_sources(self.sources, of="labels")
        if not self.labels.has_both_kinds:
            raise BadInput(
                f"expected labels of both kinds, got {int(self.labels.is_valid_A.sum())} valid of {len(self.labels)}: "
                "label more answers, at levels where the policy is right now and then"
            )

    @cached_property
    def fit(self) -> Logistic:
        """The regression on the labels."""
        return self.labels.fit(self.config.ridge)

    def log_odds(self, reader: Policy | None, rollouts: Sequence[Rollout]) -> Float[Tensor, " B"]:
        """Log-odds that each rollout is valid, given that it is rewarded. NaN where something cannot be read."""
        return self.fit.log_odds(self.read(reader, rollouts).x_BF)

    def probability(self, reader: Policy | None, rollouts: Sequence[Rollout]) -> Float[Tensor, " B"]:
        """P(valid | rewarded, what is read) of each rollout. NaN where something cannot be read."""
        return self.log_odds(reader, rollouts).sigmoid()

    def read(self, reader: Policy | None, rollouts: Sequence[Rollout]) -> Columns:
        """What the sources read in each rollout. Another policy than that of the labels is refused."""
        if reader is not None:
            for source in self.sources:
                source.expect_reader(reader)
            self.labels.origin.expect_reader(reader.fingerprint(), of="labels")
        return read_columns(self.sources, reader, rollouts)

    # --- what it is ----------------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        return fingerprint(self.labels.fingerprint(), str(self.config.ridge))

    def __repr__(self) -> str:
        names = ", ".join(source.name for source in self.sources)
        return f"Readout({names}; {len(self.labels)} labels, {int(self.labels.is_valid_A.sum())} valid)"

    def summary(self) -> "pl.DataFrame":
        """A row per level: how well valid is told from lucky on held-out problems."""
        import polars as pl

        rows = [
            {
                "level": test.level, "successes": test.successes, "valid": test.valid, "unreadable": test.unreadable,
                "auroc": test.auroc.value, "auroc_low": test.auroc.low, "auroc_high": test.auroc.high,
                "top_valid": test.top_valid, "mean_probability": test.mean_probability, "brier": test.brier,
            }
            for test in self.tests
        ]  # fmt: skip
        return pl.DataFrame(rows)

    # --- on disk -------------------------------------------------------------------------------------------------

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the readout as a directory. Its dictionaries stay where they are."""
        from safetensors.torch import save_file

        labels = self.labels
        tensors = {
            "x_AF": labels.columns.x_BF.contiguous(),
            "is_valid_A": labels.is_valid_A,
            "weight_A": labels.weight_A,
            "widths": torch.tensor(labels.columns.widths),
        }
        with writing_dir(path, overwrite=overwrite) as partial:
            content = {"sources": sources_to_files(self.sources, partial), "origin": to_json(labels.origin)}
            content |= {
                "text_range": text_range_to_files(self.text_range, partial),
                "error_range": error_range_to_json(self.error_range),
            }
            write_json(partial / FILE, {**content, "tests": to_json(self.tests)})
            save_file(tensors, partial / TENSORS)
            write_manifest(partial, KIND, config=self.config, made_from=self.made_from)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        dictionaries: Sequence[TSAE] = (),
        made_from: Mapping[str, str] | None = None,
    ) -> "Readout":
        """Load a saved readout, with the dictionaries that it reads. Refused if a fingerprint in `made_from` differs
        from its own, for instance {"policy": base.fingerprint()}."""
        artifact = open_artifact(path, KIND, made_from=made_from)
        content, tensors = artifact.json(FILE, "a readout"), artifact.tensors(TENSORS)
        with reading(artifact.path, "a readout", remedy="copy it again, or fit it again (interp readout)"):
            columns = Columns(tensors["x_AF"], tuple(tensors["widths"].tolist()))
            origin = origin_from_json(content["origin"])
            labels = Labels(columns, tensors["is_valid_A"], tensors["weight_A"], origin)
            tests = tuple(from_json(ReadoutTest, row) for row in content["tests"])
            config = from_json(ReadoutConfig, artifact.manifest["config"])
            sources = sources_from_files(content["sources"], artifact, dictionaries)
            text_range = text_range_from_files(content["text_range"], artifact)
            error_range = error_range_from_json(content["error_range"], dictionaries, artifact.path)
        return cls(sources, labels, config, tests, artifact.manifest["made_from"], text_range, error_range)
