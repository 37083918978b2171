"""Temporal sparse autoencoders: fitted on stores of activations, measured, and saved as SAELens dictionaries.

config        what a dictionary is and how it is trained; presets
dictionary    a fitted dictionary: codes, reconstructions, files; `codes` are its sparse codes; `sae_lens_forms` reads
              the other kinds that SAELens saves
fitting       fit one or several; `fit_run` is one fit, `fit_checks` what a store must hold, `trainer` the training loop
architecture  the SAELens training class; `step` its loss, from `contrastive`, `sparse` and `promotion`
pools         parts of a store in memory; `batches` of tokens and pairs; `statistics` of activations
quality       a dictionary measured on a store; `metrics/` has one metric a file
provenance    the layer and policies a dictionary belongs to
"""

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
