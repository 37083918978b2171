"""Open a local Hugging Face directory, or say exactly why it cannot be opened.

No network, no code from the directory, no pickle. Five traps are closed here: a tokenizer that is missing and would
silently be replaced by an empty one; a qwen2 tokenizer that `AutoTokenizer` replaces by another with other ids; a
tokenizer with code of its own, silently replaced by a stock one; weights that are cut short; and weights the file
lacks, which would silently be random.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, fingerprint_tensors, recover

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
FAST_CLASSES = (None, "TokenizersBackend", "PreTrainedTokenizerFast")


def load_model(path: Path, *, dtype: "torch.dtype | None") -> "PreTrainedModel":
    """In `dtype`, or in what it is stored in."""
    from transformers import AutoModelForCausalLM

    _expect_causal(path, check_config(path))
    check_weights(path)
    with quiet_bars():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype or "auto",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that it is ours to refuse them, by name
        )
    model, told = loaded
    _expect_all(path, told["missing_keys"])
    if unused := sorted(told["unexpected_keys"]):
        raise BadInput(
            f"{path}: {len(unused)} weights in the files have no place in the architecture, e.g. {unused[0]}"
        )
    if mismatched := sorted(told["mismatched_keys"]):
        name, got, expected = mismatched[0]
        raise BadInput(
            f"{path}: {len(mismatched)} weights have another shape than config.json says, "
            f"e.g. {name}: expected {tuple(expected)}, got {tuple(got)}"
        )
    return model.eval()


def _expect_causal(path: Path, config: dict[str, Any]) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if (kind := config.get("model_type")) not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise BadInput(f"{path}: expected a causal language model that transformers knows, got model_type {kind!r}")


def _expect_all(path: Path, missing: Iterable[str]) -> None:
    if names := sorted(missing):
        raise BadInput(f"{path}: {len(names)} weights of the architecture are not in the files, e.g. {names[0]}")


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (path / "tokenizer.json").exists() and not (path / "tokenizer_config.json").exists():
        raise BadInput(f"{path}: expected tokenizer.json beside the weights, got none: save the tokenizer there too")
    config = path / "tokenizer_config.json"
    told = _read_json(config) if config.exists() else {}
    if "auto_map" in told:
        raise BadInput(
            f"{path}: this tokenizer needs code from its own directory ({told['auto_map']}); that is never run"
        )
    if (path / "tokenizer.json").exists():
        _read_json(path / "tokenizer.json")
    # AutoTokenizer overrides the class a qwen2 directory names, and with it the ids
    kind = PreTrainedTokenizerFast if told.get("tokenizer_class") in FAST_CLASSES else AutoTokenizer
    tokenizer = kind.from_pretrained(path, local_files_only=True)
    if not tokenizer("1 + 2", add_special_tokens=False)["input_ids"]:
        raise BadInput(f"{path}: expected a tokenizer with a vocabulary, got one that turns '1 + 2' into no tokens")
    if tokenizer.eos_token_id is None:
        raise BadInput(f"{path}: expected a tokenizer with an eos token, got none: a completion could never end")
    return tokenizer


@contextmanager
def quiet_bars() -> Iterator[None]:
    """transformers draws a bar for every shard it reads or writes, however small; ours are the only bars we show."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_config(path: Path) -> dict[str, Any]:
    recover(path)
    file = path / "config.json"
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing there (models of a hub are not fetched: download it first)"
        raise BadInput(f"{path}: expected a local Hugging Face directory, got {found}")
    if (path / "adapter_config.json").exists():  # transformers would apply it unasked
        raise BadInput(f"{path}: expected a whole model, got an adapter: merge it into its base and save that")
    if not file.exists():
        several = any(path.glob("checkpoint-*/config.json"))
        meant = ": name one of its checkpoints, or all as a series (from_dir, --series)" if several else ""
        raise BadInput(f"{path}: expected config.json, got {_listing(path)}{meant}")
    config = _read_json(file)
    if "auto_map" in config:
        raise BadInput(
            f"{path}: this model needs code from its own directory ({config['auto_map']}); that is never run"
        )
    return config


def check_weights(path: Path) -> list[Path]:
    """The safetensors files of a directory, all there and all whole."""
    single, index = path / "model.safetensors", path / "model.safetensors.index.json"
    files = [single]  # where both are there, it is the single file that is loaded
    if index.exists() and not single.exists():
        files = [path / name for name in sorted(set(_read_json(index)["weight_map"].values()))]
    for file in files:
        if not file.exists():
            pickles = [p.name for pattern in PICKLES for p in sorted(path.glob(pattern))]
            found = f"pickled weights ({', '.join(pickles)}), which are never opened" if pickles else _listing(path)
            raise BadInput(f"{path}: expected {file.name}, got {found}: save the model with safe_serialization=True")
        _check_whole(file)
    return files


def fingerprint_of(path: str | Path) -> str:
    """The fingerprint of a directory's weights, without loading the model: equal to that of the policy loaded as is."""
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    path = Path(path)
    check_config(path)
    home: dict[str, Any] = {}
    for file in check_weights(path):
        handle = safe_open(file, framework="pt")
        home.update(dict.fromkeys(handle.keys(), handle))
    with torch.device("meta"):  # names alone; a file may hold more, such as a head beside the embedding it is tied to
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path, local_files_only=True))
    names = dict(empty.named_parameters()).keys()
    _expect_all(path, names - home.keys())
    return fingerprint_tensors(names, lambda name: home[name].get_tensor(name))


def _check_whole(file: Path) -> None:
    """A safetensors file states its own length: eight bytes, a header, and the tensors the header lists."""
    got = file.stat().st_size
    with file.open("rb") as handle:
        head = handle.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else got
        if 8 + length > got:
            raise BadInput(f"{file}: expected a safetensors header, got a file cut short at {got} bytes")
        try:
            header = json.loads(handle.read(length))
        except ValueError as error:
            raise BadInput(f"{file}: expected a safetensors header, got bytes that do not parse ({error})") from error
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if (expected := 8 + length + max(ends, default=0)) != got:
        raise BadInput(f"{file}: expected {expected} bytes by its own header, got {got}: copy it again")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise BadInput(f"{file}: expected JSON, got text that does not parse ({error})") from error


def _listing(path: Path) -> str:
    names = sorted(p.name for p in path.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "an empty one"
