"""Temporal sparse autoencoders: fitted on stores of activations, measured, saved as SAELens dictionaries."""

from typing import TYPE_CHECKING

from interp.tsae.config import PRESETS, ContrastConfig, TrainingConfig, TSAEConfig, preset

if TYPE_CHECKING:
    from interp.tsae.dictionary import TSAE
    from interp.tsae.fitting import fit, fit_all

__all__ = ["PRESETS", "TSAE", "ContrastConfig", "TSAEConfig", "TrainingConfig", "fit", "fit_all", "preset"]


def __getattr__(name: str) -> object:  # torch and sae_lens take seconds to import, a command's --help must not
    if name == "TSAE":
        from interp.tsae.dictionary import TSAE

        return TSAE
    if name in ("fit", "fit_all"):
        import importlib

        return getattr(importlib.import_module("interp.tsae.fitting"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
