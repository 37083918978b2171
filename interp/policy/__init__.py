"""Policies: a local causal language model to load, sample, score, capture and edit.

policy      the `Policy` class
directory   open a Hugging Face directory, or refuse it with the reason; `files` says what may lie in it
adapters    LoRA adapters, merged into their base in memory; `adapter_files` reads what lies on disk
gguf        make a Hugging Face directory of a GGUF file; `gguf_header` reads what the file states
fingerprints  what a policy is, as two hashes: weights, and config with tokenizer
sample      exact batched sampling; `cache` is its key-value cache, `config` its settings
prompts     how problems are put to a policy, and where answers end; `stopping` finds the stop texts
score       teacher-forced log-probabilities and entropies
residual    capture and edit the residual stream, or what its modules add to it
site        places in a block and their names; `site_hooks` finds them in a model
bridge      a TransformerLens view of the same weights
text        tokens back to text, with the characters of each token
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports
from interp.policy.config import SampleConfig
from interp.policy.prompts import PromptFormat
from interp.policy.site import Site

if TYPE_CHECKING:
    from interp.policy.gguf import import_gguf
    from interp.policy.policy import Policy
    from interp.policy.sample import Samples

__all__ = ["Policy", "PromptFormat", "SampleConfig", "Samples", "Site", "import_gguf"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Policy": "interp.policy.policy",
        "Samples": "interp.policy.sample",
        "import_gguf": "interp.policy.gguf",
    },
)
