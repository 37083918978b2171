"""Two checkpoints compared, as a report shows them: behavior paired by problem, latents by bucket, the control."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from interp.dashboard.report import Report
from interp.tracking.comparison import Comparison
from interp.tracking.latent_comparison import RELATIONS, BucketComparison, LatentComparison
from interp.tracking.verdicts import STRENGTHENED, TOO_FEW_PROMPTS, WEAKENED

STRONGER, WEAKER = "stronger in B", "weaker in B"
ALL_RELATIONS = (*RELATIONS, STRONGER, WEAKER)
"""Relations of a comparison with a base and, without one, whether B differs from A."""
WITHOUT_BASE = {STRENGTHENED: STRONGER, WEAKENED: WEAKER}
BEHAVIOR = {
    "bucket": "bucket",
    "measure": "measure",
    **{name: name for side in "ab" for name in (side, f"{side}_low", f"{side}_high")},
    "difference": "difference",
    "difference_low": "low",
    "difference_high": "high",
    "n": "prompts",
    **{name: name for name in ("base", "control", "control_low", "control_high", "verdict", "p", "q")},
}
"""The entries of a row of behavior, with the column of `Comparison.behavior` that each is taken from."""


@dataclass(frozen=True)
class MeasuredComparison:
    """A comparison with all that a report shows of it."""

    name: str
    checkpoints: list[int]
    """Numbers in the report of the base, if there is one, of A and of B."""
    latents: LatentComparison
    behavior: list[dict[str, Any]]

    @classmethod
    def of(cls, comparison: Comparison, name: str, checkpoints: list[int]) -> "MeasuredComparison":
        return cls(name, checkpoints, comparison.latents(), comparison.behavior().to_dicts())


def add_comparison(
    report: Report,
    measured: MeasuredComparison,
    number: int,
    latents: Int[ndarray, " A"] | None,
    buckets: Sequence[str],
) -> dict[str, Any]:
    """Add a comparison: an entry of the index."""
    compared, checkpoints = measured.latents, measured.checkpoints
    return {
        "name": measured.name,
        "a": checkpoints[-2],
        "b": checkpoints[-1],
        "base": checkpoints[0] if len(checkpoints) > 2 else None,
        "match": list(compared.match),
        "corpus": compared.corpus,
        "measure": compared.measure,
        "behavior": [{entry: row.get(column) for entry, column in BEHAVIOR.items()} for row in measured.behavior],
        "latents": None if latents is None else _add_latents(report, compared, number, latents, buckets),
        "counts": compared.summary().to_dicts(),
        "relations": list(ALL_RELATIONS),
    }


def _add_latents(
    report: Report, compared: LatentComparison, number: int, latents: Int[ndarray, " A"], buckets: Sequence[str]
) -> dict[str, str]:
    shape = (len(buckets), len(latents))
    arrays = {name: np.full(shape, np.nan) for name in ("change_a", "change_b", "difference", "low", "high", "q")}
    relation = np.full(shape, ALL_RELATIONS.index(TOO_FEW_PROMPTS))
    for b, bucket in enumerate(buckets):
        if bucket not in compared.buckets:
            continue
        one = compared.buckets[bucket]
        for name, verdicts in (("change_a", one.change_a), ("change_b", one.change_b)):
            if verdicts is not None:
                arrays[name][b] = verdicts.change.value_F[latents]
        change = one.difference.change
        arrays["difference"][b], arrays["low"][b] = change.value_F[latents], change.low_F[latents]
        arrays["high"][b], arrays["q"][b] = change.high_F[latents], one.difference.q_F[latents]
        relation[b] = [ALL_RELATIONS.index(each) for each in relations_of(one)[latents]]
    control = [control_count(compared, bucket) for bucket in buckets]
    names = {name: report.add(f"comparison.{number}.{name}", values, "f2") for name, values in arrays.items()}
    names["relation"] = report.add(f"comparison.{number}.relation", relation, "u1")
    return names | {"control": report.add(f"comparison.{number}.control", control, "u4")}


def relations_of(one: BucketComparison) -> ndarray:
    """The relation of each latent: since the base of both or, without one, whether B differs from A."""
    if one.change_a is not None:
        return one.relation_F
    return np.array([WITHOUT_BASE.get(str(verdict), str(verdict)) for verdict in one.difference.verdict_F], object)


def control_count(compared: LatentComparison, bucket: str) -> int:
    """Latents that differ where A is sampled again. 0 too where there is no such control."""
    if compared.control is None or bucket not in compared.control:
        return 0
    return int(np.isin(compared.control[bucket].difference.verdict_F, (STRENGTHENED, WEAKENED)).sum())
