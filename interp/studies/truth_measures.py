"""Credit against the truth: what a scheme gives to the segments of rollouts, and what those did for the outcome.

A segment is a written step, or what comes after the last one. Its truth is delta V: the value of the prefix at its end
less that at its start, from many continuations of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

if TYPE_CHECKING:
    from interp.credit.base import Credit, RolloutBatch
    from interp.rollouts import Rollout
    from interp.rollouts.prefix_values import RolloutValues

DECISIVE, SHORTCUT, FILLER = KINDS = ("decisive", "shortcut", "filler")
STANDARD_ERRORS, SMALLEST = 2.0, 0.1
"""A segment is decisive if its delta lies so many standard errors from zero, and is so large."""
TOP = 0.2
"""The share of segments that a precision is about."""


@dataclass(frozen=True)
class Segments:
    """N segments of the rollouts of a batch, and what a scheme gave each."""

    delta_N: Float[ndarray, " N"]
    """What each did for the outcome."""
    kind_N: ndarray
    """decisive, shortcut or filler."""
    weight_N: Float[ndarray, " N"]
    """Mean weight of its tokens."""
    mass_N: Float[ndarray, " N"]
    """Sum of the weights of its tokens, times the size of the rollout's advantage."""
    sign_N: Float[ndarray, " N"]
    """Sign of the rollout's advantage."""
    is_late_N: Bool[ndarray, " N"]
    """Whether it begins in the second half of its rollout."""


def segments(
    batch: "RolloutBatch", credit: "Credit", advantages_BL: Any, values: "Sequence[RolloutValues]", measure: Any
) -> Segments:
    """The segments of a batch under a scheme's credit and the advantages that come of it. Those of rollouts whose group
    has one reward are left out: no credit acts there."""
    rows: list[tuple[float, str, float, float, float, bool]] = []
    rewards_PG = batch.rewards_B.view(-1, batch.group)
    has_signal_B = (rewards_PG != rewards_PG[:, :1]).any(1).repeat_interleave(batch.group)
    for index, (rollout, own) in enumerate(zip(batch.rollouts, values, strict=True)):
        if not has_signal_B[index]:
            continue
        errors, weights = own.delta_errors(measure), credit.weights_BL[index].tolist()
        advantage = advantages_BL[index, : len(rollout.tokens)].abs().mean() if rollout.tokens else 0.0
        sign = float(advantages_BL[index].sum().sign())
        spans = list(pairwise(own.positions))
        for (start, end), delta, error in zip(spans, own.deltas(measure), errors, strict=True):
            kind = kind_of(rollout, start, end, delta, error)
            total = sum(weights[start:end])
            is_late = 2 * start >= len(rollout.tokens)
            rows.append((delta, kind, total / (end - start), total * float(advantage), sign, is_late))
    return Segments(*(np.array([row[at] for row in rows]) for at in range(6)))


def kind_of(rollout: "Rollout", start: int, end: int, delta: float, error: float) -> str:
    """decisive: it moved the value for certain. shortcut: work that was not due, or an answer before the work was done.
    filler: the rest."""
    if abs(delta) >= SMALLEST and abs(delta) > STANDARD_ERRORS * error:
        return DECISIVE
    own = [step for step in rollout.steps if step.start >= start and step.end <= end]
    is_early_answer = not own and rollout.depth is not None and len(rollout.steps) < rollout.depth
    return SHORTCUT if is_early_answer or any(step.follows is False for step in own) else FILLER


def agreement(one: Segments) -> dict[str, float | None]:
    """How a scheme's weights agree with the truth, over all segments, early ones and late ones."""
    size_N = np.abs(one.delta_N)
    total = one.mass_N.sum()
    decisive_N = one.kind_N == DECISIVE
    is_late_N = one.is_late_N.astype(bool)
    halves = {"early": ~is_late_N, "late": is_late_N}
    return {
        "spearman": spearman(one.weight_N, size_N),
        **{f"spearman, {name}": spearman(one.weight_N[is_in_N], size_N[is_in_N]) for name, is_in_N in halves.items()},
        "precision": precision_at_top(one.weight_N, size_N),
        "sign agreement": _share(np.sign(one.delta_N[decisive_N]) == one.sign_N[decisive_N], one.mass_N[decisive_N]),
        **{f"mass on {kind}": float(one.mass_N[one.kind_N == kind].sum() / total) if total else None for kind in KINDS},
    }


def payment(
    gate_B: Float[ndarray, " B"], is_success_B: Bool[ndarray, " B"], is_valid_B: Bool[ndarray, " B"]
) -> dict[str, float | None]:
    """Of what a gate pays, the share that goes to valid successes; and the share of valid successes that it pays more
    than the average success."""
    paid_B = np.clip(gate_B, 0, None) * is_success_B
    valid_B = is_success_B & is_valid_B
    mean = paid_B[is_success_B].mean() if is_success_B.any() else 0.0
    return {
        "valid share of the pay": float(paid_B[valid_B].sum() / paid_B.sum()) if paid_B.sum() > 0 else None,
        "valid successes paid": float((paid_B[valid_B] >= max(mean, 1e-9)).mean()) if valid_B.any() else None,
    }


def spearman(one_N: Float[ndarray, " N"], other_N: Float[ndarray, " N"]) -> float | None:
    """Rank correlation, with mean ranks for ties; None where one of the two does not vary."""
    if len(one_N) < 2:
        return None
    first_N, second_N = _ranks(one_N), _ranks(other_N)
    if min(first_N.std(), second_N.std()) < 1e-12:
        return None
    return float(np.corrcoef(first_N, second_N)[0, 1])


def precision_at_top(weight_N: Float[ndarray, " N"], size_N: Float[ndarray, " N"], share: float = TOP) -> float | None:
    """Of the segments of highest weight, the share that is among those of largest delta. Of equal weights each counts
    in part, so that a scheme that gives all the same gets the share itself."""
    count = round(share * len(weight_N))
    if not count:
        return None
    is_large_N = np.zeros(len(size_N), dtype=bool)
    is_large_N[np.argsort(-size_N, kind="stable")[:count]] = True
    threshold = np.sort(weight_N)[::-1][count - 1]
    above_N, at_N = weight_N > threshold, weight_N == threshold
    share_at = (count - above_N.sum()) / at_N.sum()
    return float((is_large_N[above_N].sum() + share_at * is_large_N[at_N].sum()) / count)


def _ranks(x_N: Float[ndarray, " N"]) -> Float[ndarray, " N"]:
    values, inverse, counts = np.unique(x_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _share(flags_N: ndarray, weight_N: Float[ndarray, " N"]) -> float | None:
    return float((flags_N * weight_N).sum() / weight_N.sum()) if weight_N.sum() > 0 else None
