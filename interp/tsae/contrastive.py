"""The contrastive term: symmetric InfoNCE between each token's slow code and that of its partner.

For P pairs with codes a_i (anchor) and b_i (partner), and s_ij = sim(a_i, b_j) / temperature:

    forward  = mean_i (logsumexp_j s_ij - s_ii)      name the partner among all partners
    backward = mean_i (logsumexp_j s_ji - s_ii)      name the anchor among all anchors

The loss is their mean, or their sum as in the paper (https://arxiv.org/abs/2511.05541). An entry s_ij of two tokens of
one document is a false negative, and can be left out.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.tsae.sparse import TINY, Pattern, sparse_matmul


def info_nce(
    logits_PP: Float[Tensor, "P P"], ignored_PP: Bool[Tensor, "P P"] | None = None, *, reduction: str = "mean"
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE in nats. Ignored entries are no negatives; the diagonal must not be ignored."""
    if ignored_PP is not None:
        logits_PP = logits_PP.masked_fill(ignored_PP, -torch.inf)
    positive_P = logits_PP.diagonal()
    forward, backward = ((logits_PP.logsumexp(dim) - positive_P).mean() for dim in (1, 0))
    return forward + backward if reduction == "sum" else (forward + backward) / 2


def false_negatives(documents_M: Int[Tensor, " M"], pairs_P2: Int[Tensor, "P 2"]) -> Bool[Tensor, "P P"]:
    """Which off-diagonal entries (anchor i, partner j) lie within one document."""
    anchors_P, partners_P = documents_M[pairs_P2].unbind(1)
    return (anchors_P[:, None] == partners_P).fill_diagonal_(False)


def contrastive_loss(
    values_N: Float[Tensor, " N"],
    pattern: Pattern,
    pairs_P2: Int[Tensor, "P 2"],
    documents_M: Int[Tensor, " M"] | None,
    *,
    similarity: str,
    temperature: float,
    reduction: str,
    together: int | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE over pairs (anchor, partner) of the M tokens whose slow codes are given as values and pattern.

    With `documents_M`, tokens of an anchor's own document are not its negatives. With `together`, the pairs are split
    into groups of about that many, and only pairs of one group are negatives: the cost grows with P, not P squared."""
    if similarity == "cosine":
        values_N = normalize_rows(values_N, pattern)
    groups = 1 if together is None else max(1, round(len(pairs_P2) / together))
    total = values_N.new_zeros(())
    for group in range(groups):
        group_P2 = pairs_P2[group::groups]  # strided: neighbours in a batch are of one document, and go to other groups
        anchors_P, partners_P = group_P2.unbind(1)
        logits_PP = pair_similarities(values_N, pattern, anchors_P, partners_P)
        ignored_PP = None if documents_M is None else false_negatives(documents_M, group_P2)
        total = total + len(group_P2) * info_nce(logits_PP / temperature, ignored_PP, reduction=reduction)
    return total / len(pairs_P2)


def normalize_rows(values_N: Float[Tensor, " N"], pattern: Pattern) -> Float[Tensor, " N"]:
    """The rows of a sparse matrix at length 1. An empty row stays empty: its cosine with every row is 0."""
    squares_M = values_N.new_zeros(pattern.n_rows).index_add(0, pattern.rows_N, values_N**2)
    return values_N * squares_M.clamp(min=TINY).rsqrt()[pattern.rows_N]


def pair_similarities(
    values_N: Float[Tensor, " N"], pattern: Pattern, anchors_P: Int[Tensor, " P"], partners_P: Int[Tensor, " P"]
) -> Float[Tensor, "P P"]:
    """Dot products <a_i, b_j> of every anchor row with every partner row of one sparse matrix."""
    anchors, anchor_N = pattern.select_rows(anchors_P)
    partners, partner_N = pattern.select_rows(partners_P)
    partners_CP = values_N.new_zeros(pattern.n_columns, len(partners_P)).index_put(
        (partners.columns_N, partners.rows_N), values_N[partner_N]
    )
    return sparse_matmul(values_N[anchor_N], partners_CP, anchors)


def dense_contrastive_loss(
    slow_MF: Float[Tensor, "M F"],
    pairs_P2: Int[Tensor, "P 2"],
    documents_M: Int[Tensor, " M"] | None,
    *,
    similarity: str,
    temperature: float,
    reduction: str,
) -> Float[Tensor, ""]:
    """The same loss on dense codes, in four lines: the reference for the sparse one."""
    if similarity == "cosine":
        slow_MF = F.normalize(slow_MF, dim=-1, eps=TINY**0.5)
    anchors_P, partners_P = pairs_P2.unbind(1)
    ignored_PP = None if documents_M is None else false_negatives(documents_M, pairs_P2)
    return info_nce(slow_MF[anchors_P] @ slow_MF[partners_P].T / temperature, ignored_PP, reduction=reduction)
