"""What an evaluation found: a share with its interval for every step, group and measure, as one long table."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, read_manifest, write_manifest, writing_dir
from interp.rollouts.intervals import Share
from interp.rollouts.parquet import read_whole
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    import polars as pl

KIND = "evaluation"
FILE = "evaluation.parquet"
GROUPINGS: dict[str, Callable[[Rollout], Any]] = {
    "all": lambda r: "all",
    "depth": lambda r: r.depth,
    "bucket": lambda r: r.bucket,
}
Cells = dict[tuple[int, str, str], dict[str, Share]]
"""For each (step, grouping, group), every measure."""


class Evaluation:
    def __init__(
        self, cells: Cells, *, policies: Mapping[int, str], config: Any = None, made_from: dict[str, str] | None = None
    ) -> None:
        self.cells, self.config, self.made_from = cells, config or {}, made_from or {}
        self.policies = dict(policies)
        """The fingerprint of each step's weights."""

    def __repr__(self) -> str:
        return f"Evaluation({len(self.steps)} checkpoints, steps {', '.join(map(str, self.steps))})"

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(step for step, _, _ in self.cells))

    def groups(self, by: str) -> tuple[str, ...]:
        """Of "depth" or "bucket", those there are; of "all", the one."""
        return tuple(dict.fromkeys(group for _, grouping, group in self.cells if grouping == by))

    def at(self, step: int, *, by: str = "all", group: int | str = "all") -> dict[str, Share]:
        """Every measure of one step, in one group: `at(30, by="depth", group=3)["valid_rate"]`."""
        if (key := (step, by, str(group))) in self.cells:
            return self.cells[key]
        there = {grouping: self.groups(grouping) for grouping in GROUPINGS}
        groups = "; ".join(f"{grouping} {', '.join(names)}" for grouping, names in there.items() if names)
        raise BadInput(
            f"expected a step of {', '.join(map(str, self.steps))} and a group of {groups}; "
            f"got step {step}, {by} {group}"
        )

    def table(self) -> "pl.DataFrame":
        """Long: one row per step, group and measure."""
        import polars as pl

        schema = {"step": pl.Int64, "by": pl.String, "group": pl.String, "measure": pl.String}
        numbers = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64}
        rows = [
            (*key, name, found.value, found.low, found.high, found.n)
            for key, measures in self.cells.items()
            for name, found in measures.items()
        ]
        return pl.DataFrame(rows, schema=schema | numbers, orient="row")

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        table = self.table()
        facts = {"rows": table.height, "policies": {str(step): found for step, found in self.policies.items()}}
        with writing_dir(path, overwrite=overwrite) as aside:
            table.write_parquet(aside / FILE)
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, **facts)

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Evaluation":
        """Refused if it began from another base than the caller's {"policy": base.fingerprint()}."""
        manifest = read_manifest(path, KIND, made_from=made_from)
        frame = read_whole(Path(path) / FILE, manifest["rows"], "measures")
        cells: Cells = {}
        for step, by, group, measure, value, low, high, n in frame.iter_rows():
            cells.setdefault((step, by, group), {})[measure] = Share(value, low, high, n)
        policies = {int(step): found for step, found in manifest["policies"].items()}
        return cls(cells, policies=policies, config=manifest["config"], made_from=manifest["made_from"])
