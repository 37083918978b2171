"""The fit of one dictionary: its progress through the pools, its saved state, and the dictionary it ends in."""

import contextlib
import copy
import json
import math
import shutil
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch, locked, open_or_create, reading, recover, to_json
from interp.artifacts.locks import lock_file
from interp.policy.site import site_of
from interp.training_state import load_training_state, save_training_state
from interp.tsae.batches import batches
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary import TSAE
from interp.tsae.dictionary_files import KIND
from interp.tsae.fit_checks import expect_enough
from interp.tsae.pools import Pool, Pools
from interp.tsae.provenance import reader_fingerprints
from interp.tsae.sae_lens_forms import TENSORS
from interp.tsae.statistics import ActivationStatistics
from interp.tsae.trainer import MEASURE_EVERY, TSAETrainer

MAX_SHARE_WITHOUT_CONTRAST = 0.1
"""Above this share of steps in which no pair had a negative, a warning is given."""


def fit_spec(store: Store, layer: int, config: TSAEConfig, start: TSAE | None) -> dict[str, Any]:
    """Everything that decides the weights of a fit."""
    resolved = to_json(config.resolved(store.d_model))
    del resolved["training"]["save_every"]  # does not change the weights
    return {
        **resolved,
        "store": store.fingerprint(),
        "layer": layer,
        "start": None if start is None else start.fingerprint(),
    }


def state_path(out: Path) -> Path:
    """Where the training state of a fit into `out` is saved until the fit is done."""
    return out.with_name(f"{out.name}.state")


@contextlib.contextmanager
def locked_fits(outs: Iterable[Path]) -> Iterator[None]:
    """Hold the places of fits, and those of their training states."""
    with contextlib.ExitStack() as stack:
        for out in outs:
            stack.enter_context(locked(out))
            stack.enter_context(locked(state_path(out)))
        yield


def load_finished(out: Path, spec: dict[str, Any]) -> TSAE | None:
    """The dictionary at `out` if it has this spec, or None if the place is free. Another spec is refused."""
    if open_or_create(out, KIND, {"spec": spec}) is None:
        return None
    _clear_leftovers(out)
    return TSAE.load(out)


def _clear_leftovers(out: Path) -> None:
    """Remove what a fit leaves that is killed between its save and its clean-up."""
    recover(state_path(out))
    if any(path.exists() for path in (state_path(out), lock_file(out), lock_file(state_path(out)))):
        with contextlib.suppress(BadInput), locked_fits([out]):  # another fit of the same is about to clear them
            shutil.rmtree(state_path(out), ignore_errors=True)


class FitRun:
    """Resumes where the last state was saved, if `out` is given."""

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
        expect_enough(pools, self.trainer.config)
        if start is not None:
            site, own = self.store.site_of(self.layer), site_of(start.at(start.layer or 0))
            if start.layer is not None and self.store.layer_of(own) != self.layer:
                raise Mismatch(
                    f"expected a start of layer {site}, got a dictionary of layer {own}: start from another, or fit "
                    "its layer"
                )
            self.trainer.initialize_from(start)
        self.pool = self.batch = self.pools_without_batch = 0
        """Pools done, batches done of the current pool, and the last consecutive pools too small for a batch."""
        self.state = None if out is None else state_path(out)
        self.warned_no_contrast = False
        self.error: FloatingPointError | None = None
        self.spec = fit_spec(self.store, self.layer, config, start)
        if self.state is not None:
            self._resume(self.state)

    def _resume(self, state: Path) -> None:
        trainer = self.trainer
        steps, facts = load_training_state(state, trainer, trainer.optimizer, config=self.spec)
        if not steps and not facts:
            return
        with reading(state, "the state of this fit", remedy=f"delete {state} to begin again"):
            self.pool, self.batch, trainer.last_metrics = facts["pool"], facts["batch"], dict(facts["metrics"])
            updates = {int(moments["step"]) for moments in trainer.optimizer.state.values()}
            if steps > trainer.steps or updates != ({steps} if steps else set()):
                raise ValueError(f"step {steps} of {trainer.steps}, and moments of step {sorted(updates)}")
            bounds = {"pool": (steps + 1) * (self.pools.per_epoch + 1), "batch": steps}
            for name, bound in bounds.items():
                if type(facts[name]) is not int or not 0 <= facts[name] <= bound:
                    raise ValueError(f"{name} {facts[name]!r} after {steps} steps")
        trainer.steps_done = steps

    @property
    def label(self) -> str:
        return f"dictionary {self.name!r}" if self.name else "the dictionary"

    @property
    def unfinished(self) -> bool:
        return self.error is None and self.trainer.steps_done < self.trainer.steps

    def train_on_pool(self, pool: Pool, number: int, progress_bar: Any, stop: threading.Event) -> None:
        """Train on the batches of a pool until they, or the steps, are done, or `stop` is set. `number` counts pools
        from the start of the fit."""
        trainer = self.trainer
        self.pools_without_batch += 1
        for at, batch in enumerate(batches(pool, trainer.config, number)):
            self.pools_without_batch = 0
            if at < self.batch:
                continue  # done before the state was saved
            step = trainer.train_step(batch)
            self.batch = at + 1
            progress_bar.update()
            last, save_due = not self.unfinished, trainer.steps_done % trainer.config.training.save_every == 0
            if trainer.measures_this_step:
                postfix = {key: f"{trainer.last_metrics[key]:.3f}" for key in ("fve", "l0", "dead")}
                progress_bar.set_postfix(postfix, refresh=False)
            if (trainer.measures_this_step or save_due) and not math.isfinite(step.loss.item()):
                raise FloatingPointError(f"{self.label} diverged at step {trainer.steps_done}: use a lower lr or alpha")
            self._warn_no_contrast()
            if save_due:
                self.save()
            if last or stop.is_set():
                return
        self.pool, self.batch = number + 1, 0
        if self.pools_without_batch > self.pools.per_epoch:
            raise BadInput(
                f"{self.store.path}: expected a batch of {trainer.config.training.batch} tokens in a pool, got fewer "
                "in every pool: raise pool_gb, or use a smaller batch"
            )

    def _warn_no_contrast(self) -> None:
        trainer = self.trainer
        if self.warned_no_contrast or (trainer.steps_done % MEASURE_EVERY and trainer.steps_done < trainer.steps):
            return
        without = int(trainer.steps_without_contrast)
        if without <= MAX_SHARE_WITHOUT_CONTRAST * trainer.steps_done:
            return
        self.warned_no_contrast = True
        warnings.warn(
            f"{self.store.path}: in {without} of {trainer.steps_done} steps no pair had a negative of another "
            "document, so the contrast had no effect: raise pool_gb, or use same_sequence=True",
            stacklevel=2,
        )

    def save(self) -> None:
        """Save the training state, to resume from."""
        if self.state is not None:
            trainer = self.trainer
            facts = {"pool": self.pool, "batch": self.batch, "metrics": trainer.last_metrics}
            save_training_state(
                self.state, trainer, trainer.optimizer, step=trainer.steps_done, config=self.spec, facts=facts
            )

    def finish(self, x_ND: Float[Tensor, "N D"]) -> TSAE:
        """The dictionary, with thresholds calibrated on `x_ND`; saved, if the fit has an `out`."""
        if (fve := self.trainer.last_metrics.get("fve", 0.0)) < 0:
            warnings.warn(
                f"{self.label} explains less of its last batch than the mean would (variance explained {fve:.3g}): "
                "use more steps, or a lower lr",
                stacklevel=2,
            )
        self.trainer.calibrate_thresholds(x_ND)
        dictionary = self._dictionary()
        if self.out is not None:
            dictionary = load_finished(self.out, self.spec) or dictionary.save(self.out, spec=self.spec)
        if self.state is not None:
            shutil.rmtree(self.state, ignore_errors=True)
        return dictionary

    @torch.no_grad()
    def _dictionary(self) -> TSAE:
        """As SAELens' own export has it: scale folded into the weights, JumpReLU thresholds."""
        trainer = self.trainer
        sae = copy.deepcopy(trainer.sae)
        sae.fold_activation_norm_scaling_factor(trainer.scale)
        site = self.store.site_of(self.layer)
        sae.cfg.metadata.hook_name = site.hook_name
        tensors = sae.cpu().state_dict()
        sae.process_state_dict_for_saving_inference(tensors)
        return TSAE(
            **{name: tensors[name] for name in TENSORS},
            block_widths=trainer.config.block_widths(),
            layer=self.layer,
            site=site.kind,
            config=trainer.config,
            made_from={"store": self.store.fingerprint(), **reader_fingerprints(self.store)},
            fit_metrics={key: round(value, 6) for key, value in trainer.last_metrics.items()},
            sae_lens_cfg=json.loads(json.dumps(sae.cfg.get_inference_sae_cfg_dict(), sort_keys=True)),
        )
