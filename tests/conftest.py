"""Tiny policies for all tests: three families, random weights, a tokenizer with one token per word.

The shapes in the signatures of `SHAPE_CHECKED` modules are checked at every call.
"""

import gc
import os
import signal
import sys

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a background job: tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TQDM_DISABLE", "1")
if not os.environ.get("INTERP_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same suite everywhere; tests/test_gpu.py is for GPUs

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

THREADS = torch.get_num_threads()
# keep what is compiled: else each worker and each process that a test starts compiles the package and its tests again
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
SHAPE_CHECKED = [
    "interp.activations",
    "interp.policy",
    "interp.grpo.advantages",
    "interp.grpo.learner",
    "interp.grpo.losses",
    "interp.tsae.metrics",
]
install_import_hook(SHAPE_CHECKED, "beartype.beartype")
torch.set_num_threads(1)
# no deadline: the machine may be busy, and the first example pays for imports; the same examples every time, so that
# a green suite stays green (INTERP_FUZZ=1: new ones at each run, and more)
settings.register_profile("suite", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=200)
settings.load_profile("fuzz" if os.environ.get("INTERP_FUZZ") else "suite")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for garbage neither while a million objects of modules and tests are made, nor among them afterwards."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


FAMILIES = ("qwen2", "qwen3", "llama")
WORDS = ("<pad>", "<bos>", "<eos>", "<unk>", *map(str, range(20)), "+", "-", "*", "=", ";", "ans")
CONTEXT = 64


def tiny_tokenizer(words: tuple[str, ...] = WORDS) -> Any:
    """A tokenizer with one token per word; a word's id is its index in `words`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {f"{name}_token": f"<{name}>" for name in ("pad", "bos", "eos", "unk")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="left", **special)


def tiny_model(family: str = "qwen3", *, seed: int = 0, **changes: Any) -> Any:
    """Three layers of width 32, four heads over two key-value heads, weights large enough for peaked logits."""
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
    }
    name = family.capitalize()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config_class = "Gemma3TextConfig" if family == "gemma3" else f"{name}Config"
        config = getattr(transformers, config_class)(**(sizes | changes))
        return getattr(transformers, f"{name}ForCausalLM")(config).eval()


def tiny_policy(family: str = "qwen3", *, seed: int = 0, **changes: Any) -> Any:
    from interp.policy import Policy

    return Policy(tiny_model(family, seed=seed, **changes), tiny_tokenizer())


@pytest.fixture(scope="session")
def tiny() -> Mapping[str, Any]:
    """A policy of each family. They are shared: a test that changes one makes its own with `new_policy`."""
    return {family: tiny_policy(family) for family in FAMILIES}


@pytest.fixture(scope="session")
def tiny_dirs(tiny: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The same policies, saved. They are shared: a test that damages one copies it first."""
    root = tmp_path_factory.mktemp("policies")
    for family, policy in tiny.items():
        policy.save(root / family)
    return {family: root / family for family in tiny}


@pytest.fixture(autouse=True)
def threads_of_the_suite() -> None:
    """As many threads in every test, whatever the one before it set: bits of sums depend on them."""
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)


@pytest.fixture
def without_type_checks():
    """The package as users have it: shapes are not checked at every call, as they are in tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def new_policy() -> Callable[..., Any]:
    """Makes a policy for one test alone: `new_policy("llama", seed=1, tie_word_embeddings=True)`."""
    return tiny_policy


@pytest.fixture(params=FAMILIES)
def policy(request: pytest.FixtureRequest, tiny: Mapping[str, Any]) -> Any:
    """Each family's shared policy in turn."""
    return tiny[request.param]
