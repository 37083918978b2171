"""Fingerprints of policies: `<weights>+<rest>`, 16 digits each.

The first part is that of the weights, in whatever precision they are stored. The rest is that of everything else that
decides what a policy answers: the config of the model, the tokens that end a completion, and the tokenizer. Both are
the same in memory and on disk. Earlier versions wrote the first part alone (`interp.artifacts.same_fingerprint`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import fingerprint, fingerprint_config, fingerprint_tensors, reading, record_file
from interp.policy.adapters import load_model_or_merge
from interp.policy.directory import empty_model, expect_none_missing, load_tokenizer, stored_names
from interp.policy.files import (
    CONFIG,
    GENERATION,
    TOKENIZER_FILES,
    adapter_and_base,
    read_object,
    tokenizer_directory,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NOT_BEHAVIOR = frozenset(
    [
        *("architectures", "dtype", "torch_dtype", "_name_or_path", "transformers_version", "_commit_hash"),
        *("use_cache", "initializer_range", "output_attentions", "output_hidden_states", "return_dict"),
        *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
        *("id2label", "label2id", "problem_type"),
    ]
)
"""Entries of a config that do not decide what a policy answers."""
LAST_CALL = ("padding", "truncation")
"""Entries of a tokenizer that its last call left in it."""
FLAGS = ("add_bos_token", "add_eos_token", "split_special_tokens")
_tokenizers: dict[tuple[tuple[str, str], ...], tuple[str, int]] = {}
"""Fingerprint and end token of each tokenizer that this process has read, by the checksums of its files. Checkpoints of
a run have equal ones."""


def weights_of(fingerprint: str) -> str:
    """The part of a policy's fingerprint that stands for its weights."""
    return fingerprint.partition("+")[0]


def fingerprint_policy(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> str:
    """Fingerprint of a policy in memory, as it is now."""
    stops = stop_ids(tokenizer.eos_token_id, generation_eos(model))
    return f"{fingerprint_weights(model)}+{_rest(model, stops, fingerprint_tokenizer(tokenizer))}"


def fingerprint_of(path: str | Path, base: str | Path | None = None) -> str:
    """Fingerprint of a directory. It equals `Policy.load(path, base=base).fingerprint()`.

    Of a whole model, one weight is in memory at a time; an adapter is merged for it."""
    path = Path(path)
    if adapter_and_base(path, base) is not None:
        merged = load_model_or_merge(path, base, dtype=None)
        return fingerprint_policy(merged, load_tokenizer(tokenizer_directory(path, base)))
    empty, files = empty_model(path)
    tokenizer_part, eos = _tokenizer_of(path)
    generation = read_object(path / GENERATION) if (path / GENERATION).exists() else None
    stops = stop_ids(eos, generation_eos(empty) if generation is None else generation.get("eos_token_id"))
    return f"{_weights_in(path, empty, files)}+{_rest(empty, stops, tokenizer_part)}"


def weights_fingerprint_of(path: str | Path) -> str:
    """The first part of `fingerprint_of`. The directory of a whole model needs no tokenizer."""
    path = Path(path)
    if adapter_and_base(path) is not None:
        return weights_of(fingerprint_of(path))
    return _weights_in(path, *empty_model(path))


def fingerprint_weights(model: "PreTrainedModel") -> str:
    """Fingerprint of the weights of a model."""
    tensors = dict(model.named_parameters())
    return fingerprint_tensors(tensors, tensors.__getitem__)


def stop_ids(eos: Any, generation: Any) -> list[int]:
    """Every token that ends a completion: the tokenizer's, and those that the generation config adds."""
    return sorted({eos, *([generation] if isinstance(generation, int) else generation or [])})


def generation_eos(model: "PreTrainedModel") -> Any:
    """What the generation config of a model adds: a token, several, or None."""
    return getattr(getattr(model, "generation_config", None), "eos_token_id", None)


def fingerprint_tokenizer(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Fingerprint of what decides the tokens of a text, and the text of tokens."""
    flags = {name: bool(getattr(tokenizer, name, False)) for name in FLAGS}
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")}
    special = {
        name: list(map(str, token)) if isinstance(token, list | tuple) else str(token)
        for name, token in tokenizer.special_tokens_map.items()
    }
    return fingerprint_config(
        {
            "backend": _backend(tokenizer),
            "special": special,
            "ids": ids,
            "flags": flags,
            "chat": tokenizer.chat_template,
        }
    )


def _backend(tokenizer: "PreTrainedTokenizerBase") -> Any:
    if (backend := getattr(tokenizer, "backend_tokenizer", None)) is None:  # one that is written in Python
        return tokenizer.get_vocab()
    return {key: value for key, value in json.loads(backend.to_str()).items() if key not in LAST_CALL}


def _rest(model: "PreTrainedModel", stops: list[int], tokenizer: str) -> str:
    from interp.policy.site_hooks import unwrap_adapters

    config = json.dumps(_behavior(unwrap_adapters(model).config.to_diff_dict()), sort_keys=True, default=str)
    return fingerprint(config, json.dumps(stops), tokenizer)


def _behavior(config: Any) -> Any:
    """The entries of a config, and of configs inside it, that decide what a policy answers."""
    if not isinstance(config, dict):
        return config
    return {str(name): _behavior(value) for name, value in config.items() if name not in NOT_BEHAVIOR}


def _weights_in(path: Path, empty: "PreTrainedModel", files: Iterable[Path]) -> str:
    """Fingerprint of the weights in files, read one tensor at a time."""
    from safetensors import safe_open

    file_of: dict[str, Any] = {}
    with reading(path, "weights as safetensors"):
        for file in files:
            handle = safe_open(file, framework="pt")
            file_of.update(dict.fromkeys(handle.keys(), handle))
        # the names of the model: a file may hold more, such as a head tied to the embedding
        names = dict(empty.named_parameters()).keys()
        stored = stored_names(path, empty, file_of)
        expect_none_missing(path, names - stored.keys())
        return fingerprint_tensors(names, lambda name: file_of[stored[name]].get_tensor(stored[name]))


def _tokenizer_of(path: Path) -> tuple[str, int]:
    """The fingerprint of a directory's tokenizer, and its end token. Equal files are read once."""
    files = [path / name for name in (CONFIG, *TOKENIZER_FILES)]
    contents = tuple((file.name, record_file(file)["sha256"]) for file in files if file.is_file())
    if contents not in _tokenizers:
        tokenizer: Any = load_tokenizer(path)
        _tokenizers[contents] = fingerprint_tokenizer(tokenizer), tokenizer.eos_token_id
    return _tokenizers[contents]
