"""Correction for many tests: Benjamini-Hochberg (false-discovery rate) and Holm (family-wise error).

NaN is a test that was not made: it stays NaN, and is not counted among the tests.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def benjamini_hochberg(p_F: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """q-values: the smallest false-discovery rate at which each test is rejected (Benjamini and Hochberg, 1995).

    q_(i) = min over j >= i of min(1, m p_(j) / j), of m p-values in ascending order."""
    order = _ascending(p_F)
    ranked = p_F[order] * len(order) / np.arange(1, len(order) + 1)
    return _restored(np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1), order, len(p_F))


def holm(p_F: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """Adjusted p-values: rejecting those of at most a makes one false rejection or more with probability at most a,
    however the tests hang together (Holm, 1979).

    p~_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), of m p-values in ascending order."""
    order = _ascending(p_F)
    ranked = p_F[order] * np.arange(len(order), 0, -1)
    return _restored(np.maximum.accumulate(ranked).clip(max=1), order, len(p_F))


def joint_p_value(p_values: Sequence[float]) -> float:
    """p-value of a claim that needs several things to hold at once: the largest of theirs (intersection-union test;
    Berger, 1982). No correction is due for their number. NaN if one is NaN."""
    return float(np.max(p_values)) if len(p_values) else math.nan


def _ascending(p_F: np.ndarray) -> np.ndarray:
    """Places of the p-values that are known, the smallest first."""
    tested = np.flatnonzero(~np.isnan(p_F))
    return tested[np.argsort(p_F[tested], kind="stable")]


def _restored(adjusted: np.ndarray, order: np.ndarray, length: int) -> np.ndarray:
    restored_F = np.full(length, np.nan)
    restored_F[order] = adjusted
    return restored_F
