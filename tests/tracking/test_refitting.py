"""A refit matches latents one to one: a latent continues as what it was, or ends."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import tiny_policy
from tracking_fixtures import SMALL, TASK, D, axes_dictionary
from tsae_fixtures import small_config, small_store

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


def test_latents_are_matched_wherever_they_moved():
    order = torch.randperm(2 * D, generator=torch.Generator().manual_seed(0))
    match = match_latents(axes_dictionary(), reordered(axes_dictionary(), order))
    assert match.matched_share() == 1 and torch.equal(order[match.latent_F], torch.arange(2 * D))
    assert match.summary().row(0, named=True)["matched"] == 2 * D and "<table>" in match._repr_html_()


def test_a_latent_that_is_gone_ends():
    """Row 3 is turned to where it is nearest to another latent, which has a nearer match."""
    order = torch.randperm(2 * D, generator=torch.Generator().manual_seed(0))
    after = reordered(axes_dictionary(), order)
    W_dec = after.W_dec.clone()
    W_dec[3] = W_dec[4] + 0.1 * W_dec[3]
    match = match_latents(axes_dictionary(), replace(after, W_dec=W_dec))
    assert match.latent_F[order[3]] == -1 and match.matched_share() == 1 - 1 / (2 * D)
    assert match.table()["after"].null_count() == 1
    assert match.matched_share([int(order[3])]) == 0 and match.matched_share([int(order[4]), int(order[5])]) == 1


def test_two_latents_never_match_the_same_one():
    before = axes_dictionary()
    W_dec = before.W_dec.clone()
    W_dec[1] = 0.8 * W_dec[0] + 0.6 * W_dec[1]
    after = replace(before, W_dec=before.W_dec[:1].repeat(2 * D, 1))
    match = match_latents(replace(before, W_dec=W_dec), after)
    assert (match.latent_F != -1).sum() == 1 and match.latent_F[0] == 0


def test_dictionaries_of_another_layer_cannot_be_matched():
    with pytest.raises(
        Mismatch, match="expected dictionaries of one layer and dimension, got layer 1 of 32 and layer 2"
    ):
        match_latents(axes_dictionary(), replace(axes_dictionary(), layer=2))


def test_a_refit_on_the_same_store_keeps_its_latents(tmp_path: Path):
    store = small_store(tmp_path / "store")
    first = fit(store, small_config(training={"steps": 200}), progress=False, device="cpu")
    later, match = refit(first, store, steps=20, progress=False, device="cpu")
    assert later.width == first.width and match.matched_share() > 0.9
    assert match.made_from == {"before": first.fingerprint(), "after": later.fingerprint()}
    with pytest.raises(BadInput, match="does not say how it was fitted: expected a config, got none"):
        refit(replace(first, config=None), store, progress=False)


def test_tracks_are_joined_at_a_refit_under_their_old_numbers(tmp_path: Path):
    for step in (0, 10, 20):
        tiny_policy(seed=step).save(tmp_path / "run" / f"checkpoint-{step}")
    series, order = Series.from_dir(tmp_path / "run"), torch.arange(2 * D).flip(0)
    config, options = replace(SMALL, problems=4, loss_rollouts=0), {"device": "cpu", "progress": False}
    refitted = reordered(axes_dictionary(), order)
    before = track(axes_dictionary(), series[:2], TASK, config, out=tmp_path / "before", **options)
    later = Series.from_dirs({step: tmp_path / "run" / f"checkpoint-{step}" for step in (10, 20)})
    after = track(refitted, later, TASK, config, out=tmp_path / "after", **options)
    match = match_latents(axes_dictionary(), refitted)
    joined = join_tracks(before, after, match)
    assert joined.columns == ["dictionary", "step", "bucket", "latent", "latent_in_dictionary", "mean_activation"]
    assert joined["dictionary"].unique(maintain_order=True).to_list() == ["before", "after"]
    assert joined.filter(dictionary="after")["step"].unique().sort().to_list() == [10, 20]
    seam = joined.filter(step=10, bucket="1").pivot(on="dictionary", index="latent", values="mean_activation")
    assert (seam["before"] - seam["after"]).abs().max() < 0.2
    with pytest.raises(Mismatch, match="expected tracks of the dictionary after the refit"):
        join_tracks(before, before, match)
