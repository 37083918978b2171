"""One dictionary in training: its weights, optimizer and schedules, promotion, and which latents are dead.

The learning rate rises linearly, stays level, and falls linearly to 0; alpha rises linearly. Activations are scaled to
a mean norm of sqrt(d_model) (`scale="rms"`), and the scale is folded into the weights after training.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interp.artifacts import Mismatch
from interp.tsae.architecture import ContrastiveTemporalTrainingSAE
from interp.tsae.batches import Batch
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary import TSAE
from interp.tsae.promotion import Persistence, choose_swaps, swap_rows
from interp.tsae.sae_config import ContrastiveTemporalTrainingSAEConfig
from interp.tsae.statistics import ActivationStatistics
from interp.tsae.step import StepOutput

MEASURE_EVERY = 20
"""Steps between two measurements of what the progress bar shows."""
PROMOTION_SHARE = 0.7
"""Latents are promoted in this share of the steps, the first ones. Then they stay where they are."""
CALIBRATION_CODES = 2**22
"""Codes computed at once when the thresholds are set."""


class TSAETrainer(nn.Module):
    """Trains one dictionary batch by batch. A module, so that its buffers are part of the training state."""

    tokens_since_fired_F: Int[Tensor, " F"]
    steps_without_contrast: Int[Tensor, ""]
    """Steps with alpha > 0 in which no pair had a negative."""

    def __init__(
        self, config: TSAEConfig, d_model: int, statistics: ActivationStatistics, device: torch.device
    ) -> None:
        super().__init__()
        self.config = config = config.resolved(d_model)
        self.scale = d_model**0.5 / statistics.mean_norm if config.scale == "rms" else 1.0
        self.variance = statistics.variance * self.scale**2
        self.sae = _build_sae(config, d_model, self.variance).to(device)
        with torch.no_grad():
            self.sae.b_dec.copy_(statistics.mean_D * self.scale)
        self.register_buffer("tokens_since_fired_F", torch.zeros(config.width or 0, dtype=torch.int64, device=device))
        self.register_buffer("steps_without_contrast", torch.zeros((), dtype=torch.int64, device=device))
        self.optimizer = torch.optim.Adam(self.sae.parameters(), lr=config.training.lr or 0.0, fused=True)
        self.persistence = Persistence(self.sae.cfg.d_sae, memory=max(1, self.steps // 20)).to(device)
        self.steps_done = 0
        self.last_metrics: dict[str, float] = {}
        """Of the last batch measured: `fve`, `l0`, `dead` (a share), and every term of the loss."""

    @torch.no_grad()
    def initialize_from(self, start: TSAE) -> None:
        """Copy the weights of another dictionary of the same sizes."""
        if (start.d_model, start.width) != (self.sae.cfg.d_in, self.sae.cfg.d_sae):
            raise Mismatch(
                f"expected a start of d_model {self.sae.cfg.d_in} and width {self.sae.cfg.d_sae}, got {start.d_model} "
                f"and {start.width}: set width={start.width}, or start from another dictionary"
            )
        if len(start.block_widths) > 1 and start.block_widths != self.config.block_widths():
            raise Mismatch(
                f"expected a start with blocks of {self.config.block_widths()} latents, got {start.block_widths}: set "
                "its blocks, or start from another dictionary"
            )
        if start.form.normalization != "none":
            raise Mismatch(
                f"expected a start that takes activations as they are, got one with {start.form.normalization}: start "
                "from another dictionary"
            )
        self.sae.W_enc.copy_(start.W_enc / self.scale)
        self.sae.W_dec.copy_(start.W_dec * self.scale)
        self.sae.b_enc.copy_(start.b_enc)
        self.sae.b_dec.copy_(start.b_dec * self.scale)

    @property
    def steps(self) -> int:
        assert self.config.training.steps is not None, "the config is resolved"
        return self.config.training.steps

    @property
    def dead_F(self) -> Bool[Tensor, " F"]:
        return self.tokens_since_fired_F >= self.config.training.dead_after

    @property
    def promotion_end(self) -> float:
        """The step from which latents stay in their blocks."""
        return PROMOTION_SHARE * self.steps

    def train_step(self, batch: Batch) -> StepOutput:
        """One step on a batch of activations as they are stored."""
        config, device = self.config.training, self.sae.W_dec.device
        batch = batch.scaled(self.scale).to(device)
        step = self.sae.compute_step(batch, alpha=(alpha := self._alpha()), dead_F=self.dead_F)
        self.steps_without_contrast += bool(alpha) and "contrast" not in step.losses
        step.loss.backward()
        nn.utils.clip_grad_norm_(self.sae.parameters(), config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = (config.lr or 0.0) * self._lr_factor()
        with _row_major(self.optimizer):
            self.optimizer.step()
        self.optimizer.zero_grad()
        self.sae.update_thresholds(step)
        self._update_counts(step, batch)
        self.steps_done += 1
        interval = self.config.promote_every
        if interval and self.steps_done % interval == 0 and self.steps_done < self.promotion_end:
            self._promote()
        if self.measures_this_step:
            self._measure_batch(step, batch)
        return step

    @property
    def measures_this_step(self) -> bool:
        """Whether `last_metrics` are of the step just done."""
        return self.steps_done % MEASURE_EVERY == 1 or self.steps_done == self.steps

    def _lr_factor(self) -> float:
        config, remaining = self.config.training, self.steps - self.steps_done
        rise = (self.steps_done + 1) / max(1.0, config.warm_up * self.steps)
        fall = remaining / max(1.0, config.decay * self.steps)
        return min(1.0, rise, fall)

    def _alpha(self) -> float:
        warm_up = self.sae.cfg.alpha_warm_up_steps
        return self.sae.cfg.alpha * min(1.0, (self.steps_done + 1) / max(1, warm_up))

    @torch.no_grad()
    def _update_counts(self, step: StepOutput, batch: Batch) -> None:
        self.tokens_since_fired_F += batch.n_reconstructed
        self.tokens_since_fired_F[step.fire_counts_F > 0] = 0
        if self.config.promote_every:
            self.persistence.update(step, batch)

    @torch.no_grad()
    def _promote(self) -> None:
        """Swap latents between the slow block and the others, with their counts and optimizer moments."""
        left_N, right_N = choose_swaps(self.persistence.compute(), self.sae.n_slow)
        rows_by_latent = [self.sae.W_enc.T, self.sae.b_enc, self.sae.W_dec, self.tokens_since_fired_F]
        for parameter in (self.sae.W_enc, self.sae.b_enc, self.sae.W_dec):
            moments = [value for slot, value in self.optimizer.state[parameter].items() if slot != "step"]
            rows_by_latent += [value.T if parameter is self.sae.W_enc else value for value in moments]
        for rows in rows_by_latent:
            swap_rows(rows, left_N, right_N)
        self.persistence.swap(left_N, right_N)

    @torch.no_grad()
    def _measure_batch(self, step: StepOutput, batch: Batch) -> None:
        error = (batch.x_MD[: batch.n_reconstructed] - step.xhat_MD).pow(2).sum(-1).mean()
        self.last_metrics = {
            "fve": 1 - error.item() / self.variance,
            "l0": len(step.codes_N) / batch.n_reconstructed,
            "dead": self.dead_F.float().mean().item(),
        }
        self.last_metrics |= {name: loss.item() for name, loss in step.losses.items()}

    @torch.no_grad()
    def calibrate_thresholds(self, x_ND: Float[Tensor, "N D"]) -> None:
        """Set the thresholds so that k latents (and slow_k of the slow block, if set) are active a token, on average
        over these tokens. The moving averages of training start at 0 and lag behind."""
        cfg, sae = self.sae.cfg, self.sae
        budgets = [(0, cfg.d_sae, cfg.k)]
        if cfg.slow_k is not None:
            budgets = [(0, sae.n_slow, cfg.slow_k), (sae.n_slow, cfg.d_sae, cfg.k - cfg.slow_k)]
        thresholds = [self._threshold(x_ND, slice(start, end), int(k * len(x_ND))) for start, end, k in budgets]
        sae.slow_threshold.copy_(torch.tensor(thresholds[0]))
        sae.topk_threshold.copy_(torch.tensor(thresholds[-1]))

    def _threshold(self, x_ND: Tensor, block: slice, count: int) -> float:
        """The threshold above which `count` codes of a block lie on these tokens. 0 if fewer are positive."""
        sae, norms_F = self.sae, self.sae.W_dec.norm(dim=-1)[block]
        largest = norms_F.new_empty(0)
        for part_MD in x_ND.split(max(1, CALIBRATION_CODES // len(norms_F))):
            centred_MD = part_MD.to(sae.W_dec.device) * self.scale - sae.b_dec
            hidden_MF = (centred_MD @ sae.W_enc[:, block] + sae.b_enc[block]) * norms_F
            bound = largest.min() if len(largest) > count else 0.0
            largest = torch.cat([largest, hidden_MF[hidden_MF > bound]])
            largest = largest.topk(min(len(largest), count + 1), sorted=False).values
        return float(largest.min()) if len(largest) > count else 0.0


@contextmanager
def _row_major(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Within the block, column-major parameters are replaced by their transposes. Fused Adam would copy such a
    parameter, its gradient and its moments to row-major order and back; it updates the transposes in place."""
    column_major = [x for group in optimizer.param_groups for x in group["params"] if not x.is_contiguous()]
    for parameter in column_major:
        _transpose(parameter, optimizer)
    yield
    for parameter in column_major:
        _transpose(parameter, optimizer)


def _transpose(parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
    grad, parameter.grad = parameter.grad, None  # torch checks that grad and data have one shape
    parameter.data = parameter.data.T
    parameter.grad = None if grad is None else grad.T
    moments = optimizer.state[parameter]
    moments.update({slot: value.T for slot, value in moments.items() if slot != "step"})


def _build_sae(config: TSAEConfig, d_model: int, variance: float) -> ContrastiveTemporalTrainingSAE:
    """The SAELens class of a resolved config, with initial weights from its seed."""
    fields: dict[str, Any] = dict(
        d_in=d_model,
        d_sae=config.width,
        k=config.k,
        matryoshka_widths=np.cumsum(config.block_widths()).tolist(),
        block_weights=config.block_weights,
        slow_k=config.slow_k,
        aux_loss_coefficient=config.revival,
        revived=config.revived,
        alpha=config.contrast.alpha * (variance if config.contrast.alpha_in == "variance" else 1.0),
        alpha_warm_up_steps=round(config.contrast.alpha_warm_up * (config.training.steps or 0)),
        similarity=config.contrast.similarity,
        temperature=config.contrast.temperature,
        reduction=config.contrast.reduction,
        same_sequence=config.contrast.same_sequence,
        together=config.contrast.together,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "WARNING: You have only set one matryoshka level")  # BatchTopK has one
        torch.manual_seed(config.training.seed)
        return ContrastiveTemporalTrainingSAE(ContrastiveTemporalTrainingSAEConfig(**fields))
