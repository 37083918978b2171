"""LoRA adapters for the finetuning of a pretrained model."""

from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel

from interp.artifacts import BadInput

if TYPE_CHECKING:
    from peft import PeftModel


def add_adapters(model: PreTrainedModel, rank: int, seed: int) -> "PeftModel":
    """Put LoRA adapters of `rank` into all linear layers. The weights themselves are frozen."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadInput("lora_rank needs peft: pip install 'interp[peft]'") from error
    torch.manual_seed(seed)
    return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))  # pyright: ignore


def merge_adapters(adapters: "PeftModel") -> PreTrainedModel:
    """The model with its adapters added to its weights."""
    return adapters.merge_and_unload()  # pyright: ignore
