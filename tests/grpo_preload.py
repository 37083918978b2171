"""Modules that the processes of `grpo_fixtures` start with: they are forked from one that has imported this file."""

import interp.credit.registry  # noqa: F401, I001
import interp.grpo.loop  # noqa: F401
import interp.organism  # noqa: F401
import interp.tasks  # noqa: F401
import peft  # noqa: F401
import polars  # noqa: F401
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.models.qwen3 import modeling_qwen3  # noqa: F401

import conftest  # noqa: F401

get_checkpoint_conversion_mapping("qwen3")  # half a second, the first time a process saves a model
