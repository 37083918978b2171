"""Adapters instead of weights (peft): put on, taken off for a look at the base, merged for a checkpoint anyone can
open."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from interp.artifacts import BadInput
from interp.policy.policy import Policy


def with_adapters(model: Any, rank: int, seed: int) -> Any:
    """Put adapters into all linear layers of a model, and return peft's handle on them. They begin as nothing, so that
    step 0 is the base."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise BadInput("lora_rank needs peft: pip install 'interp[peft]'") from error
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


@contextmanager
def adapters_off(adapters: Any) -> Iterator[bool]:
    """Whether there are any to take off: for the block, the model is its base."""
    if adapters is None:
        yield False
        return
    with adapters.disable_adapter():
        yield True


def merged(policy: Policy, adapters: Any) -> Policy:
    """A whole model with the adapters, if any, worked into its weights. The policy itself goes on as it is. In float32:
    rounded to half precision, the sum would lose most of what the adapters have learnt."""
    if adapters is None:
        return policy
    return Policy(copy.deepcopy(adapters).float().merge_and_unload(), policy.tokenizer, policy.path)
