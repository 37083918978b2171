"""Measures of the credit study: means over the runs of a base, recoveries, and differences at equal KL."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import fmean
from typing import Any

from interp.stats.estimate import Estimate
from interp.studies.credit_runs import ALL, BASE, DEEP, ORACLE, PLAIN, RATES, arm_name
from interp.studies.results import Measure, Record, Results, mean_of_depths, share

GROUPS: Mapping[str, Sequence[int] | None] = {"all": None, "deep": (8, 9), "handled": (1, 2, 3)}
"""Depths: all of them, those that are trained on, and those that the base handled."""


def rate(name: str, group: str) -> Measure:
    """A rate at the end of training, over a group of depths."""
    title = f"{name.replace('_', ' ')}, {group} depths"
    return share(title, lambda record: record.get("rates", {}).get(group, {}).get(name))


def recovery(name: str) -> Measure:
    """A number of the record that `with_recovery` adds, by its name."""
    return Measure(name, lambda record: record.get(name))


MIN_GAIN = 0.05
"""What the oracle gains over plain GRPO, at least, on a base of which a recovery is told: a share of less is noise."""
VALID, HARD = RECOVERIES = (recovery("recovery, all depths"), recovery("recovery, deep"))


def average_runs(records: Sequence[Any], groups: Mapping[str, Sequence[int] | None] = GROUPS) -> dict[str, Any]:
    """The mean over runs of every rate by group of depths, and of the curves along the way."""
    rates = {
        group: {
            name: mean_or_none([mean_of_depths(record["final"], name, depths) for record in records]) for name in RATES
        }
        for group, depths in groups.items()
    }
    if "steps" not in records[0]:
        return {"rates": rates, "runs": len(records), **records[0]}
    paid = [mean_or_none(record["steps"]["paid_valid_share"]) for record in records]
    audited = [record["steps"]["audited"][-1] for record in records if record["steps"].get("audited")]
    return {
        "rates": rates,
        "runs": len(records),
        "diverged": sum("diverged" in record for record in records),
        "paid": mean_or_none(paid),
        "audited": mean_or_none(audited),
        "curve": _mean_curve(records),
        "paid_by_step": _mean_by_step(records, "paid_valid_share"),
        "valid_by_step": _mean_by_step(records, "valid_rate"),
    }


def with_recovery(name: str, seed: int | None, means: Mapping[tuple[str, int | None], Any]) -> dict[str, Any]:
    """The record of a scheme with its share of the way from plain GRPO to the oracle on the same base and problems."""
    record = means[name, seed]
    problems = ALL if name.endswith(f", {ALL} problems") else DEEP
    base, low, high = (means.get((arm, seed)) for arm in (BASE, arm_name(PLAIN, problems), arm_name(ORACLE, problems)))
    if name != BASE and base is not None:
        record = record | {"curve": [[0.0, base["rates"]["all"]["valid_rate"]], *record["curve"]]}
    if name == BASE or low is None or high is None:
        return record
    recoveries = {}
    for measure, group in zip(RECOVERIES, ("all", "deep"), strict=True):
        own, plain, oracle = (one["rates"][group]["valid_rate"] for one in (record, low, high))
        recoveries[measure.name] = (own - plain) / (oracle - plain) if oracle - plain >= MIN_GAIN else None
    return record | recoveries


def difference_at_equal_kl(results: Results, first: str, second: str) -> Estimate:
    """Difference of the valid rates, each read off its curve over the KL to the base, at the largest KL that both have
    reached."""
    from interp.stats.seeds import student_interval

    differences = []
    for seed in results.seeds(first):
        if seed not in results.seeds(second):
            continue
        one, other = (results.records(arm)[seed]["curve"] for arm in (first, second))
        kl = min(max(reached for reached, _ in curve) for curve in (one, other))
        differences.append(valid_at(one, kl) - valid_at(other, kl))
    return student_interval(differences)


def valid_at(curve: Sequence[Sequence[float]], kl: float) -> float:
    """The valid rate when the KL first reaches a value, linear between the measured points."""
    for (kl_before, before), (kl_after, after) in zip(curve, curve[1:], strict=False):
        if kl_before <= kl <= kl_after:
            share = (kl - kl_before) / (kl_after - kl_before) if kl_after > kl_before else 1.0
            return before + share * (after - before)
    return curve[-1][1]


def _mean_curve(records: Sequence[Record]) -> list[list[float]]:
    """(KL, valid rate over all depths) at each measured step after the start, mean over runs."""
    points: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for record in records:
        kls = dict(zip(record["steps"]["step"], record["steps"]["kl_to_base"], strict=True))
        last = max(step for step, kl in kls.items() if kl is not None)
        measured = {**{int(step): one for step, one in record["watched"].items()}, last: record["final"]}
        for step, one in measured.items():
            points[step].append((float(kls[step] or 0.0), mean_of_depths(one, "valid_rate", None)))
    return [[fmean(column) for column in zip(*points[step], strict=True)] for step in sorted(points)]


def _mean_by_step(records: Sequence[Record], name: str) -> list[float | None]:
    columns = zip_longest(*(record["steps"][name] for record in records))  # one that diverged has fewer
    return [mean_or_none(column) for column in columns]


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are there; None without any."""
    present = [value for value in values if value is not None]
    return fmean(present) if present else None
