"""Sample completions: batched, cached, exact, and reproducible row by row.

One prefill serves a whole group. Rows that have ended leave the batch. Every token comes with its log-probability and
the exact entropy of the distribution it was drawn from.

    token_t = the first v with CDF_t(v) > u_t        u_t from the row's own random stream, keyed by (seed, key)

So a completion does not depend on what else is in the batch, except through the last bit of the matrix products. On the
CPU the same call gives the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from interp.artifacts import BadInput
from interp.costs import expect_rollouts
from interp.device import eval_mode
from interp.policy.cache import growing_cache
from interp.policy.config import SampleConfig
from interp.policy.stopping import StopTexts

COMPACT_BELOW = 0.85
"""Ended rows are dropped once the live rows are at most this share of the batch: dropping copies the cache."""
CHECK_EVERY = {"cpu": 1}
"""Tokens between counts of the live rows, by device type. 8 elsewhere: each count waits for a GPU to catch up."""


class Row(NamedTuple):
    """One completion, as plain numbers."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]
    finished: bool


@dataclass(frozen=True)
class Samples:
    """Completions, right-padded, on the CPU. Order: the group of prompt 0, the group of prompt 1, ..."""

    tokens_BL: Int[Tensor, "B L"]
    logprobs_BL: Float[Tensor, "B L"]
    entropies_BL: Float[Tensor, "B L"]
    lengths_B: Int[Tensor, " B"]
    """Tokens of each completion, its end token included."""
    finished_B: Bool[Tensor, " B"]
    """False where a completion was truncated."""

    @property
    def mask_BL(self) -> Bool[Tensor, "B L"]:
        """True at the tokens of a completion, False at padding."""
        return torch.arange(self.tokens_BL.shape[1]) < self.lengths_B[:, None]

    def row(self, index: int) -> Row:
        """One completion, without padding."""
        length = int(self.lengths_B[index])
        return Row(
            tokens=tuple(self.tokens_BL[index, :length].tolist()),
            logprobs=tuple(self.logprobs_BL[index, :length].tolist()),
            entropies=tuple(self.entropies_BL[index, :length].tolist()),
            finished=bool(self.finished_B[index]),
        )

    def set_rows(self, rows: list[int], part: "Samples") -> None:
        """Overwrite `rows` with the rows of `part`, which may be narrower."""
        width = part.tokens_BL.shape[1]
        for name in ("tokens_BL", "logprobs_BL", "entropies_BL"):
            getattr(self, name)[rows, :width] = getattr(part, name).cpu()
        for name in ("lengths_B", "finished_B"):
            getattr(self, name)[rows] = getattr(part, name).cpu()

    def trim(self) -> "Samples":
        """The same samples without the columns that are padding in every row."""
        longest = int(self.lengths_B.max()) if len(self.lengths_B) else 0
        return replace(
            self,
            tokens_BL=self.tokens_BL[:, :longest],
            logprobs_BL=self.logprobs_BL[:, :longest],
            entropies_BL=self.entropies_BL[:, :longest],
        )


@dataclass
class _LiveRows:
    """The rows still in the batch, on the model's device."""

    row_B: Int[Tensor, " B"]
    """The index of each row in its wave."""
    uniforms_BL: Float[Tensor, "B L"]
    mask_BC: Int[Tensor, "B C"]
    """Attention mask over the prompt and all tokens that can follow it."""
    position_B: Int[Tensor, " B"]
    """Position of the next token."""
    limit_B: Int[Tensor, " B"]
    """Tokens the row may have: `max_new_tokens`, or fewer where the context ends sooner."""
    alive_B: Bool[Tensor, " B"]

    def select(self, index_B: Int[Tensor, " B"]) -> None:
        for name in ("row_B", "uniforms_BL", "mask_BC", "position_B", "limit_B", "alive_B"):
            setattr(self, name, getattr(self, name)[index_B])


@dataclass(frozen=True)
class Sampler:
    """Samples groups of completions, in waves of prompts of similar length."""

    model: PreTrainedModel
    config: SampleConfig
    stop_ids: Sequence[int]
    """Tokens that end a completion."""
    pad_id: int
    context: int
    """Largest number of tokens in a prompt and its completion together."""
    stop_texts: StopTexts | None = None
    """Texts that end a completion."""

    def sample(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[int], on_wave: Callable[[int], object]
    ) -> Samples:
        """A group of completions for each prompt.

        `keys` has the random stream of each completion. `on_wave` is called after each wave with its number of rows."""
        for index, prompt in enumerate(prompts):
            if not 0 < len(prompt) < self.context:
                raise BadInput(f"a prompt must have 1 to {self.context - 1} tokens; prompt {index} has {len(prompt)}")
        assert len(keys) == len(prompts) * self.config.group, "a key for every completion"
        longest = min(self.config.max_new_tokens, self.context - min(map(len, prompts), default=0))
        expect_rollouts(len(keys), longest)
        samples = _empty(len(keys), longest, self.pad_id, torch.device("cpu"))
        with eval_mode(self.model):
            for wave in self._waves(prompts):
                rows = [i * self.config.group + g for i in wave for g in range(self.config.group)]
                samples.set_rows(rows, self._sample_wave([prompts[i] for i in wave], [keys[row] for row in rows]))
                on_wave(len(rows))
        return samples.trim()

    def _waves(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of prompts of similar length, as many as keep the batch within `config.rows`."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        size = max(1, self.config.rows // self.config.group)
        for start in range(0, len(order), size):
            yield order[start : start + size]

    @torch.inference_mode()
    def _sample_wave(self, prompts: list[Sequence[int]], keys: list[int]) -> Samples:
        device = self.model.device
        length = min(self.config.max_new_tokens, self.context - min(map(len, prompts)))
        check_every = CHECK_EVERY.get(device.type, 8)
        samples = _empty(len(keys), length, self.pad_id, device)
        stop_ids = torch.tensor(list(self.stop_ids), device=device)
        cache = growing_cache(self.model.config)
        live, logits_BV = self._prefill(prompts, keys, length, cache)
        for t in range(length):
            tokens_B, logprobs_B, entropies_B = draw_tokens(logits_BV, live.uniforms_BL[:, t], self.config.temperature)
            samples.tokens_BL[live.row_B, t] = torch.where(live.alive_B, tokens_B, self.pad_id)
            samples.logprobs_BL[live.row_B, t] = logprobs_B * live.alive_B
            samples.entropies_BL[live.row_B, t] = entropies_B * live.alive_B
            samples.lengths_B[live.row_B] += live.alive_B
            ended_B = torch.isin(tokens_B, stop_ids)
            if self.stop_texts:
                ended_B |= self.stop_texts.completed(tokens_B, samples.tokens_BL[live.row_B, : t + 1])
            samples.finished_B[live.row_B] |= ended_B & live.alive_B
            live.alive_B &= ~ended_B & (live.limit_B > t + 1)
            if t == length - 1:
                break
            if t % check_every == 0:
                count = int(live.alive_B.sum())
                if count == 0:
                    break
                if count < COMPACT_BELOW * len(live.row_B):
                    index_B = live.alive_B.nonzero()[:, 0]
                    cache.batch_select_indices(index_B)
                    live.select(index_B)
                    tokens_B = tokens_B[index_B]
            logits_BV = self._next_logits(
                tokens_B[:, None], live.mask_BC[:, : t + 1 - length], live.position_B[:, None], cache
            )
            live.position_B = live.position_B + live.alive_B  # ended rows must not walk out of the context
        if not samples.logprobs_BL.isfinite().all():
            raise FloatingPointError("the policy's logits are not finite: its weights have diverged")
        return samples

    def _prefill(
        self, prompts: list[Sequence[int]], keys: list[int], length: int, cache: DynamicCache
    ) -> tuple[_LiveRows, Float[Tensor, "B V"]]:
        """Read each prompt once, then repeat its row for every member of its group."""
        device, group = self.model.device, self.config.group
        ids_PL, mask_PL = pad_left(prompts, self.pad_id, device)
        logits_PV = self._next_logits(ids_PL, mask_PL, position_ids(mask_PL), cache)
        if group > 1:
            cache.batch_repeat_interleave(group)
        mask_BL = mask_PL.repeat_interleave(group, dim=0)
        prompt_length_B = mask_BL.sum(1)
        uniforms_BL = torch.from_numpy(np.stack([uniform_stream(self.config.seed, key, length) for key in keys]))
        live = _LiveRows(
            row_B=torch.arange(len(keys), device=device),
            uniforms_BL=uniforms_BL.to(device),
            mask_BC=torch.cat([mask_BL, mask_BL.new_ones(len(keys), length)], dim=1),
            position_B=prompt_length_B,
            limit_B=(self.context - prompt_length_B).clamp(max=length),
            alive_B=torch.ones(len(keys), dtype=torch.bool, device=device),
        )
        return live, logits_PV.repeat_interleave(group, dim=0)

    def _next_logits(self, ids_BL: Tensor, mask_BL: Tensor, positions_BL: Tensor, cache: DynamicCache) -> Tensor:
        """Logits of the token after the last."""
        out = self.model(
            input_ids=ids_BL,
            attention_mask=mask_BL,
            position_ids=positions_BL,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1]


def _empty(rows: int, length: int, pad: int, device: torch.device) -> Samples:
    return Samples(
        torch.full((rows, length), pad, dtype=torch.long, device=device),
        torch.zeros(rows, length, device=device),
        torch.zeros(rows, length, device=device),
        torch.zeros(rows, dtype=torch.long, device=device),
        torch.zeros(rows, dtype=torch.bool, device=device),
    )


def draw_tokens(
    logits_BV: Float[Tensor, "B V"], uniforms_B: Float[Tensor, " B"], temperature: float
) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """A token per row, its log-probability, and the entropy of its distribution in nats.

    The token inverts the cumulative distribution at the row's uniform. At temperature 0 the distribution is a point:
    the most likely token, log-probability 0, entropy 0."""
    if temperature == 0:
        best = logits_BV.float().max(-1)
        zero_B = best.values * 0  # NaN where the logits are NaN
        return best.indices, zero_B, zero_B
    logp_BV = torch.log_softmax(logits_BV.float() / temperature, dim=-1)
    p_BV = logp_BV.exp()
    cdf_BV = p_BV.cumsum(-1)
    tokens_B = (cdf_BV <= uniforms_B[:, None] * cdf_BV[:, -1:]).sum(-1)
    tokens_B = torch.where(tokens_B < p_BV.shape[-1], tokens_B, p_BV.argmax(-1))  # where the product rounds up to 1
    return tokens_B, logp_BV.gather(-1, tokens_B[:, None])[:, 0], entropy(logp_BV)


def entropy(logp_BV: Float[Tensor, "*B V"]) -> Float[Tensor, "*B"]:
    """Entropy in nats of log-probabilities. A token of probability zero adds nothing."""
    return -(logp_BV.exp() * logp_BV.clamp(min=torch.finfo(logp_BV.dtype).min)).sum(-1)


def uniform_stream(seed: int, key: int, length: int) -> np.ndarray:
    """Random numbers in [0, 1) of the stream (seed, key). Counter-based: distinct pairs give independent streams.

    They lie on a grid of 2^-24, as float32 does: a token less likely than that is drawn slightly too often or never."""
    stream = np.random.Generator(np.random.Philox(key=np.array([seed, key], dtype=np.uint64)))
    return stream.integers(0, 2**24, length).astype(np.float32) / 2**24


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids padded on the left to one length, and their attention mask."""
    longest = max(map(len, rows))
    padding = [longest - len(row) for row in rows]
    ids = [[pad] * n + list(row) for n, row in zip(padding, rows, strict=True)]
    mask = [[0] * n + [1] * len(row) for n, row in zip(padding, rows, strict=True)]
    ids, mask = (torch.tensor(table, dtype=torch.long, device=device) for table in (ids, mask))
    return ids, mask


def position_ids(mask_BL: Tensor) -> Tensor:
    """The position of each token in its row, 0 at left padding."""
    return (mask_BL.cumsum(-1) - 1).clamp(min=0)
