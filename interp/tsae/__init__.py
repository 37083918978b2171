"""Temporal sparse autoencoders: fitted on stores of activations, measured, saved as SAELens dictionaries."""

import importlib
from typing import TYPE_CHECKING

from interp.tsae.config import PRESETS, ContrastConfig, TrainingConfig, TSAEConfig, preset

if TYPE_CHECKING:
    from interp.tsae.dictionary import TSAE
    from interp.tsae.fitting import fit, fit_all
    from interp.tsae.quality import Quality, evaluate

_HOMES = {"TSAE": "dictionary", "fit": "fitting", "fit_all": "fitting", "evaluate": "quality", "Quality": "quality"}

__all__ = [
    "PRESETS",
    "TSAE",
    "ContrastConfig",
    "Quality",
    "TSAEConfig",
    "TrainingConfig",
    "evaluate",
    "fit",
    "fit_all",
    "preset",
]


def __getattr__(name: str) -> object:  # torch and sae_lens take seconds to import, a command's --help must not
    if name in _HOMES:
        return getattr(importlib.import_module(f"interp.tsae.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
