"""One dictionary in training: its weights, its optimiser, its schedules, and which latents have fallen silent."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.tsae.architecture import (
    ContrastiveTemporalTrainingSAE,
    ContrastiveTemporalTrainingSAEConfig,
)
from interp.tsae.batches import Pools
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary import TSAE
from interp.tsae.promotion import Persistence, choose_swaps, swap_rows
from interp.tsae.step import Batch, StepOutput

SAMPLE_TOKENS = 65_536
"""Tokens on which scale, mean and thresholds are measured."""
CHUNK = 4096
"""Tokens taken in float64 at once."""
CODES = 2**22
"""Worked out at once where thresholds are set, beside the largest so far."""
PROMOTION_SHARE = 0.7
"""The share of all steps in which latents are promoted."""


@dataclass(frozen=True)
class ActivationStatistics:
    """Of the activations as they are stored."""

    mean_D: Tensor
    norm: float
    """Mean norm of a token."""
    variance: float
    """Mean squared distance from the mean, summed over dimensions."""


def sample_tokens(store: Store, layer: int, config: TSAEConfig) -> Tensor:
    """Tokens that are trained on, from all over the store. They are drawn: every n-th would be the same places again
    and again, of documents that are alike in length."""
    training = config.training
    gb = min(training.pool_gb, 16 * SAMPLE_TOKENS * store.d_model / 1e9)
    pools, rng = Pools(store, layer, gb=gb, prompts=training.prompts), np.random.default_rng(SAMPLE_TOKENS)
    parts, wanted = [], SAMPLE_TOKENS
    for slices in pools.epoch(0):
        pool = pools.read(slices)
        place = pool.trained_rows.row_N
        drawn = np.sort(rng.permutation(len(place))[:wanted])
        parts.append(pool.x_PD[torch.from_numpy(place[drawn])])
        wanted -= len(drawn)
        del pool  # before the next is read
        if not wanted:
            break
    return torch.cat(parts)


def measure_statistics(x_ND: Tensor) -> ActivationStatistics:
    """In float64, a part at a time."""
    parts, n = x_ND.split(CHUNK), len(x_ND)
    mean_D = torch.stack([part.double().sum(0) for part in parts]).sum(0) / n
    variance = sum(float((part.double() - mean_D).square().sum()) for part in parts) / n
    norm = sum(float(part.norm(dim=-1).double().sum()) for part in parts) / n
    if not variance or not norm:
        raise BadInput(
            f"expected activations that differ from one another, got {n} that are all alike: collect another layer, or "
            "other text"
        )
    return ActivationStatistics(mean_D.float(), norm, variance)


class TSAETrainer(nn.Module):
    tokens_since_fired_F: Int[Tensor, " F"]
    """Tokens seen since each latent fired."""
    steps_without_contrast: Int[Tensor, ""]
    """Steps in which a contrast was asked for, and no pair had another token to be told from."""

    def __init__(self, config: TSAEConfig, d_model: int, found: ActivationStatistics, device: torch.device) -> None:
        super().__init__()
        self.config = config = config.resolved(d_model)
        self.scale = d_model**0.5 / found.norm if config.scale == "rms" else 1.0
        self.variance = found.variance * self.scale**2
        self.sae = _new(config, d_model, self.variance).to(device)
        with torch.no_grad():
            self.sae.b_dec.copy_(found.mean_D * self.scale)
        self.register_buffer("tokens_since_fired_F", torch.zeros(config.width or 0, dtype=torch.int64, device=device))
        self.register_buffer("steps_without_contrast", torch.zeros((), dtype=torch.int64, device=device))
        self.optimiser = torch.optim.Adam(self.sae.parameters(), lr=config.training.lr or 0.0, fused=True)
        self.persistence = Persistence(self.sae.cfg.d_sae, memory=max(1, self.steps // 20)).to(device)
        self.steps_done = 0
        self.last_metrics: dict[str, float] = {}

    @torch.no_grad()
    def initialize_from(self, start: TSAE) -> None:
        """With the weights of another dictionary, as its successor."""
        if (start.d_model, start.width) != (self.sae.cfg.d_in, self.sae.cfg.d_sae):
            raise Mismatch(
                f"expected a dictionary of d_model {self.sae.cfg.d_in} and width {self.sae.cfg.d_sae} to begin from, "
                f"got {start.d_model} and {start.width}: ask for its width"
            )
        if len(start.block_widths) > 1 and start.block_widths != self.config.block_widths():
            raise Mismatch(
                f"expected a dictionary with blocks of {self.config.block_widths()} latents to begin from, got "
                f"{start.block_widths}: ask for its blocks"
            )
        self.sae.W_enc.copy_(start.W_enc / self.scale)
        self.sae.W_dec.copy_(start.W_dec * self.scale)
        self.sae.b_enc.copy_(start.b_enc)
        self.sae.b_dec.copy_(start.b_dec * self.scale)

    @property
    def steps(self) -> int:
        assert self.config.training.steps is not None, "the config is resolved"
        return self.config.training.steps

    def train_step(self, batch: Batch) -> StepOutput:
        """One step. `batch` holds activations as they are stored."""
        config, device = self.config.training, self.sae.W_dec.device
        batch = batch.scaled(self.scale).to(device)
        step = self.sae.step(batch, alpha=(alpha := self._alpha()), dead_F=self.dead_F)
        self.steps_without_contrast += bool(alpha) and "contrast" not in step.losses
        step.loss.backward()
        nn.utils.clip_grad_norm_(self.sae.parameters(), config.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = (config.lr or 0.0) * self._rate()
        with _row_by_row(self.optimiser):
            self.optimiser.step()
        self.optimiser.zero_grad()
        self.sae.update_thresholds(step)
        self._update_counts(step, batch)
        self.steps_done += 1
        every = self.config.promote_every
        if every and self.steps_done % every == 0 and self.steps_done < self.promotion_end:
            self._promote()
        if self.steps_done % 20 == 1 or self.steps_done == self.steps:
            self._measure_batch(step, batch)
        return step

    @property
    def dead_F(self) -> Tensor:
        return self.tokens_since_fired_F >= self.config.training.dead_after

    @torch.no_grad()
    def _update_counts(self, step: StepOutput, batch: Batch) -> None:
        self.tokens_since_fired_F += batch.n_reconstructed
        self.tokens_since_fired_F[step.fire_counts_F > 0] = 0
        if self.config.promote_every:
            self.persistence.update(step, batch)

    @property
    def promotion_end(self) -> float:
        """The step after which latents stay where they are."""
        return PROMOTION_SHARE * self.steps

    @torch.no_grad()
    def _promote(self) -> None:
        """Exchange latents between the slow block and the others, with all that the optimiser knows of them."""
        left_N, right_N = choose_swaps(self.persistence.compute(), self.sae.n_slow)
        by_latent = [self.sae.W_enc.T, self.sae.b_enc, self.sae.W_dec, self.tokens_since_fired_F]
        for parameter in (self.sae.W_enc, self.sae.b_enc, self.sae.W_dec):
            moments = [value for slot, value in self.optimiser.state[parameter].items() if slot != "step"]
            by_latent += [value.T if parameter is self.sae.W_enc else value for value in moments]
        for rows in by_latent:
            swap_rows(rows, left_N, right_N)
        self.persistence.swap(left_N, right_N)

    def _rate(self) -> float:
        """Up in a line, level, down in a line."""
        config, left = self.config.training, self.steps - self.steps_done
        up = (self.steps_done + 1) / max(1.0, config.warm_up * self.steps)
        down = left / max(1.0, config.decay * self.steps)
        return min(1.0, up, down)

    def _alpha(self) -> float:
        growing = self.sae.cfg.alpha_warm_up_steps
        return self.sae.cfg.alpha * min(1.0, (self.steps_done + 1) / max(1, growing))

    @torch.no_grad()
    def _measure_batch(self, step: StepOutput, batch: Batch) -> None:
        """What the bar shows, of this batch."""
        error = (batch.x_MD[: batch.n_reconstructed] - step.xhat_MD).pow(2).sum(-1).mean()
        l0 = len(step.codes_N) / batch.n_reconstructed
        self.last_metrics = {"fve": 1 - error.item() / self.variance, "l0": l0, "dead": self.dead_F.float().mean().item()}
        self.last_metrics |= {name: loss.item() for name, loss in step.losses.items()}

    @torch.no_grad()
    def calibrate_thresholds(self, x_ND: Tensor) -> None:
        """Set the thresholds at which the mean number of active latents is k (and slow_k, if it has one) on these
        tokens: those that followed the batches lag behind, and begin at 0."""
        cfg, sae = self.sae.cfg, self.sae
        budgets = [(0, cfg.d_sae, cfg.k)]
        if cfg.slow_k is not None:
            budgets = [(0, sae.n_slow, cfg.slow_k), (sae.n_slow, cfg.d_sae, cfg.k - cfg.slow_k)]
        statistics = [self._threshold(x_ND, slice(start, end), int(share * len(x_ND))) for start, end, share in budgets]
        sae.slow_threshold.copy_(torch.tensor(statistics[0]))
        sae.topk_threshold.copy_(torch.tensor(statistics[-1]))

    def _threshold(self, x_ND: Tensor, block: slice, wanted: int) -> float:
        """What so many codes of these tokens exceed; 0, if fewer lie above it."""
        sae, norms_F = self.sae, self.sae.W_dec.norm(dim=-1)[block]
        largest = norms_F.new_empty(0)
        for part_MD in x_ND.split(max(1, CODES // len(norms_F))):
            centred_MD = part_MD.to(sae.W_dec.device) * self.scale - sae.b_dec
            hidden_MF = (centred_MD @ sae.W_enc[:, block] + sae.b_enc[block]) * norms_F
            least = largest.min() if len(largest) > wanted else 0.0
            largest = torch.cat([largest, hidden_MF[hidden_MF > least]])
            largest = largest.topk(min(len(largest), wanted + 1), sorted=False).values
        return float(largest.min()) if len(largest) > wanted else 0.0


@contextmanager
def _row_by_row(optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """The encoder is stored by columns. Of such a parameter fused Adam makes copies row by row, of its gradient and of
    its moments, and copies back: meanwhile it is shown the transposes, which need none."""
    turned = [x for group in optimiser.param_groups for x in group["params"] if not x.is_contiguous()]
    for parameter in turned:
        _transpose(parameter, optimiser)
    yield
    for parameter in turned:
        _transpose(parameter, optimiser)


def _transpose(parameter: nn.Parameter, optimiser: torch.optim.Optimizer) -> None:
    grad, parameter.grad = parameter.grad, None  # as of now it has another shape
    parameter.data = parameter.data.T
    parameter.grad = None if grad is None else grad.T
    moments = optimiser.state[parameter]
    moments.update({slot: value.T for slot, value in moments.items() if slot != "step"})


def _new(config: TSAEConfig, d_model: int, variance: float) -> ContrastiveTemporalTrainingSAE:
    told: dict[str, Any] = dict(
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
        warnings.filterwarnings("ignore", "WARNING: You have only set one matryoshka level")  # that is what was asked
        torch.manual_seed(config.training.seed)
        return ContrastiveTemporalTrainingSAE(ContrastiveTemporalTrainingSAEConfig(**told))
