"""Speed and quality of `contrastive_temporal` beside SAELens' own Matryoshka BatchTopK under its SAETrainer.

All arms learn the same planted activations at equal width, K and batch size, and take turns. SAELens gets ready
batches; ours cut, shuffle and pair theirs as a fit does. As many dead latents are revived at a token as in SAELens:
half of d_model.

- `contrast off` has exactly SAELens' loss.
- `contrast on` is the preset `interp`, promotion included, with runs of eight tokens.
- `a partner brought for each` has runs of one token: each brings the token before it, which is encoded for the pair
  alone. With runs each token is encoded once and serves in two pairs, but neighbours are alike, so a batch says less.
  The two are compared after equal steps and after equal time.
- `dense contrast` is the same contrast on dense codes, under SAELens' trainer: the reference for speed and quality.
- `half dead` marks every other latent as dead before each step, so that revival has work to do.

Quality is FVE on held-out tokens with the K largest codes a token of each batch, after `train_steps` steps from the
same initial weights, on the same batches and schedule (rise, level, fall; to a thousandth in SAELens, to 0 in ours),
with Adam (ours fused). `share_of_peak` is the floating-point work of an arm's dense products over its time, as a share
of what the machine reaches in one large product.

    python benchmarks/tsae.py               python benchmarks/tsae.py --device cuda
"""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import tyro
from common import Arm, provenance, race, stored_part, write_result
from sae_lens import SAETrainer
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput

from interp.studies.dictionary_config import PlantedConfig
from interp.studies.planted import plant
from interp.tsae import TSAEConfig, preset
from interp.tsae.batches import Batch, batches
from interp.tsae.contrastive import dense_contrastive_loss
from interp.tsae.metrics import FVE
from interp.tsae.pools import Pool
from interp.tsae.statistics import measure_statistics
from interp.tsae.trainer import TSAETrainer

PEER, DENSE = "SAELens Matryoshka", "SAELens, dense contrast"
OFF, ON, LIKE_DENSE = "contrast off", "contrast on", "contrast on, as the dense one"
PARTNERS = "contrast on, a partner brought for each"
HALF_DEAD, PEER_HALF_DEAD = "contrast off, half dead", "SAELens Matryoshka, half dead"


@dataclass(frozen=True)
class Setting:
    """Sizes of one comparison."""

    name: str
    d_model: int
    width: int
    k: int
    batch: int
    race_steps: int
    """Steps of an arm in one turn of the race."""
    train_steps: int
    """Steps after which quality is compared; 0 leaves that out."""


SETTINGS = {
    "cpu": (
        Setting("d 96, width 1,024, K 16, batch 1,024", 96, 1024, 16, 1024, 20, 1500),
        Setting("d 512, width 8,192, K 32, batch 1,024", 512, 8192, 32, 1024, 3, 400),
    ),
    "cuda": (
        Setting("d 512, width 8,192, K 32, batch 4,096", 512, 8192, 32, 4096, 20, 300),
        Setting("d 1,536, width 24,576, K 64, batch 4,096", 1536, 24576, 64, 4096, 10, 150),
    ),
}


PARTS = ("speed", "quality", "same time")


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    repeats: int = 9
    threads: int = 2
    parts: tuple[str, ...] = PARTS
    """Parts to measure. The others are kept from the stored result. Measure speed on an idle machine."""
    quick: bool = False
    """A dry run: one turn, no training, nothing written."""


class DenseContrast(MatryoshkaBatchTopKTrainingSAE):
    """The loss of the preset on dense codes."""

    alpha: float = 0.0
    batch: Batch | None = None

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        out = super().training_forward_pass(step_input)
        assert self.batch is not None and self.batch.pairs_P2 is not None
        slow = out.feature_acts[:, : self.cfg.matryoshka_widths[0]]
        term = dense_contrastive_loss(
            slow, self.batch.pairs_P2, self.batch.documents_M, similarity="cosine", temperature=0.1, reduction="mean"
        )
        out.losses["contrast"] = self.alpha * term
        out.loss = out.loss + out.losses["contrast"]
        return out


class Comparison:
    """Makes the arms of one setting, each with its own copy of the same initial weights."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        self.setting, self.device = setting, device
        tokens = max(64 * 1024, 16 * setting.batch)
        per_kind = max(16, min(256, setting.width // 16))
        planted = PlantedConfig(setting.d_model, per_kind, frequent_rate=0.02, rare_rate=0.002, tokens=tokens)
        self.pool = pool_of_documents(plant(planted).x_ND.to(device), planted.length)
        self.held_out_ND = plant(replace(planted, tokens=8 * setting.batch), draw=1).x_ND.to(device)
        self.statistics = measure_statistics(self.pool.x_PD)

    def config(self, name: str) -> TSAEConfig:
        s, config = self.setting, preset("interp" if name == PARTNERS else name)
        if name == PARTNERS:
            config = replace(config, contrast=replace(config.contrast, run=1))
        training = replace(config.training, batch=s.batch, steps=s.train_steps or 1000, lr=1e-3, warm_up=0.1, decay=0.2)
        return replace(config, width=s.width, k=s.k, revived=s.d_model // 2, scale="none", training=training)

    def ours(self, name: str, *, half_dead: bool = False) -> "OursArm":
        """An arm of ours: a preset, or `PARTNERS`."""
        return OursArm(self.trainer(self.config(name)), self.pool, half_dead)

    def trainer(self, config: TSAEConfig) -> TSAETrainer:
        return TSAETrainer(config, self.setting.d_model, self.statistics, self.device)

    def sae_lens(
        self, kind: type[MatryoshkaBatchTopKTrainingSAE] = MatryoshkaBatchTopKTrainingSAE, *, half_dead: bool = False
    ) -> "SAELensArm":
        """An arm of SAELens: a training class under its trainer."""
        return SAELensArm(kind, self, half_dead)


def pool_of_documents(x_ND: torch.Tensor, length: int) -> Pool:
    """Documents of equal length, all of them trained on."""
    first_M = torch.arange(0, len(x_ND), length).numpy()
    length_M = torch.full((len(first_M),), length).numpy()
    return Pool(x_ND, first_M, length_M, 0 * length_M)


class OursArm:
    """Trains by `TSAETrainer`."""

    def __init__(self, trainer: TSAETrainer, pool: Pool, half_dead: bool = False) -> None:
        self.trainer, self.half_dead, self.batches = trainer, half_dead, endless_batches(pool, trainer.config)

    @property
    def sae(self) -> Any:
        return self.trainer.sae

    def step(self) -> int:
        """One step; returns the number of tokens reconstructed."""
        batch = next(self.batches)
        if self.half_dead:
            self.trainer.tokens_since_fired_F[::2] = 10**9
        self.trainer.train_step(batch)
        return batch.n_reconstructed


class SAELensArm:
    """Trains by SAELens' SAETrainer."""

    def __init__(
        self, kind: type[MatryoshkaBatchTopKTrainingSAE], comparison: Comparison, half_dead: bool = False
    ) -> None:
        s, config, self.half_dead = comparison.setting, comparison.config("interp"), half_dead
        widths = [config.block_widths()[0], s.width] if config.width else []
        cfg = MatryoshkaBatchTopKTrainingSAEConfig(d_in=s.d_model, d_sae=s.width, k=s.k, matryoshka_widths=widths)
        self.sae = kind(cfg).to(comparison.device)
        start = comparison.ours("matryoshka").sae
        with torch.no_grad():
            for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
                getattr(self.sae, name).copy_(getattr(start, name))
        training = config.training
        steps, lr = training.steps or 0, training.lr or 0.0
        self.trainer = SAETrainer(
            SAETrainerConfig(
                total_training_samples=steps * s.batch,
                train_batch_size_samples=s.batch,
                lr=lr,
                lr_end=lr / 1000,
                lr_warm_up_steps=round(training.warm_up * steps),
                lr_decay_steps=round(training.decay * steps),
                device=str(comparison.device),
                dead_feature_window=training.dead_after // s.batch,
            ),
            self.sae,
            iter([]),
        )
        if isinstance(self.sae, DenseContrast):
            self.sae.alpha = config.contrast.alpha * comparison.statistics.variance
        self.batches = endless_batches(comparison.pool, comparison.config("matryoshka"))
        self.ready: list[Batch] = []

    def prepare(self, count: int) -> None:
        """Make the batches in advance, as SAELens' activation store would."""
        self.ready = [next(self.batches) for _ in range(count)]

    def step(self) -> int:
        """One step; returns the number of tokens reconstructed."""
        batch = self.ready.pop() if self.ready else next(self.batches)
        if isinstance(self.sae, DenseContrast):
            self.sae.batch = batch
        if self.half_dead:
            self.trainer.n_forward_passes_since_fired[::2] = 10**9
        self.trainer.step(batch.x_MD)
        self.trainer.n_training_steps += 1
        return batch.n_reconstructed


def endless_batches(pool: Pool, config: TSAEConfig) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from batches(pool, config, epoch)
        epoch += 1


def arm_of(learner: OursArm | SAELensArm, steps: int) -> Arm:
    def arm() -> float:
        return sum(learner.step() for _ in range(steps))

    return arm


def measure_rates(comparison: Comparison, repeats: int) -> dict[str, float]:
    """Tokens per second of every arm."""
    steps = comparison.setting.race_steps
    learners: dict[str, OursArm | SAELensArm] = {
        OFF: comparison.ours("matryoshka"),
        ON: comparison.ours("interp"),
        PARTNERS: comparison.ours(PARTNERS),
    }
    learners[PEER] = comparison.sae_lens()
    learners[DENSE] = comparison.sae_lens(DenseContrast)
    learners |= {
        HALF_DEAD: comparison.ours("matryoshka", half_dead=True),
        PEER_HALF_DEAD: comparison.sae_lens(half_dead=True),
    }
    for learner in learners.values():
        if isinstance(learner, SAELensArm):
            learner.prepare(steps * (repeats + 1))
    return race({name: arm_of(learner, steps) for name, learner in learners.items()}, repeats)


@torch.no_grad()
def held_out_fve(sae: Any, x_ND: torch.Tensor, batch: int) -> float:
    fve = FVE()
    for x_BD in x_ND.split(batch):
        fve.update(x_ND=x_BD, xhat_ND=sae.decode(sae.encode(x_BD)))
    return fve.compute() or 0.0


def fve_after_equal_steps(comparison: Comparison) -> dict[str, float]:
    """FVE of each arm. The counterpart of the dense contrast is ours without promotion and with equal block weights."""
    config = comparison.config("contrast-only")
    config = replace(
        config, block_weights=(1.0, 1.0), contrast=replace(config.contrast, together=None, alpha_warm_up=0.0)
    )
    like_dense = OursArm(comparison.trainer(config), comparison.pool)
    learners: dict[str, OursArm | SAELensArm] = {OFF: comparison.ours("matryoshka"), PEER: comparison.sae_lens()}
    learners |= {
        LIKE_DENSE: like_dense,
        DENSE: comparison.sae_lens(DenseContrast),
        ON: comparison.ours("interp"),
        PARTNERS: comparison.ours(PARTNERS),
    }
    return {name: train_and_measure(comparison, arm, comparison.setting.train_steps) for name, arm in learners.items()}


def train_and_measure(comparison: Comparison, learner: OursArm | SAELensArm, steps: int) -> float:
    for _ in range(steps):
        learner.step()
    return round(held_out_fve(learner.sae, comparison.held_out_ND, comparison.setting.batch), 4)


def fve_after_equal_time(comparison: Comparison, slowdown: float) -> float:
    """FVE of the arm with single tokens and partners, after the steps that fit into the time of the arm with runs."""
    steps = round(comparison.setting.train_steps / slowdown)
    config = comparison.config(PARTNERS)
    config = replace(config, training=replace(config.training, steps=steps))
    return train_and_measure(comparison, OursArm(comparison.trainer(config), comparison.pool), steps)


def peak_flops(device: torch.device) -> float:
    """Floating-point operations a second in one large float32 product."""
    a, times = torch.randn(2048, 2048, device=device), []
    for _ in range(6):
        start = time.perf_counter()
        torch.matmul(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


def share_of_peak(setting: Setting, rates: dict[str, float], peak: float) -> dict[str, float]:
    """Ours has one dense product, the encoder's. SAELens has the encoder's, its two gradients, and three to decode each
    of two levels, the inner one of a fifth of the width."""
    products = {OFF: 1.0, ON: 1.0, PEER: 3 + 3 * 1.2}
    per_token = 2 * setting.d_model * setting.width
    return {name: round(count * per_token * rates[name] / peak, 3) for name, count in products.items()}


def measure_speed(comparison: Comparison, repeats: int) -> dict[str, Any]:
    rates = measure_rates(comparison, repeats)
    return {
        "tokens_per_second": {name: round(rate) for name, rate in rates.items()},
        "ratio_off": round(rates[OFF] / rates[PEER], 2),
        "ratio_on": round(rates[ON] / rates[PEER], 2),
        "ratio_encoded_once": round(rates[ON] / rates[PARTNERS], 2),
        "ratio_half_dead": round(rates[HALF_DEAD] / rates[PEER_HALF_DEAD], 2),
        "share_of_peak": share_of_peak(comparison.setting, rates, peak_flops(comparison.device)),
    }


def main(config: Config) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    keeps_parts = set(config.parts) < set(PARTS)
    settings = stored_part("tsae", device, "settings") if keeps_parts else {}
    parts = stored_part("tsae", device, "parts") if keeps_parts else {}
    parts |= {part: provenance(device) for part in config.parts}
    for setting in SETTINGS[device.type]:
        comparison, result = Comparison(setting, device), settings.setdefault(setting.name, {})
        trains = setting.train_steps and not config.quick
        if "speed" in config.parts:
            result |= measure_speed(comparison, 1 if config.quick else config.repeats)
        if "quality" in config.parts and trains:
            result["fve"] = fve_after_equal_steps(comparison)
        if "same time" in config.parts and trains:
            result["fve_partners_in_the_same_time"] = fve_after_equal_time(comparison, result["ratio_encoded_once"])
        print(setting.name, result, flush=True)
    if not config.quick:
        rates = next(iter(settings.values()))["tokens_per_second"]
        arms = {name: float(rates[name]) for name in (ON, OFF, PEER)}
        print(write_result("tsae", device, "tokens per second", arms, PEER, parts=parts, settings=settings))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
