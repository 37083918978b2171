"""A series: the checkpoints of one policy in training, in order of step.

It is read from a directory that holds `checkpoint-<step>/` directories in Hugging Face format, such as the output of
`interp.grpo`, TRL or a transformers trainer, or from any list of such directories. It holds paths, not weights: opening
one reads a few headers, and refuses at once any checkpoint that could not be loaded later.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, own_manifest, recover
from interp.display import HtmlSummary
from interp.policy.adapter_files import is_adapter
from interp.policy.files import (
    adapter_and_base,
    check_config,
    check_weights,
    compare_files,
    recorded_step,
    tokenizer_directory,
)
from interp.policy.fingerprints import fingerprint_of
from interp.policy.prompts import PromptFormat
from interp.rollouts.recorded_checkpoints import expect_recorded, missing_checkpoints, recorded_checkpoints
from interp.rollouts.vocabularies import expect_same_tokens
from interp.tasks.base import Task

if TYPE_CHECKING:
    import polars as pl

    from interp.policy.policy import Policy

ARCHITECTURE = ("model_type", "hidden_size", "n_embd", "num_hidden_layers", "n_layer", "vocab_size")
"""Entries of config.json that all checkpoints must share; families name them differently."""
MAX_LISTED = 8
_CHECKPOINT = re.compile(r"checkpoint-(\d+)", re.ASCII)
_UNFINISHED = re.compile(r"\.(checkpoint-\d+)\.\d+\.(?:retired|partial)", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """A policy directory, at one step of training."""

    step: int
    """0 is the base."""
    path: Path
    base: Path | None = None
    """Of a LoRA adapter: the base it is merged into, where that is not what its config names."""

    def load(self, *, device: str = "auto", dtype: str = "auto") -> "Policy":
        from interp.policy.policy import Policy

        return Policy.load(self.path, base=self.base, device=device, dtype=dtype)

    @property
    def model_path(self) -> Path:
        """The directory of its config.json: that of the base, for an adapter."""
        pair = adapter_and_base(self.path, self.base)
        return self.path if pair is None else pair[1]

    def fingerprint(self) -> str:
        """Fingerprint of the policy: weights, config and tokenizer. Weights are read one tensor at a time; an adapter
        is merged."""
        return fingerprint_of(self.path, self.base)


class Series(Sequence[Checkpoint], HtmlSummary):
    """Checkpoints in order of step, each step once."""

    def __init__(
        self,
        checkpoints: Iterable[Checkpoint],
        *,
        task: Task | None = None,
        run: str = "base",
        skipped: Iterable[tuple[int, str]] = (),
        directory: Path | None = None,
    ) -> None:
        self.checkpoints = tuple(sorted(checkpoints, key=lambda checkpoint: checkpoint.step))
        self.task = task
        """The task it was trained on, if known."""
        self.run = run
        """Name of the run in the records of its rollouts."""
        self.skipped = tuple(skipped)
        """Steps that were left out, each with the reason."""
        self._directory = directory
        for before, after in zip(self.checkpoints, self.checkpoints[1:], strict=False):
            if before.step == after.step:
                raise BadInput(
                    f"expected each step once, got step {before.step} twice: {before.path} and {after.path}: "
                    "leave one out"
                )

    @classmethod
    def from_dir(
        cls, path: str | Path, *, base: str | Path | None = None, task: Task | None = None, skip_bad: bool = False
    ) -> "Series":
        """Every `checkpoint-<step>/` in `path`.

        `base` is added as step 0: trainers do not save the policy they started from. LoRA adapters are merged into it,
        or into what their configs name. With `skip_bad`, the weights of our own runs are read once, to compare their
        checksums, and checkpoints that cannot be used are left out and listed in `skipped`; the base is never left
        out."""
        path = Path(path)
        checkpoints = [_with_base(checkpoint, base) for checkpoint in find_checkpoints(path)]
        if not checkpoints:
            raise BadInput(f"{path}: expected directories called checkpoint-<step>, got {_describe_contents(path)}")
        if base is not None and checkpoints[0].step == 0:
            raise BadInput(
                f"{path}: expected each step once, got step 0 twice: {base} and {checkpoints[0].path}: a series that "
                "holds its own base needs no other (base, --base)"
            )
        recorded = recorded_checkpoints(path)
        missing = missing_checkpoints(path, recorded, (checkpoint.step for checkpoint in checkpoints))
        is_base_missing = bool(missing) and missing[0][0] < checkpoints[0].step
        if is_base_missing or (missing and not skip_bad):
            raise BadInput(missing[0][1])
        expect_recorded(checkpoints[0].path, checkpoints[0].step, recorded)
        with_base = [*([Checkpoint(0, Path(base))] if base is not None else []), *checkpoints]
        return cls._checked(
            with_base, skip_bad=skip_bad, task=task, run=path.absolute().name, recorded=recorded, missing=missing
        )

    @classmethod
    def from_dirs(
        cls,
        dirs: Mapping[int, str | Path] | Sequence[tuple[int, str | Path]] | Sequence[str | Path] | Sequence[Checkpoint],
        *,
        base: str | Path | None = None,
    ) -> "Series":
        """Any Hugging Face directories: {step: path}, (step, path) pairs, or paths alone, which are steps 0, 1, ... So
        are checkpoints, whatever steps they were.

        LoRA adapters are merged into `base`, or into what their configs name."""
        if isinstance(dirs, str | Path):
            raise BadInput(f"expected a list of directories, got {str(dirs)!r} alone: did you mean from_dir?")
        items: list[Any] = list(dirs.items() if isinstance(dirs, Mapping) else dirs)
        if not items:
            raise BadInput("expected at least one checkpoint, got none")
        if len({isinstance(item, tuple) for item in items}) > 1:
            raise BadInput("expected a step for every directory or for none, got some with and some without")
        pairs = [item if isinstance(item, tuple) else (i, item) for i, item in enumerate(items)]
        return cls._checked(
            [
                replace(path, step=step)
                if isinstance(path, Checkpoint)
                else _with_base(Checkpoint(step, Path(path)), base)
                for step, path in pairs
            ]
        )

    @classmethod
    def _checked(
        cls,
        checkpoints: Sequence[Checkpoint],
        *,
        skip_bad: bool = False,
        task: Task | None = None,
        run: str = "base",
        recorded: Mapping[int, str] | None = None,
        missing: Iterable[tuple[int, str]] = (),
    ) -> "Series":
        series, skipped = cls(checkpoints, task=task, run=run), list(missing)
        base, expected = series.base, _read_config(series.base)
        tokenizer = tokenizer_directory(base.path, base.base)
        for checkpoint in series[1:]:
            try:
                config = _read_config(checkpoint, weights=skip_bad)
                expect_recorded(checkpoint.path, checkpoint.step, recorded or {})
                _expect_same_architecture(base, expected, checkpoint, config)
                expect_same_tokens(tokenizer, tokenizer_directory(checkpoint.path, checkpoint.base))
            except BadInput as error:
                if not skip_bad:
                    raise
                skipped.append((checkpoint.step, str(error)))
        bad_steps = {step for step, _ in skipped}
        usable = [checkpoint for checkpoint in series if checkpoint.step not in bad_steps]
        return cls(usable, skipped=sorted(skipped), task=task, run=run)

    def __len__(self) -> int:
        return len(self.checkpoints)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self.checkpoints[index]
        return Series(
            self.checkpoints[index], task=self.task, run=self.run, skipped=self.skipped, directory=self._directory
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and self.checkpoints == other.checkpoints

    def __hash__(self) -> int:
        return hash(self.checkpoints)

    def __repr__(self) -> str:
        return f"Series({len(self)} checkpoints, steps {', '.join(map(str, self.steps))})"

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(checkpoint.step for checkpoint in self.checkpoints)

    @property
    def base(self) -> Checkpoint:
        """The first checkpoint, with which the others are compared."""
        return self.checkpoints[0]

    @property
    def last(self) -> Checkpoint:
        return self.checkpoints[-1]

    @property
    def directory(self) -> Path | None:
        """The directory of all checkpoint-<step>/; None if they lie in several. The base may lie elsewhere."""
        if self._directory is not None:
            return self._directory
        parents = {c.path.absolute().parent for c in self if _CHECKPOINT.fullmatch(c.path.name)}
        return parents.pop() if len(parents) == 1 else None

    @property
    def prompt_format(self) -> PromptFormat | None:
        """How the run put its problems; None if that is not recorded."""
        return PromptFormat.of_checkpoint(self.last.path) if len(self) else None

    @property
    def sampling(self) -> dict[str, Any] | None:
        """Settings with which the run sampled; None if they are not recorded."""
        manifest = own_manifest(self.last.path) if len(self) else None
        config = (manifest or {}).get("config")
        return config.get("sampling") if isinstance(config, dict) else None

    def checkpoint(self, step: int) -> Checkpoint:
        """The checkpoint of a step."""
        for checkpoint in self.checkpoints:
            if checkpoint.step == step:
                return checkpoint
        raise BadInput(
            f"expected one of the steps {', '.join(map(str, self.steps))}; got {step}: name the step of a "
            "checkpoint, not a count"
        )

    def path_for(self, name: str, *, content: str) -> Path:
        """The default path of an artifact of this series, beside its checkpoints. `content` names it in errors."""
        if self.directory is None:
            count = f" and {len(self) - 1} more" if len(self) > 1 else " alone"
            raise BadInput(
                f"expected checkpoint-<step> directories in one place, to keep {content} there; got {self.base.path}"
                f"{count}: name the directory that holds them (from_dir, --series), or say where to keep {content} "
                "(out, --out)"
            )
        return self.directory / name

    def table(self) -> "pl.DataFrame":
        """A row per checkpoint: step, path, fingerprint."""
        import polars as pl

        rows = [(c.step, str(c.path), c.fingerprint()) for c in self.checkpoints]
        schema = {"step": pl.Int64, "path": pl.String, "fingerprint": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def summary(self) -> "pl.DataFrame":
        """A row per checkpoint, used or left out: step, directory, and why it was left out."""
        import polars as pl

        rows: list[tuple[int, str | None, str | None]] = [(c.step, c.path.name, None) for c in self.checkpoints]
        rows += [(step, None, reason) for step, reason in self.skipped]
        schema = {"step": pl.Int64, "directory": pl.String, "skipped": pl.String}
        return pl.DataFrame(sorted(rows, key=lambda row: row[0]), schema=schema, orient="row")


def _read_config(checkpoint: Checkpoint, *, weights: bool = False) -> dict[str, Any]:
    """The config.json of a checkpoint; refused if the checkpoint cannot be loaded. With `weights`, their checksums are
    compared."""
    if checkpoint.step < 0:
        raise BadInput(f"{checkpoint.path}: expected a step of 0 or more, got {checkpoint.step}")
    config = check_config(checkpoint.model_path)
    is_named = _CHECKPOINT.fullmatch(checkpoint.path.name)
    if is_named and (step := recorded_step(checkpoint.path)) not in (None, int(is_named[1])):
        raise BadInput(
            f"{checkpoint.path}: expected the checkpoint of step {is_named[1]}, got that of {step}: rename it"
        )
    check_weights(checkpoint.model_path)
    if weights:
        compare_files(checkpoint.path, weights=True)
    return config


def _with_base(checkpoint: Checkpoint, base: str | Path | None) -> Checkpoint:
    """The checkpoint, merged into `base` if it is an adapter."""
    if base is None or not is_adapter(checkpoint.path):
        return checkpoint
    return replace(checkpoint, base=Path(base))


def find_checkpoints(path: Path) -> list[Checkpoint]:
    """The checkpoints in a directory. One that a killed writer left half renamed is restored first."""
    if not path.is_dir():
        return []
    for match in [_UNFINISHED.fullmatch(entry.name) for entry in path.iterdir()]:
        if match:
            recover(path / match[1])
    named = [(entry, _CHECKPOINT.fullmatch(entry.name)) for entry in sorted(path.iterdir()) if entry.is_dir()]
    return sorted((Checkpoint(int(match[1]), entry) for entry, match in named if match), key=lambda each: each.step)


def _describe_contents(path: Path) -> str:
    if not path.is_dir():
        return "a file" if path.exists() else "nothing there"
    if (path / "config.json").exists() or is_adapter(path):
        return "a model: for a single checkpoint, use from_dirs([path]) (--policy)"
    names = sorted(p.name for p in path.iterdir())
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more or "an empty one"


def _expect_same_architecture(
    base: Checkpoint, expected: dict[str, Any], checkpoint: Checkpoint, config: dict[str, Any]
) -> None:
    if differing := [key for key in ARCHITECTURE if expected.get(key) != config.get(key)]:
        base_values, got = (", ".join(f"{key} {values.get(key)}" for key in differing) for values in (expected, config))
        raise BadInput(
            f"{checkpoint.path}: expected the architecture of {base.path} ({base_values}), got {got}: "
            "a series is one policy in training, and only policies of one architecture can be compared"
        )
