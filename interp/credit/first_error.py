"""Token weights by where a success probably goes wrong, read from its text and refitted on audits.

    r_k = P(part k is right | all before it are, and what was read in it)      logistic, refitted on audits
    q_k = r_1 r_2 ... r_k                                                      P(right up to the end of part k)
    e   = first token of the first part with q_k < limit

    w_t = (1 - rest_weight) L / e       [t < e]  + rest_weight                 a success that is paid
    w_t = (1 - rest_weight) L / (L - e) [t >= e] + rest_weight                 a success that its gate makes a failure
    w_t = 1                                                                    no such part, or e = 0; failures

A part is a written step, or what follows the last one (`interp.readouts.parts`). The verifier's first error in the
audited successes labels the parts up to it; those behind it are no labels, for there the chain is wrong already. q is
then the survival curve of the chain, and e the median of where it ends.

With a readout that knows the truth and a rest_weight of 0, the weights are those of `interp.credit.FirstError`, the
oracle, which says the same of failures too. With a negative rest_weight, what follows has the opposite sign (after
arXiv 2601.18984, which penalizes it in failures): -1 gives w_t = 2 w_t(0) - 1. The mean weight is 1 all the same.

Weights move credit within a rollout: a success that is wrong from its first token on keeps all of its reward. A `gate`
says what the reward becomes: any scheme, such as `ReadoutCredit`, which audits the same successes. A success whose
reward is then below the mean of its group is blamed for what comes from e on, and not for its right beginning.

Until both kinds of parts were audited, weights are even. A part that cannot be read is taken to be right: not known is
not wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Count, Range, Seed, Share, expect_plausible
from interp.credit.audits import AuditFit, draw_audits
from interp.credit.base import Credit, CreditScheme, Learning, RolloutBatch, check_scheme, normalize_weights
from interp.credit.readout import Reader
from interp.policy.policy import Policy
from interp.readouts.columns import Labels, expect_sources
from interp.readouts.controls import others
from interp.readouts.parts import IN_EACH_PART, PartColumns, part_labels, part_verdicts, read_parts
from interp.readouts.sources import BEFORE_MARKER, Source
from interp.rollouts.record import Rollout


@dataclass(eq=False)
class FirstErrorReadout:
    """Credits a success up to the first step that is probably wrong, as read from its text."""

    sources: Sequence[Source]
    """What is read in each part. Latents and residuals: with the selector `interp.readouts.STEP_END`."""
    gate: CreditScheme | None = None
    """What the rewards become; its token weights are not used. None keeps them."""
    reader: Reader = "base"
    """Who reads: the frozen base, or the policy in training."""
    audits: Count = 8
    """Successes whose first error the verifier shows, per step."""
    refit_every: Count = 2
    """Steps between fits."""
    memory: Count = 8192
    """Labels of this run that a fit uses, the latest; a success has one for each part up to its first error."""
    limit: Share = 0.5
    """A part is probably wrong if the chain is right up to its end with a probability below this."""
    rest_weight: Annotated[float, Range(-1, 1)] = 0.0
    """Weight of the tokens on the other side. 1: even weights. Below 0: the opposite sign."""
    ridge: Annotated[float, Range(0, 10**6, without_low=True)] = 0.1
    """Ridge penalty of the fit."""
    labels: Labels = field(default_factory=Labels)
    """Labels of parts from before the run (`interp.readouts.label_parts`)."""
    control_seed: Seed | None = None
    """A control: with a seed, each success is split where another one of the batch is, drawn at random."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        self.sources = expect_sources(self.sources)
        _expect_step_ends(self.sources)
        self.labels.origin.expect_sources((*self.sources, IN_EACH_PART), of="labels")
        self._readout = AuditFit(self.labels, self.ridge, self.memory)
        self._last: tuple[Sequence[Rollout], Policy | None, list[int], PartColumns] | None = None
        self._readout.refit()

    @property
    def needs_no_scale(self) -> bool:
        return getattr(self.gate, "needs_no_scale", False)

    @property
    def is_waiting(self) -> bool:
        return getattr(self.gate, "is_waiting", False)

    def expect_base(self, base: Policy) -> None:
        """Refuse a base that a dictionary, the labels or the gate are not of."""
        for source in self.sources:
            source.expect_reader(base)
        if self.labels.origin.reader:
            self.labels.origin.expect_reader(base.fingerprint(), of="labels")
        check_scheme(self.gate, base)

    # --- what it learns ------------------------------------------------------------------------------------------

    def fresh(self) -> "FirstErrorReadout":
        gate = self.gate.fresh() if isinstance(self.gate, Learning) else self.gate
        return replace(self, gate=gate)  # pyright: ignore[reportArgumentType]

    def observe(self, batch: RolloutBatch) -> None:
        """Audit some successes of the batch, and refit if it is time."""
        if isinstance(self.gate, Learning):
            self.gate.observe(batch)
        rows, parts = self._read(batch)
        candidates = [row for row in rows if part_verdicts(batch.rollouts[row])[0] is not None]
        if not len(self._readout.labels) and not self._readout.n_audited:
            _expect_step_truth([batch.rollouts[row] for row in rows], self.audits)
        audited = draw_audits(batch, candidates, self.audits)
        labels = [part_labels(parts.at([rows.index(row)]), [batch.rollouts[row]]) for row in audited]
        self._readout.add(_joined(labels), len(audited))
        if batch.rollouts[0].step % self.refit_every == 0 or self._readout.fit is None:
            self._readout.refit()

    def state(self) -> Mapping[str, Tensor]:
        """The audits of this run, the fit that is in use, and what the gate has learned."""
        gate = self.gate.state() if isinstance(self.gate, Learning) else {}
        return self._readout.state() | {f"gate.{name}": value for name, value in gate.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._readout.load_state(state)
        if isinstance(self.gate, Learning):
            self.gate.load_state({k.removeprefix("gate."): v for k, v in state.items() if k.startswith("gate.")})

    # --- what it pays --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(self, batch: RolloutBatch) -> Credit:
        credit = Credit.uniform(batch) if self.gate is None else self.gate(batch).validate(batch)
        if credit.added_B is not None:
            raise BadInput(
                "expected a gate that changes rewards, got one that adds advantages: which side of a split it pays "
                "cannot be told from the reward"
            )
        split_B = self.splits(batch)
        before_BL = torch.arange(batch.mask_BL.shape[1]) < split_B[:, None]
        side_BL = torch.where(_is_paid(batch, credit)[:, None], before_BL, ~before_BL) & batch.mask_BL
        weights_BL = (1 - self.rest_weight) * normalize_weights(side_BL.float(), batch.mask_BL)
        is_split_B = (split_B > 0) & (split_B < batch.lengths_B)
        is_unread_P = ~self._read(batch)[1].columns.is_readable_B
        facts = {
            "chains_audited": float(self._readout.n_audited),
            "split_share": float(is_split_B.sum()) / max(1, int((batch.rewards_B > 0).sum())),
            "unreadable_part_share": float(is_unread_P.sum()) / max(1, len(is_unread_P)),
        }
        return replace(
            credit, weights_BL=weights_BL + self.rest_weight * batch.mask_BL, facts={**credit.facts, **facts}
        )

    @torch.no_grad()
    def splits(self, batch: RolloutBatch) -> Int[Tensor, " B"]:
        """How many tokens of each rollout come before its first step that is probably wrong; all, if none is."""
        width = batch.mask_BL.shape[1]
        split_B = torch.full((len(batch.rollouts),), width)
        rows, parts = self._read(batch)
        if self._readout.fit is not None:
            right_P = self._readout.fit.log_odds(parts.columns.x_BF).sigmoid().nan_to_num(1.0)
            for at, row in enumerate(rows):
                is_own_P = parts.rollout_P == at
                is_wrong_P = right_P[is_own_P].cumprod(0) < self.limit
                if bool(is_wrong_P.any()):
                    split_B[row] = parts.start_P[is_own_P][int(is_wrong_P.nonzero()[0])]
        if self.control_seed is not None:
            split_B = _from_others(split_B, batch, rows, self.control_seed)
        return torch.minimum(split_B, batch.lengths_B)

    def _read(self, batch: RolloutBatch) -> tuple[list[int], PartColumns]:
        """The successes, and what is read in their parts. The same batch is read once. A replayed answer is left out:
        only valid ones are replayed."""
        reader = batch.base if self.reader == "base" else batch.policy
        if self._last is None or self._last[0] is not batch.rollouts or self._last[1] is not reader:
            is_own_B = torch.tensor([rollout.replayed_from is None for rollout in batch.rollouts])
            rows = ((batch.rewards_B > 0) & (batch.lengths_B > 0) & is_own_B).nonzero()[:, 0].tolist()
            parts = read_parts(self.sources, reader, [batch.rollouts[row] for row in rows])
            self._last = (batch.rollouts, reader, rows, parts)
        return self._last[2:]


def _is_paid(batch: RolloutBatch, credit: Credit) -> Bool[Tensor, " B"]:
    """Whether the reward that a rollout is left with is at least the mean of its group, of those that count."""
    rewards_B = credit.gate_B * batch.rewards_B + (0.0 if credit.bonus_B is None else credit.bonus_B)
    counts_B = torch.ones_like(rewards_B) if credit.counts_B is None else credit.counts_B.float()
    rewards_PG, counts_PG = rewards_B.view(-1, batch.group), counts_B.view(-1, batch.group)
    mean_P1 = (rewards_PG * counts_PG).sum(1, keepdim=True) / counts_PG.sum(1, keepdim=True).clamp(min=1)
    return (rewards_PG >= mean_P1).flatten()


def _from_others(split_B: Int[Tensor, " B"], batch: RolloutBatch, rows: list[int], seed: int) -> Int[Tensor, " B"]:
    """The splits, with that of another success in the place of each, at the same share of its length: before the first
    token, within, or nowhere. One that is alone is not split."""
    nowhere = batch.mask_BL.shape[1]
    if len(rows) < 2:
        return torch.full_like(split_B, nowhere)
    first, rows_R = batch.rollouts[0], torch.tensor(rows)
    other_R = rows_R[others(len(rows), "position-matched split", seed, batch.seed, first.step, first.problem)]
    dealt_R, length_R, own_length_R = split_B[other_R], batch.lengths_B[other_R], batch.lengths_B[rows_R]
    within_R = (dealt_R * own_length_R / length_R).round().long().clamp(min=1).minimum(own_length_R - 1)
    dealt_R = torch.where(dealt_R >= length_R, nowhere, torch.where(dealt_R == 0, 0, within_R))
    return split_B.index_copy(0, rows_R, dealt_R)


def _joined(labels: Sequence[Labels]) -> Labels:
    joined = Labels()
    for own in labels:
        joined = joined.plus(own)
    return joined


def _expect_step_ends(sources: Sequence[Source]) -> None:
    for source in sources:
        if getattr(getattr(source, "source", source), "selector", None) == BEFORE_MARKER:
            raise BadInput(
                f"expected {source.name} read at the end of each step, got those before the answer alone: pass "
                "selector=interp.readouts.STEP_END"
            )


def _expect_step_truth(successes: Sequence[Rollout], enough: int) -> None:
    """Refuse successes of which the verifier says nowhere what is right, if there are enough to tell."""
    is_judged = [
        rollout.first_error is not None or any(step.holds is not None for step in rollout.steps)
        for rollout in successes
    ]
    if len(successes) >= enough and not any(is_judged):
        raise BadInput(
            f"expected successes whose steps the verifier judges, got {len(successes)} of which it judges none: use "
            "credit that needs no judged steps, such as interp.credit.MonteCarloValues(task) (--credit monte-carlo)"
        )
