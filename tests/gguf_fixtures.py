"""GGUF files of small random models, as llama.cpp's converter writes them: names, permuted heads, norms plus one."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from conftest import CONTEXT, tiny_model
from tokenizers import pre_tokenizers

MERGES = ["Ġ +", "Ġ =", "a n", "an s", "1 2"]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
TOKENS = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES), *SPECIAL]
EOS = TOKENS.index(SPECIAL[0])
PIECES = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    *(f"<0x{byte:02X}>" for byte in range(256)),
    "▁",
    *"0123456789+=ans",
]
"""Tokens of a tokenizer as Gemma has it."""
FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3")


def random_model(family: str, **changes: Any) -> Any:
    """A model with as many tokens as `TOKENS`. Norms are random too: a shift by one must show."""
    special = {"bos_token_id": EOS, "eos_token_id": EOS, "pad_token_id": EOS}
    size = len(PIECES if family.startswith("gemma") else TOKENS)
    model = tiny_model(family, **({"vocab_size": size} | special | changes))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.1 * torch.randn_like(weight)
    return model


def write_gguf(path: Path, model: Any, *, quantized: bool = False, chat: bool = False, **entries: Any) -> Path:
    """Write a model with a byte-level tokenizer. `entries` are added to its metadata; a None leaves one out."""
    config = model.config
    family = config.model_type.removesuffix("_text")
    arch = entries.pop("arch", family)
    writer = gguf.GGUFWriter(path, arch)
    _add_config(writer, config)
    _add_pieces(writer) if family.startswith("gemma") else _add_tokenizer(writer, chat)
    for name, value in entries.items():
        writer.add_string(name.replace("__", "."), value)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, family.upper()), config.num_hidden_layers)
    for name, weight in model.named_parameters():
        array = _as_llama_cpp(family, name, weight.detach().float().numpy(), config)
        new_name: Any = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if quantized and array.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(new_name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(new_name, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _as_llama_cpp(family: str, name: str, array: np.ndarray, config: Any) -> np.ndarray:
    if family == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        return array.reshape(heads, 2, array.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(array.shape)
    return array + 1 if family.startswith("gemma") and "norm" in name else array


def _add_config(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_name("Tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(config.head_dim if hasattr(config, "head_dim") else 8)
    writer.add_value_length(8)
    writer.add_rope_dimension_count(8)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)


def _add_tokenizer(writer: gguf.GGUFWriter, chat: bool) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in TOKENS])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(EOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(False)
    if chat:
        writer.add_chat_template(CHAT)


def _add_pieces(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_token_list(PIECES)
    writer.add_token_scores([0.0] * len(PIECES))
    writer.add_token_types([3, 3, 3, 2, 4, *[6] * 256, *[1] * (len(PIECES) - 261)])
    writer.add_pad_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_unk_token_id(3)
    writer.add_add_space_prefix(False)
