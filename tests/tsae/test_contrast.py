"""The contrastive term by hand, against torch's cross-entropy, and pair by pair: who is whose negative."""

from itertools import product
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from interp.tsae.contrastive import contrastive_loss, dense_contrastive_loss, false_negatives, info_nce, pair_similarities, normalize_rows
from interp.tsae.sparse import Pattern

PAIRS = torch.tensor([[1, 0], [2, 1], [3, 2], [5, 4], [6, 5], [8, 7], [9, 8]])
"""Neighbours in documents of 4, 3 and 3 tokens, each but the first and the last in two pairs."""
DOCUMENTS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
KINDS = list(product(["cosine", "dot"], [0.1, 1.0], ["mean", "sum"], [None, DOCUMENTS]))


def codes(rows: int = 10, width: int = 8, seed: int = 0) -> torch.Tensor:
    """Sparse, not negative, and one row silent."""
    generator = torch.Generator().manual_seed(seed)
    slow_MF = torch.randn(rows, width, generator=generator, dtype=torch.double).relu()
    return slow_MF * (torch.rand(rows, width, generator=generator) < 0.6) * (torch.arange(rows) != 5)[:, None]


def sparse_of(slow_MF: torch.Tensor) -> tuple[torch.Tensor, Pattern]:
    places_N = slow_MF.reshape(-1).nonzero()[:, 0]
    return slow_MF.reshape(-1)[places_N], Pattern.from_flat(places_N, *slow_MF.shape)


def one_by_one(slow_MF, pairs_P2, documents_M, similarity, temperature, reduction):
    """In loops: for each pair, how surely the partner is named among those that are allowed, and the other way."""
    unit_MF = slow_MF / slow_MF.norm(dim=1, keepdim=True).clamp(min=1e-9) if similarity == "cosine" else slow_MF
    total = slow_MF.new_zeros(())
    for i, (anchor, partner) in enumerate(pairs_P2.tolist()):
        forth, back = [], []
        for j, (other, theirs) in enumerate(pairs_P2.tolist()):
            if i == j or documents_M is None or documents_M[anchor] != documents_M[theirs]:
                forth.append(unit_MF[anchor] @ unit_MF[theirs] / temperature)
            if i == j or documents_M is None or documents_M[other] != documents_M[partner]:
                back.append(unit_MF[other] @ unit_MF[partner] / temperature)
        hit = unit_MF[anchor] @ unit_MF[partner] / temperature
        total = total + torch.stack(forth).logsumexp(0) + torch.stack(back).logsumexp(0) - 2 * hit
    return total / len(pairs_P2) / (1 if reduction == "sum" else 2)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_two_pairs_by_hand():
    """Each row and column holds odds of 3 to 1 for the right one."""
    logits_PP = torch.tensor([[log(3), 0.0], [0.0, log(3)]])
    assert info_nce(logits_PP).item() == pytest.approx(log(4 / 3))
    assert info_nce(logits_PP, reduction="sum").item() == pytest.approx(2 * log(4 / 3))


def test_the_two_directions_by_hand():
    """Rows name the right one at odds 1:2 and 1:1, columns at 1:1 and 1:2."""
    logits_PP = torch.tensor([[0.0, log(2)], [0.0, 0.0]])
    assert info_nce(logits_PP, reduction="sum").item() == pytest.approx((log(3) + log(2)) / 2 + (log(2) + log(3)) / 2)
    lopsided_PP = torch.tensor([[0.0, log(2), log(5)], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    rows, columns = (log(8) + 2 * log(3)) / 3, (log(3) + log(4) + log(7)) / 3
    assert info_nce(lopsided_PP).item() == pytest.approx((rows + columns) / 2)


def test_three_pairs_with_struck_entries_by_hand():
    """The first two pairs are of one document: each has one negative left, and the third has two."""
    struck_PP = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
    logits_PP = torch.tensor([[log(3), 9.0, 0.0], [9.0, log(3), 0.0], [0.0, 0.0, log(3)]])
    assert info_nce(logits_PP, struck_PP).item() == pytest.approx((2 * log(4 / 3) + log(5 / 3)) / 3)
    assert info_nce(logits_PP, struck_PP | ~torch.eye(3, dtype=torch.bool)).item() == 0


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_orthogonal_codes_give_the_known_value(temperature):
    """P tokens, each like its partner and unlike all others."""
    slow_MF = torch.cat([torch.eye(4), 5 * torch.eye(4)]).double()
    values_N, pattern = sparse_of(slow_MF)
    pairs_P2 = torch.stack([torch.arange(4), torch.arange(4) + 4], 1)
    asked = {"temperature": temperature, "reduction": "mean"}
    found = contrastive_loss(values_N, pattern, pairs_P2, None, similarity="cosine", **asked)
    assert found.item() == pytest.approx(log(1 + 3 * exp(-1 / temperature)))
    found = contrastive_loss(values_N, pattern, pairs_P2, None, similarity="dot", **asked)
    assert found.item() == pytest.approx(log(1 + 3 * exp(-5 / temperature)), abs=1e-9)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_tokens_that_are_like_nobody_or_silent_can_only_guess(similarity):
    pairs_P2 = torch.stack([torch.arange(4), torch.arange(4) + 4], 1)
    for slow_MF in (torch.eye(8), torch.zeros(8, 8), torch.ones(8, 8)):
        leaf_MF = slow_MF.double().requires_grad_()
        places_N = slow_MF.reshape(-1).nonzero()[:, 0]
        values_N, pattern = leaf_MF.reshape(-1)[places_N], Pattern.from_flat(places_N, 8, 8)
        found = contrastive_loss(values_N, pattern, pairs_P2, None, similarity=similarity, temperature=0.1, reduction="mean")
        assert found.item() == pytest.approx(log(4))
        (grad_MF,) = torch.autograd.grad(found, leaf_MF)
        assert grad_MF.isfinite().all()


def test_cosines_are_between_minus_one_and_one_and_of_silent_rows_nothing():
    slow_MF = codes()
    values_N, pattern = sparse_of(slow_MF)
    found_PP = pair_similarities(normalize_rows(values_N, pattern), pattern, *PAIRS.unbind(1))
    expected_PP = F.cosine_similarity(slow_MF[PAIRS[:, 0], None], slow_MF[None, PAIRS[:, 1]], dim=-1)
    assert_close(found_PP, expected_PP)
    assert (found_PP[PAIRS[:, 0] == 5] == 0).all() and (found_PP[:, PAIRS[:, 1] == 5] == 0).all()


# --- against others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("similarity", "temperature", "reduction", "documents"), KINDS)
def test_value_and_gradient_are_those_of_the_dense_and_of_loops(similarity, temperature, reduction, documents):
    options = {"similarity": similarity, "temperature": temperature, "reduction": reduction}
    slow_MF, found = codes(), []
    places_N = slow_MF.reshape(-1).nonzero()[:, 0]
    for way in (contrastive_loss, dense_contrastive_loss, one_by_one):
        leaf_N = slow_MF.reshape(-1)[places_N].requires_grad_()
        whole_MF = torch.zeros_like(slow_MF).reshape(-1).index_put((places_N,), leaf_N).reshape(slow_MF.shape)
        given = (leaf_N, Pattern.from_flat(places_N, *slow_MF.shape)) if way is contrastive_loss else (whole_MF,)
        value = way(*given, PAIRS, documents, **options)
        found.append((value, *torch.autograd.grad(value, leaf_N)))
    assert_close(found[0], found[2])
    assert_close(found[1], found[2])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_without_documents_it_is_cross_entropy(similarity):
    slow_MF, (anchors_P, partners_P) = codes(), PAIRS.unbind(1)
    unit_MF = F.normalize(slow_MF, dim=1, eps=1e-9) if similarity == "cosine" else slow_MF
    logits_PP, right_P = unit_MF[anchors_P] @ unit_MF[partners_P].T / 0.5, torch.arange(len(PAIRS))
    expected = (F.cross_entropy(logits_PP, right_P) + F.cross_entropy(logits_PP.T, right_P)) / 2
    values_N, pattern = sparse_of(slow_MF)
    found = contrastive_loss(values_N, pattern, PAIRS, None, similarity=similarity, temperature=0.5, reduction="mean")
    assert_close(found, expected)


@given(st.permutations(range(7)))
def test_the_order_of_pairs_does_not_matter(order):
    values_N, pattern = sparse_of(codes())
    options = {"similarity": "cosine", "temperature": 0.1, "reduction": "mean"}
    found, shuffled = (contrastive_loss(values_N, pattern, pairs, DOCUMENTS, **options) for pairs in (PAIRS, PAIRS[order]))
    assert_close(found, shuffled)


# --- who is whose negative -----------------------------------------------------------------------------------------


def test_the_meetings_within_a_document_are_struck_but_for_the_pair_itself():
    struck_PP = false_negatives(DOCUMENTS, PAIRS)
    of_pair = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    expected_PP = (of_pair[:, None] == of_pair) & ~torch.eye(7, dtype=torch.bool)
    assert torch.equal(struck_PP, expected_PP)
    crossing = torch.tensor([[0, 4], [4, 0]])  # as the shuffled control deals them: each partner of the other's own
    assert false_negatives(DOCUMENTS, crossing).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("same_sequence", [False, True])
def test_the_tokens_of_a_document_repel_one_another_only_if_asked_to(same_sequence):
    """What the slow codes of the second pair are matters to the loss of the first, or does not."""
    slow_MF = codes(8)
    pairs_P2, documents_M = torch.tensor([[1, 0], [3, 2]]), torch.zeros(8, dtype=torch.int64)
    values_N, pattern = sparse_of(slow_MF)
    documents_M = None if same_sequence else documents_M
    asked = {"similarity": "cosine", "temperature": 0.1, "reduction": "mean"}
    leaf_N = values_N.clone().requires_grad_()
    value = contrastive_loss(leaf_N, pattern, pairs_P2, documents_M, **asked)
    (grad_N,) = torch.autograd.grad(value, leaf_N)
    assert (value > 0).item() is same_sequence and bool(grad_N.any()) is same_sequence


@pytest.mark.parametrize("documents", [None, DOCUMENTS])
@pytest.mark.parametrize(("together", "groups"), [(2, 4), (3, 2), (4, 2), (7, 1), (100, 1), (None, 1)])
def test_groups_of_pairs_are_dealt_out_and_averaged(together, groups, documents):
    """Seven pairs; four groups of about two are {0, 4}, {1, 5}, {2, 6} and {3}."""
    values_N, pattern = sparse_of(codes())
    options = {"similarity": "cosine", "temperature": 0.1, "reduction": "mean"}
    found = contrastive_loss(values_N, pattern, PAIRS, documents, together=together, **options)
    dealt = [PAIRS[at::groups] for at in range(groups)]
    parts = [len(pairs) * contrastive_loss(values_N, pattern, pairs, documents, **options) for pairs in dealt]
    assert_close(found, sum(parts) / 7)
