"""A dictionary of random directions, and rollouts for a tiny policy to read."""

import torch
from grpo_fixtures import make_rollout

from interp.tsae import TSAE


def make_dictionary(d: int, width: int, layer: int | None = None) -> TSAE:
    """Latents in random directions, a third of the time active."""
    generator = torch.Generator().manual_seed(0)
    weights_DF = torch.randn(d, width, generator=generator) / d**0.5
    zeros_F = torch.zeros(width)
    threshold_F = torch.full((width,), 0.3)
    return TSAE(weights_DF, zeros_F, weights_DF.T.clone(), torch.zeros(d), threshold_F, (width,), layer=layer)


def rows_of(policy, n: int = 4):
    """Rollouts of different lengths, of which the last has no marker."""
    completions = [policy.encode([text])[0] for text in ("5 + 6 = 11", "7 + 1", "2 + 2 = 4 + 9", "9")][:n]
    return [
        make_rollout(1, length=len(tokens), tokens=tuple(tokens), roles=(*["text"] * (len(tokens) - 1), role), sample=i)
        for i, (tokens, role) in enumerate(zip(completions, ["marker"] * (n - 1) + ["text"], strict=True))
    ]
