"""The result of an evaluation: every measure with its interval, for every checkpoint and group of problems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, open_artifact, reading, write_manifest, writing_dir
from interp.display import HtmlSummary
from interp.rollouts.summary import HEADLINE_MEASURES
from interp.rollouts.tables import read_table
from interp.stats import Estimate

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

KIND = "evaluation"
FILE = "evaluation.parquet"
GROUPINGS = ("all", "depth", "level")

GroupEstimates = dict[tuple[str, str], dict[str, Estimate]]
"""For each (grouping, group) of one checkpoint, every measure: `[("depth", "3")]["valid_rate"]`."""


class Evaluation(HtmlSummary):
    """Measures of one or more checkpoints on the same problems."""

    def __init__(
        self,
        estimates: Mapping[tuple[int, str, str], dict[str, Estimate]],
        *,
        policies: Mapping[int, str],
        config: Any = None,
        made_from: dict[str, str] | None = None,
    ) -> None:
        self.estimates = dict(estimates)
        """For each (step, grouping, group), every measure."""
        self.policies = dict(policies)
        """Fingerprint of the weights of each step."""
        self.config, self.made_from = config or {}, made_from or {}

    def __repr__(self) -> str:
        return f"Evaluation({len(self.steps)} checkpoints, steps {', '.join(map(str, self.steps))})"

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps of the evaluated checkpoints."""
        return tuple(dict.fromkeys(step for step, _, _ in self.estimates))

    def groups(self, by: str) -> tuple[str, ...]:
        """Names of the groups of a grouping: "all", "depth" or "level"."""
        return tuple(dict.fromkeys(group for _, grouping, group in self.estimates if grouping == by))

    def measures(self, step: int, *, by: str = "all", group: int | str = "all") -> dict[str, Estimate]:
        """Every measure of one checkpoint in one group: `measures(30, by="depth", group=3)["valid_rate"]`."""
        if (key := (step, by, str(group))) in self.estimates:
            return self.estimates[key]
        available = {grouping: self.groups(grouping) for grouping in GROUPINGS}
        groups = "; ".join(f"{grouping} {', '.join(names)}" for grouping, names in available.items() if names)
        raise BadInput(
            f"expected a step of {', '.join(map(str, self.steps))} and a group of {groups}; "
            f"got step {step}, {by} {group}"
        )

    def table(self) -> "pl.DataFrame":
        """Long: a row per step, group and measure."""
        import polars as pl

        rows = [
            (*key, name, estimate.value, estimate.low, estimate.high, estimate.n)
            for key, measures in self.estimates.items()
            for name, estimate in measures.items()
        ]
        return pl.DataFrame(rows, schema=_schema(), orient="row")

    def summary(self) -> "pl.DataFrame":
        """A row per checkpoint: rollouts, pass rate, valid rate and share of direct answers, over all problems."""
        import polars as pl

        rows = []
        for step in self.steps:
            measures = self.measures(step)
            headline = {name: measures[name].value for name in HEADLINE_MEASURES if name in measures}
            rows.append({"step": step, "rollouts": measures["pass_rate"].n, **headline})
        return pl.DataFrame(rows)

    def figure(self, by: str = "level", measures: Sequence[str] = HEADLINE_MEASURES) -> "go.Figure":
        """Each measure by step, one panel per measure and one curve per group, with intervals."""
        from interp.plots import Point, curves

        groups = [(by, group) for group in self.groups(by)] or [("all", "all")]
        panels = {
            name: {
                group: [
                    Point(step, e.value, e.low, e.high, e.n)
                    for step in self.steps
                    if (e := self.measures(step, by=grouping, group=group)[name]).n
                ]
                for grouping, group in groups
            }
            for name in measures
        }
        return curves(panels, x="step", y="share of rollouts")

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the evaluation as a directory, atomically."""
        table = self.table()
        policies = {str(step): fingerprint for step, fingerprint in self.policies.items()}
        with writing_dir(path, overwrite=overwrite) as aside:
            table.write_parquet(aside / FILE)
            write_manifest(
                aside, KIND, config=self.config, made_from=self.made_from, rows=table.height, policies=policies
            )

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Evaluation":
        """Load a saved evaluation; refused if its first checkpoint is another: {"policy": base.fingerprint()}."""
        artifact = open_artifact(path, KIND, made_from=made_from)
        manifest = artifact.manifest
        with reading(artifact.path, "an evaluation"):
            frame = read_table(artifact, FILE, "measures", _schema(), rows=manifest["rows"])
            estimates: dict[tuple[int, str, str], dict[str, Estimate]] = {}
            for step, by, group, measure, value, low, high, n in frame.iter_rows():
                estimates.setdefault((step, by, group), {})[measure] = Estimate(value, low, high, n)
            policies = {int(step): fingerprint for step, fingerprint in manifest["policies"].items()}
            evaluation = cls(estimates, policies=policies, config=manifest["config"], made_from=manifest["made_from"])
            if set(policies) != set(evaluation.steps):
                raise BadInput(
                    f"{artifact.path}: expected measures of the steps {', '.join(map(str, policies))}, got those of "
                    f"{', '.join(map(str, evaluation.steps))}: copy it again"
                )
        return evaluation


def _schema() -> dict[str, Any]:
    import polars as pl

    names = {"step": pl.Int64, "by": pl.String, "group": pl.String, "measure": pl.String}
    return names | {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64}
