"""Ranges of texts as JSON and tensors, and back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interp.artifacts import Artifact, from_json, to_json
from interp.features.families import TokenSelector
from interp.readouts.columns import Origin
from interp.readouts.error_range import DictionaryError, ErrorRange
from interp.readouts.source_files import dictionary_of
from interp.readouts.text_range import TextRange
from interp.tsae import TSAE

TENSORS = "text-range.safetensors"


def text_range_to_files(region: TextRange | None, directory: Path) -> dict[str, Any] | None:
    from safetensors.torch import save_file

    if region is None:
        return None
    tensors = {"mean_F": region.mean_F, "axes_FC": region.axes_FC, "variance_C": region.variance_C}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / TENSORS)
    return {"floor": region.floor, "limit": region.limit, "origin": to_json(region.origin)}


def text_range_from_files(stored: Mapping[str, Any] | None, artifact: Artifact) -> TextRange | None:
    if stored is None:
        return None
    tensors = artifact.tensors(TENSORS)
    return TextRange(
        tensors["mean_F"], tensors["axes_FC"], tensors["variance_C"], stored["floor"], stored["limit"],
        origin_from_json(stored["origin"]),
    )  # fmt: skip


def error_range_to_json(region: ErrorRange | None) -> dict[str, Any] | None:
    if region is None:
        return None
    source = region.source
    return {
        "dictionary": source.tsae.fingerprint(), "layer": source.layer, "selector": to_json(source.selector),
        "limit": region.limit, "origin": to_json(region.origin),
    }  # fmt: skip


def error_range_from_json(
    stored: Mapping[str, Any] | None, dictionaries: Sequence[TSAE], path: Path
) -> ErrorRange | None:
    if stored is None:
        return None
    tsae = dictionary_of(stored["dictionary"], dictionaries, path)
    source = DictionaryError(tsae, stored["layer"], from_json(TokenSelector, stored["selector"]))
    return ErrorRange(source, stored["limit"], origin_from_json(stored["origin"]))


def origin_from_json(stored: Mapping[str, Any]) -> Origin:
    return Origin(tuple(stored["sources"]), stored["reader"], tuple(stored["texts"]))
