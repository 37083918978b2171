"""Verdicts on changes: what each needs; unchanged means equivalent; outcomes that select problems change nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tracking_fixtures import same_at_every_prompt, save_tracks

from interp.stats.bootstrap import ChangeEstimates, PromptSums, estimate_changes, last_minus_first
from interp.stats.equivalence import EQUIVALENT, equivalence_verdict
from interp.tracking import Tracks
from interp.tracking.verdicts import (
    STRENGTHENED,
    TOO_FEW_PROMPTS,
    TOO_RARE,
    UNCHANGED,
    UNCHANGED_MARGIN,
    UNDECIDED,
    VERDICTS,
    WEAKENED,
    assign_verdicts,
)


def change_of(start_PF: np.ndarray, end_PF: np.ndarray) -> ChangeEstimates:
    """Change of latents between two checkpoints, at prompts of 10 tokens."""
    amount_TSPF = torch.from_numpy(np.stack([start_PF, end_PF])).float()[:, None]
    return estimate_changes(PromptSums(amount_TSPF, torch.full(amount_TSPF.shape[:3], 10.0)), last_minus_first(2))


def test_each_verdict_is_given_for_what_it_says():
    """Grown, shrunk, as it was, too noisy to say, and active at too few prompts."""
    rng = np.random.default_rng(0)
    start_PF = np.full((64, 5), 5.0) + rng.normal(0, 0.1, (64, 5))
    end_PF = start_PF + np.array([3, -3, 0, 0, 3]) + rng.normal(0, [0.1, 0.1, 0.1, 20, 0.1], (64, 5))
    verdicts = assign_verdicts(change_of(start_PF, end_PF), np.array([64, 64, 64, 64, 4]))
    assert verdicts.verdict_F.tolist() == [STRENGTHENED, WEAKENED, UNCHANGED, UNDECIDED, TOO_RARE]
    assert np.isnan(verdicts.q_F[4]), "latents that are too rare are not tested"
    assert verdicts.counts() == {verdict: int(verdict != TOO_FEW_PROMPTS) for verdict in VERDICTS}
    assert verdicts.most_certain(3) == [0, 1]
    assert verdicts.estimate(0).value == pytest.approx(0.3, abs=0.01) and verdicts.estimate(0).n == 64


def test_a_significant_but_small_change_is_unchanged():
    start_PF, noise_PF = np.full((64, 1), 5.0), np.random.default_rng(0).normal(0, 0.01, (64, 1))
    change = change_of(start_PF, start_PF + 0.3 + noise_PF)
    assert change.p_F[0] < 1e-6 and assign_verdicts(change, np.array([64])).verdict_F.tolist() == [UNCHANGED]


def test_unchanged_is_exactly_what_is_equivalent_within_a_fifth():
    """Latents with changes and noise of all sizes, one by one against `interp.stats.equivalence`."""
    rng, latents = np.random.default_rng(0), 200
    start_PF = np.full((32, latents), 5.0) + rng.normal(0, 0.5, (32, latents))
    noise_F = rng.uniform(0.1, 3, latents)
    change = change_of(start_PF, start_PF + rng.uniform(-2, 2, latents) + rng.normal(0, noise_F, (32, latents)))
    verdicts = assign_verdicts(change, np.full(latents, 32))
    expected = [
        equivalence_verdict(verdicts.estimate(latent), UNCHANGED_MARGIN * float(change.ratio_TF[0, latent]))
        for latent in range(latents)
    ]
    assert [verdict == UNCHANGED for verdict in verdicts.verdict_F] == [each == EQUIVALENT for each in expected]
    assert 0 < (verdicts.verdict_F == UNCHANGED).sum() < latents


def test_too_few_prompts_are_too_few_for_every_latent():
    change = change_of(np.ones((7, 3)), np.ones((7, 3)))
    counts = assign_verdicts(change, np.full(3, 7)).counts()
    assert counts[TOO_FEW_PROMPTS] == 3 and sum(counts.values()) == 3


# --- outcomes that select problems ---------------------------------------------------------------------------------


def tracks_under_selection(out: Path, seed: int = 0, *, latents: int = 60, growth: float = 1.0) -> Tracks:
    """64 problems, 4 rollouts of each, of 30 tokens. The harder half is answered validly 1 time in 10 at step 0 and 6
    in 10 at step 20; the easier half 90 and 95 in 100. Both checkpoints represent problems alike (but for `growth`):
    every latent is three times stronger on the harder half."""
    rng, is_harder_P = np.random.default_rng(seed), np.arange(64) >= 32
    mean_PF = (
        rng.uniform(0.5, 1.5, latents) * rng.lognormal(0, 0.2, (64, latents)) * np.where(is_harder_P, 3, 1)[:, None]
    )
    sums: dict[tuple[int, str], Any] = {}
    for step, corpus, easier, harder in (
        (0, "on-policy", 0.9, 0.1),
        (0, "resampled", 0.9, 0.1),
        (20, "on-policy", 0.95, 0.6),
    ):
        rows: dict[tuple[Any, ...], Any] = {}
        for prompt in range(64):
            is_valid = rng.random(4) < (harder if is_harder_P[prompt] else easier)
            for outcome, count in (("valid", int(is_valid.sum())), ("wrong", int((~is_valid).sum()))):
                if count:
                    active_F = rng.binomial(30 * count, 0.4, latents)
                    total_F = active_F * mean_PF[prompt] * rng.lognormal(0, 0.2 / count**0.5, latents)
                    total_F *= growth if step else 1
                    activity = zip(active_F.tolist(), total_F.tolist(), strict=True)
                    rows["easy", prompt, outcome, 4] = (30 * count, dict(enumerate(activity)))
        sums[step, corpus] = {"prompts": rows}
    return save_tracks(out, sums, prompts={"easy": 64}, width=latents)


@pytest.mark.parametrize("measure", ["mean_activation", "mean_when_active", "firing_rate"])
def test_latents_read_alike_stay_unchanged_when_outcomes_select_the_problems(tmp_path, measure):
    """After training, harder problems are among the valid ones. Compared by outcome alone, every latent would look
    stronger on valid answers; each problem compared with itself, none does."""
    tracks = tracks_under_selection(tmp_path / "t")
    for match in ((), ("outcome",)):
        changes = tracks.changes(measure=measure, match=match)
        for verdicts in (changes.buckets["easy"], (changes.control or {})["easy"]):
            counts = verdicts.counts()
            assert counts[STRENGTHENED] == counts[WEAKENED] == 0, (match, counts)
            assert counts[UNCHANGED] >= 55, (match, counts)
    matched = tracks.changes(measure=measure, match=("outcome",)).buckets["easy"].change
    assert abs(np.mean(matched.value_F / matched.ratio_TF[0])) < 0.02 and 0.8 < matched.common < 1


def test_a_change_of_every_latent_is_found_although_outcomes_select_the_problems(tmp_path):
    tracks = tracks_under_selection(tmp_path / "t", growth=4 / 3)
    changes = tracks.changes(match=("outcome",)).buckets["easy"]
    assert changes.counts()[STRENGTHENED] >= 58
    assert np.mean(changes.change.value_F / changes.change.ratio_TF[0]) == pytest.approx(1 / 3, abs=0.03)


def test_matched_latents_have_to_be_active_where_cells_are_compared(tmp_path):
    """Latent 1 is active only at wrong answers of six prompts, which are all valid later."""
    rows_before: dict[Any, Any] = {("easy", prompt, "valid", 4): (20, {0: (4, 4.0)}) for prompt in range(10)}
    rows_later: dict[Any, Any] = {("easy", prompt, "valid", 4): (20, {0: (4, 4.0)}) for prompt in range(10)}
    rows_before |= {("easy", prompt, "wrong", 4): (10, {1: (4, 4.0)}) for prompt in range(6)}
    sums = {(0, "on-policy"): {"prompts": rows_before}, (5, "on-policy"): {"prompts": rows_later}}
    tracks = save_tracks(tmp_path / "t", sums, prompts={"easy": 10}, width=2)
    assert tracks.table()["prompts"].to_list() == [10, 6]
    matched = tracks.table(match=("outcome",))
    assert matched["prompts"].to_list() == [10, 0] and matched["verdict"].to_list()[1] == TOO_RARE


# --- verdicts by hand ----------------------------------------------------------------------------------------------


def change_by_hand(
    *latents: tuple[float, float, float, float], prompts: int = 8, common: float = 0.5
) -> ChangeEstimates:
    """Value, low, high and p of each latent. Every latent is at 1 at the first checkpoint and at 2 at the last."""
    value_F, low_F, high_F, p_F = np.array(latents).T
    ratio_TF = np.array([[1.0], [2.0]]).repeat(len(latents), 1)
    return ChangeEstimates(ratio_TF, value_F, low_F, high_F, p_F, prompts, common)


def test_unchanged_is_a_matter_of_the_whole_interval_and_not_of_the_estimate():
    """The margin is 0.2: a fifth of the value at the first checkpoint."""
    change = change_by_hand(
        (0.0, -0.2, 0.2, 0.9),
        (0.0, -0.21, 0.2, 0.9),
        (0.0, -0.2, 0.21, 0.9),
        (0.15, 0.1, 0.2, 1e-9),
        (0.15, 0.09, 0.21, 1e-9),
        (-0.15, -0.21, -0.09, 1e-9),
        (0.3, 0.1, 0.5, 0.06),
    )
    expected = [UNCHANGED, UNDECIDED, UNDECIDED, UNCHANGED, STRENGTHENED, WEAKENED, UNDECIDED]
    assert assign_verdicts(change, np.full(7, 5)).verdict_F.tolist() == expected


def test_the_margin_is_a_fifth_of_the_value_at_the_reference_checkpoint():
    change = change_by_hand((0.0, -0.4, 0.4, 0.9))
    verdicts = [assign_verdicts(change, np.array([5]), reference=reference).verdict_F[0] for reference in (0, 1)]
    assert verdicts == [UNDECIDED, UNCHANGED]


def test_q_values_are_corrected_over_the_latents_that_are_not_too_rare():
    """Of three p-values of 0.04, one belongs to a latent at 4 prompts; the fourth latent is at zero throughout."""
    change = change_by_hand((0.5, 0.1, 0.9, 0.04), (0.5, 0.1, 0.9, 0.04), (0.5, 0.1, 0.9, 1e-9), (0.0, 0.0, 0.0, 1e-9))
    change.ratio_TF[:, 3] = 0
    verdicts = assign_verdicts(change, np.array([5, 5, 4, 9]))
    assert verdicts.verdict_F.tolist() == [STRENGTHENED, STRENGTHENED, TOO_RARE, TOO_RARE]
    assert verdicts.q_F.tolist()[:2] == pytest.approx([0.04, 0.04]) and np.isnan(verdicts.q_F[2:]).all()


@pytest.mark.parametrize(
    ("prompts", "common", "verdict"), [(8, 0.5, STRENGTHENED), (7, 0.5, TOO_FEW_PROMPTS), (8, 0.49, TOO_FEW_PROMPTS)]
)
def test_eight_prompts_and_half_of_the_tokens_are_just_enough(prompts, common, verdict):
    change = change_by_hand((0.5, 0.3, 0.7, 1e-9), prompts=prompts, common=common)
    assert assign_verdicts(change, np.array([5])).verdict_F.tolist() == [verdict]


# --- the control ---------------------------------------------------------------------------------------------------


def test_the_control_compares_the_base_with_its_second_set_of_rollouts(tmp_path):
    """Latent 0, active at half of the tokens, has a mean of 1 in the base's first rollouts and of 1.5 in its second."""
    sums = {
        (0, "on-policy"): same_at_every_prompt({0: (10, 1.0)}),
        (0, "resampled"): same_at_every_prompt({0: (10, 1.5)}),
        (10, "on-policy"): same_at_every_prompt({0: (10, 2.0)}),
        (20, "on-policy"): same_at_every_prompt({0: (10, 4.0)}),
    }
    tracks = save_tracks(tmp_path / "t", sums, prompts={"easy": 10}, width=1)
    for steps in ((0, 10, 20), (10, 20)):
        control = (tracks.changes(steps=steps).control or {})["easy"].change
        assert control.ratio_TF[:, 0] == pytest.approx([0.5, 0.75], rel=0.01)
        assert control.value_F == pytest.approx([0.25], rel=0.01)
    counts = {row["comparison"]: row["strengthened"] for row in tracks.summary(steps=(0, 10)).to_dicts()}
    assert counts == {"step 0 to 10": 1, "base resampled": 1, "same text": 1}
