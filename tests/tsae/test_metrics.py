"""Variance explained, cosine, L0, firing and loss recovered: by hand, and whatever the split into batches."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from interp.artifacts import BadInput
from interp.tsae import metrics
from interp.tsae.metrics import FVE, L0, Cosine, Firing, SpliceLosses, block_slices
from interp.tsae.metrics.checks import expect_shape

BLOCKS = (2, 3)
CUTS = st.lists(st.integers(1, 7), min_size=1, max_size=5)
"""Lengths of the batches of a stream."""


def rows(n: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def codes(n: int, width: int = 5, seed: int = 0) -> torch.Tensor:
    return rows(n, width, seed).relu()


def test_public_names_are_attributes_and_others_are_not():
    assert {name for name in metrics.__all__ if getattr(metrics, name).__class__.__name__ == "module"} == set()
    with pytest.raises(AttributeError, match="no attribute 'FVU'"):
        _ = metrics.FVU


# --- variance explained --------------------------------------------------------------------------------------------


def test_variance_explained_by_hand():
    """Mean (1, 0), spread 1 + 1 + 4 + 4 = 10, error 1 + 4 = 5."""
    x_ND = torch.tensor([[0.0, 0], [2, 0], [1, 2], [1, -2]])
    xhat_ND = torch.tensor([[1.0, 0], [2, 0], [1, 0], [1, -2]])
    fve = FVE()
    fve.update(x_ND=x_ND, xhat_ND=xhat_ND)
    assert (fve.error, fve.spread, fve.n) == (5, 10, 4)
    assert fve.compute() == 0.5


@given(CUTS)
def test_predicting_the_mean_of_the_stream_scores_zero_and_a_copy_scores_one(cuts):
    x_ND = rows(sum(cuts) + 1, 3)  # one row has no spread
    mean, truth = FVE(), FVE()
    for part in x_ND.split([*cuts, 1]):
        mean.update(x_ND=part, xhat_ND=x_ND.mean(0).expand_as(part))
        truth.update(x_ND=part, xhat_ND=part)
    assert mean.compute() == pytest.approx(0, abs=1e-6)
    assert truth.compute() == 1


def test_variance_explained_is_not_a_mean_over_batches():
    """The first batch explains nothing and the second all, but most of the variance is between the two."""
    fve, parts = FVE(), []
    for x_ND, xhat_ND in ((rows(4, 2), torch.zeros(4, 2)), (rows(4, 2) + 100, rows(4, 2) + 100)):
        fve.update(x_ND=x_ND, xhat_ND=xhat_ND)
        alone = FVE()
        alone.update(x_ND=x_ND, xhat_ND=xhat_ND)
        parts.append(alone.compute())
    assert parts[0] < 0.2 and parts[1] == 1
    assert fve.compute() > 0.999


def test_a_mean_far_from_zero_costs_no_precision():
    x_ND = rows(1000, 4).double()
    near, far = FVE(), FVE()
    for part in x_ND.split(10):
        near.update(x_ND=part, xhat_ND=part + 0.5)
        far.update(x_ND=part + 1e6, xhat_ND=part + 1e6 + 0.5)
    assert far.compute() == pytest.approx(near.compute(), abs=1e-8)


def test_variance_explained_is_none_without_variance():
    fve = FVE()
    assert fve.compute() is None
    for n in (7, 6, 8):
        same_ND = torch.full((n, 3), 0.1, dtype=torch.float64)
        fve.update(x_ND=same_ND, xhat_ND=0 * same_ND)
    fve.update(x_ND=torch.zeros(0, 3), xhat_ND=torch.zeros(0, 3))
    assert fve.compute() is None and fve.n == 21


def test_infinite_activations_are_refused():
    with pytest.raises(BadInput, match="x and xhat must be finite"):
        FVE().update(x_ND=torch.tensor([[1.0, math.inf]]), xhat_ND=torch.zeros(1, 2))


# --- cosine --------------------------------------------------------------------------------------------------------


def test_cosine_by_hand_without_zero_vectors():
    x_ND = torch.tensor([[1.0, 0], [1, 0], [3, 4], [0, 0], [1, 1], [0, 0]])
    xhat_ND = torch.tensor([[9.0, 0], [0, 2], [-3, -4], [1, 1], [0, 0], [0, 0]])
    cosine = Cosine()
    cosine.update(x_ND=x_ND, xhat_ND=xhat_ND)
    result = cosine.compute()
    assert result.value == pytest.approx((1 + 0 - 1) / 3)
    assert (result.n, result.zero_x, result.zero_xhat) == (3, 2, 1)
    assert Cosine().compute().value is None


def test_cosine_does_not_depend_on_length():
    cosine = Cosine()
    cosine.update(x_ND=rows(50, 4), xhat_ND=rows(50, 4) * 1e-3)
    assert cosine.compute().value == pytest.approx(1)


# --- active and firing latents -------------------------------------------------------------------------------------


def test_active_latents_by_hand():
    l0 = L0(BLOCKS)
    l0.update(z_NF=torch.tensor([[1.0, 0, 2, 3, 0], [0, 0, 0, 0.5, 0]]))
    result = l0.compute()
    assert (result.total, result.per_block, result.n) == (2.0, (0.5, 1.5), 2)
    l0.update(z_NF=torch.zeros(2, 5))
    assert l0.compute().total == 1.0


def test_l0_is_none_without_tokens_or_latents():
    assert L0(BLOCKS).compute().total is None
    l0 = L0((0, 5))
    l0.update(z_NF=codes(3))
    assert l0.compute().per_block[0] is None
    assert l0.compute().total == l0.compute().per_block[1]


def test_firing_by_hand():
    firing = Firing(BLOCKS)
    firing.update(z_NF=torch.tensor([[1.0, 0, 2, 0, 0], [3, 0, 0, 0, 0]]))
    firing.update(z_NF=torch.tensor([[0.0, 0, 2, 0, 0], [0, 0, 0, 0, 6]]))
    result = firing.compute()
    assert result.active_tokens_F.tolist() == [2, 0, 2, 0, 1]
    assert result.firing_rate_F.tolist() == [0.5, 0, 0.5, 0, 0.25]
    assert_close(
        result.mean_when_active_F, torch.tensor([2, math.nan, 2, math.nan, 6], dtype=torch.float64), equal_nan=True
    )
    assert result.dead_share == pytest.approx(2 / 5)
    assert result.dead_share_per_block == (0.5, pytest.approx(1 / 3))


def test_the_dead_share_is_none_without_tokens_or_latents():
    firing = Firing((0, 5))
    assert firing.compute().dead_share is None
    firing.update(z_NF=codes(3))
    assert firing.compute().dead_share_per_block[0] is None


@pytest.mark.parametrize("metric", [L0, Firing])
def test_codes_of_other_blocks_and_negative_codes_are_refused(metric):
    with pytest.raises(BadInput, match=r"z_NF must be \(rows, 5\), the blocks' sum; got \(2, 4\)"):
        metric(BLOCKS).update(z_NF=codes(2, 4))
    with pytest.raises(BadInput, match="must not be negative; its minimum is -1"):
        metric(BLOCKS).update(z_NF=-torch.ones(2, 5))
    with pytest.raises(BadInput, match="its minimum is nan"):
        metric(BLOCKS).update(z_NF=torch.full((2, 5), math.nan))
    with pytest.raises(BadInput, match=r"same blocks can be merged; got \(2, 3\) and \(3, 2\)"):
        metric(BLOCKS).merge(metric((3, 2)))


@pytest.mark.parametrize("blocks", [(), (0, 0), (3, -1)])
def test_blocks_without_positive_widths_are_refused(blocks):
    with pytest.raises(BadInput, match="blocks must be widths"):
        block_slices(blocks)


def test_the_slow_block_comes_first():
    assert block_slices((205, 819)) == [slice(0, 205), slice(205, 1024)]


# --- loss recovered ------------------------------------------------------------------------------------------------


def logits(*probabilities: float) -> torch.Tensor:
    """Logits of one row over two tokens, from the probability of the second at each position, shifted by 3."""
    p_L = torch.tensor([probabilities])
    return torch.stack([(1 - p_L).log(), p_L.log()], -1) + 3


ONE = torch.ones(1, 2, dtype=torch.int64)
BOTH = torch.ones(1, 2, dtype=torch.bool)


def loss_recovered(clean, spliced, ablated, mask_BL=BOTH):
    recovered = SpliceLosses()
    recovered.update(clean_BLV=clean, spliced_BLV=spliced, ablated_BLV=ablated, tokens_BL=ONE, mask_BL=mask_BL)
    return recovered.compute()


def test_loss_recovered_by_hand():
    """The token is 1 at both positions: CE is -ln of its probability, and KL is between two coins."""
    result = loss_recovered(logits(0.8, 0.8), logits(0.6, 0.8), logits(0.5, 0.5))
    ce = [-math.log(0.8), -(math.log(0.6) + math.log(0.8)) / 2, math.log(2)]
    kl_spliced = (0.8 * math.log(0.8 / 0.6) + 0.2 * math.log(0.2 / 0.4)) / 2
    kl_ablated = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert result.ce_clean_nats_per_token == pytest.approx(ce[0])
    assert result.ce_spliced_nats_per_token == pytest.approx(ce[1])
    assert result.ce_ablated_nats_per_token == pytest.approx(ce[2])
    assert result.ce_recovered == pytest.approx((ce[2] - ce[1]) / (ce[2] - ce[0]))
    assert result.kl_spliced_nats_per_token == pytest.approx(kl_spliced)
    assert result.kl_ablated_nats_per_token == pytest.approx(kl_ablated)
    assert result.kl_recovered == pytest.approx(1 - kl_spliced / kl_ablated)


def test_a_perfect_splice_recovers_all_and_the_ablation_recovers_nothing():
    clean, ablated = logits(0.9, 0.7), logits(0.5, 0.2)
    perfect, nothing = loss_recovered(clean, clean, ablated), loss_recovered(clean, ablated, ablated)
    assert (perfect.ce_recovered, perfect.kl_recovered, perfect.kl_spliced_nats_per_token) == (1, 1, 0)
    assert (nothing.ce_recovered, nothing.kl_recovered) == (0, 0)


def test_only_masked_positions_count():
    second = torch.tensor([[False, True]])
    result = loss_recovered(logits(0.1, 0.8), logits(0.9, 0.6), logits(0.3, 0.5), second)
    alone = loss_recovered(logits(0.8, 0.8), logits(0.6, 0.6), logits(0.5, 0.5))
    assert result.n == 1
    assert result.ce_recovered == pytest.approx(alone.ce_recovered)
    assert result.kl_recovered == pytest.approx(alone.kl_recovered)


def test_loss_recovered_is_none_if_the_ablation_does_no_harm():
    clean = logits(0.8, 0.8)
    result = loss_recovered(clean, logits(0.6, 0.6), clean)
    assert (result.ce_recovered, result.kl_recovered) == (None, None)
    assert result.kl_spliced_nats_per_token > 0
    assert loss_recovered(clean, clean, logits(0.9, 0.9)).ce_recovered is None
    assert loss_recovered(clean, clean, clean, ~BOTH) == SpliceLosses().compute()
    assert SpliceLosses().compute().ce_clean_nats_per_token is None


def test_tokens_of_probability_zero_add_nothing_to_the_kl():
    result = loss_recovered(logits(1, 1), logits(0.5, 0.5), logits(0.25, 0.25))
    assert result.kl_spliced_nats_per_token == pytest.approx(math.log(2))
    assert result.kl_recovered == pytest.approx(0.5)


# --- streams -------------------------------------------------------------------------------------------------------


def accumulators() -> dict[str, tuple]:
    """Each accumulator, and a function that updates it with a random batch."""

    def update_losses(metric, n, seed):
        clean, spliced, ablated = (rows(n * 3, 4, seed + more).view(n, 3, 4) for more in (0, 1, 2))
        tokens, mask = torch.full((n, 3), seed % 4), rows(n, 3, seed) > -1
        metric.update(clean_BLV=clean, spliced_BLV=spliced, ablated_BLV=ablated, tokens_BL=tokens, mask_BL=mask)

    def update_pair(metric, n, seed):
        metric.update(x_ND=rows(n, 3, seed) + seed, xhat_ND=rows(n, 3, seed + 1))

    def update_codes(metric, n, seed):
        metric.update(z_NF=codes(n, 5, seed))

    return {
        "fve": (FVE, update_pair),
        "cosine": (Cosine, update_pair),
        "l0": (lambda: L0(BLOCKS), update_codes),
        "firing": (lambda: Firing(BLOCKS), update_codes),
        "recovered": (SpliceLosses, update_losses),
    }


@pytest.mark.parametrize("name", accumulators())
@given(cuts=CUTS, split=st.integers(0, 5))
def test_merged_parts_give_the_result_of_the_stream(name, cuts, split):
    make_metric, update = accumulators()[name]
    whole, parts = make_metric(), (make_metric(), make_metric())
    for seed, n in enumerate(cuts):
        update(whole, n, seed)
        update(parts[seed >= split], n, seed)
    parts[0].merge(parts[1])
    assert flat(parts[0].compute()) == pytest.approx(flat(whole.compute()), nan_ok=True)


def flat(result: object) -> list[float]:
    """The numbers of a result, None as NaN."""
    from interp.artifacts import to_json

    result = to_json(result)
    values = list(result.values()) if isinstance(result, dict) else [result]
    flat_values = [
        v for value in values for v in (np.asarray(value, float).ravel() if value is not None else [math.nan])
    ]
    return [float(value) for value in flat_values]


def test_another_shape_is_refused_and_not_broadcast(without_type_checks):
    with pytest.raises(BadInput, match=r"xhat_ND must have the shape \(4, 3\) of what it is compared with; got"):
        expect_shape("xhat_ND", rows(1, 3), (4, 3))
    for metric in (FVE, Cosine):
        with pytest.raises(BadInput, match="must have the shape"):
            metric().update(x_ND=rows(4, 3), xhat_ND=rows(1, 3))
