"""The training class with known weights, and inputs for it."""

from typing import Any

import torch
from sae_lens.saes.sae import TrainStepInput
from torch import Tensor

from interp.tsae.architecture import ContrastiveTemporalTrainingSAE
from interp.tsae.batches import Batch
from interp.tsae.sae_config import ContrastiveTemporalTrainingSAEConfig

D, WIDTH, K, ENDS = 16, 64, 4, [12, 32, 64]
PARAMETERS = ("W_enc", "b_enc", "W_dec", "b_dec")
DOCUMENTS = torch.arange(6).repeat_interleave(10)


def weights(d_in: int = D, width: int = WIDTH, seed: int = 0) -> dict[str, Tensor]:
    """Random weights with nonzero biases, and decoder norms from 0.5 to 2."""
    generator = torch.Generator().manual_seed(seed)
    norms = torch.linspace(0.5, 2, width)[torch.randperm(width, generator=generator)]
    W_dec = torch.nn.functional.normalize(torch.randn(width, d_in, generator=generator), dim=1) * norms[:, None]
    return {
        "W_enc": torch.randn(d_in, width, generator=generator) / d_in**0.5,
        "b_enc": 0.3 * torch.randn(width, generator=generator),
        "W_dec": W_dec,
        "b_dec": 0.3 * torch.randn(d_in, generator=generator),
    }


def set_weights(sae: Any) -> Any:
    with torch.no_grad():
        for name, value in weights(sae.cfg.d_in, sae.cfg.d_sae).items():
            getattr(sae, name).copy_(value)
    return sae


def training_sae(ends: list[int] = ENDS, **changes: Any) -> ContrastiveTemporalTrainingSAE:
    fields: dict[str, Any] = {"d_in": D, "d_sae": WIDTH, "k": K, "alpha": 0.0, "block_weights": (1.0,) * len(ends)}
    config = ContrastiveTemporalTrainingSAEConfig(matryoshka_widths=list(ends), **fields | changes)
    return set_weights(ContrastiveTemporalTrainingSAE(config))


def activations(rows: int = 60, seed: int = 1) -> Tensor:
    return torch.randn(rows, D, generator=torch.Generator().manual_seed(seed)) + 0.5


def step_input(x: Tensor, dead_F: Tensor | None = None, **coefficients: float) -> TrainStepInput:
    return TrainStepInput(x, coefficients, dead_F, n_training_steps=0, is_logging_step=False)


def dead_mask(count: int) -> Tensor:
    """`count` dead latents, spread over the width."""
    order = torch.randperm(WIDTH, generator=torch.Generator().manual_seed(2))
    return torch.zeros(WIDTH, dtype=torch.bool).index_fill(0, order[:count], True)


def gradients(sae: Any, loss: Tensor) -> dict[str, Tensor]:
    grads = torch.autograd.grad(loss, [getattr(sae, name) for name in PARAMETERS])
    return dict(zip(PARAMETERS, grads, strict=True))


def runs_batch() -> Batch:
    """Six documents of ten tokens, each token but the first a pair with the one before."""
    anchors = torch.arange(60)[torch.arange(60) % 10 > 0]
    return Batch(activations(), 60, torch.stack([anchors, anchors - 1], 1), DOCUMENTS)


def partners_batch() -> Batch:
    """Sixty tokens, then partners for two thirds of them, which are not reconstructed."""
    anchors = torch.arange(60)[torch.arange(60) % 3 > 0]
    pairs_P2 = torch.stack([anchors, torch.arange(60, 60 + len(anchors))], 1)
    return Batch(activations(60 + len(anchors)), 60, pairs_P2, torch.cat([DOCUMENTS, DOCUMENTS[anchors]]))
