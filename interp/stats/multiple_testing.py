"""Correction for many tests: Benjamini-Hochberg (false-discovery rate) and Holm (family-wise error).

A p-value of NaN stands for no test: it stays NaN, and is not counted among the tests.
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
    return _restore_order(np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1), order, len(p_F))


def holm(p_F: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """Adjusted p-values: rejecting those up to a makes any false rejection with probability at most a, whatever the
    dependence between the tests (Holm, 1979).

    p~_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), of m p-values in ascending order."""
    order = _ascending(p_F)
    ranked = p_F[order] * np.arange(len(order), 0, -1)
    return _restore_order(np.maximum.accumulate(ranked).clip(max=1), order, len(p_F))


def joint_p_value(p_values: Sequence[float]) -> float:
    """p-value of a claim that is true only if all its parts are: the largest of the parts' p-values, without correction
    for their number (intersection-union test; Berger, 1982). NaN if one is NaN."""
    return float(np.max(p_values)) if len(p_values) else math.nan


def _ascending(p_F: np.ndarray) -> np.ndarray:
    """Indices of the p-values that are not NaN, the smallest first."""
    tested = np.flatnonzero(~np.isnan(p_F))
    return tested[np.argsort(p_F[tested], kind="stable")]


def _restore_order(adjusted: np.ndarray, order: np.ndarray, length: int) -> np.ndarray:
    restored_F = np.full(length, np.nan)
    restored_F[order] = adjusted
    return restored_F
