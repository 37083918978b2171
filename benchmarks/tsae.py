"""Training steps of `contrastive_temporal` against SAELens' own Matryoshka BatchTopK under its own SAETrainer.

Both learn the same planted activations at equal width, K and batch. SAELens is handed ready batches; ours cut, shuffle
and pair theirs as a fit does. The arms take turns. `contrast off` is exactly SAELens' loss; `contrast on` is the preset
`interp`, promotion included. In all, as many dead latents share in revival at a token as in SAELens: half as many as
dimensions. `dense contrast` writes the same contrast out over dense codes under SAELens' trainer: what the sparse
products are worth there, and what their quality is held against.

`a partner brought for each`: tokens enter alone, each with the one before it, which is encoded for the pair's sake
alone; in `contrast on` runs of eight neighbours enter, so that each is encoded once and serves in two pairs. Neighbours
are alike, so that a batch of runs says less: the arms are compared after as many steps, and after as long a time.

`half dead`: every other latent is told dead before each step, so that revival has work to do in both.

Quality: the same initial weights, batches and schedule (up, level, down; SAELens' ends at a thousandth, ours at 0),
Adam in both (ours fused); FVE on held-out tokens when the `learn` steps of the schedule are done, each batch's own K
winners. `share_of_peak` is the floating-point work of an arm's dense products over its time, as a share of what this
machine does in a plain large product.

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
from interp.tsae.pools import Pool
from interp.tsae.contrastive import dense_contrastive_loss
from interp.tsae.metrics import FVE

from interp.tsae.statistics import measure_statistics
from interp.tsae.trainer import TSAETrainer

PEER, DENSE = "SAELens Matryoshka", "SAELens, dense contrast"
OFF, ON, LIKE_DENSE = "contrast off", "contrast on", "contrast on, as the dense one"
PARTNERS = "contrast on, a partner brought for each"
HALF_DEAD, PEER_HALF_DEAD = "contrast off, half dead", "SAELens Matryoshka, half dead"


@dataclass(frozen=True)
class Setting:
    name: str
    d_model: int
    width: int
    k: int
    batch: int
    steps: int
    """In a round of the race."""
    learn: int
    """All steps of what is compared for quality; 0 leaves that out."""


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
    """Which to measure. What is not is taken over from the result that stands: speed wants a quiet machine."""
    quick: bool = False
    """A dry run: a round or two, nothing learned, nothing written."""


class DenseContrast(MatryoshkaBatchTopKTrainingSAE):
    """The preset's loss, in the fewest words, over dense codes."""

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


class Race:
    """The arms of one setting, each with weights of its own that began alike."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        self.setting, self.device = setting, device
        tokens = max(64 * 1024, 16 * setting.batch)
        each = max(16, min(256, setting.width // 16))
        planted = PlantedConfig(setting.d_model, each, frequent_rate=0.02, rare_rate=0.002, tokens=tokens)
        self.pool = _pool(plant(planted).x_ND.to(device), planted.length)
        self.held_out_ND = plant(replace(planted, tokens=8 * setting.batch), draw=1).x_ND.to(device)
        self.statistics = measure_statistics(self.pool.x_PD)

    def config(self, name: str) -> TSAEConfig:
        s, config = self.setting, preset("interp" if name == PARTNERS else name)
        if name == PARTNERS:
            config = replace(config, contrast=replace(config.contrast, run=1))
        training = replace(config.training, batch=s.batch, steps=s.learn or 1000, lr=1e-3, warm_up=0.1, decay=0.2)
        return replace(config, width=s.width, k=s.k, revived=s.d_model // 2, scale="none", training=training)

    def ours(self, name: str, *, half_dead: bool = False) -> "Ours":
        trainee = TSAETrainer(self.config(name), self.setting.d_model, self.statistics, self.device)
        return Ours(trainee, self.pool, half_dead)

    def theirs(
        self, kind: type[MatryoshkaBatchTopKTrainingSAE] = MatryoshkaBatchTopKTrainingSAE, *, half_dead: bool = False
    ) -> "Theirs":
        return Theirs(kind, self, half_dead)


def _pool(x_ND: torch.Tensor, length: int) -> Pool:
    first = torch.arange(0, len(x_ND), length).numpy()
    held = torch.full((len(first),), length).numpy()
    return Pool(x_ND, first, held, 0 * held)


class Ours:
    def __init__(self, trainee: TSAETrainer, pool: Pool, half_dead: bool = False) -> None:
        self.trainee, self.half_dead, self.waiting = trainee, half_dead, endless(pool, trainee.config)

    @property
    def sae(self) -> Any:
        return self.trainee.sae

    def step(self) -> int:
        batch = next(self.waiting)
        if self.half_dead:
            self.trainee.tokens_since_fired_F[::2] = 10**9
        self.trainee.train_step(batch)
        return batch.n_reconstructed


class Theirs:
    def __init__(self, kind: type[MatryoshkaBatchTopKTrainingSAE], setup: Race, half_dead: bool = False) -> None:
        s, config, self.half_dead = setup.setting, setup.config("interp"), half_dead
        widths = [config.block_widths()[0], s.width] if config.width else []
        told = MatryoshkaBatchTopKTrainingSAEConfig(d_in=s.d_model, d_sae=s.width, k=s.k, matryoshka_widths=widths)
        self.sae = kind(told).to(setup.device)
        start = setup.ours("matryoshka").sae
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
                device=str(setup.device),
                dead_feature_window=training.dead_after // s.batch,
            ),
            self.sae,
            iter([]),
        )
        if isinstance(self.sae, DenseContrast):
            self.sae.alpha = config.contrast.alpha * setup.statistics.variance
        self.waiting = endless(setup.pool, setup.config("matryoshka"))
        self.ready: list[Batch] = []

    def prepare(self, count: int) -> None:
        """Ready batches, as a provider of its own would hand them over."""
        self.ready = [next(self.waiting) for _ in range(count)]

    def step(self) -> int:
        batch = self.ready.pop() if self.ready else next(self.waiting)
        if isinstance(self.sae, DenseContrast):
            self.sae.batch = batch
        if self.half_dead:
            self.trainer.n_forward_passes_since_fired[::2] = 10**9
        self.trainer.step(batch.x_MD)
        self.trainer.n_training_steps += 1
        return batch.n_reconstructed


def endless(pool: Pool, config: TSAEConfig) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from batches(pool, config, epoch)
        epoch += 1


def arm_of(learner: Ours | Theirs, steps: int) -> Arm:
    def arm() -> float:
        return sum(learner.step() for _ in range(steps))

    return arm


def raced(setup: Race, repeats: int) -> dict[str, float]:
    steps = setup.setting.steps
    learners: dict[str, Ours | Theirs] = {
        OFF: setup.ours("matryoshka"),
        ON: setup.ours("interp"),
        PARTNERS: setup.ours(PARTNERS),
    }
    learners[PEER] = setup.theirs()
    learners[DENSE] = setup.theirs(DenseContrast)
    learners |= {
        HALF_DEAD: setup.ours("matryoshka", half_dead=True),
        PEER_HALF_DEAD: setup.theirs(half_dead=True),
    }
    for learner in learners.values():
        if isinstance(learner, Theirs):
            learner.prepare(steps * (repeats + 1))
    return race({name: arm_of(learner, steps) for name, learner in learners.items()}, repeats)


@torch.no_grad()
def held_out_fve(sae: Any, x_ND: torch.Tensor, batch: int) -> float:
    found = FVE()
    for x_BD in x_ND.split(batch):
        found.update(x_ND=x_BD, xhat_ND=sae.decode(sae.encode(x_BD)))
    return found.compute() or 0.0


def learned(setup: Race) -> dict[str, float]:
    """FVE of each arm after the same steps. The dense contrast's counterpart is ours without promotion, and with the
    blocks weighed alike."""
    config = setup.config("contrast-only")
    config = replace(
        config, block_weights=(1.0, 1.0), contrast=replace(config.contrast, together=None, alpha_warm_up=0.0)
    )
    like_dense = Ours(TSAETrainer(config, setup.setting.d_model, setup.statistics, setup.device), setup.pool)
    learners: dict[str, Ours | Theirs] = {OFF: setup.ours("matryoshka"), PEER: setup.theirs()}
    learners |= {
        LIKE_DENSE: like_dense,
        DENSE: setup.theirs(DenseContrast),
        ON: setup.ours("interp"),
        PARTNERS: setup.ours(PARTNERS),
    }
    found = {}
    for name, learner in learners.items():
        for _ in range(setup.setting.learn):
            learner.step()
        found[name] = round(held_out_fve(learner.sae, setup.held_out_ND, setup.setting.batch), 4)
    return found


def in_the_same_time(setup: Race, slower: float) -> float:
    """FVE of the arm that brings a partner for each token, given only the steps that fit into the time of the other."""
    config = setup.config(PARTNERS)
    config = replace(config, training=replace(config.training, steps=round(setup.setting.learn / slower)))
    learner = Ours(TSAETrainer(config, setup.setting.d_model, setup.statistics, setup.device), setup.pool)
    for _ in range(config.training.steps or 0):
        learner.step()
    return round(held_out_fve(learner.sae, setup.held_out_ND, setup.setting.batch), 4)


def peak(device: torch.device) -> float:
    """Floating-point operations a second of a plain large product, in float32."""
    a, times = torch.randn(2048, 2048, device=device), []
    for _ in range(6):
        start = time.perf_counter()
        torch.matmul(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


def share_of_peak(setting: Setting, rates: dict[str, float], reached: float) -> dict[str, float]:
    """Ours has one dense product, the encoder's. SAELens': the encoder's, its two gradients, and three for decoding
    each level, the inner one of a fifth of the width."""
    products = {OFF: 1.0, ON: 1.0, PEER: 3 + 3 * 1.2}
    per_token = 2 * setting.d_model * setting.width
    return {name: round(count * per_token * rates[name] / reached, 3) for name, count in products.items()}


def speeds(setup: Race, repeats: int) -> dict[str, Any]:
    rates = raced(setup, repeats)
    return {
        "tokens_per_second": {name: round(rate) for name, rate in rates.items()},
        "ratio_off": round(rates[OFF] / rates[PEER], 2),
        "ratio_on": round(rates[ON] / rates[PEER], 2),
        "ratio_encoded_once": round(rates[ON] / rates[PARTNERS], 2),
        "ratio_half_dead": round(rates[HALF_DEAD] / rates[PEER_HALF_DEAD], 2),
        "share_of_peak": share_of_peak(setup.setting, rates, peak(setup.device)),
    }


def main(config: Config) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    partly = set(config.parts) < set(PARTS)
    found = stored_part("tsae", device, "settings") if partly else {}
    parts = stored_part("tsae", device, "parts") if partly else {}
    parts |= {part: provenance(device) for part in config.parts}
    for setting in SETTINGS[device.type]:
        setup, told = Race(setting, device), found.setdefault(setting.name, {})
        if "speed" in config.parts:
            told |= speeds(setup, 1 if config.quick else config.repeats)
        if "quality" in config.parts and setting.learn and not config.quick:
            told["fve"] = learned(setup)
        if "same time" in config.parts and setting.learn and not config.quick:
            told["fve_partners_in_the_same_time"] = in_the_same_time(setup, told["ratio_encoded_once"])
        print(setting.name, told, flush=True)
    first = next(iter(found.values()))["tokens_per_second"]
    if not config.quick:
        arms = {name: float(first[name]) for name in (ON, OFF, PEER)}
        print(write_result("tsae", device, "tokens per second", arms, PEER, parts=parts, settings=found))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
