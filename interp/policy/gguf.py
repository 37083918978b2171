"""Turn a GGUF file, as llama.cpp reads it, into an ordinary Hugging Face directory.

    header     what the file states: refused here if it is no GGUF, truncated, or of an unknown architecture
    read       transformers restores config, tokenizer and weights, each weight as the number its bits stand for
    plain      the same model without the traces of the file, which transformers would not save
    write      atomically; refused unless it opens as a policy

The restored weights are those that the quantized model computes with: nothing of the original precision comes back. A
plain Hugging Face directory has no manifest, so this one has none; its README.md names the file it was made from.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, record_file, reserve, writing_dir
from interp.costs import expect_disk, expect_memory, say_time
from interp.policy.directory import (
    MAX_COUNT,
    empty_model,
    expect_causal,
    expect_forward,
    expect_none_missing,
    expect_own_tokenizer,
    load_tokenizer,
    no_progress_bars,
    whatever_it_raises,
)
from interp.policy.gguf_header import DOWNLOAD, GgufHeader, read_gguf_header

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MOST_BYTES = 11
"""Memory that a weight takes at most while it is restored: measured as 10 on a model of 268 M weights."""
SECONDS_PER_ENTRY = 5e-5
"""Time that an entry of the vocabulary takes: transformers reads all of them three times, one by one, without a bar."""
OF_THE_FILE = ("quantization_config", "_name_or_path", "dtype", "transformers_version")
"""Entries of a restored config that are traces of the file."""
ROPE_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
ORIGINAL = "download the model as a Hugging Face directory instead"


@dataclass(frozen=True)
class GgufImport:
    """What a GGUF file held, and where it is now."""

    path: Path
    """The Hugging Face directory."""
    architecture: str
    """As the file states it."""
    quantization: str
    """The types its weights were stored in, those of most weights first."""
    parameters: int
    n_bytes: int
    """Size of the directory."""
    has_chat_template: bool


def import_gguf(file: str | Path, out: str | Path, *, dtype: str = "float32", overwrite: bool = False) -> GgufImport:
    """Write the model and tokenizer of a GGUF file as a Hugging Face directory, which `Policy.load` opens.

    `dtype` is the precision it is stored in: float32 holds every restored weight exactly, half precision rounds."""
    file, out = Path(file), Path(out)
    if dtype not in BYTES:
        raise BadInput(f"dtype must be one of {', '.join(BYTES)}; got {dtype!r}")
    with reserve(out, overwrite=overwrite, kind="policy"):
        header = read_gguf_header(file)
        quantization = _quantization(file, header)
        _expect_affordable(file, header, out, dtype)
        say_time(f"reading the vocabulary of {file.name}", header.n_vocabulary_entries * SECONDS_PER_ENTRY)
        model, tokenizer = _restore(file, header)
        expect_forward(file, model)
        model = _plain(model, dtype)
        with writing_dir(out, overwrite=overwrite) as partial, whatever_it_raises(file, "a model that can be saved"):
            with no_progress_bars():
                model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            (partial / "README.md").write_text(_readme(file, header, quantization, dtype), encoding="utf-8")
            has_chat_template = _opens_with_chat(file, partial)
            n_bytes = sum(each.stat().st_size for each in partial.iterdir())
    parameters = sum(weight.numel() for weight in model.parameters())
    return GgufImport(out, header.architecture, quantization, parameters, n_bytes, has_chat_template)


def _quantization(file: Path, header: GgufHeader) -> str:
    """The types of the tensors by name; refused if one is unknown, or lies beyond the end of the file."""
    try:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    except ImportError as error:
        raise BadInput(f"{file}: expected the package gguf to read it, got none: pip install 'interp[gguf]'") from error
    names, elements = {int(kind): kind for kind in GGMLQuantizationType}, Counter[str]()
    for tensor in header.tensors:
        kind = names.get(tensor.type_id)
        if kind is None or kind not in GGML_QUANT_SIZES:
            raise BadInput(
                f"{file}: expected tensors of a type that the package gguf knows, got type {tensor.type_id} in "
                f"{tensor.name}: pip install --upgrade gguf, or take another quantization"
            )
        per_block, bytes_of_block = GGML_QUANT_SIZES[kind]
        end = header.data_start + tensor.offset + tensor.n_elements // per_block * bytes_of_block
        if end > header.n_bytes:
            raise BadInput(
                f"{file}: expected at least {end:,} bytes, by its header, got {header.n_bytes:,}: {DOWNLOAD}"
            )
        elements[kind.name] += tensor.n_elements
    return ", ".join(name for name, _ in elements.most_common())


def _expect_affordable(file: Path, header: GgufHeader, out: Path, dtype: str) -> None:
    n, what = header.n_elements, f"the weights of {file.name}, restored from their blocks,"
    expect_memory(what, "use a smaller model", at_least=4 * n, up_to=MOST_BYTES * n)
    expect_disk(
        what, "choose another place (out, --out), or bfloat16 (dtype, --dtype)", place=out, n_bytes=BYTES[dtype] * n
    )


def _restore(file: Path, header: GgufHeader) -> "tuple[PreTrainedModel, Any]":
    """Model and tokenizer of a file, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    with whatever_it_raises(file, "a GGUF file that transformers reads"):
        config = _read_config(file, header, place)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **place)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent, config=config, dtype=torch.float32, output_loading_info=True, **place
        )
    model, report = loaded
    expect_none_missing(file, report["missing_keys"])
    return model.eval(), tokenizer


def _read_config(file: Path, header: GgufHeader, place: dict[str, Any]) -> Any:
    """The config of the model; refused if transformers cannot restore one of its architecture."""
    from transformers import AutoConfig

    _expect_counts(file, header)
    try:
        config = AutoConfig.from_pretrained(file.parent, **place)
    except ValueError as error:
        if "supported" not in str(error):
            raise
        raise BadInput(
            f"{file}: expected an architecture that transformers restores from GGUF (llama, qwen2, qwen3, gemma3, "
            f"...), got {header.architecture}: {ORIGINAL}"
        ) from error
    expect_causal(file, {"model_type": config.model_type})
    _expect_rope(file, header, config)
    width = header.entries.get(f"{header.architecture}.attention.key_length")
    if isinstance(width, int) and hasattr(config, "head_dim"):
        config.head_dim = width  # of some architectures transformers takes its own default
    _expect_size(file, header, config)
    return config


def _expect_counts(file: Path, header: GgufHeader) -> None:
    """Refuse absurd numbers of layers and the like, for each of which transformers makes an object."""
    limit, prefix = max(MAX_COUNT, len(header.tensors)), f"{header.architecture}."
    counts = {name: value for name, value in header.entries.items() if name.startswith(prefix) and "_count" in name}
    for name, value in counts.items():
        if isinstance(value, int) and value > limit:
            raise BadInput(f"{file}: expected {name} of up to {limit:,}, by its tensors, got {value:,}: {DOWNLOAD}")


def _expect_size(file: Path, header: GgufHeader, config: Any) -> None:
    """Refuse a model of another size than the tensors have: memory would be taken for what is missing."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    if (n_weights := sum(weight.numel() for weight in model.parameters())) > 2 * header.n_elements:
        raise BadInput(
            f"{file}: expected tensors of {n_weights:,} weights, by its metadata, got {header.n_elements:,}: {DOWNLOAD}"
        )


def _expect_rope(file: Path, header: GgufHeader, config: Any) -> None:
    """Refuse positions that are scaled in a way that transformers does not restore: it would say nothing."""
    scaled = [name for name in (tensor.name for tensor in header.tensors) if name in ROPE_TENSORS]
    scaled += [
        f"{name} {value}" for name, value in header.entries.items() if ".rope.scaling." in name and value != "none"
    ]
    if scaled and set(_rope_types(getattr(config, "rope_parameters", None))) <= {"default"}:
        raise BadInput(
            f"{file}: expected positions that transformers restores from GGUF, got scaled ones ({scaled[0]}): "
            f"{ORIGINAL}"
        )


def _rope_types(parameters: Any) -> list[str]:
    """The kinds of rotary positions in a config, which may state one for each kind of layer."""
    if not isinstance(parameters, dict):
        return []
    own = [parameters["rope_type"]] if "rope_type" in parameters else []
    return own + [kind for inner in parameters.values() for kind in _rope_types(inner)]


def _opens_with_chat(file: Path, partial: Path) -> bool:
    """Whether the restored tokenizer has a chat template; refused if what was written is no policy."""
    try:
        model, _ = empty_model(partial)
        tokenizer = load_tokenizer(partial)
        expect_own_tokenizer(partial, model, tokenizer)
        return bool(tokenizer.chat_template)
    except BadInput as error:
        reason = str(error).replace(f"{partial}: ", "")
        raise BadInput(
            f"{file}: expected a file that transformers restores whole, got one that ends as this: {reason}; or "
            f"{ORIGINAL}"
        ) from error


def _plain(model: "PreTrainedModel", dtype: str) -> "PreTrainedModel":
    """The same weights in a model that knows nothing of the file."""
    import torch

    config = {name: value for name, value in model.config.to_diff_dict().items() if name not in OF_THE_FILE}
    with torch.device("meta"):
        plain = type(model)(type(model.config)(**config))
    precision = getattr(torch, dtype)
    plain.load_state_dict({name: weight.to(precision) for name, weight in model.state_dict().items()}, assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain


def _readme(file: Path, header: GgufHeader, quantization: str, dtype: str) -> str:
    name = header.entries.get("general.name", file.stem)
    licence = header.entries.get("general.license")
    return (
        f"# {name}\n\n"
        f"Made by `interp import-gguf` from `{file.name}` (sha256 {record_file(file)['sha256']}): architecture "
        f"{header.architecture}, weights stored as {quantization}, restored to {dtype}."
        f"{f' Licence, as the file states it: {licence}.' if licence else ''}\n"
    )
