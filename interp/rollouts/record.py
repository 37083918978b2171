"""Open a Parquet file of ours, or say why it cannot be opened.

One row per rollout: what was asked, what was said, token by token, and what came of it.

The key (run, step, problem, sample) joins a row with whatever is derived from it later. Lists run over the tokens of
the completion, the end token among them. `advantages`, `credit` and `gate` are empty until a loop fills them:
empty is not zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, read_manifest, write_manifest, writing_dir

if TYPE_CHECKING:
    import polars as pl


def read_whole(file: Path, rows: int, what: str) -> "pl.DataFrame":
    """Refused unless it holds as many rows as the manifest beside it says."""
    import polars as pl

    try:
        frame = pl.read_parquet(file)
    except (pl.exceptions.ComputeError, FileNotFoundError) as error:
        raise BadInput(f"{file}: expected {rows} {what} as Parquet, got a file that does not open") from error
    if frame.height != rows:
        raise BadInput(f"{file}: expected {rows} {what}, got {frame.height}")
    return frame


KIND = "rollouts"
FILE = "rollouts.parquet"


@dataclass(frozen=True, slots=True)
class TokenStep:
    """A written step, as tokens [start, end) of the completion."""

    start: int
    end: int
    holds: bool | None
    follows: bool | None


@dataclass(frozen=True, slots=True)
class Rollout:
    run: str
    step: int
    """Of the checkpoint that wrote it; 0 is the base."""
    problem: str
    sample: int
    split: str
    depth: int | None
    bucket: str | None
    prompt: str
    label: str
    """The answer that is rewarded."""
    completion: str
    prompt_ids: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]
    """In nats, of the distribution each token was drawn from."""
    roles: tuple[str, ...]
    truncated: bool
    reward: float
    correct: bool
    valid: bool | None
    lucky: bool | None
    coherent: bool | None
    format: str
    answer: str | None
    shortcut: str | None
    first_error: int | None
    """The token at which the first wrong or missing thing begins."""
    steps: tuple[TokenStep, ...]
    advantages: tuple[float, ...] | None = None
    credit: tuple[float, ...] | None = None
    gate: float | None = None


class Rollouts(Sequence[Rollout]):
    """Rollouts, and what they were made from."""

    def __init__(self, rows: Sequence[Rollout], *, config: Any = None, made_from: dict[str, str] | None = None) -> None:
        self.rows = list(rows)
        self.config = config or {}
        self.made_from = made_from or {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        rows = self.rows[at]
        return Rollouts(rows, config=self.config, made_from=self.made_from) if isinstance(at, slice) else rows

    def __repr__(self) -> str:
        problems = len({row.problem for row in self.rows})
        return f"Rollouts({len(self)} of {problems} problems, {sum(row.correct for row in self.rows)} correct)"

    def __iter__(self) -> Iterator[Rollout]:
        return iter(self.rows)

    def table(self) -> "pl.DataFrame":
        import polars as pl

        columns = {f.name: [_plain(getattr(row, f.name)) for row in self.rows] for f in fields(Rollout)}
        return pl.DataFrame(columns, schema=_schema())

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        with writing_dir(path, overwrite=overwrite) as aside:
            self.table().write_parquet(aside / FILE)
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, rows=len(self))

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Rollouts":
        """Refused if the rollouts were not `made_from` what the caller names, e.g. {"policy": policy.fingerprint()}."""
        manifest = read_manifest(path, KIND, made_from=made_from)
        frame = read_whole(Path(path) / FILE, manifest["rows"], "rollouts")
        rows = [Rollout(**{key: _frozen(value) for key, value in row.items()}) for row in frame.iter_rows(named=True)]
        return cls(rows, config=manifest["config"], made_from=manifest["made_from"])


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [asdict(item) if isinstance(item, TokenStep) else item for item in value]
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(TokenStep(**item) if isinstance(item, dict) else item for item in value)
    return value


def _schema() -> "dict[str, Any]":
    import polars as pl

    step = pl.Struct({"start": pl.Int32, "end": pl.Int32, "holds": pl.Boolean, "follows": pl.Boolean})
    kinds: dict[Any, Any] = {
        str: pl.String,
        int: pl.Int64,
        bool: pl.Boolean,
        float: pl.Float64,
        tuple[int, ...]: pl.List(pl.Int32),
        tuple[float, ...]: pl.List(pl.Float32),
        tuple[str, ...]: pl.List(pl.String),
        tuple[TokenStep, ...]: pl.List(step),
    }
    kinds |= {kind | None: column for kind, column in kinds.items()}  # an empty column keeps its type
    return {f.name: kinds[f.type] for f in fields(Rollout)}
