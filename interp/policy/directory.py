"""Open a local Hugging Face directory, or refuse it with the exact reason.

No network, no code from the directory, no pickle. Five cases that transformers accepts silently are refused or
corrected: a missing tokenizer (transformers makes an empty one); a qwen2 tokenizer (`AutoTokenizer` takes another
class, with other ids); a tokenizer with its own code (it takes a stock one); truncated weights; and weights that are
missing from the files (it makes random ones). The model that config.json describes is built without memory first, and
compared with the headers of the weights: a config of other sizes allocates nothing.
"""

import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, reading
from interp.policy.files import (
    CONFIG,
    GENERATION,
    Header,
    check_config,
    check_weights,
    compare_files,
    read_headers,
    read_object,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FAST_CLASSES = (None, "TokenizersBackend", "PreTrainedTokenizerFast")
CONTEXT = ("max_position_embeddings", "max_seq_len", "seq_length", "n_positions")
"""Names of the largest number of tokens in a config, by architecture."""
MAX_COUNT = 1024
"""A config may count this many layers, heads or labels, or as many as the weights have tensors or columns."""
_COUNT = re.compile(r"(num_|n_)(?!positions|ctx).*|.*layers?")


def load_model(path: Path, *, dtype: "torch.dtype | None") -> "PreTrainedModel":
    """The model of a directory, in `dtype`, or in the precision it is stored in."""
    from transformers import AutoModelForCausalLM

    empty_model(path)
    with no_progress_bars(), whatever_it_raises(path, "a model that transformers loads"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype or "auto",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
    model, report = loaded
    expect_none_missing(path, report["missing_keys"])
    if unused := sorted(report["unexpected_keys"]):
        raise BadInput(
            f"{path}: expected the weights of the architecture in config.json, got {len(unused)} others, e.g. "
            f"{unused[0]}: is config.json that of these weights?"
        )
    _expect_shapes(path, {name: (tuple(expected), tuple(got)) for name, got, expected in report["mismatched_keys"]})
    return model.eval()


def expect_forward(path: Path, model: "PreTrainedModel") -> None:
    """Refuse a model that cannot read a token: some entries of a config are only used then."""
    import torch

    if (stated := stated_context(model)) is not None and (type(stated[1]) is not int or stated[1] < 2):
        raise BadInput(f"{path / CONFIG}: expected {stated[0]} of at least 2, got {stated[1]!r}")
    with whatever_it_raises(path, "a model that reads a token"), torch.no_grad():
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=False)


def stated_context(model: "PreTrainedModel") -> tuple[str, Any] | None:
    """The entry of a config that states the largest number of tokens, and its value. Some architectures have none."""
    return next(((name, getattr(model.config, name)) for name in CONTEXT if hasattr(model.config, name)), None)


def empty_model(path: Path) -> "tuple[PreTrainedModel, list[Path]]":
    """The model of a directory without memory for its weights, and their files; refused unless their headers fit it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = check_config(path)
    compare_files(path, weights=True)
    expect_causal(path, config)
    _expect_stop_tokens(path)
    files = check_weights(path)
    headers = read_headers(files)
    _expect_counts(path, config, headers)
    with whatever_it_raises(path / CONFIG, "the config of a model"), torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path, local_files_only=True))
    stored = stored_names(path, empty, headers)
    model_names = {other: name for name, other in stored.items()}
    headers = {model_names.get(name, name): shape for name, shape in headers.items()}
    shapes = {name: tuple(weight.shape) for name, weight in empty.named_parameters()}
    _expect_shapes(
        path,
        {name: (shape, headers[name]) for name, shape in shapes.items() if headers.get(name, shape) != shape},
    )
    _expect_tied(path, empty, stored, files)
    n_weights, n_in_files = (sum(map(math.prod, each.values())) for each in (shapes, headers))
    if n_weights > 2 * n_in_files:  # for what is missing, memory would be taken
        expect_none_missing(path, shapes.keys() - headers.keys())
    return empty, files


def expect_causal(path: Path, config: Mapping[str, Any]) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise BadInput(f"{path}: expected a causal language model that transformers knows, got {model_type!r}")


def _expect_stop_tokens(path: Path) -> None:
    """transformers ignores a generation config that it cannot read."""
    if (file := path / GENERATION).exists():
        eos = read_object(file).get("eos_token_id")
        if eos is not None and any(type(token) is not int for token in (eos if isinstance(eos, list) else [eos])):
            raise BadInput(f"{file}: expected eos_token_id to be a token or several, got {eos!r}: copy it again")


def _expect_counts(path: Path, config: Mapping[str, Any], headers: Header) -> None:
    """Refuse absurd numbers of layers and the like, for each of which transformers makes an object."""
    limit = max(MAX_COUNT, len(headers), *(size for shape in headers.values() for size in shape))
    for name, value in config.items():
        if isinstance(value, dict):
            _expect_counts(path, value, headers)
        elif isinstance(value, int) and value > limit and _COUNT.fullmatch(name):
            raise BadInput(
                f"{path / CONFIG}: expected {name} of up to {limit:,}, by the weights beside it, got {value:,}: "
                "is it the config of these weights?"
            )


def _expect_shapes(path: Path, mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    if mismatched:
        name = min(mismatched)
        expected, got = mismatched[name]
        raise BadInput(
            f"{path}: {len(mismatched)} weights have another shape than config.json says, "
            f"e.g. {name}: expected {expected}, got {got}: is config.json that of these weights?"
        )


def stored_names(path: Path, model: "PreTrainedModel", names: Container[str]) -> dict[str, str]:
    """The names in the files of the weights of a model that are there, by the model's own names.

    As transformers does, a weight is also found without the prefix of the model's trunk (`transformer.` in GPT-2)."""
    stored, prefix = {}, f"{model.base_model_prefix}."
    own = dict(model.named_parameters(remove_duplicate=False)).keys()
    for name in own:
        short = name.removeprefix(prefix)
        candidates = [name] if short in own else [name, short]
        matches = [candidate for candidate in candidates if candidate in names]
        if len(matches) > 1:
            raise BadInput(f"{path}: expected {name} once, got it as {short} too: save the model again")
        if matches:
            stored[name] = matches[0]
    return stored


def _expect_tied(path: Path, empty: "PreTrainedModel", stored: Mapping[str, str], files: list[Path]) -> None:
    """Refuse a stored copy of a tied weight that is another: transformers would then tie nothing, and say nothing."""
    names = {id(weight): name for name, weight in empty.named_parameters()}
    weights = dict(empty.named_parameters(remove_duplicate=False))
    for copy, weight in weights.items():
        source = names[id(weight)]
        if copy != source and {copy, source} <= stored.keys():
            with reading(path, "weights as safetensors"):
                is_same = _read_tensor(files, stored[copy]).equal(_read_tensor(files, stored[source]))
            if not is_same:
                raise BadInput(
                    f"{path}: expected {copy} equal to {source}, as config.json says (tie_word_embeddings), got "
                    "another: is config.json that of these weights?"
                )


def _read_tensor(files: list[Path], name: str) -> "torch.Tensor":
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as handle:
            if name in set(handle.keys()):
                return handle.get_tensor(name)
    raise KeyError(name)


def expect_none_missing(path: Path, missing: Iterable[str]) -> None:
    if names := sorted(missing):
        raise BadInput(f"{path}: {len(names)} weights of the architecture are not in the files, e.g. {names[0]}")


def load_tokenizer(path: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a directory, with the ids it was saved with."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (path / "tokenizer.json").exists() and not (path / "tokenizer_config.json").exists():
        raise BadInput(f"{path}: expected tokenizer.json beside the weights, got none: save the tokenizer there too")
    config = path / "tokenizer_config.json"
    settings = read_object(config) if config.exists() else {}
    if "auto_map" in settings:
        raise BadInput(
            f"{path}: this tokenizer needs code from its own directory ({settings['auto_map']}), which is never run"
        )
    if (path / "tokenizer.json").exists():
        _expect_ids(path / "tokenizer.json")
    # AutoTokenizer overrides the class that a qwen2 directory names, and with it the ids
    tokenizer_class = PreTrainedTokenizerFast if settings.get("tokenizer_class") in FAST_CLASSES else AutoTokenizer
    with whatever_it_raises(path, "a tokenizer that transformers loads"):
        tokenizer = tokenizer_class.from_pretrained(path, local_files_only=True)
        ids = tokenizer("1 + 2", add_special_tokens=False)["input_ids"]
    if not ids:
        raise BadInput(f"{path}: expected a tokenizer with a vocabulary, got one that turns '1 + 2' into no tokens")
    if tokenizer.eos_token_id is None:
        raise BadInput(f"{path}: expected a tokenizer with an eos token, got none: a completion could never end")
    return tokenizer


def expect_own_tokenizer(path: Path, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer with more tokens than its model has."""
    n_tokens = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=0))
    if n_tokens > (rows := model.get_input_embeddings().num_embeddings):
        raise BadInput(
            f"{path}: expected a tokenizer with up to {rows} tokens, as the model has, got {n_tokens}: "
            "is it the model's own?"
        )


def _expect_ids(file: Path) -> None:
    """Refuse absurd ids: the tokenizers library makes an entry for every id up to the largest."""
    with reading(file, "a tokenizer as JSON", remedy="copy it again"):
        content = read_object(file)
        vocabulary = content["model"].get("vocab", {})  # a list in unigram models: the id is the place
        ids = [*(vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary)))]
        ids += [token["id"] for token in content.get("added_tokens") or []]
        limit = 10 * len(ids) + 100_000
        if wrong := [token for token in ids if type(token) is not int or not 0 <= token < limit]:
            raise BadInput(f"{file}: expected ids from 0 to {limit - 1:,}, got {wrong[0]!r}: copy it again")


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


@contextmanager
def whatever_it_raises(
    path: str | Path, noun: str, *, remedy: str = "copy it again, or make it again"
) -> Iterator[None]:
    """As `reading`, for code of transformers, which raises errors of any kind on a damaged directory."""
    import torch

    with reading(path, noun, remedy=remedy):
        try:
            yield
        except (BadInput, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
