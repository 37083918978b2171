"""Why a readout pays what it pays: each rollout's log-odds of being valid, by source and by token, beside a control.

    log-odds_b = at the mean of the labels + sum over sources s of contribution_bs
    contribution_bs = sum over the columns f of s of weight_f (x_bf - mean_f) / std_f

A source that reads tokens gives each of them its share (`token_shares`); what is left of a contribution has no token.
A direct answer is read at the last token of its question, which is no token of the rollout (`in_prompt_BS`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.credit.base import CreditScheme, RolloutBatch
from interp.credit.readout import ReadoutCredit
from interp.credit.token_shares import token_shares
from interp.display import HtmlSummary
from interp.readouts.columns import Columns, needs_of
from interp.readouts.logistic import Logistic
from interp.readouts.reading import Reading, read_rollouts
from interp.readouts.sources import Source
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    import polars as pl

VALID, LUCKY = "valid", "lucky"


@dataclass(frozen=True, eq=False)
class SchemePayments:
    """What one scheme reads in B rollouts of N tokens, by S sources, and what it pays. NaN: not read."""

    name: str
    reader: str
    """Who read: base or live; "" for a scheme that reads nothing."""
    sources: tuple[str, ...]
    p_B: Float[Tensor, " B"]
    """How likely the rollout is to be valid."""
    at_mean_B: Float[Tensor, " B"]
    """Log-odds of a text that is like the mean of the labels."""
    by_source_BS: Float[Tensor, "B S"]
    """What each source adds to them."""
    in_prompt_BS: Float[Tensor, "B S"]
    """The part of it that was read at the last token of the prompt."""
    by_token_NS: Float[Tensor, "N S"]
    """The part of it that was read at each token."""
    logprob_N: Float[Tensor, " N"]
    """Log-probability of each token under the reader."""
    gate_B: Float[Tensor, " B"]
    """The share of its reward that the rollout keeps."""
    paid_B: Float[Tensor, " B"]
    """What becomes of its reward: gate times reward, plus bonus. NaN: screened out of its group."""
    added_B: Float[Tensor, " B"] | None = None
    """What the scheme adds to its advantage after the group's baseline, which no reward has a part in; 0 if it is
    screened out. None: the scheme adds nothing."""
    advantage_N: Float[Tensor, " N"] | None = None
    """The advantage of each token that follows from it, where the loss is known."""

    @property
    def log_odds_B(self) -> Float[Tensor, " B"]:
        return self.at_mean_B + self.by_source_BS.sum(1)

    @property
    def read_N(self) -> Float[Tensor, " N"]:
        """What all sources read at each token, in log-odds. NaN where none reads."""
        is_read_N = ~self.by_token_NS.isnan().all(1)
        return torch.where(is_read_N, self.by_token_NS.nan_to_num(0.0).sum(1), torch.nan)


@dataclass(frozen=True, eq=False)
class CreditExplanation(HtmlSummary):
    """What a credit scheme read in some rollouts and what it paid them, beside what a control would have paid."""

    rollouts: Sequence[Rollout]
    scheme: SchemePayments
    control: SchemePayments | None = None

    def __repr__(self) -> str:
        beside = "" if self.control is None else f", beside {self.control.name}"
        return f"CreditExplanation({self.scheme.name}{beside}, {len(self.rollouts)} rollouts)"

    @property
    def sides(self) -> dict[str, SchemePayments]:
        """The scheme and its control, by the beginning of their columns."""
        return {"": self.scheme} | ({} if self.control is None else {"control_": self.control})

    def table(self) -> "pl.DataFrame":
        """A row for each rollout."""
        import polars as pl

        keys = ("run", "step", "problem", "sample", "reward", "valid")
        columns: dict[str, list[object]] = {name: [getattr(row, name) for row in self.rollouts] for name in keys}
        for prefix, side in self.sides.items():
            numbers = {"p": side.p_B, "gate": side.gate_B, "paid": side.paid_B, "at_mean": side.at_mean_B}
            numbers |= {} if side.added_B is None else {"added": side.added_B}
            numbers |= {source: side.by_source_BS[:, at] for at, source in enumerate(side.sources)}
            numbers |= {} if side.advantage_N is None else {"advantage": self.mean_by_rollout(side.advantage_N)}
            columns |= {f"{prefix}{name}": _or_none(x_B) for name, x_B in numbers.items()}
        return pl.DataFrame(columns, infer_schema_length=None)

    def tokens(self, index: int) -> "pl.DataFrame":
        """A row for each token of one rollout: what was read there, by source."""
        import polars as pl

        start = sum(len(row.tokens) for row in self.rollouts[:index])
        row = self.rollouts[index]
        at = slice(start, start + len(row.tokens))
        columns: dict[str, list[object]] = {"token": list(row.tokens), "role": list(row.roles)}
        for prefix, side in self.sides.items():
            numbers = {"logprob": side.logprob_N[at], "read": side.read_N[at]}
            numbers |= {source: side.by_token_NS[at, place] for place, source in enumerate(side.sources)}
            numbers |= {} if side.advantage_N is None else {"advantage": side.advantage_N[at]}
            columns |= {f"{prefix}{name}": _or_none(x_T) for name, x_T in numbers.items()}
        return pl.DataFrame(columns, infer_schema_length=None)

    def summary(self) -> "pl.DataFrame":
        """Successes by outcome: how likely they were found to be valid, what they were paid, and what was added to
        their advantages, on average."""
        import polars as pl

        rows = []
        for name, is_valid in ((VALID, True), (LUCKY, False)):
            at = [i for i, row in enumerate(self.rollouts) if row.reward > 0 and row.valid is is_valid]
            means = {
                f"{prefix}{column}": _mean(x_B[at])
                for prefix, side in self.sides.items()
                for column, x_B in (("p", side.p_B), ("paid", side.paid_B), ("added", side.added_B))
                if x_B is not None
            }
            rows.append({"success": name, "rollouts": len(at), **means})
        return pl.DataFrame(rows, infer_schema_length=None)

    def mean_by_rollout(self, x_N: Float[Tensor, " N"]) -> Float[Tensor, " B"]:
        """The mean over each rollout's tokens."""
        return torch.stack([part.mean() for part in x_N.split([len(row.tokens) for row in self.rollouts])])

    @classmethod
    def join(cls, parts: "Sequence[CreditExplanation]") -> "CreditExplanation":
        """Explanations of several batches by the same schemes as one."""
        if not parts:
            raise BadInput("expected explanations of at least one batch, got none")
        controls = [part.control for part in parts if part.control is not None]
        return cls(
            [row for part in parts for row in part.rollouts],
            _joined([part.scheme for part in parts]),
            _joined(controls) if controls else None,
        )


@torch.no_grad()
def explain_credit(
    scheme: CreditScheme, batch: RolloutBatch, *, control: CreditScheme | None = None
) -> CreditExplanation:
    """What a scheme reads in a batch and pays it, with all that it has learned; and what a control would pay.

    A scheme that reads nothing pays, and has no log-odds. A readout that was fitted in a run is
    `interp.grpo.learned_credit(run, scheme)`; `interp.grpo.explain_run` explains a whole run."""
    beside = None if control is None else _payments(control, batch)
    return CreditExplanation(batch.rollouts, _payments(scheme, batch), beside)


def readout_of(scheme: object) -> ReadoutCredit | None:
    """The readout in a scheme, or in the scheme whose gates it uses; None where nothing is read."""
    while scheme is not None and not isinstance(scheme, ReadoutCredit):
        scheme = getattr(scheme, "scheme", None) or getattr(scheme, "score", None)
    return scheme


# --- one scheme ------------------------------------------------------------------------------------------------------


def _payments(scheme: CreditScheme, batch: RolloutBatch) -> SchemePayments:
    credit, readout = scheme(batch).validate(batch), readout_of(scheme)
    bonus_B = torch.zeros_like(credit.gate_B) if credit.bonus_B is None else credit.bonus_B
    counts_B = torch.ones_like(credit.gate_B).bool() if credit.counts_B is None else credit.counts_B
    paid_B = torch.where(counts_B, credit.gate_B * batch.rewards_B + bonus_B, torch.nan)
    part = _nothing_read(scheme, readout, batch, credit.gate_B, paid_B)
    if credit.added_B is not None:
        part = replace(part, added_B=(credit.added_B * counts_B).double())
    rows = [] if readout is None else readout.rows_read(batch)
    if readout is None or not rows:
        return part
    fit, reading = _fit_of(readout), _read(readout, batch, rows)
    numbers = [source.columns(reading).double() for source in readout.sources]
    columns = Columns(torch.cat(numbers, 1), tuple(x_RF.shape[1] for x_RF in numbers))
    p_R = readout.probability(columns)
    # a replayed answer is not read: only valid ones are replayed
    is_replayed_R = torch.tensor([row.replayed_from is not None for row in reading.rollouts])
    part.p_B[rows] = p_R.masked_fill(is_replayed_R, 1.0)
    at_mean_R = torch.logit(p_R) if fit is None else fit.bias.expand(len(rows))
    part.at_mean_B[rows] = at_mean_R.masked_fill(is_replayed_R, torch.nan)
    part.by_source_BS[rows] = _by_source(fit, columns)
    if fit is not None:
        _add_tokens(part, reading, batch, rows, readout.sources, fit, columns.widths)
    return part


def _read(readout: ReadoutCredit, batch: RolloutBatch, rows: Sequence[int]) -> Reading:
    """What the reader says of some rollouts, as far as the sources read it."""
    reader = batch.base if readout.reader == "base" else batch.policy
    places, needs_logprobs = needs_of(readout.sources, reader)
    return read_rollouts(reader, [batch.rollouts[row] for row in rows], places, logprobs=needs_logprobs)


def _nothing_read(
    scheme: CreditScheme, readout: ReadoutCredit | None, batch: RolloutBatch, gate_B: Tensor, paid_B: Tensor
) -> SchemePayments:
    """Payments with the gates, and nothing read."""
    sources = () if readout is None else tuple(source.name for source in readout.sources)
    n_rollouts, n_tokens, n_sources = len(batch.rollouts), sum(len(row.tokens) for row in batch.rollouts), len(sources)

    def empty(*shape: int) -> Tensor:
        return torch.full(shape, torch.nan, dtype=torch.float64)

    return SchemePayments(
        _name(scheme, readout),
        "" if readout is None else readout.reader,
        sources,
        p_B=empty(n_rollouts),
        at_mean_B=empty(n_rollouts),
        by_source_BS=empty(n_rollouts, n_sources),
        in_prompt_BS=empty(n_rollouts, n_sources),
        by_token_NS=empty(n_tokens, n_sources),
        logprob_N=empty(n_tokens),
        gate_B=gate_B.double(),
        paid_B=paid_B.double(),
    )


def _name(scheme: object, readout: ReadoutCredit | None) -> str:
    """What a scheme reads; of a scheme that wraps another, its class too."""
    if readout is None:
        return type(scheme).__name__
    names = " + ".join(source.name for source in readout.sources)
    return names if readout is scheme else f"{type(scheme).__name__} of {names}"


def _fit_of(readout: ReadoutCredit) -> Logistic | None:
    """The regression in use; None until the readout was shown both kinds."""
    fit = {name.removeprefix("fit."): x for name, x in readout.state().items() if name.startswith("fit.")}
    return Logistic(**fit) if fit else None


def _by_source(fit: Logistic | None, columns: Columns) -> Float[Tensor, "R S"]:
    if fit is None:
        return torch.zeros(len(columns.x_BF), len(columns.widths), dtype=torch.float64)
    terms_RF = fit.standardize(columns.x_BF) * fit.weight_F
    return torch.stack([part.sum(1) for part in terms_RF.split(columns.widths, 1)], 1)


# --- tokens ----------------------------------------------------------------------------------------------------------


def _add_tokens(
    part: SchemePayments,
    reading: Reading,
    batch: RolloutBatch,
    rows: Sequence[int],
    sources: Sequence[Source],
    fit: Logistic,
    widths: tuple[int, ...],
) -> None:
    """Write into `part` what was read at each token of the rows."""
    lengths = torch.tensor([len(row.tokens) for row in batch.rollouts])
    is_read_B = torch.zeros(len(lengths), dtype=torch.bool)
    is_read_B[list(rows)] = True
    at_K = is_read_B.repeat_interleave(lengths).nonzero()[:, 0]
    part.logprob_N[at_K] = reading.logprob_N.double()
    slope_F, row_at = fit.weight_F / fit.std_F, torch.tensor(rows)
    pairs = zip(sources, slope_F.split(widths), fit.mean_F.split(widths), strict=True)
    for place, (source, own_slope_F, own_mean_F) in enumerate(pairs):
        for index, is_token, shares in token_shares(source, reading, own_slope_F, own_mean_F):
            if is_token:
                current = part.by_token_NS[at_K[index], place].nan_to_num(0.0)
                part.by_token_NS[at_K[index], place] = current + shares
            else:
                part.in_prompt_BS[row_at[index], place] = shares


# --- tables ----------------------------------------------------------------------------------------------------------


def _joined(parts: Sequence[SchemePayments]) -> SchemePayments:
    first = parts[0]
    if any(part.sources != first.sources for part in parts):
        raise BadInput("expected explanations by one scheme, got some that read other sources")
    if any(part.added_B is not None for part in parts):
        parts = [
            replace(part, added_B=torch.zeros_like(part.paid_B)) if part.added_B is None else part for part in parts
        ]
        first = parts[0]
    tensors = [field.name for field in fields(SchemePayments) if isinstance(getattr(first, field.name), Tensor)]
    return replace(first, **{name: torch.cat([getattr(part, name) for part in parts]) for name in tensors})  # pyright: ignore[reportArgumentType]


def _or_none(x_B: Tensor) -> list[object]:
    """Numbers as Python has them, None for NaN."""
    return [None if np.isnan(value) else value for value in x_B.tolist()]


def _mean(x_A: Tensor) -> float | None:
    value = float(x_A.nanmean()) if len(x_A) else float("nan")
    return None if np.isnan(value) else value
