"""Audits: which successes of a batch the verifier judges, and the readout that is fitted on them.

The draw depends on the batch alone. Two schemes that audit as many successes of a batch audit the same ones, if both
can read them, and the verifier judges each once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interp.credit.base import RolloutBatch
from interp.readouts.columns import Columns, Labels
from interp.readouts.logistic import Logistic
from interp.tasks.base import hash_of


def draw_audits(batch: RolloutBatch, candidates: Sequence[int], n: int) -> list[int]:
    """`n` of the candidates, drawn at random; all if there are fewer. They are rows of the batch."""
    return sorted(candidates, key=lambda row: _order(batch, row))[:n]


def _order(batch: RolloutBatch, row: int) -> int:
    rollout = batch.rollouts[row]
    return hash_of("audit", batch.seed, rollout.step, rollout.problem, rollout.sample, row)


@dataclass(eq=False)
class AuditFit:
    """A regression on labels from before the run and on the latest audits of the run."""

    labels: Labels
    """From before the run."""
    ridge: float
    memory: int
    """Labels of the run that a fit uses, the latest."""
    audited: Labels = field(default_factory=Labels)
    """Those of the run."""
    n_audited: int = 0
    """Rollouts audited since the run began."""
    fit: Logistic | None = None
    """None until there are labels of both kinds."""

    @property
    def labels_so_far(self) -> Labels:
        """Those from before the run, and those of the run."""
        return self.labels.plus(self.audited)

    def add(self, labels: Labels, n_audited: int) -> None:
        """Remember the labels of `n_audited` rollouts."""
        self.audited, self.n_audited = self.audited.plus(labels).last(self.memory), self.n_audited + n_audited

    def refit(self) -> None:
        """Fit anew, if there are labels of both kinds."""
        if (labels := self.labels_so_far).has_both_kinds:
            self.fit = labels.fit(self.ridge)

    def state(self) -> dict[str, Tensor]:
        """The audits of the run, and the fit in use."""
        audits = {
            "x_AF": self.audited.columns.x_BF,
            "widths": torch.tensor(self.audited.columns.widths, dtype=torch.long),
            "is_valid_A": self.audited.is_valid_A,
            "weight_A": self.audited.weight_A,
            "n_audited": torch.tensor(self.n_audited),
        }
        return audits | ({} if self.fit is None else {f"fit.{name}": value for name, value in vars(self.fit).items()})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        columns = Columns(state["x_AF"], tuple(state["widths"].tolist()))
        self.audited = Labels(columns, state["is_valid_A"], state["weight_A"])
        self.n_audited = int(state.get("n_audited", len(self.audited)))  # states once held all audits, and no count
        fit = {name.removeprefix("fit."): value for name, value in state.items() if name.startswith("fit.")}
        self.fit = Logistic(**fit) if fit else None
