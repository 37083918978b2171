"""`contrastive_temporal`: the SAELens training class of temporal dictionaries.

Without a contrast and with equal block weights its loss is that of SAELens' `matryoshka_batchtopk`, term by term, and
dead latents are revived alike if `revived` is half of d_in. It is faster, since its products are sparse. It is saved
as an ordinary JumpReLU dictionary. SAELens' own `temporal` class is another method.
"""

from typing import Any

import torch
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY, register_sae_training_class
from sae_lens.saes.matryoshka_batchtopk_sae import MatryoshkaBatchTopKTrainingSAE
from sae_lens.saes.sae import TrainCoefficientConfig, TrainStepInput, TrainStepOutput
from torch import Tensor, nn
from typing_extensions import override

from interp.artifacts import BadInput
from interp.tsae.batches import Batch
from interp.tsae.sae_config import ARCHITECTURE, ContrastiveTemporalTrainingSAEConfig
from interp.tsae.step import Params, StepOutput, compute_step

FIXED_OPTIONS = {
    "apply_b_dec_to_input": True,
    "rescale_acts_by_decoder_norm": True,
    "use_matryoshka_aux_loss": False,
    "use_sparse_activations": False,
}
"""Options of SAELens that have one value here. Another value is refused, not ignored."""


class ContrastiveTemporalTrainingSAE(MatryoshkaBatchTopKTrainingSAE):
    """Weights, thresholds and their update. The loss itself is `step.compute_step`."""

    cfg: ContrastiveTemporalTrainingSAEConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    slow_threshold: Tensor

    def __init__(self, cfg: ContrastiveTemporalTrainingSAEConfig, use_error_term: bool = False) -> None:
        for name, fixed in FIXED_OPTIONS.items():
            if (value := getattr(cfg, name)) != fixed:
                raise BadInput(f"{ARCHITECTURE}: expected {name}={fixed!r}, got {value!r}: leave it out")
        super().__init__(cfg, use_error_term)
        if len(cfg.block_weights) != (n := len(cfg.matryoshka_widths)):
            raise BadInput(f"block_weights must be one for each of {n} blocks; got {tuple(cfg.block_weights)}")
        self.register_buffer("slow_threshold", torch.tensor(0.0, dtype=torch.double, device=self.W_dec.device))
        self.last_thresholds = (0.0, 0.0)

    @override
    def initialize_weights(self) -> None:
        """SAELens' initial weights. The encoder is stored latent by latent: the sparse products read rows of it."""
        super().initialize_weights()
        self.W_enc = nn.Parameter(self.W_enc.detach().T.contiguous().T)

    @override
    def get_coefficients(self) -> dict[str, float | TrainCoefficientConfig]:
        if not self.cfg.alpha:
            return {}
        return {"contrast": TrainCoefficientConfig(self.cfg.alpha, self.cfg.alpha_warm_up_steps)}

    @property
    def n_slow(self) -> int:
        return self.cfg.n_slow

    def compute_step(self, batch: Batch, *, alpha: float, dead_F: Tensor | None = None) -> StepOutput:
        """Loss and activations of a batch, with the current weights."""
        params = Params(self.W_enc.T, self.b_enc, self.W_dec, self.b_dec)
        return compute_step(params, self.cfg, batch, alpha=alpha, dead_F=dead_F, last_thresholds=self.last_thresholds)

    @override
    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """The step of SAELens' own trainer. `sae_in` is (B, D), or (B, 2, D) with each token after its partner. Both
        are reconstructed then, and the output is that of the tokens."""
        x, alpha = step_input.sae_in, step_input.coefficients.get("contrast", 0.0)
        if alpha and x.ndim != 3:
            raise BadInput(f"a contrast needs pairs: expected a batch of shape (B, 2, D), got {tuple(x.shape)}")
        if alpha and not self.cfg.same_sequence:
            raise BadInput(
                "without same_sequence the contrast needs the document of each pair, and a tensor has none: "
                "use interp.tsae.fit, or same_sequence=True"
            )
        batch = Batch.from_pairs(x) if x.ndim == 3 else Batch.from_tokens(x)
        step = self.compute_step(batch, alpha=alpha, dead_F=step_input.dead_neuron_mask)
        self.update_thresholds(step)
        tokens = slice(0, x.shape[0])  # a batch of pairs holds the tokens first, then the partners
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
        """Moving averages of the batches' thresholds, as in SAELens."""
        lr = self.cfg.topk_threshold_lr
        averages = ((self.topk_threshold, step.thresholds[-1]), (self.slow_threshold, step.thresholds[0]))
        for average, threshold in averages:
            if threshold > 0:
                average.mul_(1 - lr).add_(lr * threshold)
        self.last_thresholds = step.thresholds

    @override
    @torch.no_grad()
    def fold_activation_norm_scaling_factor(self, scaling_factor: float) -> None:
        super().fold_activation_norm_scaling_factor(scaling_factor)
        self.slow_threshold /= scaling_factor  # SAELens scales topk_threshold

    @override
    def process_state_dict_for_saving_inference(self, state_dict: dict[str, Any]) -> None:
        """JumpReLU weights. With a budget of its own, the slow block has a threshold of its own."""
        slow_threshold = state_dict.pop("slow_threshold")
        super().process_state_dict_for_saving_inference(state_dict)
        if self.cfg.slow_k is not None:
            state_dict["threshold"][: self.n_slow] = slow_threshold.item()
        state_dict.update({name: tensor.contiguous() for name, tensor in state_dict.items()})

    @override
    def process_state_dict_for_saving(self, state_dict: dict[str, Any]) -> None:
        super().process_state_dict_for_saving(state_dict)
        state_dict.update({name: tensor.contiguous() for name, tensor in state_dict.items()})


def register_architecture() -> None:
    """Register the class with SAELens, once."""
    if ARCHITECTURE not in SAE_TRAINING_CLASS_REGISTRY:
        register_sae_training_class(ARCHITECTURE, ContrastiveTemporalTrainingSAE, ContrastiveTemporalTrainingSAEConfig)
