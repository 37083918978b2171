"""The `Policy` class: a local causal language model with its tokenizer. Sampling, scoring and capture in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interp.artifacts import BadInput, writing_dir
from interp.device import resolve_device
from interp.policy.adapters import load_model_or_merge
from interp.policy.bridge import bridge
from interp.policy.config import SampleConfig
from interp.policy.directory import (
    CONTEXT,
    expect_forward,
    expect_own_tokenizer,
    load_tokenizer,
    no_progress_bars,
    stated_context,
    whatever_it_raises,
)
from interp.policy.files import tokenizer_directory
from interp.policy.fingerprints import fingerprint_policy, fingerprint_weights, generation_eos, stop_ids
from interp.policy.prompts import PLAIN, PromptFormat
from interp.policy.reading import CompletionReading, completion_residuals, read_completions
from interp.policy.residual import AnyLayer, Layer, compute_residuals, decoder_blocks
from interp.policy.sample import Sampler, Samples
from interp.policy.score import score
from interp.policy.stopping import StopTexts
from interp.policy.text import Offsets, decode_with_offsets, special_token_in

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Ids = list[int]
MAX_QUOTED = 60
"""Characters of a prompt in an error message."""


@dataclass
class Policy:
    """A causal language model with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    path: Path | None = None
    """The directory it was loaded from."""

    @classmethod
    def load(
        cls, path: str | Path, *, base: str | Path | None = None, device: str = "auto", dtype: str = "auto"
    ) -> "Policy":
        """Open a local Hugging Face directory: no network, no code from the directory, no pickle.

        A LoRA adapter is merged into its base: `base`, or what its config names if that is a directory here.
        `device` is auto, cpu, cuda or mps, `dtype` auto, float32, bfloat16 or float16 (see interp.device)."""
        path = Path(path)
        torch_device, torch_dtype = resolve_device(device, dtype)
        model: Any = load_model_or_merge(path, base, dtype=torch_dtype)
        tokenizer: Any = load_tokenizer(tokenizer_directory(path, base))
        expect_own_tokenizer(path, model, tokenizer)
        model = model.to(torch_device)
        expect_forward(path, model)
        return cls(model, tokenizer, path)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write model and tokenizer as a Hugging Face directory, atomically."""
        with writing_dir(path, overwrite=overwrite) as partial:
            self.write_files(partial)

    def write_files(self, directory: Path) -> None:
        """Write the files of model and tokenizer into `directory`, which the caller completes and renames."""
        with no_progress_bars():
            self.model.save_pretrained(directory)
        self.tokenizer.save_pretrained(directory)

    def __repr__(self) -> str:
        kind, size = type(self.model).__name__, sum(p.numel() for p in self.model.parameters())
        return f"Policy({kind}, {size:,} parameters, {self.n_layers} layers of width {self.d_model}, {self.device})"

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def context(self) -> int:
        """Largest number of tokens in a prompt and its completion together."""
        if (stated := stated_context(self.model)) is None:
            raise BadInput(
                f"expected a config that states the largest number of tokens ({', '.join(CONTEXT)}), got none: add "
                f"{CONTEXT[0]} to config.json"
            )
        return stated[1]

    @property
    def n_layers(self) -> int:
        return len(decoder_blocks(self.model))

    @property
    def d_model(self) -> int:
        return self.model.config.hidden_size

    @property
    def pad_id(self) -> int:
        """The tokenizer's padding token, or an end token where it has none."""
        pad: Any = self.tokenizer.pad_token_id
        return self.stop_ids[0] if pad is None else pad

    @property
    def stop_ids(self) -> Ids:
        """Every token that ends a completion: the tokenizer's, and those that the generation config adds."""
        return stop_ids(self.tokenizer.eos_token_id, generation_eos(self.model))

    def fingerprint(self) -> str:
        """Fingerprint as it is now: that of the weights, `+`, and that of config, stop tokens and tokenizer. Training
        changes it."""
        return fingerprint_policy(self.model, self.tokenizer)

    def weights_fingerprint(self) -> str:
        """Fingerprint of the weights alone."""
        return fingerprint_weights(self.model)

    def encode(self, problems: Sequence[str], prompt_format: PromptFormat = PLAIN) -> list[Ids]:
        """Problems as token ids, put as `prompt_format` says, with the tokens that the tokenizer puts before a text.

        A prompt with words that the tokenizer does not know is refused: the policy would see another prompt. The text
        of a special token is that token; in a user's turn it is refused, since it could end the turn."""
        if prompt_format.chat and not self.tokenizer.chat_template:
            raise BadInput("expected a tokenizer with a chat template, for chat; got one without: leave out chat")
        return [self._encode(problem, prompt_format) for problem in problems]

    def _encode(self, problem: str, prompt_format: PromptFormat) -> Ids:
        tokenizer: Any = self.tokenizer
        prompt = prompt_format.text(problem)
        if prompt_format.chat:
            if token := special_token_in(tokenizer, problem):
                raise BadInput(
                    f"expected a problem without special tokens, since it becomes a user's turn; got {token!r} in "
                    f"{problem[:MAX_QUOTED]!r}: take it out, or write the whole prompt yourself and leave out chat"
                )
            remedy = "leave out what it does not take, such as a system prompt, or leave out chat"
            with whatever_it_raises("the tokenizer", "a chat template that can be applied", remedy=remedy):
                ids = tokenizer.apply_chat_template(
                    prompt_format.turns(problem), add_generation_prompt=True, return_dict=False
                )
        else:
            ids = tokenizer(prompt)["input_ids"]
        quoted = prompt if len(prompt) <= MAX_QUOTED else prompt[: MAX_QUOTED - 3] + "..."
        if not 0 < len(ids) < self.context:
            raise BadInput(
                f"a prompt must have 1 to {self.context - 1} tokens; got {len(ids)} in {quoted!r}: leave such problems "
                "out"
            )
        special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, None}
        unknown = {tokenizer.unk_token_id} - special
        if unknown & set(ids) and tokenizer.unk_token not in prompt:
            raise BadInput(f"expected words of the tokenizer's vocabulary, got unknown ones in {quoted!r}")
        return list(ids)

    def decode(self, ids: Sequence[int]) -> tuple[str, Offsets]:
        """The text of a completion without its end token, and the characters that each other token wrote."""
        ids = ids[:-1] if len(ids) and ids[-1] in self.stop_ids else ids
        return decode_with_offsets(self.tokenizer, ids)

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        """The text that each token wrote. Joined, they are the text of `ids`."""
        text, offsets = decode_with_offsets(self.tokenizer, ids)
        starts = [0, *(end for _, end in offsets)]
        return [text[start:end] for start, (_, end) in zip(starts, offsets, strict=False)]

    def sample(
        self,
        prompts: Sequence[Ids],
        config: SampleConfig,
        *,
        stop: Sequence[str] = (),
        keys: Sequence[int] | None = None,
        progress: bool = True,
    ) -> Samples:
        """A group of completions for each prompt.

        A completion ends with an end token, or with the token that completes one of the texts in `stop`. `keys` gives
        each prompt its random stream; by default its index. `progress` shows a bar if sampling takes longer than a
        second."""
        keys = range(len(prompts)) if keys is None else keys
        streams = [stream_key(key, member) for key in keys for member in range(config.group)]
        stop_texts = StopTexts(self.tokenizer, stop)
        sampler = Sampler(self.model, config, self.stop_ids, self.pad_id, self.context, stop_texts)
        if not progress:
            return sampler.sample(prompts, streams, lambda rows: None)
        with tqdm(total=len(streams), desc="sampling", unit="row", delay=1, leave=False) as bar:
            return sampler.sample(prompts, streams, bar.update)

    def score(
        self,
        prompts: Sequence[Ids],
        completions: Sequence[Ids],
        *,
        temperature: float = 1.0,
        micro_tokens: int = 4096,
    ) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
        """Log-probability and entropy (nats) of every completion token, zero beyond the end of a row, on the CPU."""
        return score(
            self.model,
            prompts,
            completions,
            pad=self.pad_id,
            context=self.context,
            temperature=temperature,
            micro_tokens=micro_tokens,
        )

    def capture(
        self, ids_BL: Int[Tensor, "B L"], layers: Sequence[AnyLayer], mask_BL: Int[Tensor, "B L"] | None = None
    ) -> dict[AnyLayer, Float[Tensor, "B L D"]]:
        """The residual stream after each of `layers`, by layer, or the activations of any `Site`. The forward stops at
        the deepest."""
        ids_BL = ids_BL.to(self.device)
        mask_BL = torch.ones_like(ids_BL) if mask_BL is None else mask_BL.to(self.device)
        return compute_residuals(self.model, ids_BL, mask_BL, layers)

    def completion_residuals(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        layer: Layer,
        *,
        micro_tokens: int = 4096,
    ) -> Float[Tensor, "N D"]:
        """The residual at every token of every completion, one completion after another, in float32 on the CPU."""
        return completion_residuals(self.model, prompts, completions, layer, pad=self.pad_id, micro_tokens=micro_tokens)

    def read_completions(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Sequence[Sequence[int]],
        layers: Sequence[AnyLayer] | Mapping[AnyLayer, Bool[Tensor, " N"]],
        *,
        logprobs: bool = True,
        micro_tokens: int = 4096,
    ) -> CompletionReading:
        """The log-probability of every token of every completion, and the residuals at it and at the end of each
        prompt, by layer. One pass over the text gives all.

        `layers` may say for each layer at which of all tokens residuals are kept. Without `logprobs` forwards stop at
        the deepest layer."""
        return read_completions(
            self.model, prompts, completions, layers, logprobs=logprobs, pad=self.pad_id, micro_tokens=micro_tokens
        )

    def bridge(self) -> "TransformerBridge":
        """A TransformerLens view over the same parameters. The policy is left unchanged; do not freeze the view."""
        return bridge(self.model, self.tokenizer)


def stream_key(key: int, member: int) -> int:
    """The random stream of one member of a group."""
    return (key * 1_000_003 + member) % 2**64
