"""Documents as the unit of evidence: some held out whole, and labels dealt anew among them.

Tokens of one document are alike: split by token, a probe re-identifies documents it was trained on.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.artifacts import BadInput


def held_out_rows(group_N: Int[Tensor, " N"], share: float, seed: int) -> Bool[Tensor, " N"]:
    """Rows of the documents kept for testing: `share` of them, one at least, and one at least left."""
    documents_M, which_N = group_N.cpu().unique(return_inverse=True)
    if len(documents_M) < 2:
        raise BadInput(f"a probe is tested on documents it has not seen: expected two at least, got {len(documents_M)}")
    kept = min(max(round(share * len(documents_M)), 1), len(documents_M) - 1)
    kept_M = torch.zeros(len(documents_M), dtype=torch.bool)
    kept_M[torch.randperm(len(documents_M), generator=torch.Generator().manual_seed(seed))[:kept]] = True
    return kept_M[which_N].to(group_N.device)


def permute_labels(label_N: Int[Tensor, " N"], group_N: Int[Tensor, " N"], seed: int) -> Int[Tensor, " N"]:
    """Each document takes the labels of another, in their order, from a random place in them on, over again where it
    is the longer. A label that a whole document bears stays one, runs of a label stay runs; what document and place
    have to do with the label is gone, and that is all that a probe could have learnt."""
    _, which_N, length_M = group_N.cpu().unique(return_inverse=True, return_counts=True)
    generator = torch.Generator().manual_seed(seed)
    circle_M = torch.randperm(len(length_M), generator=generator)  # no document takes its own
    donor_M = torch.empty_like(circle_M)
    donor_M[circle_M] = circle_M.roll(1)
    shift_M = (torch.rand(len(length_M), generator=generator) * length_M[donor_M]).long()
    order_N = which_N.argsort(stable=True)
    start_M = length_M.cumsum(0) - length_M
    place_N = torch.empty_like(order_N)
    place_N[order_N] = torch.arange(len(order_N)) - start_M[which_N[order_N]]
    donor_N = donor_M[which_N]
    from_N = order_N[start_M[donor_N] + (place_N + shift_M[which_N]) % length_M[donor_N]]
    return label_N[from_N.to(label_N.device)]
