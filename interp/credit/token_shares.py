"""The part of a source's contribution to the log-odds that was read at each token.

    latents, residual    (1 / selected tokens) sum_f weight_f (code_tf - mean_f) / std_f        at selected tokens
    likelihood           the mean's share at every token, and that of the least at the least likely token
    intention            the mean's share at every copied token, and that of the largest at the most surprising one

Other sources read no token alone: they have no shares.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.readouts.intention import Intention
from interp.readouts.reading import ENTRIES, Reading
from interp.readouts.sources import Latents, Likelihood, Residual, Source

Shares = tuple[Int[Tensor, " S"], bool, Float[Tensor, " S"]]
"""Tokens (or, if False, rollouts, for the last token of their prompts), and the part of the log-odds that is theirs."""


def token_shares(source: Source, reading: Reading, slope_F: Tensor, mean_F: Tensor) -> Iterator[Shares]:
    """The parts of a contribution that stand at one token each. `slope_F` is what a unit of a number adds, and
    `mean_F` the mean of the labels."""
    if isinstance(source, Likelihood):
        every_N = torch.arange(len(reading.rollout_N))
        yield from _shares_of_mean_and_extreme(-reading.logprob_N, every_N, reading, -slope_F, -mean_F)
    elif isinstance(source, Intention):
        yield from _shares_of_mean_and_extreme(*source.surprises(reading), reading, slope_F, mean_F)
    elif isinstance(source, Latents | Residual):
        layer = source.layers[0]
        x_SD, rollout_S = reading.residuals_at(layer, source.selector)
        token_S = reading.selected(source.selector).nonzero()[:, 0]  # first those of tokens, then those of prompts
        counts_B = torch.bincount(rollout_S, minlength=len(reading.rollouts))
        shares_S = (_projected(source, x_SD, slope_F) - (mean_F * slope_F).sum()) / counts_B[rollout_S]
        yield token_S, True, shares_S[: len(token_S)]
        yield rollout_S[len(token_S) :], False, shares_S[len(token_S) :]


def _shares_of_mean_and_extreme(
    surprise_S: Tensor, token_S: Tensor, reading: Reading, slope_F: Tensor, mean_F: Tensor
) -> Iterator[Shares]:
    """Shares of a source whose numbers are the mean surprise of some tokens of a rollout, and the largest."""
    surprise_S, rollout_S = surprise_S.double(), reading.rollout_N[token_S]
    counts_B = torch.bincount(rollout_S, minlength=len(reading.rollouts))
    yield token_S, True, (surprise_S - mean_F[0]) * slope_F[0] / counts_B[rollout_S]
    by_rollout = [(rollout_S == rollout).nonzero()[:, 0] for rollout in rollout_S.unique()]
    largest = torch.tensor([int(own[surprise_S[own].argmax()]) for own in by_rollout], dtype=torch.long)
    yield token_S[largest], True, (surprise_S[largest] - mean_F[1]) * slope_F[1]


def _projected(source: Latents | Residual, x_SD: Tensor, slope_F: Tensor) -> Float[Tensor, " S"]:
    """The numbers of a source at some tokens, each times its slope. A few at a time: a wide dictionary has many."""
    if isinstance(source, Residual):
        return x_SD.double() @ slope_F
    encode = source.tsae.pre_activations if source.before_threshold else source.tsae.encode
    parts = x_SD.split(max(1, ENTRIES // max(len(slope_F), 1)))
    return torch.cat([encode(part).double().cpu() @ slope_F for part in parts] or [torch.zeros(0).double()])
