"""Rules of dictionaries on inputs small enough to count: chunks of whole documents, losses of nothing, rows at once."""

import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tsae_fixtures import identity_tsae, noise_residuals, small_config, small_store, store_with_layout

from interp.tsae import TrainingConfig, TSAEConfig, codes, evaluate, fit, quality, statistics
from interp.tsae.codes import Codes
from interp.tsae.fit_checks import warn_no_promotion
from interp.tsae.metrics import LossRecovered, SpliceLosses
from interp.tsae.pools import Pools

# --- quality -------------------------------------------------------------------------------------------------------


def pool_of_documents(*lengths: int) -> Any:
    """Documents of these lengths, one after another, whose residuals are their numbers."""
    position_N = np.concatenate([np.arange(length) for length in lengths])
    rows = SimpleNamespace(row_N=np.arange(len(position_N)), position_N=position_N)

    class Rows(SimpleNamespace):
        def __len__(self) -> int:
            return len(position_N)

    x_PD = torch.arange(float(len(position_N)))[:, None]
    return SimpleNamespace(trained_rows=Rows(**vars(rows)), x_PD=x_PD)


@pytest.mark.parametrize(
    ("tokens", "chunks"),
    [
        (100, [[0, 1, 2, 3, 4, 5, 6, 7, 8]]),
        (5, [[0, 1, 2, 3, 4], [5, 6, 7, 8]]),
        (4, [[0, 1, 2], [3, 4], [5, 6, 7, 8]]),
        (1, [[0, 1, 2], [3, 4], [5, 6, 7, 8]]),
    ],
)
def test_chunks_are_whole_documents_of_about_as_many_tokens_as_asked_for(tokens, chunks):
    parts = list(quality._whole_documents(pool_of_documents(3, 2, 4), tokens))
    assert [x_ND[:, 0].int().tolist() for x_ND, _ in parts] == chunks
    joined = [token for _, joined_N in parts for token in joined_N.tolist()]
    assert joined == [False, True, True, False, True, False, True, True, True]


def test_a_quality_does_not_depend_on_how_many_tokens_are_read_at_once(tmp_path, monkeypatch):
    store = store_with_layout(tmp_path / "store", [[(10, 3)] * 6], d_model=16, fill=noise_residuals)
    whole = evaluate(identity_tsae(16), store, progress=False).headline()
    monkeypatch.setattr(quality, "ENTRIES", 32 * 20)
    assert evaluate(identity_tsae(16), store, progress=False).headline() == pytest.approx(whole)


# --- loss recovered ------------------------------------------------------------------------------------------------


def test_a_loss_of_no_tokens_is_unknown_and_one_without_harm_cannot_be_recovered():
    assert SpliceLosses().compute() == LossRecovered(None, None, None, None, None, None, None, 0)
    harmless = SpliceLosses(ce_clean=2.0, ce_spliced=3.0, ce_ablated=2.0, kl_spliced=1.0, kl_ablated=0.0, n=2).compute()
    assert harmless.ce_recovered is None and harmless.kl_recovered is None and harmless.n == 2
    assert (harmless.ce_clean_nats_per_token, harmless.ce_spliced_nats_per_token) == (1.0, 1.5)


def test_a_loss_is_recovered_by_the_share_of_the_harm_that_is_left_out():
    result = SpliceLosses(ce_clean=2.0, ce_spliced=3.0, ce_ablated=6.0, kl_spliced=1.0, kl_ablated=8.0, n=2).compute()
    assert result.ce_recovered == 0.75 and result.kl_recovered == 0.875
    assert result.ce_ablated_nats_per_token == 3.0


# --- codes ---------------------------------------------------------------------------------------------------------


def test_codes_that_are_joined_count_their_tokens_on():
    first, second = Codes.from_dense(torch.tensor([[0.0, 2], [1, 0]])), Codes.from_dense(torch.tensor([[3.0, 0]] * 3))
    joined = Codes.concat([first, second])
    assert (joined.token_K.tolist(), joined.latent_K.tolist()) == ([0, 1, 2, 3, 4], [1, 0, 0, 0, 0])
    assert (joined.value_K.tolist(), joined.tokens, joined.width) == ([2, 1, 3, 3, 3], 5, 2)
    assert Codes.concat([second]).token_K.tolist() == [0, 1, 2] and Codes.concat([second]).tokens == 3


def test_codes_do_not_depend_on_how_many_tokens_are_encoded_at_once(monkeypatch):
    tsae, x_ND = identity_tsae(4), torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    expected = Codes.from_dense(tsae.encode(x_ND))
    for entries in (2**21, 16, 1):
        monkeypatch.setattr(codes, "IN_CACHE", entries)
        encoded = Codes.encode(tsae, x_ND)
        for name in ("token_K", "latent_K", "value_K"):
            assert torch.equal(getattr(encoded, name), getattr(expected, name)), (entries, name)
        assert (encoded.tokens, encoded.width) == (7, 8)
        assert torch.allclose(encoded.decode(tsae), x_ND)
    assert codes._tokens_at_once(tsae) == 1
    monkeypatch.setattr(codes, "IN_CACHE", 17)
    assert codes._tokens_at_once(tsae) == 2


def test_statistics_do_not_depend_on_how_many_tokens_are_read_at_once(monkeypatch):
    x_ND = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)) + 2
    whole = statistics.measure_statistics(x_ND)
    monkeypatch.setattr(statistics, "CHUNK", 7)
    parts = statistics.measure_statistics(x_ND)
    for name, value in vars(whole).items():
        assert torch.allclose(torch.as_tensor(getattr(parts, name)), torch.as_tensor(value)), name


def test_no_more_pools_are_read_than_a_sample_of_tokens_needs(tmp_path, monkeypatch):
    store, read = (
        store_with_layout(tmp_path / "store", [[(10, 0)] * 4] * 3, d_model=16, fill=noise_residuals),
        list[int](),
    )
    read_slices = Pools.read
    monkeypatch.setattr(Pools, "read", lambda self, slices: read.append(1) or read_slices(self, slices))
    config = TSAEConfig(training=TrainingConfig(pool_gb=16 * 4 * 40 / 1e9))
    for tokens, pools in ((5, 1), (10**6, 3)):
        monkeypatch.setattr(statistics, "SAMPLE_TOKENS", tokens)
        read.clear()
        assert len(statistics.sample_tokens(store, 0, config)) == min(tokens, 120) and len(read) == pools


@pytest.mark.parametrize(("steps", "warns"), [(100, False), (36, False), (35, True), (None, True)])
def test_a_fit_warns_if_its_first_promotion_would_be_in_the_last_three_tenths(steps, warns):
    """The first promotion is at step 25."""
    config = TSAEConfig(training=TrainingConfig(steps=steps))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_no_promotion(config)
        warn_no_promotion(replace(config, promote_every=None))
    assert len(caught) == warns


def test_a_fit_reports_about_the_variance_explained_that_is_measured_afterwards(tmp_path):
    store = small_store(tmp_path / "store")
    tsae = fit(store, small_config(training={"steps": 60}), progress=False)
    assert tsae.fit_metrics["fve"] == pytest.approx(evaluate(tsae, store, progress=False).fve, abs=0.1)
