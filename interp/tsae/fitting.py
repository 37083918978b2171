"""Fit dictionaries on a store of activations: one, or several in one pass over it.

The training class, the folding of scales and what is saved are SAELens'; the loop is ours. SAELens' trainer takes one
tensor a step, and a step here needs to know pairs and documents too, to move latents between blocks with what the
optimiser knows of them, and to stop and go on to the same bits. (The class does run under SAELens' trainer, where pairs
are handed to it as (B, 2, D).)

Everything random hangs on the seed and on the number of the pool, and what a pool holds on the epoch: killed anywhere
and called again, it goes on where its state was saved last, and on the CPU, with as many threads, ends in the same
bits; and a dictionary fitted in company is the one that would have been fitted alone.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from interp.activations import Store
from interp.artifacts import BadInput
from interp.checks import expect_type
from interp.device import deterministic, resolve_device
from interp.training_state import interruptible
from interp.tsae.architecture import register_architecture
from interp.tsae.batches import Pools
from interp.tsae.config import TSAEConfig
from interp.tsae.dictionary import TSAE
from interp.tsae.fit_run import FitRun, load_finished, fit_spec
from interp.tsae.trainer import PROMOTION_SHARE, measure_statistics, sample_tokens


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
    """A dictionary of a layer of the store (its only one, if not given). `out` is where it is kept; without it nothing
    is saved, and nothing can be resumed. `start` is a dictionary to begin from, of the same width."""
    configs, outs = {"": config or TSAEConfig()}, {"": Path(out)} if out is not None else {}
    return _fit(store, configs, outs, layer=layer, start=start, device=device, progress=progress)[""]


def fit_all(
    store: Store,
    configs: Mapping[str, TSAEConfig],
    *,
    out: str | Path | None = None,
    layer: int | None = None,
    start: TSAE | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, TSAE]:
    """Several dictionaries, by name, in one pass: each pool of activations is read once for all of them. `out` is a
    directory that gets one directory for each."""
    _expect_configs(configs.values())
    if len({(c.training.pool_gb, c.training.prompts) for c in configs.values()}) > 1:
        raise BadInput("dictionaries fitted together share their pools: expected one pool_gb and one prompts for all")
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
    if layer not in store.layers:
        raise BadInput(
            f"{store.path}: expected a layer that it holds ({', '.join(map(str, store.layers))}), got {layer}: "
            "ask for one of these, or collect that layer"
        )
    for config in configs.values():
        config.resolved(store.d_model)  # what does not fit is refused before anything is read
    place = resolve_device(device)[0]
    if place.type == "mps":
        place = torch.device("cpu")  # the sparse products are there for CPU and CUDA
    finished = {
        name: there
        for name, out in outs.items()
        if (there := load_finished(out, fit_spec(store, layer, configs[name], start))) is not None
    }
    wanted = {name: config for name, config in configs.items() if name not in finished}
    if wanted:
        first = next(iter(wanted.values()))
        statistics, training = measure_statistics(sample_tokens(store, layer, first)), first.training
        pools = Pools(store, layer, gb=training.pool_gb, prompts=training.prompts)
        courses = [
            FitRun(name, pools, config, statistics, outs.get(name), place, start) for name, config in wanted.items()
        ]
        for course in courses:
            _warn_of_no_promotion(course.trainer.config)
        with deterministic(place):
            _run(pools, courses, progress)
        if sound := [course for course in courses if course.error is None]:
            x_ND = sample_tokens(store, layer, first)  # drawn again, and not kept in memory all the while
            finished |= {course.name: course.finish(x_ND) for course in sound}
        for failure in [course.error for course in courses if course.error is not None]:
            raise failure
    return {name: finished[name] for name in configs}


def _expect_configs(configs: Iterable[object]) -> None:
    for config in configs:
        expect_type(config, TSAEConfig, "preset(name) gives one by its name")


def _warn_of_no_promotion(config: TSAEConfig) -> None:
    steps = config.training.steps or 0
    if config.promote_every and config.promote_every >= PROMOTION_SHARE * steps:
        warnings.warn(
            f"a fit of {steps} steps promotes nothing: the first promotion would be at step {config.promote_every}, "
            f"and there is none in the last {1 - PROMOTION_SHARE:.0%}. Ask for more steps, or for a smaller promote_every "
            "(--promote-every)",
            stacklevel=4,
        )


def _run(pools: Pools, courses: list[FitRun], progress: bool) -> None:
    total, number, epoch = sum(c.trainer.steps for c in courses), 0, 0
    done = sum(c.trainer.steps_done for c in courses)
    shown = tqdm(total=total, initial=done, desc="fitting", unit="step", disable=not progress)
    with shown, interruptible() as stop:
        while any(c.unfinished for c in courses):
            for slices in pools.epoch(epoch):
                waiting = [c for c in courses if c.pool <= number and c.unfinished]
                if waiting:
                    pool = pools.read(slices)
                    for course in waiting:
                        try:
                            course.train_on_pool(pool, number, shown, stop)
                        except FloatingPointError as error:  # the others go on; at the end it is told
                            course.error = error
                        if stop.is_set():
                            _stop(courses)
                    del pool  # before the next is read
                number += 1
            epoch += 1


def _stop(courses: list[FitRun]) -> NoReturn:
    """Between two steps, where all can go on."""
    for course in courses:
        if course.error is None:  # one that has diverged must not be taken for finished
            course.save()
    kept = ", ".join(str(course.state) for course in courses if course.state)
    how = f"; ask for the same again to go on from {kept}" if kept else ""
    raise KeyboardInterrupt(f"stopped{how}")
