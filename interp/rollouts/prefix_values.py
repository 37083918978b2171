"""The result of measuring values: what became of the completions that begin like a rollout, prefix by prefix.

`interp.rollouts.values` measures them, and says what they mean.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from interp.artifacts import BadInput, open_artifact, reading, write_manifest, writing_dir
from interp.display import HtmlSummary
from interp.rollouts.record import Rollout
from interp.rollouts.tables import read_table

if TYPE_CHECKING:
    import polars as pl

KIND = "values"
FILE = "values.parquet"
Measure = Literal["reward", "valid"]
Placement = Literal["each", "spread", "last"]


class Outcome(NamedTuple):
    """What the verifier says of a completion."""

    reward: float
    valid: bool | None


@dataclass(frozen=True, slots=True)
class PrefixValue:
    """What became of the completions that begin with one prefix."""

    reward: float
    """Mean reward."""
    reward_error: float
    """Its standard error: 0 where all continuations agree, NaN of a single one."""
    n: int
    """Continuations. 1 of a whole completion, whose value is certain."""
    valid: float
    """Share that is valid, of those that were judged; NaN where none was."""
    valid_error: float
    n_valid: int
    """Continuations whose validity was judged."""

    @classmethod
    def from_outcomes(cls, outcomes: Sequence[Outcome]) -> "PrefixValue":
        """The means over continuations."""
        judged = [float(outcome.valid) for outcome in outcomes if outcome.valid is not None]
        rewards = [outcome.reward for outcome in outcomes]
        return cls(*_mean_and_error(rewards), len(rewards), *_mean_and_error(judged), len(judged))

    @classmethod
    def of_whole(cls, rollout: Rollout) -> "PrefixValue":
        """The value of a completion that has ended: its own reward and validity."""
        valid = math.nan if rollout.valid is None else float(rollout.valid)
        return cls(float(rollout.reward), 0.0, 1, valid, valid * 0, int(rollout.valid is not None))


@dataclass(frozen=True, slots=True)
class RolloutValues:
    """The values of the prefixes of one rollout. Run, step, problem and sample are its key, as in its record."""

    run: str
    step: int
    problem: str
    sample: int
    positions: tuple[int, ...]
    """Tokens of each prefix, ascending from 0 to the whole completion."""
    prefixes: tuple[PrefixValue, ...]
    """The value at each position."""

    def deltas(self, measure: Measure = "reward") -> tuple[float, ...]:
        """What each segment changes: the value at its end less that at its start."""
        return tuple(after - before for before, after in pairwise(self._column(measure)))

    def delta_errors(self, measure: Measure = "reward") -> tuple[float, ...]:
        """The standard error of each delta."""
        return tuple(math.hypot(before, after) for before, after in pairwise(self._column(f"{measure}_error")))

    def per_token(self, measure: Measure = "reward", *, place: Placement = "each") -> tuple[float, ...]:
        """The delta of each token's segment: at `each` of its tokens, `spread` evenly over them, or at the `last`.

        Spread, or at the last, the tokens of a rollout sum to its reward less the value of its prompt."""
        values = [0.0] * self.positions[-1]
        for (start, end), delta in zip(pairwise(self.positions), self.deltas(measure), strict=True):
            if place == "last":
                values[end - 1] = delta
            else:
                share = delta / (end - start) if place == "spread" else delta
                values[start:end] = [share] * (end - start)
        return tuple(values)

    def _column(self, name: str) -> list[float]:
        return [getattr(prefix, name) for prefix in self.prefixes]


class PrefixValues(Sequence[RolloutValues], HtmlSummary):
    """The values of many rollouts, in their order, with config and the fingerprints of policy, task and rollouts."""

    def __init__(
        self, rows: Sequence[RolloutValues], *, config: Any = None, made_from: Mapping[str, str] | None = None
    ) -> None:
        self.rows = list(rows)
        self.config = config or {}
        self.made_from = dict(made_from or {})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        rows = self.rows[index]
        return PrefixValues(rows, config=self.config, made_from=self.made_from) if isinstance(index, slice) else rows

    def __iter__(self) -> Iterator[RolloutValues]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"PrefixValues({len(self)} rollouts, {sum(len(row.positions) for row in self.rows)} prefixes)"

    def table(self) -> "pl.DataFrame":
        """A row per prefix."""
        import polars as pl

        prefixes = [
            (row.run, row.step, row.problem, row.sample, position, *_cells(value))
            for row in self.rows
            for position, value in zip(row.positions, row.prefixes, strict=True)
        ]
        return pl.DataFrame(prefixes, schema=_schema(), orient="row")

    def summary(self) -> "pl.DataFrame":
        """Rollouts and prefixes, the mean value of a prompt, and the mean size of a delta with its standard error."""
        import polars as pl

        deltas = [delta for row in self.rows for delta in row.deltas()]
        errors = [error for row in self.rows for error in row.delta_errors()]
        return pl.DataFrame(
            {
                "rollouts": [len(self)],
                "prefixes": [sum(len(row.positions) for row in self.rows)],
                "prompt_value": [_mean([row.prefixes[0].reward for row in self.rows])],
                "delta_size": [_mean([abs(delta) for delta in deltas])],
                "delta_error": [_mean(errors)],
            }
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the values as a directory, atomically."""
        table = self.table()
        with writing_dir(path, overwrite=overwrite) as aside:
            table.write_parquet(aside / FILE)
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, rows=table.height)

    @classmethod
    def load(cls, path: str | Path, *, made_from: Mapping[str, str] | None = None) -> "PrefixValues":
        """Load saved values; refused if a fingerprint in `made_from` differs: {"policy": policy.fingerprint()}."""
        artifact = open_artifact(path, KIND, made_from=made_from)
        manifest = artifact.manifest
        with reading(artifact.path, "values"):
            frame = read_table(artifact, FILE, "prefixes", _schema(), rows=manifest["rows"])
            rows = _rollouts_of(artifact.path, list(frame.iter_rows(named=True)))
        return cls(rows, config=manifest["config"], made_from=manifest["made_from"])


def _rollouts_of(path: Path, cells: Sequence[Mapping[str, Any]]) -> list[RolloutValues]:
    """The rows of a table by rollout. Each rollout begins with position 0, and its positions ascend."""
    starts = [index for index, cell in enumerate(cells) if cell["position"] == 0]
    rows = []
    for start, end in pairwise([*starts, len(cells)]):
        own = cells[start:end]
        keys, positions = {_key_of(cell) for cell in own}, tuple(cell["position"] for cell in own)
        if len(keys) > 1 or any(before >= after for before, after in pairwise(positions)):
            raise BadInput(
                f"{path}: expected the prefixes of each rollout one after another, from position 0 on; got positions "
                f"{list(positions)} of {len(keys)} rollouts: copy it again"
            )
        prefixes = tuple(PrefixValue(**{f.name: cell[f.name] for f in fields(PrefixValue)}) for cell in own)
        rows.append(RolloutValues(*keys.pop(), positions, prefixes))
    if sum(len(row.positions) for row in rows) != len(cells):
        raise BadInput(f"{path}: expected values from position 0 of a rollout on, got others first: copy it again")
    return rows


def _key_of(cell: Mapping[str, Any]) -> tuple[str, int, str, int]:
    return cell["run"], cell["step"], cell["problem"], cell["sample"]


def _cells(value: PrefixValue) -> list[Any]:
    return [getattr(value, f.name) for f in fields(PrefixValue)]


def _schema() -> "dict[str, Any]":
    import polars as pl

    types: dict[Any, Any] = {float: pl.Float64, int: pl.Int64}
    key = {"run": pl.String, "step": pl.Int64, "problem": pl.String, "sample": pl.Int64, "position": pl.Int64}
    return key | {f.name: types[f.type] for f in fields(PrefixValue)}


def _mean_and_error(x: Sequence[float]) -> tuple[float, float]:
    """The mean, and its standard error; NaN where it takes more numbers."""
    n, mean = len(x), _mean(x)
    error = math.sqrt(sum((value - mean) ** 2 for value in x) / (n - 1) / n) if n > 1 else math.nan
    return mean, error


def _mean(x: Sequence[float]) -> float:
    return sum(x) / len(x) if x else math.nan
