"""Metrics of dictionaries on tensors, one per file. Accumulators have `update`, `merge` and `compute`.

Nothing here knows a task, a store or a policy.
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.tsae.metrics.blocks import Blocks, block_slices
    from interp.tsae.metrics.cosine import Cosine, MeanCosine
    from interp.tsae.metrics.documents import held_out_rows, permute_labels
    from interp.tsae.metrics.firing import Firing, FiringRates
    from interp.tsae.metrics.fve import FVE
    from interp.tsae.metrics.l0 import L0, ActiveLatents
    from interp.tsae.metrics.loss_recovered import LossRecovered, SpliceLosses
    from interp.tsae.metrics.matching import Match, detection_auroc, match_best, match_one_to_one
    from interp.tsae.metrics.membership import Membership, block_membership
    from interp.tsae.metrics.norms import Norms, NormSpread, warn_outliers
    from interp.tsae.metrics.probes import Probe, ProbeConfig, control_probe, probe
    from interp.tsae.metrics.ranks import auroc
    from interp.tsae.metrics.smoothness import BlockSmoothness, Smoothness, SmoothnessTable

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
    "NormSpread",
    "Norms",
    "Probe",
    "ProbeConfig",
    "Smoothness",
    "SmoothnessTable",
    "SpliceLosses",
    "auroc",
    "block_membership",
    "block_slices",
    "control_probe",
    "detection_auroc",
    "held_out_rows",
    "match_best",
    "match_one_to_one",
    "permute_labels",
    "probe",
    "warn_outliers",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "Blocks": "interp.tsae.metrics.blocks",
        "block_slices": "interp.tsae.metrics.blocks",
        "Cosine": "interp.tsae.metrics.cosine",
        "MeanCosine": "interp.tsae.metrics.cosine",
        "held_out_rows": "interp.tsae.metrics.documents",
        "permute_labels": "interp.tsae.metrics.documents",
        "Firing": "interp.tsae.metrics.firing",
        "FiringRates": "interp.tsae.metrics.firing",
        "FVE": "interp.tsae.metrics.fve",
        "L0": "interp.tsae.metrics.l0",
        "ActiveLatents": "interp.tsae.metrics.l0",
        "Match": "interp.tsae.metrics.matching",
        "match_best": "interp.tsae.metrics.matching",
        "detection_auroc": "interp.tsae.metrics.matching",
        "match_one_to_one": "interp.tsae.metrics.matching",
        "Membership": "interp.tsae.metrics.membership",
        "block_membership": "interp.tsae.metrics.membership",
        "NormSpread": "interp.tsae.metrics.norms",
        "Norms": "interp.tsae.metrics.norms",
        "warn_outliers": "interp.tsae.metrics.norms",
        "Probe": "interp.tsae.metrics.probes",
        "ProbeConfig": "interp.tsae.metrics.probes",
        "control_probe": "interp.tsae.metrics.probes",
        "probe": "interp.tsae.metrics.probes",
        "auroc": "interp.tsae.metrics.ranks",
        "SpliceLosses": "interp.tsae.metrics.loss_recovered",
        "LossRecovered": "interp.tsae.metrics.loss_recovered",
        "BlockSmoothness": "interp.tsae.metrics.smoothness",
        "Smoothness": "interp.tsae.metrics.smoothness",
        "SmoothnessTable": "interp.tsae.metrics.smoothness",
    },
)
