"""The joined record of a rollout: the problem, the completion token by token, and the verdict on it.

The key (run, step, problem, sample) joins a row with data derived from it later. Lists have an entry for each token of
the completion, the end token included. `advantages`, `credit`, `gate`, `bonus` and `counts` are None until a training
loop sets them: None is not zero.

A policy may be given the beginning of an answer, a hint, and write the rest. The hint is then the end of `prompt_ids`,
and `tokens` are what the policy wrote. The verdict and `completion` are of the whole answer, hint included; roles,
steps and `first_error` say where in `tokens`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, open_artifact, reading, write_manifest, writing_dir
from interp.display import HtmlSummary
from interp.rollouts.tables import read_table

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

KIND = "rollouts"
FILE = "rollouts.parquet"


@dataclass(frozen=True, slots=True)
class TokenStep:
    """A written step, as tokens [start, end) of the completion."""

    start: int
    end: int
    holds: bool | None
    """Whether the equation is true as written."""
    follows: bool | None
    """Whether it is the computation due at this point."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion of one problem by one checkpoint, with its verdict."""

    run: str
    step: int
    """Step of the checkpoint that wrote it; 0 is the base."""
    problem: str
    """Id of the problem."""
    sample: int
    """Index within the problem's group."""
    split: str
    depth: int | None
    level: str | None
    prompt: str
    label: str
    """The answer that is rewarded."""
    completion: str
    prompt_ids: tuple[int, ...]
    tokens: tuple[int, ...]
    """Token ids of the completion."""
    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]
    """Entropy in nats of the distribution each token was drawn from."""
    roles: tuple[str, ...]
    """Role of each token."""
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
    """Factor of its reward."""
    bonus: float | None = None
    """What was added to its reward; None where the credit adds none."""
    counts: bool | None = None
    """Whether it counted in its group; None where the credit screens none out."""
    hint_tokens: int | None = None
    """Tokens at the end of `prompt_ids` that are the beginning of the answer; None without a hint. 0 where the hint is
    part of `tokens`, to be trained on as well."""
    hint_steps: int | None = None
    """Steps of the answer that lie in the hint, and so not in `steps`; None without a hint."""
    replayed_from: int | None = None
    """The step that wrote it, if it was put back into the batch of `step`."""

    @property
    def question_ids(self) -> tuple[int, ...]:
        """The prompt without the hint: what to put before another answer."""
        return self.prompt_ids[: len(self.prompt_ids) - (self.hint_tokens or 0)]

    @property
    def hint_ids(self) -> tuple[int, ...]:
        """The beginning of the answer that was given: what to put before `tokens` for a verifier."""
        return self.prompt_ids[len(self.question_ids) :]


_SET_BY_TRAINING = tuple(f.name for f in fields(Rollout) if f.default is None)
_MAY_BE_NONE = tuple(f.name for f in fields(Rollout) if isinstance(f.type, UnionType))


class Rollouts(Sequence[Rollout], HtmlSummary):
    """Rollouts with their config and the fingerprints of policy and task."""

    def __init__(self, rows: Sequence[Rollout], *, config: Any = None, made_from: dict[str, str] | None = None) -> None:
        self.rows = list(rows)
        self.config = config or {}
        self.made_from = made_from or {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        rows = self.rows[index]
        return Rollouts(rows, config=self.config, made_from=self.made_from) if isinstance(index, slice) else rows

    def __iter__(self) -> Iterator[Rollout]:
        return iter(self.rows)

    def __repr__(self) -> str:
        problems = len({row.problem for row in self.rows})
        return f"Rollouts({len(self)} of {problems} problems, {sum(row.correct for row in self.rows)} correct)"

    def table(self) -> "pl.DataFrame":
        """A row per rollout, with every field of the record."""
        import polars as pl

        columns = {f.name: [_to_cell(getattr(row, f.name)) for row in self.rows] for f in fields(Rollout)}
        return pl.DataFrame(columns, schema=_schema())

    def summary(self) -> "pl.DataFrame":
        """A row per depth: rollouts, pass rate, valid rate and share of direct answers."""
        from interp.rollouts.summary import HEADLINE_MEASURES, summarize

        return summarize(self.rows, "depth", HEADLINE_MEASURES).summary()

    def figure(self) -> "go.Figure":
        """Pass rate, valid rate and share of direct answers by depth, with intervals over problems."""
        from interp.rollouts.summary import HEADLINE_MEASURES, summarize

        return summarize(self.rows, "depth", HEADLINE_MEASURES).figure()

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the rollouts as a directory, atomically."""
        with writing_dir(path, overwrite=overwrite) as aside:
            self.table().write_parquet(aside / FILE)
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from, rows=len(self))

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Rollouts":
        """Load saved rollouts; refused if a fingerprint in `made_from` differs: {"policy": policy.fingerprint()}."""
        artifact = open_artifact(path, KIND, made_from=made_from)
        manifest = artifact.manifest
        with reading(artifact.path, "rollouts"):
            frame = read_table(
                artifact, FILE, "rollouts", _schema(), rows=manifest["rows"],
                may_be_empty=_MAY_BE_NONE, may_be_missing=_SET_BY_TRAINING,
            )  # fmt: skip
            rows = [
                Rollout(**{key: _from_cell(value) for key, value in row.items()}) for row in frame.iter_rows(named=True)
            ]
            _expect_agreement(artifact.path, manifest["config"], rows)
        return cls(rows, config=manifest["config"], made_from=manifest["made_from"])


def _expect_agreement(path: Path, config: Mapping[str, Any], rows: Sequence[Rollout]) -> None:
    """Refuse rollouts of another run or step than the manifest says, and entries that are not one for each token."""
    for name in ("run", "step"):
        if name in config and (others := {getattr(row, name) for row in rows} - {config[name]}):
            raise BadInput(
                f"{path}: expected rollouts of {name} {config[name]}, got some of {others.pop()}: copy it again"
            )
    for row in rows:
        entries = (row.logprobs, row.entropies, row.roles, row.advantages, row.credit)
        spans = all(0 <= step.start < step.end <= len(row.tokens) for step in row.steps)
        if not spans or any(each is not None and len(each) != len(row.tokens) for each in entries):
            raise BadInput(
                f"{path}: expected an entry for each of the {len(row.tokens)} tokens of sample {row.sample} of "
                f"{row.problem}, and steps within them: copy it again"
            )


def _to_cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return [asdict(item) if isinstance(item, TokenStep) else item for item in value]
    return value


def _from_cell(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(TokenStep(**item) if isinstance(item, dict) else item for item in value)
    return value


def _schema() -> "dict[str, Any]":
    import polars as pl

    step = pl.Struct({"start": pl.Int32, "end": pl.Int32, "holds": pl.Boolean, "follows": pl.Boolean})
    types: dict[Any, Any] = {
        str: pl.String,
        int: pl.Int64,
        bool: pl.Boolean,
        float: pl.Float64,
        tuple[int, ...]: pl.List(pl.Int32),
        tuple[float, ...]: pl.List(pl.Float32),
        tuple[str, ...]: pl.List(pl.String),
        tuple[TokenStep, ...]: pl.List(step),
    }
    types |= {python_type | None: column for python_type, column in types.items()}  # an empty column keeps its type
    return {f.name: types[f.type] for f in fields(Rollout)}
