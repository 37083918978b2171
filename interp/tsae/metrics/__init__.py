"""How good a dictionary is: streaming sums over tensors, and what is computed once from them. Nothing here knows a
task, a store or a policy."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.tsae.metrics.blocks import Blocks, spans
    from interp.tsae.metrics.cosine import Cosine, MeanCosine
    from interp.tsae.metrics.documents import held_out, permuted
    from interp.tsae.metrics.firing import Firing, FiringRates
    from interp.tsae.metrics.fve import FVE
    from interp.tsae.metrics.l0 import L0, ActiveLatents
    from interp.tsae.metrics.matching import Match, best_match, detection, one_to_one
    from interp.tsae.metrics.membership import Membership, block_membership
    from interp.tsae.metrics.probes import Probe, ProbeConfig, control, probe
    from interp.tsae.metrics.ranks import auroc
    from interp.tsae.metrics.recovered import LossRecovered, Recovered
    from interp.tsae.metrics.smoothness import BlockSmoothness, Smoothness, SmoothnessTable

_HOMES = {
    "blocks": ("Blocks", "spans"),
    "cosine": ("Cosine", "MeanCosine"),
    "documents": ("held_out", "permuted"),
    "firing": ("Firing", "FiringRates"),
    "fve": ("FVE",),
    "l0": ("L0", "ActiveLatents"),
    "matching": ("Match", "best_match", "detection", "one_to_one"),
    "membership": ("Membership", "block_membership"),
    "probes": ("Probe", "ProbeConfig", "control", "probe"),
    "ranks": ("auroc",),
    "recovered": ("LossRecovered", "Recovered"),
    "smoothness": ("BlockSmoothness", "Smoothness", "SmoothnessTable"),
}

__all__ = [
    "FVE",
    "L0",
    "ActiveLatents",
    "BlockSmoothness",
    "Blocks",
    "Cosine",
    "Firing",
    "FiringRates",
    "LossRecovered",
    "Match",
    "MeanCosine",
    "Membership",
    "Probe",
    "ProbeConfig",
    "Recovered",
    "Smoothness",
    "SmoothnessTable",
    "auroc",
    "best_match",
    "block_membership",
    "control",
    "detection",
    "held_out",
    "one_to_one",
    "permuted",
    "probe",
    "spans",
]


def __getattr__(name: str) -> object:  # torch takes seconds to import, a command's --help must not
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
