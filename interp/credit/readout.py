"""Credit by a readout that is fitted while training goes on: what a success is worth is how likely it is to be valid.

    1. audit    a few successes of the step, drawn at random, are judged by the verifier: their validity is a label
    2. read     the frozen base reads the text (`interp.readouts`), whoever wrote it
    3. refit    every few steps, a logistic regression of validity on what was read, over all audits so far
    4. pay      p_b = P(valid | what was read in rollout b)

        gate_b = p_b - penalty (1 - p_b)           of a success; a failure keeps its reward

With a penalty, a success that is likely lucky falls below an honest failure. p is calibrated: audits are a fair sample
of the successes, so a readout that knows nothing pays every success the share that is valid. The gate is graded, so the
group's deviation should not be the unit of the advantage (`GRPOConfig(scale="none")`): it would give a group in which
all successes are doubtful the same force as one in which a success is sure.

A readout fitted once is a target to be gamed: training finds texts that it has never seen. Audits of current text close
that gap, and the reader does not drift with the policy. Until both kinds were audited, every success is paid the share
of valid ones so far. A success in which something cannot be read is screened out of its group: not known is not zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interp.checks import Count, Range, expect_plausible
from interp.credit.base import Credit, RolloutBatch
from interp.policy.policy import Policy
from interp.readouts.columns import Columns, Labels, expect_sources, read_columns
from interp.readouts.logistic import Logistic
from interp.readouts.sources import Source
from interp.readouts.text_range import TextRange
from interp.rollouts.record import Rollout
from interp.tasks.base import hash_of

Reader = Literal["base", "live"]


@dataclass(eq=False)
class ReadoutCredit:
    """Pays each success by how likely it is to be valid, as read from its text."""

    sources: Sequence[Source]
    """What is read."""
    reader: Reader = "base"
    """Who reads: the frozen base, or the policy in training."""
    audits: Count = 8
    """Successes that the verifier judges, per step."""
    refit_every: Count = 2
    """Steps between fits."""
    memory: Count = 2048
    """Audits of this run that a fit uses, the latest."""
    penalty: Annotated[float, Range(0, 1)] = 0.0
    """What a success that is surely lucky loses, as a share of the reward."""
    ridge: Annotated[float, Range(0, 10**6, without_low=True)] = 1.0
    """Ridge penalty of the fit."""
    labels: Labels = field(default_factory=Labels)
    """Audits from before the run, such as those of the base's own rollouts and their edits."""
    text_range: TextRange | None = None
    """Texts outside of it are paid nothing. None pays them as read."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        self.sources = expect_sources(self.sources)
        self._audited, self._fit = Labels(), None
        self._last: tuple[Sequence[Rollout], list[int], Columns] | None = None
        self._refit()

    def expect_base(self, base: Policy) -> None:
        """Refuse a base that a dictionary, or the range of texts, is not of."""
        for source in self.sources:
            source.expect_reader(base)
        if self.text_range is not None:
            self.text_range.expect_reader(base)

    # --- what it learns ------------------------------------------------------------------------------------------

    def fresh(self) -> "ReadoutCredit":
        return replace(self)

    def observe(self, batch: RolloutBatch) -> None:
        """Audit some successes of the batch, and refit if it is time."""
        step = batch.rollouts[0].step
        rows, columns = self._read(batch)
        is_judged = [batch.rollouts[row].valid is not None for row in rows]
        candidates = [at for at in range(len(rows)) if is_judged[at] and bool(columns.is_readable_B[at])]
        audited = sorted(candidates, key=lambda at: _audit_order(batch, rows[at]))[: self.audits]
        is_valid_A = torch.tensor([bool(batch.rollouts[rows[at]].valid) for at in audited], dtype=torch.bool)
        new = Labels(columns.at(audited), is_valid_A, torch.ones(len(audited), dtype=torch.float64))
        self._audited = self._audited.plus(new)
        if step % self.refit_every == 0 or self._fit is None:
            self._refit()

    def state(self) -> Mapping[str, Tensor]:
        """The audits of this run, and the fit that is in use."""
        audited, fit = self._audited, self._fit
        audits = {
            "x_AF": audited.columns.x_BF,
            "widths": torch.tensor(audited.columns.widths, dtype=torch.long),
            "is_valid_A": audited.is_valid_A,
            "weight_A": audited.weight_A,
        }
        return audits | ({} if fit is None else {f"fit.{name}": value for name, value in vars(fit).items()})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        columns = Columns(state["x_AF"], tuple(state["widths"].tolist()))
        self._audited = Labels(columns, state["is_valid_A"], state["weight_A"])
        fit = {name.removeprefix("fit."): value for name, value in state.items() if name.startswith("fit.")}
        self._fit = Logistic(**fit) if fit else None

    def _refit(self) -> None:
        if self._known.has_both_kinds:
            self._fit = self._known.fit(self.ridge)

    @property
    def _known(self) -> Labels:
        return self.labels.plus(self._audited.last(self.memory))

    # --- what it pays --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch) -> Credit:
        rows, columns = self._read(batch)
        p_S = self.probability(columns)
        gate_S = p_S - self.penalty * (1 - p_S)
        if self.text_range is not None:
            gate_S = torch.where(self.text_range.contains(columns), gate_S, gate_S.clamp(max=0))
        is_known_S = ~p_S.isnan()
        gate_B, counts_B = torch.ones(len(batch.rollouts)), torch.ones(len(batch.rollouts), dtype=torch.bool)
        gate_B[rows] = torch.where(is_known_S, gate_S, 1.0).float()
        counts_B[rows] = is_known_S
        facts = {"audited": float(len(self._audited)), "audited_valid_share": self._known.base_rate}
        return Credit(gate_B, batch.mask_BL.float(), counts_B=None if bool(counts_B.all()) else counts_B, facts=facts)

    def probability(self, columns: Columns) -> Float[Tensor, " B"]:
        """P(valid) of successes, from what was read in each; NaN where something could not be read."""
        if self._fit is None:
            return torch.where(columns.is_readable_B, self._known.base_rate, torch.nan).double()
        return self._fit.log_odds(columns.x_BF).sigmoid()

    def _read(self, batch: RolloutBatch) -> tuple[list[int], Columns]:
        """The successes of a batch, and what is read in them. The same batch is read once."""
        if self._last is None or self._last[0] is not batch.rollouts:
            rows = [row for row, rollout in enumerate(batch.rollouts) if rollout.reward > 0 and rollout.tokens]
            reader = batch.base if self.reader == "base" else batch.policy
            columns = read_columns(self.sources, reader, [batch.rollouts[row] for row in rows])
            self._last = (batch.rollouts, rows, columns)
        return self._last[1:]


def _audit_order(batch: RolloutBatch, row: int) -> int:
    rollout = batch.rollouts[row]
    return hash_of("audit", batch.seed, rollout.step, rollout.problem, rollout.sample, row)
