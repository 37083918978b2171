"""Fit dictionaries on a store of activations: one, or several in one pass over it.

The training class, the folding of scales and the saved format are SAELens'. The loop is ours: SAELens' trainer takes
one tensor a step, and a step here needs pairs and documents, moves latents between blocks with their optimizer moments,
and can stop and resume. (The class also runs under SAELens' trainer, which is then given pairs as (B, 2, D).)

All randomness comes from the seed, the number of the pool and the epoch. A fit that is killed and called again resumes
from its last saved state and, on the CPU with as many threads, ends in the same bits. A dictionary fitted with others
in one pass is the one that would have been fitted alone.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from interp.activations import Store
from interp.artifacts import BadInput
from interp.checks import expect_type
from interp.costs import expect_memory
from interp.device import deterministic, resolve_device
from interp.display import bar_settings
from interp.training_state import interruptible
from interp.tsae.architecture import register_architecture
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary import TSAE
from interp.tsae.fit_checks import expect_layer, warn_no_promotion
from interp.tsae.fit_run import FitRun, fit_spec, load_finished, locked_fits
from interp.tsae.metrics import NormSpread, warn_outliers
from interp.tsae.pools import Pools
from interp.tsae.statistics import measure_statistics, sample_tokens


def fit(
    store: Store,
    config: TSAEConfig | None = None,
    *,
    layer: int | None = None,
    out: str | Path | None = None,
    start: TSAE | None = None,
    device: str = "auto",
    progress: bool = True,
) -> TSAE:
    """Fit a dictionary on one layer of a store (its only layer, if `layer` is None).

    With `out` it is saved there, and a call that is repeated resumes the fit or loads its result. Without `out` nothing
    is saved. `start` is a dictionary of the same width to start from."""
    configs, outs = {"": config or TSAEConfig()}, {"": Path(out)} if out is not None else {}
    return _fit(store, configs, outs, layer=layer, start=start, device=device, progress=progress)[""]


def fit_all(
    store: Store,
    configs: Mapping[str, TSAEConfig],
    *,
    layer: int | None = None,
    out: str | Path | None = None,
    start: TSAE | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, TSAE]:
    """Fit several dictionaries, by name, in one pass: each pool of activations is read once for all of them. Each is
    saved in a directory of its name in `out`."""
    _expect_configs(configs.values())
    if len({(c.training.pool_gb, c.training.prompts, c.training.skip_first) for c in configs.values()}) > 1:
        raise BadInput(
            "expected one pool_gb, one prompts and one skip_first for dictionaries fitted together, got several: they "
            "share their pools"
        )
    outs = {name: Path(out) / name for name in configs} if out is not None else {}
    return _fit(store, configs, outs, layer=layer, start=start, device=device, progress=progress)


def _fit(
    store: Store,
    configs: Mapping[str, TSAEConfig],
    outs: Mapping[str, Path],
    *,
    layer: int | None,
    start: TSAE | None,
    device: str,
    progress: bool,
) -> dict[str, TSAE]:
    register_architecture()
    expect_type(store, Store, "open it with Store.open(path)")
    _expect_configs(configs.values())
    if start is not None:
        expect_type(start, TSAE, "load it with TSAE.load(path)")
    layer = store.layer if layer is None else layer
    expect_layer(store, layer)
    for config in configs.values():
        config.resolved(store.d_model)  # refuses what does not fit before anything is read
        pool = min(config.training.pool_gb * 1e9, store.n_bytes)
        expect_memory("Activations held in memory", "use a smaller pool_gb", at_least=pool, up_to=2 * pool)
    finished = _load_finished(store, configs, outs, layer, start)
    if missing := {name: config for name, config in configs.items() if name not in finished}:
        with locked_fits(outs[name] for name in missing if name in outs):
            finished |= _load_finished(store, missing, outs, layer, start)  # another may have finished since
            missing = {name: config for name, config in missing.items() if name not in finished}
            if missing:
                finished |= _fit_missing(store, missing, outs, layer, start, _torch_device(device), progress)
    return {name: finished[name] for name in configs}


def _load_finished(
    store: Store, configs: Mapping[str, TSAEConfig], outs: Mapping[str, Path], layer: int, start: TSAE | None
) -> dict[str, TSAE]:
    """The dictionaries that have been fitted already. A place with anything else in it is refused."""
    specs = {name: fit_spec(store, layer, config, start) for name, config in configs.items() if name in outs}
    loaded = {name: load_finished(outs[name], spec) for name, spec in specs.items()}
    return {name: dictionary for name, dictionary in loaded.items() if dictionary is not None}


def _fit_missing(
    store: Store,
    configs: Mapping[str, TSAEConfig],
    outs: Mapping[str, Path],
    layer: int,
    start: TSAE | None,
    device: torch.device,
    progress: bool,
) -> dict[str, TSAE]:
    first = next(iter(configs.values()))
    training, sample_ND = first.training, sample_tokens(store, layer, first)
    statistics = measure_statistics(sample_ND)
    warn_outliers(NormSpread.of(sample_ND.norm(dim=-1)), len(sample_ND), store.path)
    del sample_ND
    pools = Pools(store, layer, gb=training.pool_gb, prompts=training.prompts, skip_first=training.skip_first)
    runs = [FitRun(name, pools, config, statistics, outs.get(name), device, start) for name, config in configs.items()]
    for run in runs:
        warn_no_promotion(run.trainer.config)
    with deterministic(device):
        _train(pools, runs, progress)
    fitted: dict[str, TSAE] = {}
    if sound := [run for run in runs if run.error is None]:
        x_ND = sample_tokens(store, layer, first)  # drawn again, so as not to hold it in memory during training
        fitted = {run.name: run.finish(x_ND) for run in sound}
    for error in [run.error for run in runs if run.error is not None]:
        raise error
    return fitted


def _torch_device(device: str) -> torch.device:
    resolved = resolve_device(device)[0]
    return torch.device("cpu") if resolved.type == "mps" else resolved  # MPS lacks the sparse products


def _expect_configs(configs: Iterable[object]) -> None:
    for config in configs:
        expect_type(config, TSAEConfig, "preset(name) gives one by its name")


def _train(pools: Pools, runs: list[FitRun], progress: bool) -> None:
    """Train all runs, pool by pool. A run that diverges keeps its error, and the others go on."""
    total, done, number, epoch = sum(r.trainer.steps for r in runs), sum(r.trainer.steps_done for r in runs), 0, 0
    progress_bar = tqdm(total=total, initial=done, desc="fitting", unit="step", **bar_settings(progress))
    with progress_bar, interruptible() as stop:
        while any(run.unfinished for run in runs):
            for slices in pools.epoch(epoch):
                waiting = [run for run in runs if run.pool <= number and run.unfinished]
                if waiting:
                    pool = pools.read(slices)
                    for run in waiting:
                        try:
                            run.train_on_pool(pool, number, progress_bar, stop)
                        except FloatingPointError as error:
                            run.error = error
                        if stop.is_set():
                            _stop(runs)
                    del pool  # freed before the next is read
                number += 1
            epoch += 1


def _stop(runs: list[FitRun]) -> NoReturn:
    """Save every run between two of its steps, and raise KeyboardInterrupt."""
    for run in runs:
        if run.error is None:  # a diverged state must not be resumed
            run.save()
    states = ", ".join(str(run.state) for run in runs if run.state)
    hint = f"; repeat the call to resume from {states}" if states else ""
    raise KeyboardInterrupt(f"stopped{hint}")
