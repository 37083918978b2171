"""The checkpoints of one policy, in order of step: what training left behind, to be looked at side by side.

A series is read from any directory that holds `checkpoint-<step>/` directories in Hugging Face format, such as the
output of a TRL or transformers trainer or a run directory of our own, or from any list of such directories. It holds
paths, no weights: to open one costs the reading of some headers, and refuses at once what would fail hours later.
From a series, the activations of its checkpoints are collected.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, recover
from interp.policy.directory import check_config, check_weights, fingerprint_of
from interp.tasks.base import Task

if TYPE_CHECKING:
    from interp.policy.policy import Policy

ARCHITECTURE = ("model_type", "hidden_size", "n_embd", "num_hidden_layers", "n_layer", "vocab_size")
"""What the members of a series have in common, under the names that config.json gives it in one family or another."""
_MEMBER = re.compile(r"checkpoint-(\d+)", re.ASCII)
_LEFT = re.compile(r"\.(checkpoint-\d+)\.\d+\.(?:retired|partial)", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    step: int
    """0 is the base."""
    path: Path

    def load(self, *, device: str = "auto", dtype: str = "auto") -> "Policy":
        from interp.policy.policy import Policy

        return Policy.load(self.path, device=device, dtype=dtype)

    def fingerprint(self) -> str:
        """Of its weights, read one tensor at a time."""
        return fingerprint_of(self.path)


class Series(Sequence[Checkpoint]):
    """Checkpoints in order of step, each step once."""

    def __init__(
        self,
        checkpoints: Iterable[Checkpoint],
        *,
        task: Task | None = None,
        run: str = "base",
        skipped: Iterable[tuple[int, str]] = (),
        home: Path | None = None,
    ) -> None:
        self.members = tuple(sorted(checkpoints, key=lambda member: member.step))
        self.task, self.run, self.skipped = task, run, tuple(skipped)
        """What it was trained on, where that is known, its name in the records of its rollouts, and the steps that were
        left out, with the reason."""
        self._home = home
        for one, other in zip(self.members, self.members[1:], strict=False):
            if one.step == other.step:
                raise BadInput(f"expected each step once, got step {one.step} twice: {one.path} and {other.path}")

    @classmethod
    def from_dir(
        cls, path: str | Path, *, base: str | Path | None = None, task: Task | None = None, skip_bad: bool = False
    ) -> "Series":
        """Every `checkpoint-<step>/` in `path`. A trainer keeps none of the policy it began with: `base` is step 0.
        With `skip_bad`, those that cannot be used are left out and listed in `skipped`; but never the base."""
        path = Path(path)
        members = _members(path)
        if not members:
            raise BadInput(f"{path}: expected directories called checkpoint-<step>, got {_found(path)}")
        if base is not None and members[0].step == 0:
            raise BadInput(
                f"{path}: expected each step once, got step 0 twice: {base} and {members[0].path}: a series that holds "
                "its own base needs no other (base, --base)"
            )
        every = [*([Checkpoint(0, Path(base))] if base is not None else []), *members]
        return cls._checked(every, skip_bad=skip_bad, task=task, run=path.absolute().name)

    @classmethod
    def from_dirs(
        cls, dirs: Mapping[int, str | Path] | Sequence[tuple[int, str | Path]] | Sequence[str | Path]
    ) -> "Series":
        """Any Hugging Face directories: {step: path}, (step, path) pairs, or paths alone, which are steps 0, 1, ..."""
        if isinstance(dirs, str | Path):
            raise BadInput(f"expected a list of directories, got {str(dirs)!r} alone: did you mean from_dir?")
        named: list[Any] = list(dirs.items() if isinstance(dirs, Mapping) else dirs)
        if not named:
            raise BadInput("expected at least one checkpoint, got none")
        if len({isinstance(item, tuple) for item in named}) > 1:
            raise BadInput("expected a step for every directory or for none, got some with and some without")
        pairs = [item if isinstance(item, tuple) else (at, item) for at, item in enumerate(named)]
        return cls._checked([Checkpoint(step, Path(path)) for step, path in pairs])

    @classmethod
    def _checked(cls, checkpoints: Sequence[Checkpoint], *, skip_bad: bool = False, **known: Any) -> "Series":
        series = cls(checkpoints, **known)
        base, wanted, skipped = series.base, _config_of(series.base), []
        for member in series[1:]:
            try:
                _expect_alike(base, wanted, member, _config_of(member))
            except BadInput as error:
                if not skip_bad:
                    raise
                skipped.append((member.step, str(error)))
        left_out = {step for step, _ in skipped}
        return cls([member for member in series if member.step not in left_out], skipped=skipped, **known)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Series(self.members[at], task=self.task, run=self.run, skipped=self.skipped, home=self._home)
        return self.members[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and self.members == other.members

    def __hash__(self) -> int:
        return hash(self.members)

    def __repr__(self) -> str:
        return f"Series({len(self)} checkpoints, steps {', '.join(map(str, self.steps))})"

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(member.step for member in self.members)

    @property
    def base(self) -> Checkpoint:
        """The first: what the others are held against."""
        return self.members[0]

    @property
    def last(self) -> Checkpoint:
        return self.members[-1]

    @property
    def home(self) -> Path | None:
        """The directory in which all checkpoint-<step>/ of it lie, if they lie in one; the base may lie elsewhere. Of
        checkpoints that lie apart, the one that was named when they were put together."""
        if self._home is not None:
            return self._home
        parents = {member.path.absolute().parent for member in self if _MEMBER.fullmatch(member.path.name)}
        return parents.pop() if len(parents) == 1 else None

    def at(self, step: int) -> Checkpoint:
        for member in self.members:
            if member.step == step:
                return member
        raise BadInput(
            f"expected one of the steps {', '.join(map(str, self.steps))}; got {step}: a step is the name of a "
            "checkpoint here, not a count"
        )

    def beside(self, name: str, *, keeping: str) -> Path:
        """A place among the checkpoints, for what is made of them."""
        if self.home is None:
            more = f" and {len(self) - 1} more" if len(self) > 1 else " alone"
            raise BadInput(
                f"expected checkpoint-<step> directories in one place, to keep {keeping} there; got {self.base.path}"
                f"{more}: name the directory that holds them (from_dir, --series), or say where to keep {keeping} "
                "(out, --out)"
            )
        return self.home / name


def _config_of(member: Checkpoint) -> dict[str, Any]:
    """Once it is known that it can be loaded."""
    if member.step < 0:
        raise BadInput(f"{member.path}: expected a step of 0 or more, got {member.step}")
    config = check_config(member.path)
    check_weights(member.path)
    return config


def _members(path: Path) -> list[Checkpoint]:
    """What is there, once a checkpoint that a killed writer left half renamed is whole again."""
    if not path.is_dir():
        return []
    for left in [_LEFT.fullmatch(entry.name) for entry in path.iterdir()]:
        if left:
            recover(path / left[1])
    named = [(entry, _MEMBER.fullmatch(entry.name)) for entry in sorted(path.iterdir()) if entry.is_dir()]
    return [Checkpoint(int(name[1]), entry) for entry, name in named if name]


def _found(path: Path) -> str:
    if not path.is_dir():
        return "a file" if path.exists() else "nothing there"
    if (path / "config.json").exists():
        return "a model: for a single checkpoint, use from_dirs([path]) (--policy)"
    names = sorted(p.name for p in path.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "an empty one"


def _expect_alike(base: Checkpoint, wanted: dict[str, Any], member: Checkpoint, config: dict[str, Any]) -> None:
    if differ := [key for key in ARCHITECTURE if wanted.get(key) != config.get(key)]:
        expected, got = (", ".join(f"{key} {told.get(key)}" for key in differ) for told in (wanted, config))
        raise BadInput(
            f"{member.path}: expected the architecture of {base.path} ({expected}), got {got}: "
            "a series is one policy in training, and only policies of one architecture can be compared"
        )
