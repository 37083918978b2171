"""Sources as JSON and tensors, and back.

A dictionary is stored by its fingerprint alone: it has a directory of its own, and may be large."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from interp.artifacts import Artifact, BadInput, Mismatch, from_json, same_fingerprint, to_json
from interp.readouts.intention import Intention, Lens
from interp.readouts.sources import Completeness, Format, Latents, Likelihood, Residual, Source, TextCounts, WithRoles
from interp.tsae import TSAE

KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (Likelihood, Residual, Latents, Intention, Format, Completeness, TextCounts, WithRoles)
}


def sources_to_files(sources: Sequence[Source], directory: Path) -> list[dict[str, Any]]:
    """The settings of each source as JSON. Tensors of lenses go into files in `directory`."""
    return [_to_files(source, directory, f"lens-{number}.safetensors") for number, source in enumerate(sources)]


def _to_files(source: Source, directory: Path, lens_file: str) -> dict[str, Any]:
    kind = type(source).__name__
    if KINDS.get(kind) is not type(source):
        raise BadInput(f"expected sources that can be stored ({', '.join(KINDS)}), got {kind}: leave it out, or keep "
                       "the readout in memory")  # fmt: skip
    settings: dict[str, Any] = {}
    for field in fields(typing.cast(Any, source)):
        value = getattr(source, field.name)
        if isinstance(value, TSAE):
            value = value.fingerprint()
        elif isinstance(value, Lens):
            value = _lens_to_file(value, directory / lens_file)
        settings[field.name] = to_json(value)
    return {"kind": kind, "settings": settings}


def sources_from_files(
    rows: Sequence[Mapping[str, Any]], artifact: Artifact, dictionaries: Sequence[TSAE]
) -> tuple[Source, ...]:
    """The sources that `sources_to_files` stored, with the dictionaries that they read."""
    return tuple(_from_files(row, artifact, dictionaries) for row in rows)


def _from_files(row: Mapping[str, Any], artifact: Artifact, dictionaries: Sequence[TSAE]) -> Source:
    if row["kind"] not in KINDS:
        raise Mismatch(f"{artifact.path}: expected sources of {', '.join(KINDS)}, got {row['kind']}: is it of a later "
                       "version?")  # fmt: skip
    kind = KINDS[row["kind"]]
    hints = typing.get_type_hints(kind)

    def value_of(name: str, item: Any) -> Any:
        if hints[name] is TSAE:
            return dictionary_of(item, dictionaries, artifact.path)
        if hints[name] is Lens:
            return _lens_from_file(item, artifact)
        if is_dataclass(hints[name]):
            return from_json(typing.cast(Any, hints[name]), item)
        return tuple(item) if isinstance(item, list) else item

    return kind(**{name: value_of(name, item) for name, item in row["settings"].items()})


def dictionary_of(fingerprint: str, dictionaries: Sequence[TSAE], path: Path) -> TSAE:
    """The dictionary of this fingerprint, which the readout at `path` reads."""
    own = {tsae.fingerprint(): tsae for tsae in dictionaries}
    matching = [tsae for other, tsae in own.items() if same_fingerprint(other, fingerprint)]
    if not matching:
        raise Mismatch(
            f"{path}: expected the dictionary that it reads, {fingerprint}; got {', '.join(own) or 'none'}: give the "
            "one it was fitted with (--tsae; in Python Readout.load(path, dictionaries=[tsae]))"
        )
    return matching[0]


def _lens_to_file(lens: Lens, file: Path) -> dict[str, Any]:
    from safetensors.torch import save_file

    tokens_V = torch.tensor(lens.tokens, dtype=torch.long)
    save_file({"weight_FV": lens.weight_FV.contiguous(), "bias_V": lens.bias_V, "tokens_V": tokens_V}, file)
    return {"file": file.name, "made_from": dict(lens.made_from)}


def _lens_from_file(stored: Mapping[str, Any], artifact: Artifact) -> Lens:
    tensors = artifact.tensors(stored["file"])
    tokens = tuple(tensors["tokens_V"].tolist())
    return Lens(tensors["weight_FV"], tensors["bias_V"], tokens, made_from=dict(stored["made_from"]))
