"""Probes read labels on held-out documents, and find nothing in permuted labels; AUROC and logistic regression."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from interp.artifacts import BadInput
from interp.tsae.metrics import ProbeConfig, auroc, control_probe, held_out_rows, permute_labels, probe
from interp.tsae.metrics.logistic import fit_logistic

DOCUMENTS, LENGTH = 120, 10
GROUP = torch.arange(DOCUMENTS).repeat_interleave(LENGTH)


def random_codes(width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(len(GROUP), width, generator=torch.Generator().manual_seed(seed))


def random_labels(classes: int, seed: int = 1) -> torch.Tensor:
    """A label for every token, without memory."""
    return torch.randint(classes, (len(GROUP),), generator=torch.Generator().manual_seed(seed))


# --- AUROC ---------------------------------------------------------------------------------------------------------


def test_auroc_by_hand_with_ties_counting_half():
    """Positives 3 and 2, negatives 2 and 1: of four pairs, three are in order and one is tied."""
    assert auroc(np.array([3.0, 2, 2, 1]), np.array([True, True, False, False])) == 3.5 / 4
    assert auroc(np.array([1.0, 1, 1]), np.array([True, False, False])) == 0.5
    assert auroc(np.array([1.0, 2]), np.array([True, True])) is None
    with pytest.raises(BadInput, match="got 1 NaN of 2"):
        auroc(np.array([1.0, np.nan]), np.array([True, False]))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_order(pairs):
    score_N, on_N = np.array([float(s) for s, _ in pairs]), np.array([on for _, on in pairs])
    in_order = [(a > b) + (a == b) / 2 for a in score_N[on_N] for b in score_N[~on_N]]
    assert auroc(score_N, on_N) == (pytest.approx(sum(in_order) / len(in_order)) if in_order else None)


# --- documents -----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.floats(0, 1), st.integers(0, 9))
def test_documents_are_held_out_whole_and_both_sides_have_some(groups, share, seed):
    group_N = torch.tensor([*groups, 10, 11])
    test_N = held_out_rows(group_N, share, seed)
    assert not set(group_N[test_N].tolist()) & set(group_N[~test_N].tolist())
    assert test_N.any() and not test_N.all()
    assert torch.equal(test_N, held_out_rows(group_N, share, seed))


def test_one_document_cannot_be_split():
    with pytest.raises(BadInput, match="expected at least two documents, .*; got 1"):
        held_out_rows(torch.zeros(5, dtype=torch.int64), 0.3, 0)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=9), st.integers(0, 50))
def test_each_document_takes_the_labels_of_another_in_order(lengths, seed):
    """The label of each row is its own index, so the result shows where each label came from."""
    group_N = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    source_N = permute_labels(torch.arange(len(group_N)), group_N, seed)
    donors = []
    for group, length in enumerate(lengths):
        own_source = source_N[group_N == group]
        (donor,) = set(group_N[own_source].tolist())
        first = int((group_N == donor).nonzero()[0, 0])
        positions = own_source - first
        assert torch.equal(
            (positions[1:] - positions[:-1]) % lengths[donor], torch.ones(length - 1).long() % lengths[donor]
        )
        assert donor != group
        donors.append(donor)
    assert sorted(donors) == list(range(len(lengths)))


def test_rows_of_a_document_need_not_lie_together():
    group_N = torch.tensor([7, 3, 7, 3])
    assert permute_labels(torch.tensor([0, 1, 0, 1]), group_N, 0).tolist() == [1, 0, 1, 0]


# --- logistic regression -------------------------------------------------------------------------------------------


def test_logistic_regression_finds_the_minimum_that_scipy_finds():
    rng = np.random.default_rng(0)
    x_NK, on_N = rng.normal(size=(200, 3)), rng.random(200) < 0.3
    on_N |= x_NK[:, 0] > 1

    def loss(theta):
        signed = np.where(on_N, 1, -1) * (x_NK @ theta[:3] + theta[3])
        return np.logaddexp(0, -signed).mean() + 0.05 / 2 * (theta[:3] ** 2).sum()

    scipy_minimum = minimize(loss, np.zeros(4), tol=1e-12).x
    questions_NC = torch.from_numpy(np.stack([on_N, ~on_N], 1))
    weight_KC, bias_C = fit_logistic(torch.from_numpy(x_NK), questions_NC, 0.05)
    np.testing.assert_allclose([*weight_KC[:, 0], bias_C[0]], scipy_minimum, atol=1e-4)
    np.testing.assert_allclose([*weight_KC[:, 1], bias_C[1]], -scipy_minimum, atol=1e-4)


def test_the_penalty_bounds_the_weights_of_separable_classes():
    """By hand: x of 1 and -1, so w solves sigmoid(-w) = l2 w, and w = 1 at l2 = sigmoid(-1)."""
    x_NK = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    weight_KC, bias_C = fit_logistic(x_NK, torch.tensor([[True], [False]]), float(torch.tensor(-1.0).sigmoid()))
    assert weight_KC.item() == pytest.approx(1, abs=1e-5)
    assert bias_C.item() == pytest.approx(0, abs=1e-6)


def test_probes_run_in_inference_mode():
    with torch.inference_mode():
        z_NF = random_codes(4)
        assert probe(z_NF, (z_NF[:, 0] > 0).long(), GROUP)[0].auroc > 0.99


# --- probes --------------------------------------------------------------------------------------------------------


def test_a_latent_equal_to_the_label_is_found_and_suffices():
    label_N = random_labels(2)
    z_NF = random_codes(30).relu()
    z_NF[:, 17] = label_N.float()
    for result in probe(z_NF, label_N, GROUP):
        assert result.auroc == pytest.approx(1, abs=0.01 if result.k is None else 0)
        assert result.latents[1][:1] == (() if result.k is None else (17,))


def test_a_latent_that_is_inactive_on_the_class_is_found_too():
    label_N = random_labels(2)
    z_NF = random_codes(5).relu()
    z_NF[:, 3] = 1 - label_N.float()
    assert probe(z_NF, label_N, GROUP, ProbeConfig(ks=(1,)))[0].auroc == 1


def test_a_label_over_five_latents_needs_five():
    """Each class raises five latents of its own."""
    label_N = random_labels(3)
    z_NF = random_codes(40)
    for label in range(3):
        z_NF[:, 5 * label : 5 * label + 5] += (label_N == label)[:, None]
    k1, k5, all_latents = probe(z_NF, label_N, GROUP, ProbeConfig(ks=(1, 5, None)))
    assert k1.auroc < k5.auroc - 0.05
    assert abs(k5.auroc - all_latents.auroc) < 0.03
    assert [set(k5.latents[label]) for label in range(3)] == [set(range(5 * t, 5 * t + 5)) for t in range(3)]
    assert k5.auroc == pytest.approx(sum(k5.by_class.values()) / 3)


def test_the_difference_in_means_is_standardized():
    """A latent of large activations with a larger but less certain difference is not chosen."""
    label_N = random_labels(2)
    z_NF = random_codes(2) * torch.tensor([1.0, 1000])
    z_NF[:, 0] += 3 * label_N
    z_NF[:, 1] += 200 * label_N
    assert probe(z_NF, label_N, GROUP, ProbeConfig(ks=(1,)))[0].latents == {1: (0,)}


def test_a_constant_latent_is_never_chosen():
    label_N = random_labels(2)
    z_NF = torch.cat([torch.full((len(GROUP), 1), 0.1), random_codes(1) + label_N[:, None]], 1)
    assert probe(z_NF, label_N, GROUP, ProbeConfig(ks=(1,)))[0].latents == {1: (1,)}


def test_k_beyond_the_width_uses_all_latents():
    label_N, z_NF = random_labels(2), random_codes(3) + random_labels(2)[:, None]
    beyond, all_latents = probe(z_NF, label_N, GROUP, ProbeConfig(ks=(20, None)))
    assert beyond.k == 20 and sorted(beyond.latents[1]) == [0, 1, 2]
    assert beyond.auroc == pytest.approx(all_latents.auroc, abs=1e-4)


def test_what_identifies_a_document_does_not_predict_its_label():
    """Every document has its own direction. A probe tested on documents it was trained on would read any label."""
    label_N = torch.randint(2, (DOCUMENTS,), generator=torch.Generator().manual_seed(3))[GROUP]
    one_hot_NF = torch.nn.functional.one_hot(GROUP).float()
    held_out_auroc = probe(one_hot_NF, label_N, GROUP, ProbeConfig(ks=(None,)))[0].auroc
    assert abs(held_out_auroc - 0.5) < 0.1
    token_N = torch.arange(len(GROUP))  # as if each token were a document
    assert probe(one_hot_NF, label_N, token_N, ProbeConfig(ks=(None,)))[0].auroc > 0.99


@pytest.mark.parametrize("per_document", [True, False])
def test_the_control_probe_finds_nothing(per_document):
    label_N = random_labels(3)
    label_N = label_N[GROUP * LENGTH] if per_document else label_N
    z_NF = random_codes(10) + 3 * torch.nn.functional.one_hot(label_N, 10)
    for probed, control in zip(probe(z_NF, label_N, GROUP), control_probe(z_NF, label_N, GROUP), strict=True):
        assert probed.auroc > 0.8
        assert abs(control.auroc - 0.5) < 0.1
        assert control.k == probed.k


def test_a_label_decided_by_position_is_not_read_in_the_control():
    place_N = torch.arange(len(GROUP)) % LENGTH
    place_NF, label_N = torch.nn.functional.one_hot(place_N).float(), (place_N < LENGTH // 2).long()
    config = ProbeConfig(ks=(None,))
    assert probe(place_NF, label_N, GROUP, config)[0].auroc == 1
    assert abs(control_probe(place_NF, label_N, GROUP, config)[0].auroc - 0.5) < 0.1


def test_rows_without_a_label_are_left_out():
    label_N, z_NF = random_labels(2), random_codes(6)
    z_NF[:, 2] += label_N
    label_N[: 4 * LENGTH] = -1
    z_NF[: 4 * LENGTH] = 1e6
    labeled = slice(4 * LENGTH, None)
    assert probe(z_NF, label_N, GROUP) == probe(z_NF[labeled], label_N[labeled], GROUP[labeled])
    assert control_probe(z_NF, label_N, GROUP) == control_probe(z_NF[labeled], label_N[labeled], GROUP[labeled])


def test_a_class_of_one_document_has_no_auroc():
    label_N, z_NF = random_labels(2), random_codes(6)
    label_N[:LENGTH] = 2
    result = probe(z_NF, label_N, GROUP, ProbeConfig(ks=(1,)))[0]
    assert result.by_class[2] is None
    assert result.auroc == pytest.approx((result.by_class[0] + result.by_class[1]) / 2)


def test_the_same_probe_gives_the_same_result():
    label_N, z_NF = random_labels(4), random_codes(12)
    assert probe(z_NF, label_N, GROUP) == probe(z_NF, label_N, GROUP)
    assert probe(z_NF, label_N, GROUP) != probe(z_NF, label_N, GROUP, ProbeConfig(seed=1))


def test_labels_of_a_single_class_are_refused():
    with pytest.raises(BadInput, match=r"labels of at least two classes, got \[3\]"):
        probe(random_codes(2), torch.where(GROUP > 3, 3, -1), GROUP)
