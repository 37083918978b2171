"""Planted latents: alike in rate, apart in time, the same for a seed."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from interp.artifacts import BadInput
from interp.studies.dictionary_config import KINDS, PlantedConfig
from interp.studies.planted import Planted, plant, planted_store

CONFIG = PlantedConfig(d_model=24, per_kind=8, frequent_rate=0.1, rare_rate=0.03, dwell=10.0, length=40, tokens=40_000)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(CONFIG)


def of_kind(planted: Planted, kind: str) -> torch.Tensor:
    """Whether each latent of a kind is active, by document and token."""
    is_kind = [one == kind for one in planted.kind_G]
    return planted.on_NG[:, is_kind].reshape(-1, planted.length, sum(is_kind))


def test_there_are_as_many_of_each_kind_and_their_directions_are_units(planted):
    assert planted.kind_G == [kind for kind in KINDS for _ in range(8)]
    assert planted.slow_G.tolist() == [kind.startswith("slow") for kind in planted.kind_G]
    assert planted.directions_GD.shape == (32, 24) and planted.x_ND.shape == (40_000, 24)
    assert_close(planted.directions_GD.norm(dim=1), torch.ones(32))


@pytest.mark.parametrize("rate", ["frequent", "rare"])
@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, frequent_rate=0.5, rare_rate=0.3)], ids=["sparse", "dense"])
def test_slow_and_fast_latents_fire_at_the_same_rate_from_the_first_token_to_the_last(config, rate):
    """Within five standard errors: of independent tokens for the fast, of as many as dwell lets be for the slow."""
    share, planted = getattr(config, f"{rate}_rate"), plant(config)
    for kind, independent in (("slow", config.tokens * 8 / (2 * config.dwell)), ("fast", config.tokens * 8)):
        on_BLG = of_kind(planted, f"{kind} {rate}").float()
        error = 5 * (share * (1 - share) / independent) ** 0.5
        assert on_BLG.mean().item() == pytest.approx(share, abs=error)
        at_ends = [on_BLG[:, place].mean().item() for place in (0, -1)]
        assert at_ends == pytest.approx([share] * 2, abs=5 * (share * (1 - share) / (1000 * 8)) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_slow_latents_dwell_as_long_as_asked_and_fast_ones_as_chance_has_it(kind, planted):
    """The mean stay is one over the share of tokens at which a latent that is on goes off next."""
    on_BLG = of_kind(planted, kind)
    leaving = (on_BLG[:, :-1] & ~on_BLG[:, 1:]).sum() / on_BLG[:, :-1].sum()
    rate = CONFIG.rare_rate if kind.endswith("rare") else CONFIG.frequent_rate
    expected = CONFIG.dwell if kind.startswith("slow") else 1 / (1 - rate)
    assert 1 / leaving.item() == pytest.approx(expected, rel=0.1)


def test_a_token_is_the_sum_of_what_is_on_and_a_little_noise(planted):
    quiet = plant(replace(CONFIG, noise=0.0))
    assert torch.equal(quiet.on_NG, planted.on_NG)
    noise_ND = planted.x_ND - quiet.x_ND
    assert noise_ND.std().item() == pytest.approx(CONFIG.noise, rel=0.02)
    for latent in range(32):
        alone_N = quiet.on_NG[:, latent] & (quiet.on_NG.sum(1) == 1)
        sizes_N = quiet.x_ND[alone_N] @ quiet.directions_GD[latent]
        assert_close(quiet.x_ND[alone_N], sizes_N[:, None] * quiet.directions_GD[latent], atol=1e-5, rtol=1e-5)
        assert (sizes_N > 0.2).all() and sizes_N.mean().item() == pytest.approx(1, abs=0.1)
    assert (quiet.x_ND[~quiet.on_NG.any(1)] == 0).all()


def test_a_seed_has_its_latents_and_a_draw_its_documents(planted):
    same_seed, other_draw, other_seed = plant(CONFIG), plant(CONFIG, draw=1), plant(replace(CONFIG, seed=1))
    assert torch.equal(same_seed.x_ND, planted.x_ND) and torch.equal(same_seed.on_NG, planted.on_NG)
    assert torch.equal(other_draw.directions_GD, planted.directions_GD)
    assert not torch.equal(other_draw.on_NG, planted.on_NG)
    assert not torch.equal(other_seed.directions_GD, planted.directions_GD)
    assert not torch.equal(other_seed.on_NG, planted.on_NG)
    more = plant(replace(CONFIG, tokens=4000))
    assert torch.equal(more.directions_GD, planted.directions_GD), "however many tokens are drawn"


def test_as_a_store_it_is_the_same_document_after_document(planted, tmp_path):
    store = planted_store(planted, tmp_path / "store", shard_documents=300)
    assert (len(store), store.documents.height, len(store.shards), store.layers) == (40_000, 1000, 4, (0,))
    assert torch.equal(torch.cat([store.read(shard, 0) for shard in range(4)]), planted.x_ND)
    assert store.documents["length"].unique().to_list() == [40] and store.documents["prompt"].unique().to_list() == [0]
    assert store.tokens(3).document[[0, -1]].tolist() == [900, 999]
    assert planted_store(planted, tmp_path / "store", shard_documents=300).fingerprint() == store.fingerprint()


@pytest.mark.parametrize("changes", [{"rare_rate": 0.0}, {"rare_rate": 0.2}, {"frequent_rate": 1.0}])
def test_what_cannot_be_planted_is_refused(changes):
    with pytest.raises(
        BadInput, match="expected 0 < rare_rate <= frequent_rate < 1; got rare_rate .* and frequent_rate "
    ):
        PlantedConfig(**changes)


def test_a_dwell_of_a_single_token_is_refused():
    with pytest.raises(BadInput, match=r"^dwell must be above 1; got 1.0$"):
        PlantedConfig(dwell=1.0)
