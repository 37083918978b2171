"""One dictionary's way through the pools: where it is, and what it takes to go on from there."""

import copy
import math
import shutil
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import torch

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch, changes, expect_writable, is_kind, read_manifest, to_json
from interp.training_state import load_training_state, save_training_state
from interp.tsae.batches import Pool, Pools, batches
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary import KIND, TSAE
from interp.tsae.provenance import reader_fingerprints
from interp.tsae.trainer import ActivationStatistics, TSAETrainer

MAX_SHARE_WITHOUT_CONTRAST = 0.1
"""The share of steps that may pass without a contrast before it is said."""


def fit_spec(store: Store, layer: int, config: TSAEConfig, start: TSAE | None) -> dict[str, Any]:
    """All that decides what a dictionary becomes."""
    resolved = to_json(config.resolved(store.d_model))
    del resolved["training"]["save_every"]  # how often it is saved changes nothing
    return {
        **resolved,
        "store": store.fingerprint(),
        "layer": layer,
        "start": None if start is None else start.fingerprint(),
    }


def state_path(out: Path) -> Path:
    return out.with_name(f"{out.name}.state")


def load_finished(out: Path, wanted: dict[str, Any]) -> TSAE | None:
    """The dictionary that is there already, if it was made in just this way; another is refused."""
    if not out.exists():
        expect_writable(out)
        return None
    if not is_kind(out, KIND):
        raise BadInput(f"{out} exists already and is no dictionary: choose another place")
    before = read_manifest(out, KIND)["spec"]
    if changed := changes(before, wanted):
        raise BadInput(f"{out} holds a dictionary of another {changed}: choose another place, or delete it")
    shutil.rmtree(state_path(out), ignore_errors=True)  # of one killed before it could
    return TSAE.load(out)


class FitRun:
    def __init__(
        self,
        name: str,
        pools: Pools,
        config: TSAEConfig,
        statistics: ActivationStatistics,
        out: Path | None,
        device: torch.device,
        start: TSAE | None,
    ) -> None:
        self.name, self.pools, self.store, self.layer, self.out = name, pools, pools.store, pools.layer, out
        self.trainer = TSAETrainer(config, self.store.d_model, statistics, device)
        self._expect_enough()
        if start is not None:
            if start.layer not in (None, self.layer):
                raise Mismatch(
                    f"expected a dictionary of layer {self.layer} to begin from, got one of layer {start.layer}: begin "
                    "from another, or name its layer"
                )
            self.trainer.initialize_from(start)
        self.pool = self.batch = self.pools_without_batch = 0
        """Pools gone through, batches of the next, and pools in a row that were too small for a batch."""
        self.state = None if out is None else state_path(out)
        self.warned_no_contrast = False
        """That the contrast has nothing to tell apart."""
        self.error: FloatingPointError | None = None
        self.spec = fit_spec(self.store, self.layer, config, start)
        if self.state is not None:
            done, facts = load_training_state(self.state, self.trainer, self.trainer.optimiser, config=self.spec)
            self.pool, self.batch = facts.get("pool", 0), facts.get("batch", 0)
            self.trainer.steps_done, self.trainer.last_metrics = done, facts.get("shown", {})

    def _expect_enough(self) -> None:
        documents, config = self.store.documents, self.trainer.config
        held = documents["length"] - (0 if config.training.prompts else documents["prompt"])
        if (tokens := int(held.clip(0).sum())) < config.training.batch:
            raise BadInput(
                f"{self.store.path}: expected at least one batch of {config.training.batch} tokens, got {tokens}: "
                "collect more, or ask for a smaller batch"
            )
        if tokens / self.pools.per_epoch < config.training.batch:
            raise BadInput(
                f"{self.store.path}: expected a batch of {config.training.batch} tokens in what is held in memory "
                f"together, got {tokens // self.pools.per_epoch} in the mean: raise pool_gb, or ask for a smaller batch"
            )
        if config.contrast.alpha:
            self._expect_pairs(held)

    def _expect_pairs(self, held: Any) -> None:
        contrast = self.trainer.config.contrast
        among = self.store.documents["length"] if contrast.run == 1 and contrast.partner_mask == "anchor" else held
        found, needed = int(((held >= 1) & (among >= 2)).sum()), 1 if contrast.same_sequence else 2
        if not found:
            raise BadInput(
                f"{self.store.path}: a contrast needs two tokens in a row, and no document has two that are trained "
                "on: ask for prompts too, or for alpha=0"
            )
        if found < needed:
            raise BadInput(
                f"{self.store.path}: expected two documents of two tokens at least, got one: without same_sequence "
                "its tokens have no negatives"
            )

    @property
    def label(self) -> str:
        return f"dictionary {self.name!r}" if self.name else "the dictionary"

    @property
    def unfinished(self) -> bool:
        return self.error is None and self.trainer.steps_done < self.trainer.steps

    def train_on_pool(self, pool: Pool, number: int, shown: Any, stop: threading.Event) -> None:
        trainee, every = self.trainer, self.trainer.config.training.save_every
        self.pools_without_batch += 1
        for at, batch in enumerate(batches(pool, trainee.config, number)):
            self.pools_without_batch = 0
            if at < self.batch:
                continue  # seen before it was stopped
            step = trainee.train_step(batch)
            self.batch = at + 1
            shown.update()
            last, due = trainee.steps_done == trainee.steps, trainee.steps_done % every == 0
            if trainee.steps_done % 20 == 1 or last:
                shown.set_postfix({key: f"{trainee.last_metrics[key]:.3f}" for key in ("fve", "l0", "dead")}, refresh=False)
            if (trainee.steps_done % 20 == 1 or last or due) and not math.isfinite(step.loss.item()):
                raise FloatingPointError(f"{self.label} diverged at step {trainee.steps_done}: try a lower lr or alpha")
            self._warn_of_no_contrast()
            if due:
                self.save()
            if last or stop.is_set():
                return
        self.pool, self.batch = number + 1, 0
        if self.pools_without_batch > self.pools.per_epoch:
            raise BadInput(
                f"{self.store.path}: expected a batch of {trainee.config.training.batch} tokens in what is held in "
                "memory together, got fewer: raise pool_gb, or ask for a smaller batch"
            )

    def _warn_of_no_contrast(self) -> None:
        trainee = self.trainer
        if self.warned_no_contrast or (trainee.steps_done % 20 and trainee.steps_done < trainee.steps):
            return
        if (without := int(trainee.steps_without_contrast)) <= MAX_SHARE_WITHOUT_CONTRAST * trainee.steps_done:
            return
        self.warned_no_contrast = True
        warnings.warn(
            f"{self.store.path}: in {without} of {trainee.steps_done} steps no pair had a token of another document to be "
            "told from, so that the contrast taught nothing: raise pool_gb, or ask for same_sequence=True",
            stacklevel=2,
        )

    def save(self) -> None:
        if self.state is not None:
            save_training_state(
                self.state,
                self.trainer,
                self.trainer.optimiser,
                step=self.trainer.steps_done,
                config=self.spec,
                facts={"pool": self.pool, "batch": self.batch, "shown": self.trainer.last_metrics},
            )

    def finish(self, x_ND: torch.Tensor) -> TSAE:
        """Thresholds set, scale folded back, kept as SAELens keeps it."""
        if (fve := self.trainer.last_metrics.get("fve", 0.0)) < 0:
            warnings.warn(
                f"of its last batch {self.label} explains less than the mean would (variance explained {fve:.3g}): "
                "ask for more steps, or for a lower lr",
                stacklevel=2,
            )
        self.trainer.calibrate_thresholds(x_ND)
        dictionary = self._dictionary()
        if self.out is not None:
            dictionary = dictionary.save(self.out, spec=self.spec)
        if self.state is not None:
            shutil.rmtree(self.state, ignore_errors=True)
        return dictionary

    def _dictionary(self) -> TSAE:
        """What SAELens would save, with what it does not know."""
        trainee = self.trainer
        sae = copy.deepcopy(trainee.sae)
        sae.fold_activation_norm_scaling_factor(trainee.scale)
        sae.cfg.metadata.hook_name = f"blocks.{self.layer}.hook_resid_post"
        with tempfile.TemporaryDirectory() as aside:
            sae.cpu().save_inference_model(aside)
            return TSAE.from_files(
                Path(aside),
                block_widths=trainee.config.block_widths(),
                layer=self.layer,
                config=trainee.config,
                made_from={"store": self.store.fingerprint(), **reader_fingerprints(self.store)},
                fit_metrics={key: round(value, 6) for key, value in trainee.last_metrics.items()},
            )
