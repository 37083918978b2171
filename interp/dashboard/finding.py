"""Results on disk: what a directory holds, by its manifest; a directory of directories is searched two levels deep.

What is named and cannot be read is refused. What is come across in a search and cannot be read is left out, and said.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from interp.artifacts import MANIFEST, SCHEMA, BadInput, Mismatch, own_manifest
from interp.dashboard.inputs import KINDS, Named, StoredReadout
from interp.dashboard.verdicts import StudyResult, is_study
from interp.features.notes import FILE as NOTES_FILE
from interp.features.notes import Notes
from interp.features.roles import Roles
from interp.grpo.run import Run
from interp.policy.adapter_files import is_adapter
from interp.rollouts.buckets import Buckets
from interp.rollouts.evaluation import Evaluation
from interp.rollouts.record import Rollouts
from interp.rollouts.series import Series, find_checkpoints
from interp.tracking.comparing import RUN as COMPARISON
from interp.tracking.comparison import Comparison
from interp.tracking.config import ON_POLICY, PROBE, RESAMPLED
from interp.tracking.tracks import Tracks
from interp.tsae import TSAE

DEPTH = 2
"""Levels of directories that are searched."""
READERS: dict[str, Callable[[Path], Any]] = {
    "grpo-run": lambda path: _open_run(path),
    "tracks": lambda path: _open_tracks(path),
    "roles": Roles.load,
    "tsae": TSAE.load,
    "evaluation": Evaluation.load,
    "rollouts": Rollouts.load,
    "buckets": Buckets.load,
    "readout": StoredReadout,
}
"""How each kind of artifact is opened. Others (stores, policies, organisms, checkpoints) are not shown."""


def open_results(paths: Sequence[Path], *, base: Path | None = None) -> tuple[list[Named[Any]], list[str]]:
    """The results in these directories, each once, and sentences about what was left out. `base` is step 0 of
    directories of checkpoints that have none of their own."""
    results: dict[Path, Named[Any]] = {}
    left_out: list[str] = []
    for path in paths:
        if not path.exists():
            raise BadInput(f"{path}: expected {KINDS}, got nothing there: is the path right?")
        listed = list(_search(path, DEPTH, base, is_named=True, left_out=left_out))
        if not listed and not left_out:
            raise BadInput(f"{path}: expected {KINDS}, or a directory of such, got none: is the path right?")
        results |= {place.resolve(): named for place, named in listed}
    if base is not None and not any(isinstance(named.result, Series) for named in results.values()):
        raise BadInput(f"{base} is step 0 of a directory of checkpoints: expected one of these too, got none (--base)")
    return list(results.values()), left_out


def _search(
    path: Path, depth: int, base: Path | None, *, is_named: bool, left_out: list[str]
) -> Iterator[tuple[Path, Named[Any]]]:
    """The result at a path and those inside, each with its place."""
    try:
        result, is_whole = _open(path, base, is_named=is_named)
    except BadInput as error:
        if is_named:
            raise
        left_out.append(f"Left out: {error}")
        return
    if result is not None:
        if isinstance(result, Tracks | Comparison) and (partial := _partial_tracks(result)):
            left_out.append(partial)
        yield path, Named(path.absolute().name, result, str(path))
    if depth and path.is_dir() and not is_whole:
        inside = (each for each in sorted(path.iterdir()) if not each.name.startswith((".", "checkpoint-")))
        for each in inside:
            if each.is_dir() or each.name == NOTES_FILE:
                yield from _search(each, depth - 1, base, is_named=False, left_out=left_out)


def _open(path: Path, base: Path | None, *, is_named: bool) -> tuple[Any, bool]:
    """The result at a path, or None, and whether nothing else is to be searched inside."""
    if path.is_file():
        if path.name == NOTES_FILE:
            return Notes.load(path), True
        raise BadInput(f"{path}: expected the directory of a result, got a file: name its directory")
    manifest = own_manifest(path)
    if manifest is not None:
        kind = str(manifest.get("kind"))
        expect_schema(path, manifest)
        if kind in READERS:
            return READERS[kind](path), kind != "grpo-run"  # tracks may lie beside the checkpoints of a run
        if is_named and kind != "checkpoint":
            raise BadInput(f"{path}: expected {KINDS}, got a directory of kind {kind!r}: leave it out")
        return None, True
    if is_study(path):
        return StudyResult.load(path), True
    if (path / "cfg.json").is_file() and (path / "sae_weights.safetensors").is_file():
        return TSAE.load(path), True
    if find_checkpoints(path):
        return _open_series(path, base, skip_bad=not is_named), False
    if is_named and ((path / "config.json").is_file() or is_adapter(path)):
        return Series.from_dirs([path]), True
    return None, False


def expect_schema(path: Path, manifest: dict[str, Any]) -> None:
    """Refuse an artifact of another schema, with the version that wrote it."""
    if (schema := manifest.get("schema")) != SCHEMA:
        versions = manifest.get("versions")
        version = versions.get("interp") if isinstance(versions, dict) else None
        writer = f", written by interp {version}" if version else ""
        raise Mismatch(
            f"{path / MANIFEST}: expected schema {SCHEMA}, got {schema!r}{writer}: make it again with this version, "
            "or leave it out"
        )


def _open_series(path: Path, base: Path | None, *, skip_bad: bool) -> Series:
    """Checkpoints of another trainer, after their base if they have no step 0."""
    has_base = find_checkpoints(path)[0].step == 0
    return Series.from_dir(path, base=None if has_base else base, skip_bad=skip_bad)


def _open_run(path: Path) -> Run:
    """A run whose metrics and checkpoints can be read."""
    run = Run.open(path)
    run.metrics()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its task is reopened once more, where it is used
        run.series  # noqa: B018 - opened to see that it can be
    return run


def _open_tracks(path: Path) -> Tracks | Comparison:
    """Tracks, or the comparison that they are made of. Of unfinished ones, the checkpoints that are done."""
    manifest = own_manifest(path) or {}
    is_comparison = (manifest.get("config") or {}).get("run") == COMPARISON
    unfinished = Tracks.from_manifest(path, manifest)
    if not unfinished.missing_sums():
        tracks = Tracks.open(path)
        return Comparison(tracks, tracks.steps[-2], tracks.steps[-1]) if is_comparison else tracks
    base, *later = unfinished.steps
    done = [step for step in later if all(unfinished.has_sums(step, corpus) for corpus in (ON_POLICY, PROBE))]
    has_base = all(unfinished.has_sums(base, corpus) for corpus in (ON_POLICY, PROBE, RESAMPLED))
    if is_comparison or not has_base or not done:
        return Tracks.open(path)  # which says what is missing
    unfinished.steps = (base, *done)
    unfinished.resampled_steps = (base,)
    return unfinished


def _partial_tracks(result: Tracks | Comparison) -> str | None:
    """A sentence about unfinished tracks, and about checkpoints that were skipped."""
    tracks = result.tracks if isinstance(result, Comparison) else result
    planned, reasons = tracks.config["steps"], [f"step {step} was skipped: {reason}" for step, reason in tracks.skipped]
    if missing := [step for step in planned if step not in tracks.steps]:
        reasons.append(f"unfinished, without step {', '.join(map(str, missing))}")
    return f"The tracks {tracks.path} are partial: {'; '.join(reasons)}." if reasons else None
