"""What a set of rollouts shows, by depth or whatever column is named: shares, with intervals over problems."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput
from interp.rollouts.intervals import Share, share
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    import polars as pl

Measure = tuple[Callable[[Rollout], bool | None], Callable[[Rollout], bool]]
"""What counts as a success, and among which rollouts."""


def _is_crossed(rollout: Rollout) -> bool:
    """Both are known: whether its steps are true as they stand, and whether they are the ones due."""
    return rollout.coherent is not None and rollout.valid is not None


MEASURES: dict[str, Measure] = {
    "pass_rate": (lambda r: r.correct, lambda r: True),
    "valid_rate": (lambda r: r.valid, lambda r: r.valid is not None),
    "direct_share": (lambda r: r.format == "direct", lambda r: True),
    "written_share": (lambda r: r.format not in ("direct", "malformed"), lambda r: True),
    "malformed_share": (lambda r: r.format == "malformed", lambda r: True),
    "truncated_share": (lambda r: r.truncated, lambda r: True),
    "direct_pass_rate": (lambda r: r.correct, lambda r: r.format == "direct"),
    "written_pass_rate": (lambda r: r.correct, lambda r: r.format not in ("direct", "malformed")),
    "valid_given_written": (
        lambda r: r.valid,
        lambda r: r.format not in ("direct", "malformed") and r.valid is not None,
    ),
    "valid_given_success": (lambda r: r.valid, lambda r: r.correct and r.valid is not None),
    "judged_share": (lambda r: r.valid is not None, lambda r: True),
    "lucky_rate": (lambda r: r.lucky, lambda r: r.lucky is not None),
    "direct_shortcut_share": (lambda r: r.shortcut == "direct", lambda r: True),
    "copy_shortcut_share": (lambda r: r.shortcut == "copy", lambda r: True),
    "cue_shortcut_share": (lambda r: r.shortcut == "cue", lambda r: True),
    "coherent_valid": (lambda r: r.coherent and r.valid, _is_crossed),
    "coherent_invalid": (lambda r: r.coherent and not r.valid, _is_crossed),
    "incoherent_valid": (lambda r: not r.coherent and r.valid, _is_crossed),
    "incoherent_invalid": (lambda r: not r.coherent and not r.valid, _is_crossed),
}


@dataclass(frozen=True, slots=True)
class Summary:
    by: str
    rows: dict[Any, dict[str, Share]]
    """For each value of the column, every measure."""

    def table(self) -> "pl.DataFrame":
        """Long: one row per group and measure."""
        import polars as pl

        return pl.DataFrame(
            [
                {self.by: group, "measure": name, "value": s.value, "low": s.low, "high": s.high, "n": s.n}
                for group, measures in self.rows.items()
                for name, s in measures.items()
            ]
        )


def summarise(rollouts: Iterable[Rollout], by: str = "depth", measures: Sequence[str] | None = None) -> Summary:
    if by not in (columns := [f.name for f in fields(Rollout)]):
        raise BadInput(f"by must be a column of the record, one of {', '.join(columns)}; got {by!r}")
    groups: dict[Any, dict[str, list[Rollout]]] = defaultdict(lambda: defaultdict(list))
    for rollout in rollouts:
        groups[getattr(rollout, by)][rollout.prompt].append(rollout)  # asked twice is still one problem
    names = MEASURES if measures is None else measures
    ordered = sorted(groups, key=lambda group: (group is None, group))
    return Summary(
        by, {g: {name: _share(list(groups[g].values()), *MEASURES[name]) for name in names} for g in ordered}
    )


def _share(
    problems: list[list[Rollout]], success: Callable[[Rollout], bool | None], among: Callable[[Rollout], bool]
) -> Share:
    trials = [[bool(success(rollout)) for rollout in rows if among(rollout)] for rows in problems]
    return share([sum(rows) for rows in trials], [len(rows) for rows in trials])
