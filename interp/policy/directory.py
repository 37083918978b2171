"""Open a local Hugging Face directory, or refuse it with the exact reason.

No network, no code from the directory, no pickle. Five cases that transformers accepts silently are refused or
corrected: a missing tokenizer (transformers makes an empty one); a qwen2 tokenizer (`AutoTokenizer` takes another
class, with other ids); a tokenizer with its own code (it takes a stock one); truncated weights; and weights that are
missing from the files (it makes random ones).
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
    """The model of a directory, in `dtype`, or in the precision it is stored in."""
    from transformers import AutoModelForCausalLM

    _expect_causal(path, check_config(path))
    check_weights(path)
    with no_progress_bars():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype or "auto",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
    model, report = loaded
    _expect_none_missing(path, report["missing_keys"])
    if unused := sorted(report["unexpected_keys"]):
        raise BadInput(
            f"{path}: expected the weights of the architecture in config.json, got {len(unused)} others, e.g. "
            f"{unused[0]}: is config.json that of these weights?"
        )
    if mismatched := sorted(report["mismatched_keys"]):
        name, got, expected = mismatched[0]
        raise BadInput(
            f"{path}: {len(mismatched)} weights have another shape than config.json says, "
            f"e.g. {name}: expected {tuple(expected)}, got {tuple(got)}: is config.json that of these weights?"
        )
    return model.eval()


def _expect_causal(path: Path, config: dict[str, Any]) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if (model_type := config.get("model_type")) not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise BadInput(f"{path}: expected a causal language model that transformers knows, got {model_type!r}")


def _expect_none_missing(path: Path, missing: Iterable[str]) -> None:
    if names := sorted(missing):
        raise BadInput(f"{path}: {len(names)} weights of the architecture are not in the files, e.g. {names[0]}")


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a directory, with the ids it was saved with."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (path / "tokenizer.json").exists() and not (path / "tokenizer_config.json").exists():
        raise BadInput(f"{path}: expected tokenizer.json beside the weights, got none: save the tokenizer there too")
    config = path / "tokenizer_config.json"
    settings = _read_json(config) if config.exists() else {}
    if "auto_map" in settings:
        raise BadInput(
            f"{path}: this tokenizer needs code from its own directory ({settings['auto_map']}), which is never run"
        )
    if (path / "tokenizer.json").exists():
        _read_json(path / "tokenizer.json")
    # AutoTokenizer overrides the class that a qwen2 directory names, and with it the ids
    tokenizer_class = PreTrainedTokenizerFast if settings.get("tokenizer_class") in FAST_CLASSES else AutoTokenizer
    tokenizer = tokenizer_class.from_pretrained(path, local_files_only=True)
    if not tokenizer("1 + 2", add_special_tokens=False)["input_ids"]:
        raise BadInput(f"{path}: expected a tokenizer with a vocabulary, got one that turns '1 + 2' into no tokens")
    if tokenizer.eos_token_id is None:
        raise BadInput(f"{path}: expected a tokenizer with an eos token, got none: a completion could never end")
    return tokenizer


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Silence the progress bars of transformers: it draws one for every shard it reads or writes, however small."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def check_config(path: Path) -> dict[str, Any]:
    """The config.json of a model directory; refused unless the directory holds one complete model."""
    recover(path)
    file = path / "config.json"
    if not path.is_dir():
        got = "a file" if path.exists() else "nothing there (models of a hub are not fetched: download it first)"
        raise BadInput(f"{path}: expected a local Hugging Face directory, got {got}")
    if (path / "adapter_config.json").exists():  # transformers would apply it silently
        raise BadInput(f"{path}: expected a whole model, got an adapter: merge it into its base and save that")
    if not file.exists():
        is_run = any(path.glob("checkpoint-*/config.json"))
        remedy = ": name one of its checkpoints, or open it as a series (from_dir, --series)" if is_run else ""
        raise BadInput(f"{path}: expected config.json, got {_listing(path)}{remedy}")
    config = _read_json(file)
    if "auto_map" in config:
        raise BadInput(
            f"{path}: this model needs code from its own directory ({config['auto_map']}), which is never run"
        )
    return config


def check_weights(path: Path) -> list[Path]:
    """The safetensors files of a directory. A missing or incomplete one is refused."""
    single, index = path / "model.safetensors", path / "model.safetensors.index.json"
    files = [single]  # where both exist, transformers loads the single file
    if index.exists() and not single.exists():
        files = [path / name for name in sorted(set(_read_json(index)["weight_map"].values()))]
    for file in files:
        if not file.exists():
            pickles = [p.name for pattern in PICKLES for p in sorted(path.glob(pattern))]
            got = f"pickled weights ({', '.join(pickles)}), which are never opened" if pickles else _listing(path)
            raise BadInput(f"{path}: expected {file.name}, got {got}: save the model with safe_serialization=True")
        _check_complete(file)
    return files


def fingerprint_of(path: str | Path) -> str:
    """Fingerprint of a directory's weights, without loading the model. It equals `Policy.load(path).fingerprint()`."""
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    path = Path(path)
    check_config(path)
    file_of: dict[str, Any] = {}
    for file in check_weights(path):
        handle = safe_open(file, framework="pt")
        file_of.update(dict.fromkeys(handle.keys(), handle))
    with torch.device("meta"):  # for the names: a file may hold more, such as a head tied to the embedding
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path, local_files_only=True))
    names = dict(empty.named_parameters()).keys()
    _expect_none_missing(path, names - file_of.keys())
    return fingerprint_tensors(names, lambda name: file_of[name].get_tensor(name))


def _check_complete(file: Path) -> None:
    """A safetensors file states its own length: eight bytes, a header, and the tensors that the header lists."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        prefix = handle.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if 8 + length > size:
            raise BadInput(f"{file}: expected a safetensors header, got a file cut short at {size} bytes")
        try:
            header = json.loads(handle.read(length))
        except ValueError as error:
            raise BadInput(f"{file}: expected a safetensors header, got bytes that do not parse ({error})") from error
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if (expected := 8 + length + max(ends, default=0)) != size:
        raise BadInput(f"{file}: expected {expected} bytes by its own header, got {size}: copy it again")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise BadInput(f"{file}: expected JSON, got text that does not parse ({error})") from error


def _listing(path: Path) -> str:
    names = sorted(p.name for p in path.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "an empty one"
