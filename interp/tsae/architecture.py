"""`contrastive_temporal`: a training class of SAELens, with the sparse products of `sparse.py`.

Without a contrast, and with blocks weighed alike, it is SAELens' `matryoshka_batchtopk` to the last term of the loss,
dead-latent revival included where `revived` is half of d_in; it only takes less work. Saved, it is an ordinary JumpReLU
dictionary. It is not SAELens' own `temporal` class, which is another method.

Where x is a token and c = (x - b_dec) W_enc + b_enc its encoding, latents compete by |d_j| c_j (d_j: decoder row), so
that the norms of the decoder do not matter; the reconstruction of the winners is sum_j c_j d_j + b_dec, in which the
norms cancel.
"""

from dataclasses import dataclass
from typing import Any

import torch
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY, register_sae_training_class
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainCoefficientConfig, TrainStepInput, TrainStepOutput
from torch import Tensor, nn
from typing_extensions import override

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_one_of
from interp.tsae.config import REDUCTIONS, SIMILARITIES
from interp.tsae.step import Batch, StepOutput, forward

ARCHITECTURE = "contrastive_temporal"
PLAIN = {
    "apply_b_dec_to_input": True,
    "rescale_acts_by_decoder_norm": True,
    "use_matryoshka_aux_loss": False,
    "use_sparse_activations": False,
}
"""Choices of SAELens' that are made here: nothing is taken in silence and then not done."""


@dataclass
class ContrastiveTemporalTrainingSAEConfig(MatryoshkaBatchTopKTrainingSAEConfig):
    """Flat, as SAELens keeps its configs; `TSAEConfig` is where the fields are explained. `matryoshka_widths` are the
    ends of the blocks, the slow block first."""

    block_weights: tuple[float, ...] = (1.0, 1.0)
    slow_k: int | None = None
    revived: int | None = None
    """Half of d_in if not given."""
    alpha: float = 1.0
    """In units of the loss: what `alpha_in` came to."""
    alpha_warm_up_steps: int = 0
    similarity: str = "cosine"
    temperature: float = 0.1
    reduction: str = "mean"
    same_sequence: bool = False
    together: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_one_of(self, SIMILARITIES, "similarity")
        expect_one_of(self, REDUCTIONS, "reduction")
        expect_at_least(self, 1, "slow_k", "revived")
        expect_at_least(self, 2, "together")
        if self.slow_k is not None and self.slow_k >= self.k:
            raise BadInput(f"slow_k must be less than k ({self.k}); got {self.slow_k}")

    @override
    @classmethod
    def architecture(cls) -> str:
        return ARCHITECTURE


class ContrastiveTemporalTrainingSAE(MatryoshkaBatchTopKTrainingSAE):
    cfg: ContrastiveTemporalTrainingSAEConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    slow_threshold: Tensor

    def __init__(self, cfg: ContrastiveTemporalTrainingSAEConfig, use_error_term: bool = False) -> None:
        for name, only in PLAIN.items():
            if (got := getattr(cfg, name)) != only:
                raise BadInput(f"{ARCHITECTURE} has no other {name} than {only!r}; got {got!r}")
        super().__init__(cfg, use_error_term)
        if len(cfg.block_weights) != (n := len(cfg.matryoshka_widths)):
            raise BadInput(f"block_weights must be one for each of {n} blocks; got {tuple(cfg.block_weights)}")
        self.register_buffer("slow_threshold", torch.tensor(0.0, dtype=torch.double, device=self.W_dec.device))
        self.last_thresholds = (0.0, 0.0)

    @override
    def initialize_weights(self) -> None:
        """As SAELens does, but with the encoder stored latent by latent, as the sparse products read it."""
        super().initialize_weights()
        self.W_enc = nn.Parameter(self.W_enc.detach().T.contiguous().T)

    @override
    def get_coefficients(self) -> dict[str, float | TrainCoefficientConfig]:
        if not self.cfg.alpha:
            return {}
        return {"contrast": TrainCoefficientConfig(self.cfg.alpha, self.cfg.alpha_warm_up_steps)}

    @property
    def n_slow(self) -> int:
        return self.cfg.matryoshka_widths[0]

    def step(self, batch: Batch, *, alpha: float, dead_F: Tensor | None = None) -> StepOutput:
        """The loss of a batch, and what is worth knowing of it."""
        return forward(self, batch, alpha=alpha, dead_F=dead_F)

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """For SAELens' own trainer. `sae_in` is (B, D), or (B, 2, D) with each token behind its partner: both are then
        reconstructed, and the output is that of the tokens."""
        x, alpha = step_input.sae_in, step_input.coefficients.get("contrast", 0.0)
        if alpha and x.ndim != 3:
            raise BadInput(f"a contrast needs pairs: expected a batch of shape (B, 2, D), got {tuple(x.shape)}")
        if alpha and not self.cfg.same_sequence:
            raise BadInput(
                "without same_sequence the document of each pair must be known, and a tensor does not tell it: "
                "use interp.tsae.fit, or same_sequence=True"
            )
        batch = Batch.from_pairs(x) if x.ndim == 3 else Batch.from_tokens(x)
        step = self.step(batch, alpha=alpha, dead_F=step_input.dead_neuron_mask)
        self.update_thresholds(step)
        tokens = slice(0, x.shape[0])  # in a batch of pairs, they come first
        return TrainStepOutput(
            sae_in=batch.x_MD[tokens],
            sae_out=step.xhat_MD[tokens],
            feature_acts=step.dense_codes(self.cfg.d_sae)[tokens],
            hidden_pre=step.hidden_MF[tokens],
            loss=step.loss,
            losses=step.losses,
            metrics={"topk_threshold": self.topk_threshold},
        )

    @torch.no_grad()
    def update_thresholds(self, step: StepOutput) -> None:
        """Let the thresholds follow those of the batches, as SAELens does; and guess the next from the last."""
        rate = self.cfg.topk_threshold_lr
        for held, seen in ((self.topk_threshold, step.thresholds[-1]), (self.slow_threshold, step.thresholds[0])):
            if seen > 0:
                held.mul_(1 - rate).add_(rate * seen)
        self.last_thresholds = step.thresholds

    @override
    @torch.no_grad()
    def fold_activation_norm_scaling_factor(self, scaling_factor: float) -> None:
        super().fold_activation_norm_scaling_factor(scaling_factor)
        self.slow_threshold /= scaling_factor  # as the other one, which SAELens sees to

    @override
    def process_state_dict_for_saving_inference(self, state_dict: dict[str, Any]) -> None:
        """As JumpReLU; with a budget of its own, the slow block has a threshold of its own."""
        slow = state_dict.pop("slow_threshold")
        super().process_state_dict_for_saving_inference(state_dict)
        if self.cfg.slow_k is not None:
            state_dict["threshold"][: self.n_slow] = slow.item()
        state_dict.update({name: tensor.contiguous() for name, tensor in state_dict.items()})

    @override
    def process_state_dict_for_saving(self, state_dict: dict[str, Any]) -> None:
        super().process_state_dict_for_saving(state_dict)
        state_dict.update({name: tensor.contiguous() for name, tensor in state_dict.items()})


def register_architecture() -> None:
    """Make the architecture known to SAELens, once."""
    if ARCHITECTURE not in SAE_TRAINING_CLASS_REGISTRY:
        register_sae_training_class(ARCHITECTURE, ContrastiveTemporalTrainingSAE, ContrastiveTemporalTrainingSAEConfig)
