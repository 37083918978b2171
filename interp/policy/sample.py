"""Sample completions: batched, cached, exact, and reproducible row by row.

One prefill serves a whole group; rows that have finished leave the batch; every token's log-probability and the exact
entropy are those of the distribution it was drawn from. A row draws from its own stream of uniforms, keyed by
(seed, its key), so what it samples does not depend on what else is in the batch, but for the last bit of the matmuls.
On the CPU the same call gives the same bits.
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
from interp.device import evaluating
from interp.policy.cache import roomy_cache
from interp.policy.config import SampleConfig

COMPACT_BELOW = 0.85
"""Finished rows are dropped once the live ones are this share of the batch: dropping copies the cache."""
LOOK_EVERY = {"cpu": 1}
"""Tokens between looks at how many rows still live; 8 elsewhere, for a GPU is waited for at every look."""


class Row(NamedTuple):
    """One completion, as plain numbers."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]
    finished: bool


@dataclass(frozen=True)
class Samples:
    """Completions in the order asked for: the group of prompt 0, that of prompt 1, ... Right-padded, on the CPU."""

    tokens_BL: Int[Tensor, "B L"]
    logprobs_BL: Float[Tensor, "B L"]
    entropies_BL: Float[Tensor, "B L"]
    lengths_B: Int[Tensor, " B"]
    """Tokens drawn, the end-of-sequence token among them."""
    finished_B: Bool[Tensor, " B"]
    """False where a row was truncated."""

    @property
    def mask_BL(self) -> Bool[Tensor, "B L"]:
        return torch.arange(self.tokens_BL.shape[1]) < self.lengths_B[:, None]

    def row(self, at: int) -> "Row":
        length = int(self.lengths_B[at])
        return Row(
            tokens=tuple(self.tokens_BL[at, :length].tolist()),
            logprobs=tuple(self.logprobs_BL[at, :length].tolist()),
            entropies=tuple(self.entropies_BL[at, :length].tolist()),
            finished=bool(self.finished_B[at]),
        )

    def put(self, rows: list[int], part: "Samples") -> None:
        """Set `rows` to those of `part`, which may be narrower."""
        width = part.tokens_BL.shape[1]
        for name in ("tokens_BL", "logprobs_BL", "entropies_BL"):
            getattr(self, name)[rows, :width] = getattr(part, name).cpu()
        for name in ("lengths_B", "finished_B"):
            getattr(self, name)[rows] = getattr(part, name).cpu()

    def cut(self) -> "Samples":
        """Without the columns that no row reaches."""
        longest = int(self.lengths_B.max()) if len(self.lengths_B) else 0
        return replace(
            self,
            tokens_BL=self.tokens_BL[:, :longest],
            logprobs_BL=self.logprobs_BL[:, :longest],
            entropies_BL=self.entropies_BL[:, :longest],
        )


@dataclass
class _Rows:
    """The rows still in the batch, on the model's device."""

    row_B: Int[Tensor, " B"]
    """Which completion of the wave each is."""
    uniforms_BL: Float[Tensor, "B L"]
    mask_BC: Int[Tensor, "B C"]
    """Of the prompt and all that can follow it."""
    position_B: Int[Tensor, " B"]
    """Of the next token."""
    room_B: Int[Tensor, " B"]
    """How many tokens it may have: fewer than asked for where the context ends sooner."""
    alive_B: Bool[Tensor, " B"]

    def keep(self, index_B: Int[Tensor, " B"]) -> None:
        for name in ("row_B", "uniforms_BL", "mask_BC", "position_B", "room_B", "alive_B"):
            setattr(self, name, getattr(self, name)[index_B])


@dataclass(frozen=True)
class Sampler:
    model: PreTrainedModel
    config: SampleConfig
    stop: Sequence[int]
    pad: int
    context: int

    def sample(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[int], on_wave: Callable[[int], object]
    ) -> Samples:
        """`keys` names the stream of each completion. `on_wave` is told how many rows each wave finished."""
        for at, prompt in enumerate(prompts):
            if not 0 < len(prompt) < self.context:
                raise BadInput(f"a prompt must have 1 to {self.context - 1} tokens; prompt {at} has {len(prompt)}")
        assert len(keys) == len(prompts) * self.config.group, "a key for every completion"
        samples = _empty(len(prompts) * self.config.group, self.config.max_new_tokens, self.pad, torch.device("cpu"))
        with evaluating(self.model):
            for wave in self._waves(prompts):
                rows = [i * self.config.group + g for i in wave for g in range(self.config.group)]
                written = self._write([prompts[i] for i in wave], [keys[row] for row in rows])
                samples.put(rows, written)
                on_wave(len(rows))
        return samples.cut()

    def _waves(self, prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Prompts of like length together, as many as keep the batch within `config.rows`."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        size = max(1, self.config.rows // self.config.group)
        for at in range(0, len(order), size):
            yield order[at : at + size]

    @torch.inference_mode()
    def _write(self, prompts: list[Sequence[int]], keys: list[int]) -> Samples:
        """All completions of one wave."""
        device = self.model.device
        length = min(self.config.max_new_tokens, self.context - min(map(len, prompts)))
        look_every = LOOK_EVERY.get(device.type, 8)
        written = _empty(len(keys), length, self.pad, device)
        ends = torch.tensor(list(self.stop), device=device)
        cache = roomy_cache(self.model.config)
        rows, logits_BV = self._prefill(prompts, keys, length, cache)
        for t in range(length):
            tokens_B, logprobs_B, entropies_B = draw(logits_BV, rows.uniforms_BL[:, t], self.config.temperature)
            written.tokens_BL[rows.row_B, t] = torch.where(rows.alive_B, tokens_B, self.pad)
            written.logprobs_BL[rows.row_B, t] = logprobs_B * rows.alive_B
            written.entropies_BL[rows.row_B, t] = entropies_B * rows.alive_B
            written.lengths_B[rows.row_B] += rows.alive_B
            ended_B = torch.isin(tokens_B, ends)
            written.finished_B[rows.row_B] |= ended_B & rows.alive_B
            rows.alive_B &= ~ended_B & (rows.room_B > t + 1)
            if t == length - 1:
                break
            if t % look_every == 0:
                left = int(rows.alive_B.sum())
                if left == 0:
                    break
                if left < COMPACT_BELOW * len(rows.row_B):
                    live = rows.alive_B.nonzero()[:, 0]
                    cache.batch_select_indices(live)
                    rows.keep(live)
                    tokens_B = tokens_B[live]
            logits_BV = self._forward(
                tokens_B[:, None], rows.mask_BC[:, : t + 1 - length], rows.position_B[:, None], cache
            )
            rows.position_B = rows.position_B + rows.alive_B  # the dead must not walk out of the context
        if not written.logprobs_BL.isfinite().all():
            raise FloatingPointError("the policy's logits are not finite: its weights have diverged")
        return written

    def _prefill(
        self, prompts: list[Sequence[int]], keys: list[int], length: int, cache: DynamicCache
    ) -> tuple[_Rows, Float[Tensor, "B V"]]:
        """Read each prompt once, then make of it as many rows as its group has."""
        device, group = self.model.device, self.config.group
        ids_PL, mask_PL = pad_left(prompts, self.pad, device)
        logits_PV = self._forward(ids_PL, mask_PL, positions(mask_PL), cache)
        if group > 1:
            cache.batch_repeat_interleave(group)
        mask_BL = mask_PL.repeat_interleave(group, dim=0)
        seen_B = mask_BL.sum(1)
        uniforms_BL = torch.from_numpy(np.stack([uniforms(self.config.seed, key, length) for key in keys]))
        rows = _Rows(
            row_B=torch.arange(len(keys), device=device),
            uniforms_BL=uniforms_BL.to(device),
            mask_BC=torch.cat([mask_BL, mask_BL.new_ones(len(keys), length)], dim=1),
            position_B=seen_B,
            room_B=(self.context - seen_B).clamp(max=length),
            alive_B=torch.ones(len(keys), dtype=torch.bool, device=device),
        )
        return rows, logits_PV.repeat_interleave(group, dim=0)

    def _forward(self, ids_BL: Tensor, mask_BL: Tensor, positions_BL: Tensor, cache: DynamicCache) -> Tensor:
        """Logits for the token after the last."""
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


def draw(
    logits_BV: Float[Tensor, "B V"], uniforms_B: Float[Tensor, " B"], temperature: float
) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """A token for each row by inverting its distribution at its uniform, the token's log-probability, the entropy in
    nats. At temperature 0 the distribution is a point: the best token, log-probability 0, entropy 0."""
    if temperature == 0:
        best = logits_BV.float().max(-1)
        nothing_B = best.values * 0  # and not a number where the logits are none
        return best.indices, nothing_B, nothing_B
    logp_BV = torch.log_softmax(logits_BV.float() / temperature, dim=-1)
    p_BV = logp_BV.exp()
    cdf_BV = p_BV.cumsum(-1)
    chosen_B = (cdf_BV <= uniforms_B[:, None] * cdf_BV[:, -1:]).sum(-1)
    chosen_B = torch.where(chosen_B < p_BV.shape[-1], chosen_B, p_BV.argmax(-1))  # a product that rounded up to 1
    return chosen_B, logp_BV.gather(-1, chosen_B[:, None])[:, 0], entropy(logp_BV)


def entropy(logp_BV: Float[Tensor, "*B V"]) -> Float[Tensor, "*B"]:
    """In nats. What cannot happen adds nothing."""
    return -(logp_BV.exp() * logp_BV.clamp(min=torch.finfo(logp_BV.dtype).min)).sum(-1)


def uniforms(seed: int, key: int, length: int) -> np.ndarray:
    """A row's own numbers in [0, 1): counter-based, so that every (seed, key) is a stream of its own. They lie on a
    grid of 2^-24, as float32 does: what is less likely than that is drawn a little too often or not at all."""
    stream = np.random.Generator(np.random.Philox(key=np.array([seed, key], dtype=np.uint64)))
    return stream.integers(0, 2**24, length).astype(np.float32) / 2**24


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    padding = [longest - len(row) for row in rows]
    ids = [[pad] * n + list(row) for n, row in zip(padding, rows, strict=True)]
    mask = [[0] * n + [1] * len(row) for n, row in zip(padding, rows, strict=True)]
    ids, mask = (torch.tensor(table, dtype=torch.long, device=device) for table in (ids, mask))
    return ids, mask


def positions(mask_BL: Tensor) -> Tensor:
    return (mask_BL.cumsum(-1) - 1).clamp(min=0)
