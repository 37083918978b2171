"""Forward passes over suffixes: the end of a row, from the token at which an edit begins.

A row is a prompt and its completion. It is read once: the residual at a layer, and the keys and values of the blocks
above it. Then only the tokens of a suffix go through the blocks above the layer; the tokens before it are there as keys
and values. That is exact, since a token changes nothing before it. The head reads only the tokens that are asked for.

Keys and values stand to the left of a suffix without a gap, so that distances between columns are distances between
tokens, as a sliding window needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn
from transformers import DynamicCache

from interp.device import eval_mode
from interp.policy.policy import Policy
from interp.policy.residual import (
    Layer,
    SiteOutput,
    output_activations,
    record_outputs,
    replace_residual,
    resume_from,
)
from interp.policy.sample import position_ids
from interp.policy.score import AlignedRows
from interp.policy.site import RESID_POST, site_of
from interp.policy.site_hooks import unwrap_adapters

SLICE = 2**24
"""Logits that are turned into log-odds at once: this copies them."""

KeysValues = list[tuple[Tensor, Tensor]]
"""Keys and values of each block that is run from the layer on, B heads L width."""


@dataclass
class RowsRead:
    """Some rows, read by the policy up to its layer, and beyond it for keys and values."""

    rows: AlignedRows
    output: Any
    """What was recorded at the layer."""
    keys_values: KeysValues | None
    """None: not kept, read again where they are needed."""

    @property
    def x_BLD(self) -> Float[Tensor, "B L D"]:
        """The residual."""
        return output_activations(self.output)


@dataclass(frozen=True)
class Suffixes:
    """J suffixes of the rows of a batch, each read under one edit."""

    edit_J: Int[ndarray, " J"]
    row_J: Int[ndarray, " J"]
    first_J: Int[ndarray, " J"]
    """The column it begins at."""
    last_J: Int[ndarray, " J"]
    """Its last column."""
    wanted_J: Int[ndarray, " J"]
    """Tokens of it that the head reads, at most."""

    def __len__(self) -> int:
        return len(self.row_J)

    @property
    def tokens(self) -> int:
        return int((self.last_J - self.first_J + 1).sum())

    def select(self, at: ndarray | slice) -> "Suffixes":
        return Suffixes(*(getattr(self, field.name)[at] for field in fields(self)))

    def chunks(self, columns: int, logits: int) -> "Iterator[Suffixes]":
        """Suffixes of similar length together, as many as have at most so many columns (of their prefixes too, padded)
        and so many wanted tokens, or one."""
        ordered = self.select(np.lexsort((self.first_J, self.last_J - self.first_J)))
        start = widest = wanted = 0
        for stop, (last, tokens) in enumerate(zip(ordered.last_J.tolist(), ordered.wanted_J.tolist(), strict=True)):
            widest, wanted = max(widest, last + 1), wanted + tokens
            if stop > start and ((stop + 1 - start) * widest > columns or wanted > logits):
                yield ordered.select(slice(start, stop))
                start, widest, wanted = stop, last + 1, tokens
        if len(ordered):
            yield ordered.select(slice(start, None))

    def places(self, device: torch.device) -> "Places":
        row_J, first_J, last_J = (torch.from_numpy(side).to(device) for side in (self.row_J, self.first_J, self.last_J))
        offset_S = torch.arange(int((last_J - first_J).max()) + 1, device=device)
        column_JS = torch.minimum(first_J[:, None] + offset_S, last_J[:, None])
        return Places(row_J[:, None], first_J, column_JS, offset_S <= (last_J - first_J)[:, None])


@dataclass(frozen=True)
class Places:
    """Where suffixes stand in the rows of a batch, padded on the right to one length."""

    row_J1: Int[Tensor, "J 1"]
    first_J: Int[Tensor, " J"]
    column_JS: Int[Tensor, "J S"]
    """Beyond its end, a suffix's last column is repeated."""
    real_JS: Bool[Tensor, "J S"]

    def gather(self, value_BL: Tensor) -> Tensor:
        """What a table of rows has at these places."""
        return value_BL[self.row_J1, self.column_JS]


@torch.no_grad()
def read_rows(policy: Policy, layer: Layer, rows: AlignedRows) -> RowsRead:
    """Run rows through the policy. Every block is run, for its keys and values."""
    with record_outputs(policy.model, layer) as outputs:
        keys_values = _keys_values(policy, layer, rows)
    return RowsRead(rows, outputs[0], keys_values)


@torch.no_grad()
def keys_values_of(policy: Policy, layer: Layer, read: RowsRead) -> KeysValues:
    """The keys and values of rows, computed again from the layer on unless they were kept."""
    if read.keys_values is not None:
        return read.keys_values
    with resume_from(policy.model, layer, read.output):
        return _keys_values(policy, layer, read.rows)


def _keys_values(policy: Policy, layer: Layer, rows: AlignedRows) -> KeysValues:
    cache = DynamicCache()  # not of the model's config: layers with a sliding window would keep the last tokens alone
    with eval_mode(policy.model):
        policy.model(
            input_ids=rows.ids_BL,
            attention_mask=rows.mask_BL,
            position_ids=position_ids(rows.mask_BL),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    states: Any = cache.layers[first_block(layer) :]
    return [(state.keys, state.values) for state in states]


def suffix_log_odds(
    policy: Policy,
    layer: Layer,
    read: RowsRead,
    keys_values: KeysValues,
    places: Places,
    x_JSD: Float[Tensor, "J S D"],
    wanted_JS: Bool[Tensor, "J S"],
) -> Float[Tensor, " W"]:
    """Log-odds of the token after each wanted one, where suffixes have the residuals `x_JSD`. Differentiable."""
    mask_BL, model = read.rows.mask_BL, policy.model
    cache, is_prefix_JW = _prefix_cache(layer, read, keys_values, places, x_JSD)
    output = _output_at(read.output, places, x_JSD)
    with eval_mode(model), resume_from(model, layer, output), head_on(model, wanted_JS):
        logits_WV = model(
            input_ids=places.gather(read.rows.ids_BL),
            attention_mask=torch.cat([is_prefix_JW, places.real_JS], 1).to(mask_BL.dtype),
            position_ids=places.gather(position_ids(mask_BL)),
            past_key_values=cache,
            use_cache=True,
        ).logits
    return sliced_log_odds(logits_WV, places.gather(read.rows.ids_BL.roll(-1, 1))[wanted_JS])


def _prefix_cache(
    layer: Layer, read: RowsRead, keys_values: KeysValues, places: Places, x_JSD: Float[Tensor, "J S D"]
) -> tuple[DynamicCache, Bool[Tensor, "J W"]]:
    """A cache of the tokens before each suffix, and which of its columns are tokens."""
    start_J = read.rows.mask_BL.argmax(1)[places.row_J1[:, 0]]
    width = max(1, int((places.first_J - start_J).max()))
    column_JW = places.first_J[:, None] + torch.arange(-width, 0, device=start_J.device)
    at = places.row_J1, slice(None), column_JW.clamp(min=0)
    cache: Any = DynamicCache()
    length = x_JSD.new_zeros(1).expand(len(start_J), 1, width, 1)  # the model asks skipped blocks how long they are
    for block in range(first_block(layer)):
        cache.update(length, length, block)
    for block, states in enumerate(keys_values, first_block(layer)):
        cache.update(*(state[at].transpose(1, 2) for state in states), block)
    return cache, column_JW >= start_J[:, None]


def first_block(layer: Layer) -> int:
    """The first block that is run when a forward resumes from a layer, or from a site within a block."""
    site = site_of(layer).canonical
    return site.layer + 1 if site.kind == RESID_POST else site.layer


def _output_at(output: Any, places: Places, x_JSD: Float[Tensor, "J S D"]) -> Any:
    """A recorded output at the places of suffixes, with the activations `x_JSD`."""
    if not isinstance(output, SiteOutput):
        return replace_residual(output, x_JSD)
    before = output.before
    if before is not None:
        before = replace_residual(before, places.gather(output_activations(before)))
    return SiteOutput(before, x_JSD)


@contextmanager
def head_on(model: Any, wanted_JS: Bool[Tensor, "J S"]) -> Iterator[None]:
    """Within the block, the head reads the wanted tokens alone: the logits are a row for each of them."""
    head: nn.Module = unwrap_adapters(model).get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda module, args: (args[0][wanted_JS], *args[1:]))
    try:
        yield
    finally:
        handle.remove()


def sliced_log_odds(logits_NV: Float[Tensor, "N V"], tokens_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """`log_odds`, of not too many logits at once."""
    size = max(1, SLICE // logits_NV.shape[-1])
    slices = zip(logits_NV.split(size), tokens_N.split(size), strict=True)
    return torch.cat([log_odds(logits, tokens) for logits, tokens in slices])


def log_odds(logits_NV: Float[Tensor, "N V"], tokens_N: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Log-odds of each token against all others: its logit less the logsumexp of theirs."""
    logits_NV = logits_NV.float()
    own_N1 = logits_NV.gather(-1, tokens_N[:, None])
    others_NV = logits_NV.scatter(-1, tokens_N[:, None], -torch.inf)
    return (own_N1 - others_NV.logsumexp(-1, keepdim=True))[:, 0]
