"""Credit by a readout that is fitted while training goes on: what a success is worth is how likely it is to be valid.

    1. audit    a few successes of the step, drawn at random, are judged by the verifier: their validity is a label
    2. read     the frozen base reads the text (`interp.readouts`), whoever wrote it
    3. refit    every few steps, a logistic regression of validity on what was read, over all audits so far
    4. pay      p_b = P(valid | what was read in rollout b)

        gate_b = max(p_b - threshold m, -penalty m)           m: mean p of the batch's successes       pay "graded"
        gate_b = 1 if p_b is among the highest, else the rollout is screened out of its group          pay "select"

    5. where a whole group failed: bonus_b = bonus (1 - step / bonus_steps) max(p_b - threshold m, 0), annealed, and
       less than a success that looks as valid gets

p is calibrated: audits are a fair sample of the successes, so a readout that knows nothing finds every success as
likely as the share that is valid. With a threshold of 1 it then pays nothing, rather than a little to all: a little to
all is what harms, for nearly all are lucky. Up to the threshold a success is worth an honest failure, and with a
penalty less. A penalty teaches to fail where nearly all successes are lucky, so it is 0 unless asked for.

The gate is graded, so the group's deviation should not be the unit of the advantage (`GRPOConfig(scale="none")`): it
would give a group in which all successes are doubtful the same force as one in which a success is sure.

A readout fitted once is a target to be gamed: training finds texts that it has never seen. Audits of current text close
that gap, and the reader does not drift with the policy. Until both kinds were audited, p is the share of valid ones
so far for every success: all are paid alike, and nothing at a threshold of 1. A success in which something cannot be
read is screened out of its group, and so is such a failure where a bonus is given: not known is not zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.checks import Count, Range, Share, expect_plausible
from interp.credit.audits import AuditFit, draw_audits
from interp.credit.base import Credit, RolloutBatch
from interp.policy.policy import Policy
from interp.readouts.columns import Columns, Labels, expect_sources, read_columns
from interp.readouts.error_range import ErrorRange
from interp.readouts.readout import Readout
from interp.readouts.sources import Source
from interp.readouts.text_range import TextRange
from interp.rollouts.record import Rollout

Reader = Literal["base", "live"]
Pay = Literal["graded", "select"]


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
    threshold: Annotated[float, Range(0, 1000)] | None = None
    """The probability from which a success is paid, as a multiple of the mean of the batch's successes. Default: 0.5
    with labels from before the run, which does well (`interp study credit-strengths`); without any 1, so that nothing
    is paid before something is known."""
    penalty: Annotated[float, Range(0, 1000)] = 0.0
    """The most that a success below it can lose, in the same unit."""
    pay: Pay = "graded"
    """graded: by the probability that it is valid. select: wholly, or not at all."""
    select_share: Share = 0.25
    """With select: share of the successes of a batch that is paid."""
    bonus: Share = 0.0
    """What an answer that looks valid gets in a group in which all answers are wrong, at the first step."""
    bonus_steps: Count = 20
    """Steps over which the bonus falls to nothing."""
    ridge: Annotated[float, Range(0, 10**6, without_low=True)] = 0.1
    """Ridge penalty of the fit."""
    labels: Labels = field(default_factory=Labels)
    """Audits from before the run, such as those of the base's own rollouts and their edits."""
    text_range: TextRange | None = None
    """Texts outside of it are paid nothing. None pays them as read."""
    error_range: ErrorRange | None = None
    """The same, by how well a dictionary explains what is read of them."""

    needs_no_scale = True
    """Its gates are graded: `interp.grpo.train` warns if the group's deviation is the unit of advantages."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        self.sources = expect_sources(self.sources)
        self.labels.origin.expect_sources(self.sources, of="labels")
        if self.text_range is not None:
            self.text_range.expect_sources(self.sources)
        self.threshold = (0.5 if len(self.labels) else 1.0) if self.threshold is None else self.threshold
        self._readout = AuditFit(self.labels, self.ridge, self.memory)
        self._last: tuple[Sequence[Rollout], Policy | None, list[int], Columns, Tensor] | None = None
        self._readout.refit()

    @classmethod
    def of(cls, readout: Readout, **settings: Any) -> "ReadoutCredit":
        """Credit that begins with a readout: its sources, labels, ranges and ridge."""
        own = {"ridge": readout.config.ridge, "text_range": readout.text_range, "error_range": readout.error_range}
        return cls(readout.sources, labels=readout.labels, **{**own, **settings})

    def expect_base(self, base: Policy) -> None:
        """Refuse a base that a dictionary, the labels or a range are not of."""
        for source in self.sources:
            source.expect_reader(base)
        if self.labels.origin.reader:
            self.labels.origin.expect_reader(base.fingerprint(), of="labels")
        for each in (self.text_range, self.error_range):
            if each is not None:
                each.expect_reader(base)

    # --- what it learns ------------------------------------------------------------------------------------------

    def fresh(self) -> "ReadoutCredit":
        return replace(self)

    def observe(self, batch: RolloutBatch) -> None:
        """Audit some successes of the batch, and refit if it is time."""
        rows, columns, _ = self._read(batch)
        is_readable, place = columns.is_readable_B.tolist(), {row: at for at, row in enumerate(rows)}
        # a replayed answer is no fair sample: only valid ones are replayed
        candidates = [
            row
            for row in rows
            if batch.rollouts[row].reward > 0
            and batch.rollouts[row].valid is not None
            and batch.rollouts[row].replayed_from is None
            and is_readable[place[row]]
        ]
        audited = draw_audits(batch, candidates, self.audits)
        is_valid_A = torch.tensor([bool(batch.rollouts[row].valid) for row in audited], dtype=torch.bool)
        weight_A = torch.ones(len(audited), dtype=torch.float64)
        self._readout.add(Labels(columns.at([place[row] for row in audited]), is_valid_A, weight_A), len(audited))
        if batch.rollouts[0].step % self.refit_every == 0 or self.is_waiting:
            self._readout.refit()

    def state(self) -> Mapping[str, Tensor]:
        """The audits of this run, and the fit that is in use."""
        return self._readout.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._readout.load_state(state)

    @property
    def is_waiting(self) -> bool:
        """Whether it has not been shown successes of both kinds yet. Until then it pays all alike, or nothing."""
        return self._readout.fit is None

    # --- what it pays --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch) -> Credit:
        rows, columns, is_inside_R = self._read(batch)
        p_B = torch.full((len(batch.rollouts),), torch.nan, dtype=torch.float64)
        p_B[rows] = self.probability(columns)
        is_replayed_B = torch.tensor([row.replayed_from is not None for row in batch.rollouts])
        p_B = p_B.masked_fill(is_replayed_B & (batch.rewards_B > 0), 1.0)  # only what is valid is replayed
        is_inside_B = torch.ones_like(p_B, dtype=torch.bool)
        is_inside_B[rows] = is_inside_R
        is_success_B = (batch.rewards_B > 0) & (batch.lengths_B > 0)
        is_own_B = is_success_B & ~is_replayed_B
        mean = p_B[is_own_B & ~p_B.isnan()].mean().nan_to_num(0.0)
        gate_B, counts_B = self._pay(
            torch.where(is_success_B, p_B, torch.nan), is_success_B, is_own_B, is_inside_B, mean
        )
        facts = {
            "audited": float(self._readout.n_audited),
            "audited_valid_share": self._readout.audited.valid_share,
            "unreadable_share": float((is_success_B & p_B.isnan()).sum()) / max(1, int(is_success_B.sum())),
        }
        if self.text_range is not None or self.error_range is not None:
            facts["outside_share"] = float((is_success_B & ~is_inside_B).sum()) / max(1, int(is_success_B.sum()))
        bonus_B = None
        if self.bonus:
            bonus_B = self._bonus(batch, torch.where(is_inside_B, p_B, 0.0), mean)
            counts_B &= ~(in_failed_groups(batch) & p_B.isnan())
        return Credit(
            gate_B.float(),
            batch.mask_BL.float(),
            bonus_B=bonus_B,
            counts_B=None if bool(counts_B.all()) else counts_B,
            facts=facts,
        )

    def _pay(
        self,
        p_B: Float[Tensor, " B"],
        is_success_B: Bool[Tensor, " B"],
        is_own_B: Bool[Tensor, " B"],
        is_inside_B: Bool[Tensor, " B"],
        mean: Float[Tensor, ""],
    ) -> tuple[Float[Tensor, " B"], Bool[Tensor, " B"]]:
        """The gates of the successes, and which rollouts count. The mean, and the share that is selected, are of the
        policy's own successes: replayed answers are paid beside them, and make none of them worth less."""
        is_known_B = ~p_B.isnan()
        counts_B = is_known_B | ~is_success_B
        if self.pay == "select":
            rank_B = p_B.nan_to_num(-1.0).masked_fill(~is_inside_B | ~is_own_B, -1.0)
            ordered = rank_B.sort(descending=True, stable=True).indices
            chosen_B = is_success_B & ~is_own_B
            chosen_B[ordered[: round(self.select_share * int((is_known_B & is_own_B).sum()))]] = True
            return torch.ones_like(p_B), counts_B & (chosen_B & is_inside_B | ~is_success_B)
        gate_B = self.above_threshold(p_B, mean).clamp(min=0.0 - self.penalty * mean).clamp(-1, 1)
        gate_B = torch.where(is_inside_B, gate_B, gate_B.clamp(max=0))
        return torch.where(is_known_B, gate_B, 1.0), counts_B

    def above_threshold(self, p_B: Float[Tensor, " B"], mean: Float[Tensor, ""]) -> Float[Tensor, " B"]:
        """How far probabilities lie above the threshold, where their mean is `mean`."""
        assert self.threshold is not None, "__post_init__"
        return p_B - self.threshold * mean

    def _bonus(self, batch: RolloutBatch, p_B: Float[Tensor, " B"], mean: Float[Tensor, ""]) -> Float[Tensor, " B"]:
        """What answers of groups that failed as a whole get: a share of what a success that looks as valid gets."""
        share = self.bonus * max(0.0, 1 - batch.rollouts[0].step / self.bonus_steps)
        gate_B = self.above_threshold(p_B.nan_to_num(0.0), mean).clamp(0, 1)
        return torch.where(in_failed_groups(batch), share * gate_B, 0.0).float()

    def probability(self, columns: Columns) -> Float[Tensor, " B"]:
        """P(valid) of successes, from what was read in each; NaN where something could not be read."""
        if self._readout.fit is None:
            return torch.where(columns.is_readable_B, self._readout.labels_so_far.base_rate, torch.nan).double()
        return self._readout.fit.log_odds(columns.x_BF).sigmoid()

    def rows_read(self, batch: RolloutBatch) -> list[int]:
        """The rollouts that are paid by what they say: the successes, and with a bonus groups that failed."""
        is_read_B = (batch.rewards_B > 0) | (in_failed_groups(batch) & (self.bonus > 0))
        return (is_read_B & (batch.lengths_B > 0)).nonzero()[:, 0].tolist()

    def _read(self, batch: RolloutBatch) -> tuple[list[int], Columns, Bool[Tensor, " R"]]:
        """The rollouts that are paid by what they say, what is read in them, and whether it lies in all ranges. The
        same batch is read once."""
        reader = batch.base if self.reader == "base" else batch.policy
        if self._last is None or self._last[0] is not batch.rollouts or self._last[1] is not reader:
            rows = self.rows_read(batch)
            errors = [] if self.error_range is None else [self.error_range.source]
            both = read_columns([*self.sources, *errors], reader, [batch.rollouts[row] for row in rows])
            columns, error = both.split(len(self.sources))
            is_inside_R = torch.ones(len(rows), dtype=torch.bool)
            if self.text_range is not None:
                is_inside_R &= self.text_range.contains(columns)
            if self.error_range is not None:
                is_inside_R &= self.error_range.contains(error)
            self._last = (batch.rollouts, reader, rows, columns, is_inside_R)
        return self._last[2:]


def in_failed_groups(batch: RolloutBatch) -> Bool[Tensor, " B"]:
    """Which rollouts are of a group without a success."""
    rewards_PG = batch.rewards_B.view(-1, batch.group)
    return (rewards_PG <= 0).all(1).repeat_interleave(batch.group)
