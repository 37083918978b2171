"""Sample completions: batched, cached, exact, and reproducible row by row.

One prefill serves a whole group; rows that have finished leave the batch; every token's log-probability and the exact
entropy are those of the distribution it was drawn from. A row draws from its own stream of uniforms, keyed by
(seed, its key), so what it samples does not depend on what else is in the batch (but for the last bit of the matmuls).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from interp.policy.cache import roomy_cache
from interp.policy.config import SampleConfig

COMPACT_BELOW = 0.85
"""Finished rows are dropped once the live ones are this share of the batch: dropping copies the cache."""


@dataclass(frozen=True)
class Samples:
    """Completions in the order asked for: the group of prompt 0, then that of prompt 1, ... Right-padded, on the CPU."""

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


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    config: SampleConfig,
    *,
    stop: Sequence[int],
    pad: int,
    context: int,
    keys: Sequence[int],
    on_wave: Callable[[int], None] = lambda rows: None,
) -> Samples:
    """`keys` has one entry per completion. `on_wave` is told how many rows each wave finished."""
    rows, length = len(prompts) * config.group, config.max_new_tokens
    drawn = Samples(
        torch.full((rows, length), pad, dtype=torch.long),
        torch.zeros(rows, length),
        torch.zeros(rows, length),
        torch.zeros(rows, dtype=torch.long),
        torch.zeros(rows, dtype=torch.bool),
    )
    training = model.training
    model.eval()
    try:
        for wave in _waves(prompts, config):
            _roll(model, [prompts[i] for i in wave], wave, config, stop, pad, context, keys, drawn)
            on_wave(len(wave) * config.group)
    finally:
        model.train(training)
    longest = int(drawn.lengths_B.max()) if rows else 0
    return Samples(
        drawn.tokens_BL[:, :longest],
        drawn.logprobs_BL[:, :longest],
        drawn.entropies_BL[:, :longest],
        drawn.lengths_B,
        drawn.finished_B,
    )


def _waves(prompts: Sequence[Sequence[int]], config: SampleConfig) -> Iterator[list[int]]:
    """Prompts of like length together, as many as keep the batch within `config.rows`."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    size = max(1, config.rows // config.group)
    for at in range(0, len(order), size):
        yield order[at : at + size]


def _roll(
    model: PreTrainedModel,
    prompts: list[Sequence[int]],
    wave: list[int],
    config: SampleConfig,
    stop: Sequence[int],
    pad: int,
    context: int,
    keys: Sequence[int],
    drawn: Samples,
) -> None:
    device, group = model.device, config.group
    rows = torch.tensor([i * group + g for i in wave for g in range(group)])  # which completion each live row is
    length = min(config.max_new_tokens, context - max(map(len, prompts)))
    uniforms_BL = torch.from_numpy(np.stack([uniforms(config.seed, keys[i], length) for i in rows])).to(device)
    ids_PL, mask_PL = pad_left(prompts, pad, device)
    cache = roomy_cache(model.config)
    out = model(
        input_ids=ids_PL,
        attention_mask=mask_PL,
        position_ids=positions(mask_PL),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    if group > 1:
        cache.batch_repeat_interleave(group)
    logits_BV = out.logits[:, -1].repeat_interleave(group, dim=0)
    mask_BL = torch.cat([mask_PL.repeat_interleave(group, dim=0), mask_PL.new_ones(len(rows), length)], dim=1)
    at_B = mask_PL.sum(1).repeat_interleave(group)
    ends = torch.tensor(list(stop), device=device)
    alive_B = torch.ones(len(rows), dtype=torch.bool, device=device)
    for t in range(length):
        tokens_B, logprobs_B, entropies_B = draw(logits_BV, uniforms_BL[:, t], config.temperature)
        live = alive_B.cpu()
        here = rows[live]
        drawn.tokens_BL[here, t] = tokens_B.cpu()[live]
        drawn.logprobs_BL[here, t] = logprobs_B.cpu()[live]
        drawn.entropies_BL[here, t] = entropies_B.cpu()[live]
        drawn.lengths_B[here] += 1
        ended_B = torch.isin(tokens_B, ends)
        drawn.finished_B[here] = ended_B.cpu()[live]
        alive_B &= ~ended_B
        left = int(alive_B.sum())
        if not left or t == length - 1:
            return
        if left < COMPACT_BELOW * len(rows):
            keep = alive_B.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            tokens_B, uniforms_BL, mask_BL, at_B = tokens_B[keep], uniforms_BL[keep], mask_BL[keep], at_B[keep]
            rows, alive_B = rows[keep.cpu()], alive_B[keep]
        out = model(
            input_ids=tokens_B[:, None],
            attention_mask=mask_BL[:, : ids_PL.shape[1] + t + 1],
            position_ids=(at_B + t)[:, None],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV = out.logits[:, -1]


def draw(
    logits_BV: Float[Tensor, "B V"], uniforms_B: Float[Tensor, " B"], temperature: float
) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """A token for each row by inverting its distribution at its uniform, the token's log-probability, the entropy in
    nats. At temperature 0 the distribution is a point: the best token, log-probability 0, entropy 0."""
    if temperature == 0:
        best_B = logits_BV.argmax(-1)
        nothing_B = torch.zeros_like(best_B, dtype=torch.float32)
        return best_B, nothing_B, nothing_B
    logp_BV = torch.log_softmax(logits_BV.float() / temperature, dim=-1)
    p_BV = logp_BV.exp()
    cdf_BV = p_BV.cumsum(-1)
    chosen_B = (cdf_BV <= uniforms_B[:, None] * cdf_BV[:, -1:]).sum(-1)
    chosen_B = torch.where(chosen_B < p_BV.shape[-1], chosen_B, p_BV.argmax(-1))  # a product that rounded up to 1
    return chosen_B, logp_BV.gather(-1, chosen_B[:, None])[:, 0], torch.special.entr(p_BV).sum(-1)


def uniforms(seed: int, key: int, length: int) -> np.ndarray:
    """A row's own numbers in [0, 1): counter-based, so that every (seed, key) is a stream of its own."""
    stream = np.random.Generator(np.random.Philox(key=np.array([seed, key], dtype=np.uint64)))
    return stream.integers(0, 2**24, length).astype(np.float32) / 2**24


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def positions(mask_BL: Tensor) -> Tensor:
    return (mask_BL.cumsum(-1) - 1).clamp(min=0)
