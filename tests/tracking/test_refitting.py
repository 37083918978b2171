"""A latent goes on through a refit as what it was, or ends: never as another."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_policy
from tracking_world import LAYER, SMALL, TASK, D, axes
from tsae_fixtures import small_store, small

from interp.artifacts import BadInput, Mismatch
from interp.rollouts import Series
from interp.tracking import join_tracks, match_latents, refit, track
from interp.tsae import TSAE, fit


def reordered(tsae: TSAE, order: torch.Tensor) -> TSAE:
    return replace(
        tsae,
        W_enc=tsae.W_enc[:, order],
        b_enc=tsae.b_enc[order],
        W_dec=tsae.W_dec[order],
        threshold=tsae.threshold[order],
    )


def test_a_latent_is_found_wherever_it_went_and_one_that_is_gone_ends():
    order = torch.randperm(2 * D, generator=torch.Generator().manual_seed(0))
    after = reordered(axes(), order)
    found = match_latents(axes(), after)
    assert found.kept_share() == 1 and torch.equal(order[found.latent_F], torch.arange(2 * D))
    turned = after.W_dec.clone()
    turned[3] = turned[4] + 0.1 * turned[3]  # now nearest to another, which has a partner nearer still
    ended = match_latents(axes(), replace(after, W_dec=turned))
    assert ended.latent_F[order[3]] == -1 and ended.kept_share() == 1 - 1 / (2 * D)
    assert ended.table()["after"].null_count() == 1
    assert ended.kept_share([int(order[3])]) == 0 and ended.kept_share([int(order[4]), int(order[5])]) == 1


def test_two_that_are_nearest_to_one_do_not_both_go_on_as_it():
    near = axes()
    W_dec = near.W_dec.clone()
    W_dec[1] = 0.8 * W_dec[0] + 0.6 * W_dec[1]
    found = match_latents(replace(near, W_dec=W_dec), replace(near, W_dec=axes().W_dec[:1].repeat(2 * D, 1)))
    assert (found.latent_F != -1).sum() == 1 and found.latent_F[0] == 0


def test_dictionaries_of_another_layer_or_dimension_have_no_passage():
    with pytest.raises(
        Mismatch, match="expected dictionaries of one layer and dimension, got layer 1 of 32 and layer 2"
    ):
        match_latents(axes(), replace(axes(), layer=2))


def test_a_refit_keeps_what_is_still_there(tmp_path: Path):
    store = small_store(tmp_path / "store")
    first = fit(store, small(training={"steps": 200}), progress=False, device="cpu")
    later, through = refit(first, store, steps=20, progress=False, device="cpu")
    assert later.width == first.width and through.kept_share() > 0.9
    assert through.made_from == {"before": first.fingerprint(), "after": later.fingerprint()}
    with pytest.raises(BadInput, match="does not say how it was fitted"):
        refit(replace(first, config=None), store, progress=False)


def test_a_track_goes_on_through_a_refit_under_its_old_number(tmp_path: Path):
    for step in (0, 10, 20):
        tiny_policy(seed=step).save(tmp_path / "run" / f"checkpoint-{step}")
    series, order = Series.from_dir(tmp_path / "run"), torch.arange(2 * D).flip(0)
    asked = replace(SMALL, problems=4, recovered=0)
    told = {"config": asked, "device": "cpu", "bar": False}
    before = track(axes(), series[:2], TASK, out=tmp_path / "before", **told)
    other = reordered(axes(), order)
    later = Series.from_dirs({step: tmp_path / "run" / f"checkpoint-{step}" for step in (10, 20)})
    after = track(other, later, TASK, out=tmp_path / "after", **told)
    through = match_latents(axes(), other)
    joined = join_tracks(before, after, through, corpus="on-policy")
    assert joined["dictionary"].unique(maintain_order=True).to_list() == ["before", "after"]
    assert joined.filter(joined["dictionary"] == "after")["step"].unique().sort().to_list() == [10, 20]
    seam = joined.filter((joined["step"] == 10) & (joined["bucket"] == "1"))
    wide = seam.pivot(on="dictionary", index="latent", values="strength")
    assert (wide["before"] - wide["after"]).abs().max() < 0.2, "the same text but for the base's name, the same latent"
    with pytest.raises(Mismatch, match="expected tracks of the dictionary after the refit"):
        join_tracks(before, before, through)
    assert axes().layer == LAYER
