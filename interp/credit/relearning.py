"""A readout as it was at a step of a run, or as one that reads fewer sources would have been with the same audits.

A readout keeps its audits in the order in which they were made. With the number that had been made by each step, its
fit at any of these steps can be made again: fits are exact, and depend on nothing but their labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from interp.artifacts import BadInput
from interp.credit.readout import ReadoutCredit
from interp.readouts.columns import Columns, Labels


def relearned(
    scheme: ReadoutCredit,
    state: Mapping[str, Tensor],
    audited: Sequence[int],
    sources: Sequence[int],
    *,
    is_last: bool = False,
) -> ReadoutCredit:
    """A scheme with what it had learned by the last of some steps.

    `state` is that of a readout later in the same run, `audited` the number of its audits by each step from 0 on, and
    `sources` the places among its sources of those that the scheme reads. With `is_last`, the last of the steps is the
    last that the state has learned from: its fit is used as it is."""
    fresh = scheme.fresh()
    audits = _audits(state, sources)
    n_later = int(state.get("n_audited", len(audits)))
    if list(sources) == list(range(len(state["widths"]))) and is_last and audited[-1] == n_later:
        fresh.load_state(state)
        return fresh
    if n_later > len(audits):
        raise BadInput(
            f"expected all {n_later:,} audits of the run, got the last {len(audits):,}, which its memory held: only "
            "what its own credit knew at its end can be said"
        )
    if audited[-1] > n_later:
        raise BadInput(f"expected a step of at most {n_later:,} audits, which the state holds; got {audited[-1]:,}")
    fit_on = None
    for step, n_audited in enumerate(audited):
        if step % scheme.refit_every == 0 or fit_on is None:
            labels = scheme.labels.plus(_first(audits, n_audited))
            fit_on = labels if labels.has_both_kinds else fit_on
    fit = {} if fit_on is None else {f"fit.{name}": x for name, x in vars(fit_on.fit(scheme.ridge)).items()}
    own = _first(audits, audited[-1])
    fresh.load_state(
        {
            "x_AF": own.columns.x_BF,
            "widths": torch.tensor(own.columns.widths, dtype=torch.long),
            "is_valid_A": own.is_valid_A,
            "weight_A": own.weight_A,
            "n_audited": torch.tensor(audited[-1]),
            **fit,
        }
    )
    return fresh


def _audits(state: Mapping[str, Tensor], sources: Sequence[int]) -> Labels:
    """The audits, as far as they are remembered, with the columns of some sources."""
    widths = state["widths"].tolist()
    if not widths:  # nothing has been audited
        return Labels()
    parts = state["x_AF"].split(widths, 1)
    columns = Columns(torch.cat([parts[at] for at in sources], 1), tuple(widths[at] for at in sources))
    return Labels(columns, state["is_valid_A"], state["weight_A"])


def _first(labels: Labels, n: int) -> Labels:
    at = slice(0, n)
    columns = replace(labels.columns, x_BF=labels.columns.x_BF[at])
    return Labels(columns, labels.is_valid_A[at], labels.weight_A[at])
