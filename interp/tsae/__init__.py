"""Temporal sparse autoencoders: fitted on stores of activations, measured, and saved as SAELens dictionaries."""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports
from interp.tsae.config import PRESETS, ContrastConfig, TrainingConfig, TSAEConfig, preset

if TYPE_CHECKING:
    from interp.tsae.dictionary import TSAE
    from interp.tsae.fitting import fit, fit_all
    from interp.tsae.quality import Quality, evaluate

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
__getattr__ = lazy_exports(
    __name__,
    {
        "TSAE": "interp.tsae.dictionary",
        "fit": "interp.tsae.fitting",
        "fit_all": "interp.tsae.fitting",
        "Quality": "interp.tsae.quality",
        "evaluate": "interp.tsae.quality",
    },
)
