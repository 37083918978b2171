"""Statistics: one estimate, intervals for shares and for few seeds, bootstrap over prompts, many tests, equivalence.

estimate      `Estimate(value, low, high, n)`
shares        exact and clustered shares, and differences of shares
seeds         means over few seeds: bounded (any shape), Student's, sign test
curves        where a mean curve crosses zero
bootstrap     changes of all latents at once, over prompts; `cells` matches like with like, `when_active` is for means
              over active tokens, `percentiles` for a mean over tokens
multiple      Benjamini-Hochberg, Holm
equivalence   equal only where the difference is surely small

Nothing is imported before it is used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.stats.bootstrap import (
        MIN_COMMON,
        MIN_PROMPTS,
        ChangeEstimates,
        PromptSums,
        estimate_changes,
        last_minus_first,
        resampled_prompts,
        slope_weights,
        student_interval_from_spread,
    )
    from interp.stats.cells import match_cells
    from interp.stats.curves import Crossing, crossing, smooth, time_to_half
    from interp.stats.equivalence import equivalence_p_value, equivalence_verdict
    from interp.stats.estimate import Estimate
    from interp.stats.multiple import benjamini_hochberg, holm, joint_p_value
    from interp.stats.percentiles import percentile_estimate, token_means
    from interp.stats.seeds import (
        bounded_interval,
        bounded_p_value,
        paired_differences,
        rarest_mode_seen,
        sign_p_value,
        student_interval,
        student_p_value,
    )
    from interp.stats.shares import (
        clustered_share,
        exact_interval,
        exact_share,
        paired_share_difference,
        share_difference,
    )
    from interp.stats.when_active import ActiveSums, estimate_active_changes

HOMES = {
    "bootstrap": (
        "MIN_COMMON",
        "MIN_PROMPTS",
        "ChangeEstimates",
        "PromptSums",
        "estimate_changes",
        "last_minus_first",
        "resampled_prompts",
        "slope_weights",
        "student_interval_from_spread",
    ),
    "cells": ("match_cells",),
    "curves": ("Crossing", "crossing", "smooth", "time_to_half"),
    "equivalence": ("equivalence_p_value", "equivalence_verdict"),
    "estimate": ("Estimate",),
    "multiple": ("benjamini_hochberg", "holm", "joint_p_value"),
    "percentiles": ("percentile_estimate", "token_means"),
    "seeds": (
        "bounded_interval",
        "bounded_p_value",
        "paired_differences",
        "rarest_mode_seen",
        "sign_p_value",
        "student_interval",
        "student_p_value",
    ),
    "shares": (
        "clustered_share",
        "exact_interval",
        "exact_share",
        "paired_share_difference",
        "share_difference",
    ),
    "when_active": ("ActiveSums", "estimate_active_changes"),
}
_FILE_OF = {name: file for file, names in HOMES.items() for name in names}
__all__ = [
    "ActiveSums",
    "ChangeEstimates",
    "Crossing",
    "Estimate",
    "MIN_COMMON",
    "MIN_PROMPTS",
    "PromptSums",
    "benjamini_hochberg",
    "bounded_interval",
    "bounded_p_value",
    "clustered_share",
    "crossing",
    "equivalence_p_value",
    "equivalence_verdict",
    "estimate_active_changes",
    "estimate_changes",
    "exact_interval",
    "exact_share",
    "holm",
    "joint_p_value",
    "last_minus_first",
    "match_cells",
    "paired_differences",
    "paired_share_difference",
    "percentile_estimate",
    "rarest_mode_seen",
    "resampled_prompts",
    "share_difference",
    "sign_p_value",
    "slope_weights",
    "smooth",
    "student_interval",
    "student_interval_from_spread",
    "student_p_value",
    "time_to_half",
    "token_means",
]


def __getattr__(name: str) -> object:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'interp.stats' has no attribute {name!r}")
    return getattr(importlib.import_module(f"interp.stats.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
