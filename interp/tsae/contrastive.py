"""The contrastive term: a token's slow code must be more like its partner's than like those of other tokens.

For P pairs with codes a_i (anchor) and b_i (partner) and s_ij = sim(a_i, b_j) / temperature, symmetric InfoNCE is the
cross-entropy of naming i among the columns of row i, and of naming i among the rows of column i: averaged, or summed
as the paper writes it. Entries of the same document may be struck out: as negatives they would be false.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.tsae.sparse import Pattern, sparse_matmul

TINY = 1e-12


def info_nce(
    logits_PP: Float[Tensor, "P P"], struck_PP: Bool[Tensor, "P P"] | None = None, *, reduction: str = "mean"
) -> Float[Tensor, ""]:
    """In nats. `struck` entries are no negatives; the diagonal must not be among them."""
    if struck_PP is not None:
        logits_PP = logits_PP.masked_fill(struck_PP, -torch.inf)
    hits_P = logits_PP.diagonal()
    forth, back = ((logits_PP.logsumexp(dim) - hits_P).mean() for dim in (1, 0))
    return forth + back if reduction == "sum" else (forth + back) / 2


def false_negatives(documents_M: Int[Tensor, " M"], pairs_P2: Int[Tensor, "P 2"]) -> Bool[Tensor, "P P"]:
    """Which meetings of an anchor with another's partner stay within one document."""
    anchors_P, partners_P = documents_M[pairs_P2].unbind(1)
    return (anchors_P[:, None] == partners_P).fill_diagonal_(False)


def normalize_rows(values_N: Float[Tensor, " N"], pattern: Pattern) -> Float[Tensor, " N"]:
    """Each row of a sparse matrix at length 1; one without an active code stays as it is, and has cosine 0 with all."""
    squares_M = values_N.new_zeros(pattern.n_rows).index_add(0, pattern.rows_N, values_N**2)
    return values_N * squares_M.clamp(min=TINY).rsqrt()[pattern.rows_N]


def pair_similarities(
    values_N: Float[Tensor, " N"], pattern: Pattern, anchors_P: Int[Tensor, " P"], partners_P: Int[Tensor, " P"]
) -> Float[Tensor, "P P"]:
    """The products of every anchor with every partner, rows of one sparse matrix of codes."""
    mine, at_N = pattern.select_rows(anchors_P)
    theirs, their_at_N = pattern.select_rows(partners_P)
    theirs_CP = values_N.new_zeros(pattern.n_columns, len(partners_P)).index_put(
        (theirs.columns_N, theirs.rows_N), values_N[their_at_N]
    )
    return sparse_matmul(values_N[at_N], theirs_CP, mine)


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
    """Of the slow codes of M tokens, over pairs of them (anchor, partner). With `documents`, other tokens of an
    anchor's own are not its negatives. With `together`, pairs are dealt out to groups of about that many, and only
    those of a group are one another's negatives: the cost grows with P instead of P squared."""
    if similarity == "cosine":
        values_N = normalize_rows(values_N, pattern)
    groups = 1 if together is None else max(1, round(len(pairs_P2) / together))
    total = values_N.new_zeros(())
    for at in range(groups):
        dealt_P2 = pairs_P2[at::groups]  # neighbours in a batch come from one document: dealt out, they part
        anchors_P, partners_P = dealt_P2.unbind(1)
        logits_PP = pair_similarities(values_N, pattern, anchors_P, partners_P)
        struck_PP = None if documents_M is None else false_negatives(documents_M, dealt_P2)
        total = total + len(dealt_P2) * info_nce(logits_PP / temperature, struck_PP, reduction=reduction)
    return total / len(pairs_P2)


def dense_contrastive_loss(
    slow_MF: Float[Tensor, "M F"],
    pairs_P2: Int[Tensor, "P 2"],
    documents_M: Int[Tensor, " M"] | None,
    *,
    similarity: str,
    temperature: float,
    reduction: str,
) -> Float[Tensor, ""]:
    """The same, in the fewest words: what the sparse path is held against."""
    if similarity == "cosine":
        slow_MF = F.normalize(slow_MF, dim=-1, eps=TINY**0.5)
    anchors_P, partners_P = pairs_P2.unbind(1)
    struck_PP = None if documents_M is None else false_negatives(documents_M, pairs_P2)
    return info_nce(slow_MF[anchors_P] @ slow_MF[partners_P].T / temperature, struck_PP, reduction=reduction)
