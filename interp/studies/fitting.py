"""Fit a study's dictionary on a series of organisms: the preset `interp`, with the study's sizes, steps and seed."""

from dataclasses import replace
from pathlib import Path

from interp.activations import collect
from interp.activations.config import CollectConfig
from interp.artifacts import locked
from interp.rollouts.series import Series
from interp.tasks.base import Task
from interp.tsae import TSAE, fit, preset


def fit_dictionary(
    series: Series, task: Task, collecting: CollectConfig, out: Path, *, width: int, k: int, steps: int, seed: int
) -> TSAE:
    """Collect a store at `out`, unless another process already has, and fit a dictionary on it."""
    with locked(out.parent, wait=True):
        store = collect(series, task, config=collecting, out=out, device="cpu", progress=False)
    template = preset("interp")
    training = replace(template.training, steps=steps, seed=seed)
    return fit(store, replace(template, width=width, k=k, training=training), progress=False, device="cpu")
