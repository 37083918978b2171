"""The three measures of a latent through tracks: told apart by hand, and never zero where there is no value."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tracking_fixtures import same_at_every_prompt, save_tracks

from interp.artifacts import BadInput
from interp.stats.bootstrap import PromptSums, estimate_changes, last_minus_first
from interp.stats.when_active import ActiveSums, estimate_active_changes
from interp.tracking import Comparison
from interp.tracking.measures import BucketSums
from interp.tracking.verdicts import TOO_FEW_PROMPTS, TOO_RARE, assign_verdicts

MEASURES = ("firing_rate", "mean_activation", "mean_when_active")


def active_sums(total: object, active: object, tokens: int = 100) -> ActiveSums:
    """Sums by checkpoint, stratum, prompt and latent."""
    total_TSPF, active_TSPF = (torch.as_tensor(np.array(part)).float() for part in (total, active))
    return ActiveSums(total_TSPF, torch.full(total_TSPF.shape[:3], float(tokens)), active_TSPF)


def active_sums_alike(total: object, active: object, prompts: int = 10) -> ActiveSums:
    """The same sums (T, S, F) at every prompt."""
    return active_sums(*(np.repeat(np.array(part)[:, :, None], prompts, 2) for part in (total, active)))


# --- by hand -------------------------------------------------------------------------------------------------------


def test_mean_when_active_divides_sums_over_prompts():
    """Two prompts: 6 over 2 tokens and 4 over 3, that is 10 / 5; then 6 over 2 and nothing."""
    sums = active_sums([[[[6], [4]]], [[[6], [0]]]], [[[[2], [3]]], [[[2], [0]]]])
    change = estimate_active_changes(sums, last_minus_first(2))
    assert change.ratio_TF.tolist() == [[2.0], [3.0]] and change.value_F.tolist() == [1.0]


def test_firing_more_often_and_firing_more_strongly_are_told_apart(tmp_path: Path):
    """Latent 0 fires twice as often, latent 1 twice as strongly: both have twice the mean activation."""
    before, after = {0: (4, 1.0), 1: (4, 1.0)}, {0: (8, 1.0), 1: (4, 2.0)}
    sums = {(0, "on-policy"): same_at_every_prompt(before), (5, "on-policy"): same_at_every_prompt(after)}
    tracks = save_tracks(tmp_path / "t", sums, prompts={"easy": 10}, width=2)
    verdicts = {measure: tracks.table(measure=measure)["verdict"].to_list() for measure in MEASURES}
    assert verdicts == {
        "firing_rate": ["strengthened", "unchanged"],
        "mean_activation": ["strengthened", "strengthened"],
        "mean_when_active": ["unchanged", "strengthened"],
    }
    assert tracks.table(measure="mean_when_active")["change"].to_list() == pytest.approx([0, 1], abs=0.02)
    values = {measure: tracks.latent_values(5, measure=measure)["easy"] for measure in MEASURES}
    assert values["mean_activation"] == pytest.approx(values["firing_rate"] * values["mean_when_active"])
    with pytest.raises(
        BadInput, match="measure must be one of firing_rate, mean_activation, mean_when_active; got 'x'"
    ):
        tracks.latent_values(5, measure="x")


def test_by_stratum_a_latent_s_own_active_tokens_are_the_weights():
    """Mean 1 where right, 3 where wrong, before and after. Three in four of latent 0's active tokens are in right
    answers, one in four of latent 1's. Only where they are active changes."""
    active = [[[30, 10], [10, 30]], [[10, 30], [30, 10]]]
    total = [[[30, 10], [30, 90]], [[10, 30], [90, 30]]]
    sums = active_sums_alike(total, active)
    by_stratum = estimate_active_changes(sums, last_minus_first(2))
    assert by_stratum.ratio_TF.tolist() == [[1.5, 2.5], [1.5, 2.5]] and by_stratum.value_F.tolist() == [0, 0]
    pooled = ActiveSums(*(part.sum(1, keepdim=True) for part in (sums.amount_TSPF, sums.tokens_TSP, sums.active_TSPF)))
    assert estimate_active_changes(pooled, last_minus_first(2)).ratio_TF.tolist() == [[1.5, 2.5], [2.5, 1.5]]


def test_a_stratum_is_left_out_only_for_latents_that_fall_silent_in_it():
    """In the second stratum latent 1 falls silent, which had a fifth of its tokens there; and latent 2, which had four
    fifths there, so that too little is left."""
    active = [[[8, 8, 2], [2, 2, 8]], [[8, 8, 2], [2, 0, 0]]]
    total = [[[8, 8, 2], [4, 4, 16]], [[16, 16, 4], [4, 0, 0]]]
    change = estimate_active_changes(active_sums_alike(total, active), last_minus_first(2))
    assert change.ratio_TF[0].tolist() == pytest.approx([1.2, 1.0, 1.0])
    assert change.value_F.tolist() == pytest.approx([0.8, 1.0, 1.0])
    assert np.isnan(change.p_F).tolist() == [False, False, True]
    assert assign_verdicts(change, np.full(3, 10)).verdict_F[2] == TOO_FEW_PROMPTS


def test_a_latent_that_is_silent_at_a_compared_checkpoint_has_no_mean_when_active_and_never_zero(tmp_path: Path):
    """Latent 0 begins to fire, latent 1 stops, latent 2 is silent in between, latent 3 fires at four prompts."""
    by_step = ({1: (4, 1.0), 2: (4, 1.0)}, {0: (4, 1.0), 1: (4, 1.0)}, {0: (4, 1.0), 2: (4, 2.0)})
    tables = [same_at_every_prompt(latents) for latents in by_step]
    for table in tables:
        for _, (_, latents) in list(table["prompts"].items())[:4]:
            latents[3] = (4, 4.0)  # type: ignore[index]
    sums = {(step, "on-policy"): table for step, table in zip((0, 1, 4), tables, strict=True)}
    tracks = save_tracks(tmp_path / "t", sums, prompts={"easy": 10}, width=4)
    end, slope = (tracks.table(measure="mean_when_active", over=over) for over in ("end", "slope"))
    assert end["verdict"].to_list() == [TOO_RARE, TOO_RARE, "strengthened", TOO_RARE]
    assert slope["verdict"].to_list() == [TOO_RARE] * 4, "a slope needs the checkpoint in between too"
    assert end["change"].to_list() == [None, None, pytest.approx(1, abs=0.01), pytest.approx(0, abs=0.01)]
    assert end["start"].to_list()[:2] == [None, None] and end["low"].is_null().to_list() == [True, True, False, True]
    values = tracks.latent_values(0, measure="mean_when_active")["easy"]
    assert np.isnan(values).tolist() == [True, False, False, False]
    (line,) = (trace for trace in tracks.figure(measure="mean_when_active").data if trace.name == "latent 2")
    assert list(line.x) == [0, 4], "no point where there is no value"


def test_mean_when_active_needs_five_prompts_at_each_checkpoint_and_mean_activation_at_any():
    active_TSPF = np.zeros((2, 1, 12, 2))
    active_TSPF[0, 0, :9], active_TSPF[1, 0, :4, 0], active_TSPF[1, 0, :5, 1] = 2, 2, 2
    sums = active_sums(active_TSPF, active_TSPF)
    is_active_PF = (sums.active_TSPF[:, 0] > 0).any(0)
    verdicts = BucketSums(sums, is_active_PF).verdicts(last_minus_first(2))
    assert verdicts.prompts_F.tolist() == [4, 5] and verdicts.verdict_F[0] == TOO_RARE != verdicts.verdict_F[1]
    mean_activation = BucketSums(PromptSums(sums.active_TSPF, sums.tokens_TSP), is_active_PF)
    assert mean_activation.verdicts(last_minus_first(2)).prompts_F.tolist() == [9, 9]


def test_a_bucket_without_problems_has_too_few_prompts():
    sums = active_sums(np.zeros((2, 1, 0, 3)), np.zeros((2, 1, 0, 3)))
    verdicts = BucketSums(sums, torch.zeros(0, 3, dtype=torch.bool)).verdicts(last_minus_first(2))
    assert verdicts.verdict_F.tolist() == [TOO_FEW_PROMPTS] * 3 and np.isnan(verdicts.change.value_F).all()


def test_a_bucket_of_few_prompts_has_values_and_no_intervals():
    sums = active_sums_alike([[[4.0]], [[8.0]]], [[[2.0]], [[2.0]]], prompts=7)
    change = estimate_active_changes(sums, last_minus_first(2))
    assert change.value_F.tolist() == [2.0] and np.isnan([change.low_F, change.high_F, change.p_F]).all()
    assert assign_verdicts(change, np.array([7])).verdict_F.tolist() == [TOO_FEW_PROMPTS]


# --- through tracks ------------------------------------------------------------------------------------------------


def test_unmatched_changes_are_bit_for_bit_those_of_the_sums_by_prompt(tmp_path: Path):
    before, after = {0: (4, 1.0), 1: (3, 2.0)}, {0: (8, 1.5), 1: (2, 1.0)}
    sums = {(0, "on-policy"): same_at_every_prompt(before), (5, "on-policy"): same_at_every_prompt(after)}
    tracks = save_tracks(tmp_path / "t", sums, prompts={"easy": 10}, width=2)
    for measure, part in (("firing_rate", 0), ("mean_activation", 1)):
        amount = [
            [[row[1][latent][part] for latent in (0, 1)] for row in sums[step, "on-policy"]["prompts"].values()]
            for step in (0, 5)
        ]
        by_prompt = PromptSums(torch.tensor(amount).float()[:, None], torch.full((2, 1, 10), 20.0))
        expected = estimate_changes(by_prompt, last_minus_first(2))
        change = tracks.changes(measure=measure).buckets["easy"].change
        for name in ("ratio_TF", "value_F", "low_F", "high_F", "p_F"):
            assert np.array_equal(getattr(change, name), getattr(expected, name)), (measure, name)


def test_checkpoints_are_compared_by_mean_when_active_too(tmp_path: Path):
    """Of the base, A and B; latent 1 is never active in A."""
    by_step = ({0: (4, 1.0), 1: (4, 1.0)}, {0: (4, 1.0)}, {0: (2, 2.0), 1: (4, 2.0)})
    sums = {(step, "on-policy"): same_at_every_prompt(latents) for step, latents in enumerate(by_step)}
    tracks = save_tracks(tmp_path / "t", sums, prompts={"easy": 10}, width=2)
    table = Comparison(tracks, 1, 2).table(measure="mean_when_active", match=())
    assert table["relation"].to_list() == ["strengthened only in B", TOO_RARE]
    assert table["difference"].to_list() == [pytest.approx(1, abs=0.02), None]
