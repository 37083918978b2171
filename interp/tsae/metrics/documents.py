"""Documents as the unit of evidence: whole documents held out, and labels permuted among documents.

Tokens of one document are alike. A probe tested on tokens of the documents it was trained on re-identifies them.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.artifacts import BadInput


def held_out_rows(group_N: Int[Tensor, " N"], share: float, seed: int) -> Bool[Tensor, " N"]:
    """Mask of the rows of the test documents: `share` of the documents, at least one, and all but at most one."""
    documents_M, document_N = group_N.cpu().unique(return_inverse=True)
    if len(documents_M) < 2:
        raise BadInput(
            f"expected at least two documents, to train a probe on one and test it on another; got {len(documents_M)}"
        )
    count = min(max(round(share * len(documents_M)), 1), len(documents_M) - 1)
    test_M = torch.zeros(len(documents_M), dtype=torch.bool)
    test_M[torch.randperm(len(documents_M), generator=torch.Generator().manual_seed(seed))[:count]] = True
    return test_M[document_N].to(group_N.device)


def permute_labels(label_N: Int[Tensor, " N"], group_N: Int[Tensor, " N"], seed: int) -> Int[Tensor, " N"]:
    """Each document takes the labels of another document, in order, from a random position on, and repeated if it is
    the longer one.

    A label of a whole document stays one, and runs of a label stay runs. The relation of the label to document and
    position is gone, and with it all that a probe can learn."""
    _, document_N, length_M = group_N.cpu().unique(return_inverse=True, return_counts=True)
    generator = torch.Generator().manual_seed(seed)
    cycle_M = torch.randperm(len(length_M), generator=generator)  # one cycle: no document takes its own labels
    donor_M = torch.empty_like(cycle_M)
    donor_M[cycle_M] = cycle_M.roll(1)
    shift_M = (torch.rand(len(length_M), generator=generator) * length_M[donor_M]).long()
    order_N = document_N.argsort(stable=True)
    start_M = length_M.cumsum(0) - length_M
    position_N = torch.empty_like(order_N)
    position_N[order_N] = torch.arange(len(order_N)) - start_M[document_N[order_N]]
    donor_N = donor_M[document_N]
    source_N = order_N[start_M[donor_N] + (position_N + shift_M[document_N]) % length_M[donor_N]]
    return label_N[source_N.to(label_N.device)]
