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
from interp.tsae.provenance import read_by
from interp.tsae.trainer import Statistics, Trainee

SELDOM = 0.1
"""The share of steps that may pass without a contrast before it is said."""


def making(store: Store, layer: int, config: TSAEConfig, start: TSAE | None) -> dict[str, Any]:
    """All that decides what a dictionary becomes."""
    resolved = to_json(config.resolved(store.d_model))
    del resolved["training"]["save_every"]  # how often it is saved changes nothing
    return {
        **resolved,
        "store": store.fingerprint(),
        "layer": layer,
        "start": None if start is None else start.fingerprint(),
    }


def state_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.state")


def found(out: Path, wanted: dict[str, Any]) -> TSAE | None:
    """The dictionary that is there already, if it was made in just this way; another is refused."""
    if not out.exists():
        expect_writable(out)
        return None
    if not is_kind(out, KIND):
        raise BadInput(f"{out} exists already and is no dictionary: choose another place")
    before = read_manifest(out, KIND)["making"]
    if changed := changes(before, wanted):
        raise BadInput(f"{out} holds a dictionary of another {changed}: choose another place, or delete it")
    shutil.rmtree(state_of(out), ignore_errors=True)  # of one killed before it could
    return TSAE.load(out)


class Course:
    def __init__(
        self,
        name: str,
        pools: Pools,
        config: TSAEConfig,
        statistics: Statistics,
        out: Path | None,
        device: torch.device,
        start: TSAE | None,
    ) -> None:
        self.name, self.pools, self.store, self.layer, self.out = name, pools, pools.store, pools.layer, out
        self.trainee = Trainee(config, self.store.d_model, statistics, device)
        self._expect_enough()
        if start is not None:
            if start.layer not in (None, self.layer):
                raise Mismatch(
                    f"expected a dictionary of layer {self.layer} to begin from, got one of layer {start.layer}: begin "
                    "from another, or name its layer"
                )
            self.trainee.begin_from(start)
        self.pool = self.batch = self.idle = 0
        """Pools gone through, batches of the next, and pools in a row that were too small for a batch."""
        self.state = None if out is None else state_of(out)
        self.warned = False
        """That the contrast has nothing to tell apart."""
        self.failed: FloatingPointError | None = None
        self.making = making(self.store, self.layer, config, start)
        if self.state is not None:
            done, facts = load_training_state(self.state, self.trainee, self.trainee.optimiser, config=self.making)
            self.pool, self.batch = facts.get("pool", 0), facts.get("batch", 0)
            self.trainee.done, self.trainee.shown = done, facts.get("shown", {})

    def _expect_enough(self) -> None:
        documents, config = self.store.documents, self.trainee.config
        held = documents["length"] - (0 if config.training.prompts else documents["prompt"])
        if (tokens := int(held.clip(0).sum())) < config.training.batch:
            raise BadInput(
                f"{self.store.path}: expected at least one batch of {config.training.batch} tokens, got {tokens}: "
                "collect more, or ask for a smaller batch"
            )
        if tokens / self.pools.count < config.training.batch:
            raise BadInput(
                f"{self.store.path}: expected a batch of {config.training.batch} tokens in what is held in memory "
                f"together, got {tokens // self.pools.count} in the mean: raise pool_gb, or ask for a smaller batch"
            )
        if config.contrast.alpha:
            self._expect_pairs(held)

    def _expect_pairs(self, held: Any) -> None:
        contrast = self.trainee.config.contrast
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
    def called(self) -> str:
        return f"dictionary {self.name!r}" if self.name else "the dictionary"

    @property
    def under_way(self) -> bool:
        return self.failed is None and self.trainee.done < self.trainee.steps

    def go_through(self, pool: Pool, number: int, shown: Any, stop: threading.Event) -> None:
        trainee, every = self.trainee, self.trainee.config.training.save_every
        self.idle += 1
        for at, batch in enumerate(batches(pool, trainee.config, number)):
            self.idle = 0
            if at < self.batch:
                continue  # seen before it was stopped
            step = trainee.learn(batch)
            self.batch = at + 1
            shown.update()
            last, due = trainee.done == trainee.steps, trainee.done % every == 0
            if trainee.done % 20 == 1 or last:
                shown.set_postfix({key: f"{trainee.shown[key]:.3f}" for key in ("fve", "l0", "dead")}, refresh=False)
            if (trainee.done % 20 == 1 or last or due) and not math.isfinite(step.loss.item()):
                raise FloatingPointError(f"{self.called} diverged at step {trainee.done}: try a lower lr or alpha")
            self._warn_of_no_contrast()
            if due:
                self.save()
            if last or stop.is_set():
                return
        self.pool, self.batch = number + 1, 0
        if self.idle > self.pools.count:
            raise BadInput(
                f"{self.store.path}: expected a batch of {trainee.config.training.batch} tokens in what is held in "
                "memory together, got fewer: raise pool_gb, or ask for a smaller batch"
            )

    def _warn_of_no_contrast(self) -> None:
        trainee = self.trainee
        if self.warned or (trainee.done % 20 and trainee.done < trainee.steps):
            return
        if (without := int(trainee.untaught)) <= SELDOM * trainee.done:
            return
        self.warned = True
        warnings.warn(
            f"{self.store.path}: in {without} of {trainee.done} steps no pair had a token of another document to be "
            "told from, so that the contrast taught nothing: raise pool_gb, or ask for same_sequence=True",
            stacklevel=2,
        )

    def save(self) -> None:
        if self.state is not None:
            save_training_state(
                self.state,
                self.trainee,
                self.trainee.optimiser,
                step=self.trainee.done,
                config=self.making,
                facts={"pool": self.pool, "batch": self.batch, "shown": self.trainee.shown},
            )

    def finish(self, x_ND: torch.Tensor) -> TSAE:
        """Thresholds set, scale folded back, kept as SAELens keeps it."""
        if (fve := self.trainee.shown.get("fve", 0.0)) < 0:
            warnings.warn(
                f"of its last batch {self.called} explains less than the mean would (variance explained {fve:.3g}): "
                "ask for more steps, or for a lower lr",
                stacklevel=2,
            )
        self.trainee.calibrate(x_ND)
        dictionary = self._dictionary()
        if self.out is not None:
            dictionary = dictionary.save(self.out, making=self.making)
        if self.state is not None:
            shutil.rmtree(self.state, ignore_errors=True)
        return dictionary

    def _dictionary(self) -> TSAE:
        """What SAELens would save, with what it does not know."""
        trainee = self.trainee
        sae = copy.deepcopy(trainee.sae)
        sae.fold_activation_norm_scaling_factor(trainee.scale)
        sae.cfg.metadata.hook_name = f"blocks.{self.layer}.hook_resid_post"
        with tempfile.TemporaryDirectory() as aside:
            sae.cpu().save_inference_model(aside)
            return TSAE.of_files(
                Path(aside),
                widths=trainee.config.widths(),
                layer=self.layer,
                config=trainee.config,
                made_from={"store": self.store.fingerprint(), **read_by(self.store)},
                facts={key: round(value, 6) for key, value in trainee.shown.items()},
            )
