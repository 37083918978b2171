"""The contrastive loss by hand, against torch's cross-entropy, and against loops over pairs and negatives."""

from itertools import product
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from interp.tsae.contrastive import (
    contrastive_loss,
    dense_contrastive_loss,
    false_negatives,
    info_nce,
    normalize_rows,
    pair_similarities,
)
from interp.tsae.sparse import Pattern

PAIRS = torch.tensor([[1, 0], [2, 1], [3, 2], [5, 4], [6, 5], [8, 7], [9, 8]])
"""Neighbours in documents of 4, 3 and 3 tokens, each but the first and the last in two pairs."""
DOCUMENTS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
KINDS = list(product(["cosine", "dot"], [0.1, 1.0], ["mean", "sum"], [None, DOCUMENTS]))


def codes(rows: int = 10, width: int = 8, seed: int = 0) -> torch.Tensor:
    """Sparse and not negative; row 5 is empty."""
    generator = torch.Generator().manual_seed(seed)
    slow_MF = torch.randn(rows, width, generator=generator, dtype=torch.double).relu()
    return slow_MF * (torch.rand(rows, width, generator=generator) < 0.6) * (torch.arange(rows) != 5)[:, None]


def sparse_of(slow_MF: torch.Tensor) -> tuple[torch.Tensor, Pattern]:
    entries_N = slow_MF.reshape(-1).nonzero()[:, 0]
    return slow_MF.reshape(-1)[entries_N], Pattern.from_flat(entries_N, *slow_MF.shape)


def looped_loss(slow_MF, pairs_P2, documents_M, similarity, temperature, reduction):
    """In loops: for each pair, -log softmax of the partner among the allowed partners, and of the anchor likewise."""
    unit_MF = slow_MF / slow_MF.norm(dim=1, keepdim=True).clamp(min=1e-9) if similarity == "cosine" else slow_MF
    total = slow_MF.new_zeros(())
    for i, (anchor, partner) in enumerate(pairs_P2.tolist()):
        forward, backward = [], []
        for j, (other_anchor, other_partner) in enumerate(pairs_P2.tolist()):
            if i == j or documents_M is None or documents_M[anchor] != documents_M[other_partner]:
                forward.append(unit_MF[anchor] @ unit_MF[other_partner] / temperature)
            if i == j or documents_M is None or documents_M[other_anchor] != documents_M[partner]:
                backward.append(unit_MF[other_anchor] @ unit_MF[partner] / temperature)
        positive = unit_MF[anchor] @ unit_MF[partner] / temperature
        total = total + torch.stack(forward).logsumexp(0) + torch.stack(backward).logsumexp(0) - 2 * positive
    return total / len(pairs_P2) / (1 if reduction == "sum" else 2)


# --- by hand -------------------------------------------------------------------------------------------------------


def test_two_pairs_by_hand():
    """In each row and column the odds of the right entry are 3 to 1."""
    logits_PP = torch.tensor([[log(3), 0.0], [0.0, log(3)]])
    assert info_nce(logits_PP).item() == pytest.approx(log(4 / 3))
    assert info_nce(logits_PP, reduction="sum").item() == pytest.approx(2 * log(4 / 3))


def test_the_two_directions_by_hand():
    """The right entry has odds 1:2 and 1:1 in the rows, 1:1 and 1:2 in the columns."""
    logits_PP = torch.tensor([[0.0, log(2)], [0.0, 0.0]])
    assert info_nce(logits_PP, reduction="sum").item() == pytest.approx((log(3) + log(2)) / 2 + (log(2) + log(3)) / 2)
    lopsided_PP = torch.tensor([[0.0, log(2), log(5)], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    rows, columns = (log(8) + 2 * log(3)) / 3, (log(3) + log(4) + log(7)) / 3
    assert info_nce(lopsided_PP).item() == pytest.approx((rows + columns) / 2)


def test_three_pairs_with_ignored_entries_by_hand():
    """The first two pairs are of one document: each has one negative left, and the third has two."""
    ignored_PP = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
    logits_PP = torch.tensor([[log(3), 9.0, 0.0], [9.0, log(3), 0.0], [0.0, 0.0, log(3)]])
    assert info_nce(logits_PP, ignored_PP).item() == pytest.approx((2 * log(4 / 3) + log(5 / 3)) / 3)
    assert info_nce(logits_PP, ignored_PP | ~torch.eye(3, dtype=torch.bool)).item() == 0


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_orthogonal_codes_give_a_value_in_closed_form(temperature):
    """Four tokens, each with the direction of its partner and orthogonal to all others."""
    slow_MF = torch.cat([torch.eye(4), 5 * torch.eye(4)]).double()
    values_N, pattern = sparse_of(slow_MF)
    pairs_P2 = torch.stack([torch.arange(4), torch.arange(4) + 4], 1)
    options = {"temperature": temperature, "reduction": "mean"}
    loss = contrastive_loss(values_N, pattern, pairs_P2, None, similarity="cosine", **options)
    assert loss.item() == pytest.approx(log(1 + 3 * exp(-1 / temperature)))
    loss = contrastive_loss(values_N, pattern, pairs_P2, None, similarity="dot", **options)
    assert loss.item() == pytest.approx(log(1 + 3 * exp(-5 / temperature)), abs=1e-9)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_codes_without_information_give_the_loss_of_guessing(similarity):
    pairs_P2 = torch.stack([torch.arange(4), torch.arange(4) + 4], 1)
    for slow_MF in (torch.eye(8), torch.zeros(8, 8), torch.ones(8, 8)):
        leaf_MF = slow_MF.double().requires_grad_()
        entries_N = slow_MF.reshape(-1).nonzero()[:, 0]
        values_N, pattern = leaf_MF.reshape(-1)[entries_N], Pattern.from_flat(entries_N, 8, 8)
        loss = contrastive_loss(
            values_N, pattern, pairs_P2, None, similarity=similarity, temperature=0.1, reduction="mean"
        )
        assert loss.item() == pytest.approx(log(4))
        (grad_MF,) = torch.autograd.grad(loss, leaf_MF)
        assert grad_MF.isfinite().all()


def test_pair_similarities_of_unit_rows_are_cosines_and_zero_for_empty_rows():
    slow_MF = codes()
    values_N, pattern = sparse_of(slow_MF)
    cosine_PP = pair_similarities(normalize_rows(values_N, pattern), pattern, *PAIRS.unbind(1))
    expected_PP = F.cosine_similarity(slow_MF[PAIRS[:, 0], None], slow_MF[None, PAIRS[:, 1]], dim=-1)
    assert_close(cosine_PP, expected_PP)
    assert (cosine_PP[PAIRS[:, 0] == 5] == 0).all() and (cosine_PP[:, PAIRS[:, 1] == 5] == 0).all()


# --- against others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("similarity", "temperature", "reduction", "documents"), KINDS)
def test_loss_and_gradient_equal_those_of_the_dense_loss_and_of_loops(similarity, temperature, reduction, documents):
    options = {"similarity": similarity, "temperature": temperature, "reduction": reduction}
    slow_MF, results = codes(), []
    entries_N = slow_MF.reshape(-1).nonzero()[:, 0]
    for implementation in (contrastive_loss, dense_contrastive_loss, looped_loss):
        leaf_N = slow_MF.reshape(-1)[entries_N].requires_grad_()
        whole_MF = torch.zeros_like(slow_MF).reshape(-1).index_put((entries_N,), leaf_N).reshape(slow_MF.shape)
        inputs = (
            (leaf_N, Pattern.from_flat(entries_N, *slow_MF.shape))
            if implementation is contrastive_loss
            else (whole_MF,)
        )
        value = implementation(*inputs, PAIRS, documents, **options)
        results.append((value, *torch.autograd.grad(value, leaf_N)))
    assert_close(results[0], results[2])
    assert_close(results[1], results[2])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_without_documents_it_equals_cross_entropy(similarity):
    slow_MF, (anchors_P, partners_P) = codes(), PAIRS.unbind(1)
    unit_MF = F.normalize(slow_MF, dim=1, eps=1e-9) if similarity == "cosine" else slow_MF
    logits_PP, target_P = unit_MF[anchors_P] @ unit_MF[partners_P].T / 0.5, torch.arange(len(PAIRS))
    expected = (F.cross_entropy(logits_PP, target_P) + F.cross_entropy(logits_PP.T, target_P)) / 2
    values_N, pattern = sparse_of(slow_MF)
    loss = contrastive_loss(values_N, pattern, PAIRS, None, similarity=similarity, temperature=0.5, reduction="mean")
    assert_close(loss, expected)


@given(st.permutations(range(7)))
def test_the_order_of_pairs_does_not_matter(order):
    values_N, pattern = sparse_of(codes())
    options = {"similarity": "cosine", "temperature": 0.1, "reduction": "mean"}
    loss, shuffled = (
        contrastive_loss(values_N, pattern, pairs, DOCUMENTS, **options) for pairs in (PAIRS, PAIRS[order])
    )
    assert_close(loss, shuffled)


# --- who is whose negative -----------------------------------------------------------------------------------------


def test_false_negatives_are_the_entries_within_a_document_but_for_the_pair_itself():
    ignored_PP = false_negatives(DOCUMENTS, PAIRS)
    document_P = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    expected_PP = (document_P[:, None] == document_P) & ~torch.eye(7, dtype=torch.bool)
    assert torch.equal(ignored_PP, expected_PP)
    crossing = torch.tensor(
        [[0, 4], [4, 0]]
    )  # as in the shuffled control: each partner is of the other anchor's document
    assert false_negatives(DOCUMENTS, crossing).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("same_sequence", [False, True])
def test_tokens_of_one_document_are_negatives_only_with_same_sequence(same_sequence):
    """With two pairs of one document the loss is 0, and has no gradient, unless they are negatives."""
    slow_MF = codes(8)
    pairs_P2, documents_M = torch.tensor([[1, 0], [3, 2]]), torch.zeros(8, dtype=torch.int64)
    values_N, pattern = sparse_of(slow_MF)
    documents_M = None if same_sequence else documents_M
    options = {"similarity": "cosine", "temperature": 0.1, "reduction": "mean"}
    leaf_N = values_N.clone().requires_grad_()
    value = contrastive_loss(leaf_N, pattern, pairs_P2, documents_M, **options)
    (grad_N,) = torch.autograd.grad(value, leaf_N)
    assert (value > 0).item() is same_sequence and bool(grad_N.any()) is same_sequence


@pytest.mark.parametrize("documents", [None, DOCUMENTS])
@pytest.mark.parametrize(("together", "groups"), [(2, 4), (3, 2), (4, 2), (7, 1), (100, 1), (None, 1)])
def test_pairs_are_split_into_groups_whose_losses_are_averaged(together, groups, documents):
    """Seven pairs; four groups of about two are {0, 4}, {1, 5}, {2, 6} and {3}."""
    values_N, pattern = sparse_of(codes())
    options = {"similarity": "cosine", "temperature": 0.1, "reduction": "mean"}
    loss = contrastive_loss(values_N, pattern, PAIRS, documents, together=together, **options)
    grouped = [PAIRS[group::groups] for group in range(groups)]
    parts = [len(pairs) * contrastive_loss(values_N, pattern, pairs, documents, **options) for pairs in grouped]
    assert_close(loss, sum(parts) / 7)
