"""Names and comments that people give to latents, and to sets of latents, in a small JSON file beside the results.

    {"7": {"name": "carries the sum", "note": "only after a result"},
     "sets": [{"name": "copying", "note": "", "latents": [7, 12]}]}

The dashboard reads this file, shows the names, and lets a reader write more. The file is meant to be edited, so it has
no checksum; a damaged one is refused. A function that explains latents can propose names (`propose`); none is shipped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from interp.artifacts import BadInput, parse_json, reading, to_json, write_json
from interp.checks import Length, expect_plausible
from interp.display import HtmlSummary

if TYPE_CHECKING:
    import polars as pl

FILE, SETS = "notes.json", "sets"
MAX_LATENT = 10**7
REMEDY = "mend it, or move it away"
Text = Annotated[str, Length(10_000, may_be_empty=True, may_have_lines=True)]
Label = Annotated[str, Length(200)]
Explain = Callable[[int, Sequence[str]], str]
"""From a latent and texts in which it is active, the active token in guillemets, to a name for it."""


@dataclass(frozen=True)
class LatentNote:
    """A name and a comment."""

    name: Annotated[str, Length(200, may_be_empty=True)] = ""
    note: Text = ""

    def __post_init__(self) -> None:
        expect_plausible(self)


@dataclass(frozen=True)
class LatentSet:
    """A named set of latents."""

    name: Label
    note: Text
    latents: tuple[int, ...]

    def __post_init__(self) -> None:
        expect_plausible(self)
        for latent in self.latents:
            _expect_latent(latent)


class HasExamples(Protocol):
    """A dashboard."""

    def latents(self) -> Sequence[int]: ...

    def examples(self, latent: int) -> Sequence[str]: ...


class Notes(HtmlSummary):
    """Names and comments by latent, and named sets of latents."""

    def __init__(
        self,
        latents: Mapping[int, LatentNote] | None = None,
        sets: Iterable[LatentSet] = (),
        path: str | Path | None = None,
    ) -> None:
        self.latents, self.sets = dict(latents or {}), {each.name: each for each in sets}
        self.path = None if path is None else Path(path)
        """The file they were read from, or are saved in."""

    @classmethod
    def load(cls, path: str | Path) -> "Notes":
        """The notes in a file, or in `notes.json` of a directory. None yet if there is no such file."""
        file = Path(path) / FILE if Path(path).is_dir() else Path(path)
        if not file.exists():
            return cls(path=file)
        return cls.from_json(parse_json(file, "notes on latents"), file)

    @classmethod
    def from_json(cls, content: Any, path: str | Path = "notes") -> "Notes":
        """Notes from plain values, as `to_json` gives them. Anything else is refused; `path` names it in the error."""
        with reading(path, "notes on latents, as `Notes.save` writes them", remedy=REMEDY):
            if not isinstance(content, dict):
                raise TypeError(f"a {type(content).__name__}")
            latents = {_latent_of(key): LatentNote(**each) for key, each in content.items() if key != SETS}
            sets = [
                LatentSet(each["name"], each.get("note", ""), tuple(each["latents"])) for each in content.get(SETS, ())
            ]
            return cls(latents, sets, path)

    def to_json(self) -> dict[str, Any]:
        latents = {str(latent): to_json(each) for latent, each in sorted(self.latents.items())}
        return latents | ({SETS: to_json(list(self.sets.values()))} if self.sets else {})

    def save(self, path: str | Path | None = None) -> Path:
        """Write the notes to a file, by default to the one they were read from. A file that holds no notes is kept."""
        target = self.path if path is None else Path(path)
        if target is None:
            raise BadInput("expected a file for the notes, got none: save(path)")
        if target != self.path and target.exists():
            Notes.load(target)
        write_json(target, self.to_json())
        self.path = target
        return target

    def __repr__(self) -> str:
        return f"Notes({len(self.latents)} latents, {len(self.sets)} sets)"

    def __getitem__(self, latent: int) -> LatentNote:
        """The note of a latent; an empty one if it has none."""
        return self.latents.get(latent, LatentNote())

    def name(self, latent: int, name: str, note: str = "") -> LatentNote:
        """Name a latent. An empty name and note forget it."""
        _expect_latent(latent)
        self.latents[latent] = LatentNote(name, note)
        if not name and not note:
            del self.latents[latent]
        return self[latent]

    def name_set(self, name: str, latents: Iterable[int], note: str = "") -> LatentSet:
        """Name a set of latents. A set of the same name is replaced; without latents it is forgotten."""
        self.sets[name] = new = LatentSet(name, note, tuple(dict.fromkeys(latents)))
        if not new.latents:
            del self.sets[name]
        return new

    def propose(self, explain: Explain, dashboard: HasExamples, latents: Iterable[int] | None = None) -> list[int]:
        """Name latents that have no name by `explain`, from their examples in a dashboard. Returns those it named."""
        named = []
        for latent in dashboard.latents() if latents is None else latents:
            texts = [] if self[latent].name else list(dashboard.examples(latent))
            if texts and (name := explain(latent, texts)):
                self.name(latent, name, self[latent].note)
                named.append(latent)
        return named

    def table(self) -> "pl.DataFrame":
        """A row for each latent with a name or a comment."""
        import polars as pl

        rows = [(latent, each.name, each.note) for latent, each in sorted(self.latents.items())]
        return pl.DataFrame(rows, schema={"latent": pl.Int64, "name": pl.String, "note": pl.String}, orient="row")

    def summary(self) -> "pl.DataFrame":
        return self.table()


def _latent_of(key: str) -> int:
    if not (key.isascii() and key.isdigit()):
        raise ValueError(f"expected the number of a latent, got {key!r:.40}")
    _expect_latent(int(key))
    return int(key)


def _expect_latent(latent: Any) -> None:
    if type(latent) is not int or not 0 <= latent < MAX_LATENT:
        raise BadInput(f"expected the number of a latent, from 0 to {MAX_LATENT - 1:,}; got {latent!r:.40}: {REMEDY}")
