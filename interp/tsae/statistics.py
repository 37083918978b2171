"""Mean, norm and variance of the activations of a store, measured on a random sample of the tokens trained on."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Store
from interp.artifacts import BadInput
from interp.tsae.config import TSAEConfig
from interp.tsae.pools import Pools

SAMPLE_TOKENS = 65_536
CHUNK = 4096
"""Tokens converted to float64 at once."""


@dataclass(frozen=True)
class ActivationStatistics:
    """Of activations as they are stored, before scaling."""

    mean_D: Float[Tensor, " D"]
    mean_norm: float
    variance: float
    """Mean squared distance from the mean, summed over dimensions."""


def sample_tokens(store: Store, layer: int, config: TSAEConfig) -> Float[Tensor, "N D"]:
    """At most `SAMPLE_TOKENS` of the tokens trained on, from all over the store. They are drawn at random: every n-th
    token would be the same few positions, if documents are alike in length."""
    training = config.training
    gb = min(training.pool_gb, 16 * SAMPLE_TOKENS * store.d_model / 1e9)
    pools = Pools(store, layer, gb=gb, prompts=training.prompts, skip_first=training.skip_first)
    rng = np.random.default_rng(SAMPLE_TOKENS)
    parts, missing = [], SAMPLE_TOKENS
    for slices in pools.epoch(0):
        pool = pools.read(slices)
        rows = pool.trained_rows.row_N
        chosen = np.sort(rng.permutation(len(rows))[:missing])
        parts.append(pool.x_PD[torch.from_numpy(rows[chosen])])
        missing -= len(chosen)
        del pool  # freed before the next is read
        if not missing:
            break
    return torch.cat(parts)


def measure_statistics(x_ND: Float[Tensor, "N D"]) -> ActivationStatistics:
    """Statistics of activations, summed in float64. Activations that are all equal are refused."""
    parts, n = x_ND.split(CHUNK), len(x_ND)
    mean_D = torch.stack([part.double().sum(0) for part in parts]).sum(0) / n
    variance = sum(float((part.double() - mean_D).square().sum()) for part in parts) / n
    mean_norm = sum(float(part.norm(dim=-1).double().sum()) for part in parts) / n
    if not variance or not mean_norm:
        raise BadInput(
            f"expected activations that differ from one another, got {n} equal ones: collect another layer, or other "
            "text"
        )
    return ActivationStatistics(mean_D.float(), mean_norm, variance)
