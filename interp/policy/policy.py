"""A policy: a local causal language model and its tokenizer, to sample from, score with and look into."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from interp.artifacts import BadInput, fingerprint_tensors, writing_dir
from interp.device import resolve
from interp.policy.bridge import bridge
from interp.policy.config import SampleConfig
from interp.policy.directory import load_model, load_tokenizer, quiet_bars
from interp.policy.residual import blocks_of, residuals
from interp.policy.sample import Sampler, Samples
from interp.policy.score import score
from interp.policy.text import Offsets, decode_with_offsets

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Ids = list[int]


@dataclass
class Policy:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    path: Path | None = None
    """Where it was loaded from."""

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", dtype: str = "auto") -> "Policy":
        """Open a local Hugging Face directory: no network, no code of its own, no pickle."""
        path = Path(path)
        place, precision = resolve(device, dtype)
        model: Any = load_model(path, dtype=precision)
        tokenizer: Any = load_tokenizer(path)
        if len(tokenizer) > (held := model.get_input_embeddings().num_embeddings):
            raise BadInput(f"{path}: the tokenizer has {len(tokenizer)} tokens, the model only {held}: not its own?")
        return cls(model.to(place), tokenizer, path)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        with writing_dir(path, overwrite=overwrite) as aside:
            self.write(aside)

    def write(self, directory: Path) -> None:
        """Into a directory that is being written; `save` is the whole of it."""
        with quiet_bars():
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
        return self.model.config.max_position_embeddings

    @property
    def n_layers(self) -> int:
        return len(blocks_of(self.model))

    @property
    def d_model(self) -> int:
        return self.model.config.hidden_size

    @property
    def pad(self) -> int:
        pad: Any = self.tokenizer.pad_token_id
        return self.stop[0] if pad is None else pad

    @property
    def stop(self) -> Ids:
        """Every token that ends a completion: the tokenizer's, and those the generation config adds."""
        own: Any = self.tokenizer.eos_token_id
        more: Any = getattr(getattr(self.model, "generation_config", None), "eos_token_id", None) or []
        return sorted({own, *([more] if isinstance(more, int) else more)})

    def fingerprint(self) -> str:
        """Of the weights as they are now: training changes it."""
        tensors = dict(self.model.named_parameters())
        return fingerprint_tensors(tensors, tensors.__getitem__)

    def encode(self, prompts: Sequence[str], *, chat: bool = False) -> list[Ids]:
        """Prompts as token ids, with whatever the tokenizer puts before them. With `chat`, as a user's turn. A prompt
        with words the tokenizer lacks is refused: the policy would be asked another question."""
        if chat and not self.tokenizer.chat_template:
            raise BadInput("chat was asked for, but this tokenizer has no chat template: use chat=False")
        return [self._encode(prompt, chat) for prompt in prompts]

    def _encode(self, prompt: str, chat: bool) -> Ids:
        tokenizer: Any = self.tokenizer
        if chat:
            turn = [{"role": "user", "content": prompt}]
            ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
        else:
            ids = tokenizer(prompt)["input_ids"]
        shown = prompt if len(prompt) <= 60 else prompt[:57] + "..."
        if not 0 < len(ids) < self.context:
            raise BadInput(f"a prompt must have 1 to {self.context - 1} tokens; got {len(ids)} in {shown!r}")
        ordinary = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, None}
        unknown = {tokenizer.unk_token_id} - ordinary
        if unknown & set(ids) and tokenizer.unk_token not in prompt:
            raise BadInput(f"expected words of the tokenizer's vocabulary, got some it does not know in {shown!r}")
        return list(ids)

    def decode(self, ids: Sequence[int]) -> tuple[str, Offsets]:
        """The text of a completion without its end token, and the characters each remaining token wrote."""
        ids = ids[:-1] if len(ids) and ids[-1] in self.stop else ids
        return decode_with_offsets(self.tokenizer, ids)

    def words(self, ids: Sequence[int]) -> list[str]:
        """What each token wrote: together, the text."""
        text, offsets = decode_with_offsets(self.tokenizer, ids)
        starts = [0, *(end for _, end in offsets)]
        return [text[start:end] for start, (_, end) in zip(starts, offsets, strict=False)]

    def sample(
        self, prompts: Sequence[Ids], config: SampleConfig, *, keys: Sequence[int] | None = None, bar: bool = True
    ) -> Samples:
        """A group of completions for each prompt. `keys` names each prompt's random stream (default: its place). `bar`
        shows one if it takes longer than a second."""
        keys = range(len(prompts)) if keys is None else keys
        streams = [stream(key, member) for key in keys for member in range(config.group)]
        sampler = Sampler(self.model, config, self.stop, self.pad, self.context)
        if not bar:
            return sampler.sample(prompts, streams, lambda rows: None)
        with tqdm(total=len(streams), desc="sampling", unit="row", delay=1, leave=False) as shown:
            return sampler.sample(prompts, streams, shown.update)

    def score(
        self,
        prompts: Sequence[Ids],
        completions: Sequence[Ids],
        *,
        temperature: float = 1.0,
        micro_tokens: int = 4096,
    ) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
        """Log-probability of every completion token, and the entropy it was chosen in."""
        return score(
            self.model,
            prompts,
            completions,
            pad=self.pad,
            context=self.context,
            temperature=temperature,
            micro_tokens=micro_tokens,
        )

    def capture(
        self, ids_BL: Int[Tensor, "B L"], layers: Sequence[int], mask_BL: Int[Tensor, "B L"] | None = None
    ) -> dict[int, Float[Tensor, "B L D"]]:
        """The residual stream after each of `layers`; the forward stops at the deepest."""
        ids_BL = ids_BL.to(self.device)
        mask_BL = torch.ones_like(ids_BL) if mask_BL is None else mask_BL.to(self.device)
        return residuals(self.model, ids_BL, mask_BL, layers)

    def bridge(self) -> "TransformerBridge":
        """A TransformerLens view over the same parameters, which leaves this policy as it is. Do not freeze it."""
        return bridge(self.model, self.tokenizer)


def stream(key: int, member: int) -> int:
    """The random stream of one member of a group."""
    return (key * 1_000_003 + member) % 2**64
