"""Percentile intervals from draws of prompts, for means over tokens."""

import math

import numpy as np
from jaxtyping import Float, Int

from interp.stats.estimate import LEVEL, Estimate


def token_means(
    value_N: Float[np.ndarray, " N"], prompt_N: Int[np.ndarray, " N"], counts_BP: Float[np.ndarray, "B P"]
) -> Float[np.ndarray, " B"]:
    """Mean over tokens in each draw of prompts, sum_p count_p sum_p / sum_p count_p n_p. NaN in a draw without tokens.

    `prompt_N` is the prompt of each token, `counts_BP` how often each draw has each prompt
    (`interp.stats.resampled_prompts`). A row of ones gives the plain mean over all tokens."""
    prompts = counts_BP.shape[1]
    sum_P, tokens_P = np.bincount(prompt_N, value_N, prompts), np.bincount(prompt_N, minlength=prompts)
    tokens_B = counts_BP @ tokens_P
    return np.divide(counts_BP @ sum_P, tokens_B, out=np.full(len(tokens_B), np.nan), where=tokens_B > 0)


def percentile_estimate(value: float, draws_B: Float[np.ndarray, " B"], n: int, level: float = LEVEL) -> Estimate:
    """A value with the percentile interval of its bootstrap draws (Efron, 1979). Draws that are NaN are left out; a
    value that is NaN has no interval. `n` is the number of prompts."""
    if math.isnan(value) or np.isnan(draws_B).all():
        return Estimate(value, n=n)
    tail = (100 - 100 * level) / 2
    low, high = np.nanpercentile(draws_B, [tail, 100 - tail])
    return Estimate(float(value), float(low), float(high), n)
