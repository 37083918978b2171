"""Statistics: one estimate, intervals for shares and for few seeds, bootstrap over prompts, many tests, equivalence.

estimate      `Estimate(value, low, high, n)`
ranking       how well a score tells two kinds apart, over clusters
shares        exact and clustered shares, and differences of shares
seeds         means over few seeds: bounded (any shape), Student's, sign test; `simplex` holds the exact computation
swaps         p-value of a difference of shares over the same clusters, by swapping them
curves        where a mean curve crosses zero, when a curve has gone half its way
bootstrap     changes of all latents at once, over prompts
cells         the same with each prompt x stratum cell compared with itself
when_active   the same for means over active tokens
percentiles   percentile intervals for means over tokens
multiple_testing  Benjamini-Hochberg, Holm
equivalence   verdict and p-value of "the difference is too small to matter"

Nothing is imported before it is used.
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

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
    from interp.stats.multiple_testing import benjamini_hochberg, holm, joint_p_value
    from interp.stats.percentiles import percentile_estimate, token_means
    from interp.stats.ranking import auroc, clustered_auroc
    from interp.stats.seeds import (
        bounded_interval,
        bounded_p_value,
        paired_differences,
        rarest_detectable_mode,
        sign_p_value,
        student_interval,
        student_p_value,
    )
    from interp.stats.shares import (
        bounded_share,
        clustered_share,
        exact_interval,
        exact_share,
        paired_share_difference,
        share_difference,
    )
    from interp.stats.swaps import swapped_p_value
    from interp.stats.when_active import ActiveSums, estimate_active_changes

__all__ = [
    "ActiveSums",
    "ChangeEstimates",
    "Crossing",
    "Estimate",
    "MIN_COMMON",
    "MIN_PROMPTS",
    "PromptSums",
    "auroc",
    "benjamini_hochberg",
    "bounded_interval",
    "bounded_p_value",
    "bounded_share",
    "clustered_auroc",
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
    "rarest_detectable_mode",
    "resampled_prompts",
    "share_difference",
    "sign_p_value",
    "slope_weights",
    "smooth",
    "student_interval",
    "student_interval_from_spread",
    "student_p_value",
    "swapped_p_value",
    "time_to_half",
    "token_means",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "auroc": "interp.stats.ranking",
        "clustered_auroc": "interp.stats.ranking",
        "MIN_COMMON": "interp.stats.bootstrap",
        "MIN_PROMPTS": "interp.stats.bootstrap",
        "ChangeEstimates": "interp.stats.bootstrap",
        "PromptSums": "interp.stats.bootstrap",
        "estimate_changes": "interp.stats.bootstrap",
        "last_minus_first": "interp.stats.bootstrap",
        "resampled_prompts": "interp.stats.bootstrap",
        "slope_weights": "interp.stats.bootstrap",
        "student_interval_from_spread": "interp.stats.bootstrap",
        "match_cells": "interp.stats.cells",
        "Crossing": "interp.stats.curves",
        "crossing": "interp.stats.curves",
        "smooth": "interp.stats.curves",
        "time_to_half": "interp.stats.curves",
        "equivalence_p_value": "interp.stats.equivalence",
        "equivalence_verdict": "interp.stats.equivalence",
        "Estimate": "interp.stats.estimate",
        "benjamini_hochberg": "interp.stats.multiple_testing",
        "holm": "interp.stats.multiple_testing",
        "joint_p_value": "interp.stats.multiple_testing",
        "percentile_estimate": "interp.stats.percentiles",
        "token_means": "interp.stats.percentiles",
        "bounded_interval": "interp.stats.seeds",
        "bounded_p_value": "interp.stats.seeds",
        "paired_differences": "interp.stats.seeds",
        "rarest_detectable_mode": "interp.stats.seeds",
        "sign_p_value": "interp.stats.seeds",
        "student_interval": "interp.stats.seeds",
        "student_p_value": "interp.stats.seeds",
        "bounded_share": "interp.stats.shares",
        "clustered_share": "interp.stats.shares",
        "exact_interval": "interp.stats.shares",
        "exact_share": "interp.stats.shares",
        "paired_share_difference": "interp.stats.shares",
        "share_difference": "interp.stats.shares",
        "swapped_p_value": "interp.stats.swaps",
        "ActiveSums": "interp.stats.when_active",
        "estimate_active_changes": "interp.stats.when_active",
    },
)
