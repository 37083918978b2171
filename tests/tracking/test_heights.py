"""Heights, the mean where a latent is on: by hand, as a reference in plain loops has them, and never zero for none."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from tracking_world import by_prompt, kept

from interp.artifacts import BadInput
from interp.bootstrap import Sums, change, end_less_start, resampled, slope
from interp.tracking import Comparison
from interp.tracking import changes as heights
from interp.tracking.changes import FEW, RARE, Firing, Summed, change_of_height, judged


def firing(mass: Any, active: Any, tokens: int = 100) -> Firing:
    """By checkpoint, stratum, prompt and latent."""
    mass_TSPF, active_TSPF = (torch.as_tensor(np.array(held)).float() for held in (mass, active))
    return Firing(mass_TSPF, torch.full(mass_TSPF.shape[:3], float(tokens)), active_TSPF)


def stretched(mass: Any, active: Any, prompts: int = 10) -> Firing:
    """The same (T, S, F) at every prompt."""
    return firing(*(np.repeat(np.array(held)[:, :, None], prompts, 2) for held in (mass, active)))


# --- by hand -------------------------------------------------------------------------------------------------------


def test_a_height_is_the_mean_where_a_latent_is_on():
    """Two prompts: 6 over 2 tokens and 4 over 3, that is 10 of 5; then 6 of 2 and nothing of nothing."""
    found = change_of_height(firing([[[[6], [4]]], [[[6], [0]]]], [[[[2], [3]]], [[[2], [0]]]]), end_less_start(2))
    assert found.strength_TF.tolist() == [[2.0], [3.0]] and found.value_F.tolist() == [1.0]


def test_on_more_often_or_higher_where_it_is_on_are_told_apart(tmp_path: Path):
    """Latent 0 is on at twice as many tokens, latent 1 is twice as high where it is on: both are twice as strong."""
    before, after = {0: (4, 1.0), 1: (4, 1.0)}, {0: (8, 1.0), 1: (4, 2.0)}
    readings = {(0, "on-policy"): by_prompt(before), (5, "on-policy"): by_prompt(after)}
    tracks = kept(tmp_path / "t", readings, prompts={"easy": 10}, width=2)
    asked = {measure: tracks.changes(measure=measure).table() for measure in ("rate", "strength", "height")}
    assert asked["strength"]["verdict"].to_list() == ["strengthened", "strengthened"]
    assert asked["rate"]["verdict"].to_list() == ["strengthened", "unchanged"]
    assert asked["height"]["verdict"].to_list() == ["unchanged", "strengthened"]
    assert asked["height"]["change"].to_list() == pytest.approx([0, 1], abs=0.02)
    told = {measure: tracks.strengths(5, measure=measure)["easy"] for measure in asked}
    assert told["strength"] == pytest.approx(told["rate"] * told["height"])
    with pytest.raises(BadInput, match="measure must be one of rate, strength, height; got 'loudness'"):
        tracks.strengths(5, measure="loudness")


def test_matched_strata_are_weighed_by_the_base_s_own_tokens_at_which_the_latent_is_on():
    """1 high where right, 3 where wrong, before and after. Of the tokens at which latent 0 is on three in four are of
    right answers, of latent 1's one in four; there are as many tokens of both. Only where they are on changes."""
    active = [[[30, 10], [10, 30]], [[10, 30], [30, 10]]]
    mass = [[[30, 10], [30, 90]], [[10, 30], [90, 30]]]
    held = stretched(mass, active)
    matched = change_of_height(held, end_less_start(2))
    assert matched.strength_TF.tolist() == [[1.5, 2.5], [1.5, 2.5]] and matched.value_F.tolist() == [0, 0]
    together = Firing(
        *(held_TSP.sum(1, keepdim=True) for held_TSP in (held.amount_TSPF, held.tokens_TSP, held.active_TSPF))
    )
    assert change_of_height(together, end_less_start(2)).strength_TF.tolist() == [[1.5, 2.5], [2.5, 1.5]]


def test_a_stratum_in_which_a_latent_is_no_longer_on_is_left_out_for_that_latent_alone():
    """In the second stratum latent 1 falls silent, of which that had one token in five; and latent 2, of which that had
    four in five."""
    active = [[[8, 8, 2], [2, 2, 8]], [[8, 8, 2], [2, 0, 0]]]
    mass = [[[8, 8, 2], [4, 4, 16]], [[16, 16, 4], [4, 0, 0]]]
    found = change_of_height(stretched(mass, active), end_less_start(2))
    assert found.strength_TF[0].tolist() == pytest.approx([1.2, 1.0, 1.0])
    assert found.value_F.tolist() == pytest.approx([0.8, 1.0, 1.0])
    assert np.isnan(found.p_F).tolist() == [False, False, True], "too little is left of it to be told"
    assert judged(found, np.full(3, 10)).verdict_F[2] == FEW


def test_what_is_never_on_at_one_of_the_compared_checkpoints_has_no_height_and_never_zero(tmp_path: Path):
    """Latent 0 begins, latent 1 ends, latent 2 is away in between, latent 3 is on at four prompts."""
    tables = [
        by_prompt(held) for held in ({1: (4, 1.0), 2: (4, 1.0)}, {0: (4, 1.0), 1: (4, 1.0)}, {0: (4, 1.0), 2: (4, 2.0)})
    ]
    for table in tables:
        for _, (_, latents) in list(table["prompts"].items())[:4]:
            latents[3] = (4, 4.0)
    readings = {(step, "on-policy"): table for step, table in zip((0, 1, 4), tables, strict=True)}
    tracks = kept(tmp_path / "t", readings, prompts={"easy": 10}, width=4)
    end, rise = (tracks.changes(measure="height", over=over).table() for over in ("end", "slope"))
    assert end["verdict"].to_list() == [RARE, RARE, "strengthened", RARE]
    assert rise["verdict"].to_list() == [RARE, RARE, RARE, RARE], "a slope is over the one in between too"
    assert end["change"].to_list() == [None, None, pytest.approx(1, abs=0.01), pytest.approx(0, abs=0.01)]
    assert end["start"].to_list()[:2] == [None, None] and end["low"].is_null().to_list() == [True, True, False, True]
    assert np.isnan(tracks.strengths(0, measure="height")["easy"]).tolist() == [True, False, False, False]
    (line,) = (trace for trace in tracks.figure(measure="height").data if trace.name == "latent 2")
    assert list(line.x) == [0, 4], "no point where it has none"


def test_each_checkpoint_that_is_compared_has_to_have_it_on_at_five_prompts_and_for_a_strength_any():
    active_TSPF = np.zeros((2, 1, 12, 2))
    active_TSPF[0, 0, :9], active_TSPF[1, 0, :4, 0], active_TSPF[1, 0, :5, 1] = 2, 2, 2
    held = firing(active_TSPF, active_TSPF)
    on_PF = (held.active_TSPF[:, 0] > 0).any(0)
    told = Summed(held, on_PF).judged(end_less_start(2))
    assert told.seen_F.tolist() == [4, 5] and told.verdict_F[0] == RARE != told.verdict_F[1]
    assert Summed(Sums(held.active_TSPF, held.tokens_TSP), on_PF).judged(end_less_start(2)).seen_F.tolist() == [9, 9]


def test_a_bucket_without_problems_has_too_few_prompts_for_heights_too():
    held = firing(np.zeros((2, 1, 0, 3)), np.zeros((2, 1, 0, 3)))
    told = Summed(held, torch.zeros(0, 3, dtype=torch.bool)).judged(end_less_start(2))
    assert told.verdict_F.tolist() == [FEW] * 3 and np.isnan(told.change.value_F).all()


# --- against a reference -------------------------------------------------------------------------------------------


def made_up(rng: np.random.Generator, strata: int, latents: int = 6, prompts: int = 24) -> Firing:
    """The rarer the latent, the more draws in which it is never on."""
    often_F = np.linspace(0.25, 0.9, latents) if strata == 1 else np.linspace(0.45, 0.95, latents)
    active = rng.poisson(3, (3, strata, prompts, latents)) * (rng.random((3, strata, prompts, latents)) < often_F)
    return firing(active * rng.lognormal(0, 0.4, active.shape), active)


def reference(held: Firing, weights: list[float], drawn_BP: np.ndarray) -> list[tuple[float, float, float, float]]:
    """Draw by draw and latent by latent, in plain loops: change, interval, p-value."""
    mass, active = held.amount_TSPF.double().numpy(), held.active_TSPF.numpy()
    checkpoints, strata, prompts, latents = mass.shape
    weighed = [t for t in range(checkpoints) if weights[t]]
    found = []
    for f in range(latents):
        on = {s: min(sum(active[t, s, p, f] > 0 for p in range(prompts)) for t in {0, *weighed}) for s in range(strata)}
        told = [s for s in range(strata) if on[s] >= (8 if strata > 1 else 1)]

        def contrast(times: Any, f: int = f, told: list[int] = told) -> float:
            def height(t: int) -> float:
                above = below = 0.0
                for s in told:
                    base, there, much = (
                        sum(times[p] * x[p] for p in range(prompts))
                        for x in (active[0, s, :, f], active[t, s, :, f], mass[t, s, :, f])
                    )
                    if not there or not base:
                        return math.nan
                    above, below = above + base * much / there, below + base
                return above / below if below else math.nan

            return sum(weights[t] * height(t) for t in weighed)

        value = contrast([1] * prompts)
        held_by = sum(active[0, s, :, f].sum() for s in told) / active[0, :, :, f].sum()
        n = min((on[s] for s in told), default=0)
        if n < 5 or held_by < 0.5:
            found.append((value, math.nan, math.nan, math.nan))
            continue
        draws = [x for x in map(contrast, drawn_BP) if not math.isnan(x)]
        mean = sum(draws) / len(draws)
        spread = math.sqrt(sum((x - mean) ** 2 for x in draws) / (len(draws) - 1)) * math.sqrt(n / (n - 1))
        reach = student.ppf(0.975, n - 1) * spread
        found.append((value, value - reach, value + reach, 2 * student.sf(abs(value) / spread, n - 1)))
    return found


@pytest.mark.parametrize("strata", [1, 3])
@pytest.mark.parametrize("over", ["end", "slope"])
def test_changes_of_height_are_those_of_a_reference_in_plain_loops(strata, over):
    held = made_up(np.random.default_rng(strata), strata)
    contrast_T = end_less_start(3) if over == "end" else slope(np.array([0, 10, 40]))
    told = change_of_height(held, contrast_T, draws=40, seed=3)
    wanted = reference(held, contrast_T.tolist(), resampled(24, 40, 3).numpy())
    for at, name in enumerate(("value_F", "low_F", "high_F", "p_F")):
        assert getattr(told, name) == pytest.approx([row[at] for row in wanted], rel=1e-4, abs=1e-6, nan_ok=True), name
    assert not np.isnan(told.p_F).all(), "something is told"


def test_drawn_for_a_few_at_once_they_come_to_the_same(monkeypatch):
    held = made_up(np.random.default_rng(5), 2, latents=7)
    whole = change_of_height(held, end_less_start(3))
    monkeypatch.setattr(heights, "AT_ONCE", 3)
    parts = change_of_height(held, end_less_start(3))
    for name in ("strength_TF", "value_F", "low_F", "high_F", "p_F"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), nan_ok=True)


@pytest.mark.parametrize("on", [5, 8, 24, 64])
def test_intervals_of_heights_are_true_at_least_as_often_as_they_say_however_rare_the_latent(on):
    """1,000 latents that do not change and are on at as many prompts of 64."""
    rng = np.random.default_rng(on)
    active_TSPF = np.zeros((2, 1, 64, 1000))
    for latent in range(1000):
        active_TSPF[:, 0, rng.choice(64, on, replace=False), latent] = rng.poisson(4, (2, on)) + 1
    own_PF = rng.lognormal(0, 0.5, (64, 1000))
    mass_TSPF = active_TSPF * own_PF * rng.lognormal(0, 0.5, active_TSPF.shape)
    found = change_of_height(firing(mass_TSPF, active_TSPF), end_less_start(2))
    assert (found.p_F < 0.05).mean() < 0.07 and (found.p_F < 0.001).mean() < 0.004


def test_a_bucket_of_few_prompts_has_heights_and_no_intervals():
    found = change_of_height(stretched([[[4.0]], [[8.0]]], [[[2.0]], [[2.0]]], prompts=7), end_less_start(2))
    assert found.value_F.tolist() == [2.0] and np.isnan([found.low_F, found.high_F, found.p_F]).all()
    assert judged(found, np.array([7])).verdict_F.tolist() == [FEW]


def test_strength_and_rate_are_told_from_the_sums_that_they_always_were(tmp_path: Path):
    """Bit for bit what `change` makes of the sums by prompt, counted out by hand."""
    before, after = {0: (4, 1.0), 1: (3, 2.0)}, {0: (8, 1.5), 1: (2, 1.0)}
    readings = {(0, "on-policy"): by_prompt(before), (5, "on-policy"): by_prompt(after)}
    tracks = kept(tmp_path / "t", readings, prompts={"easy": 10}, width=2)
    for measure, at in (("rate", 0), ("strength", 1)):
        amount = [
            [[row[1][latent][at] for latent in (0, 1)] for row in readings[step, "on-policy"]["prompts"].values()]
            for step in (0, 5)
        ]
        wanted = change(Sums(torch.tensor(amount).float()[:, None], torch.full((2, 1, 10), 20.0)), end_less_start(2))
        told = tracks.changes(measure=measure).buckets["easy"].change
        for name in ("strength_TF", "value_F", "low_F", "high_F", "p_F"):
            assert np.array_equal(getattr(told, name), getattr(wanted, name)), (measure, name)


def test_checkpoints_are_compared_by_height_too(tmp_path: Path):
    """Of the base, A and B; latent 1 is never on in A."""
    held = ({0: (4, 1.0), 1: (4, 1.0)}, {0: (4, 1.0)}, {0: (2, 2.0), 1: (4, 2.0)})
    readings = {(step, "on-policy"): by_prompt(latents) for step, latents in enumerate(held)}
    tracks = kept(tmp_path / "t", readings, prompts={"easy": 10}, width=2)
    told = Comparison(tracks, 1, 2).table(measure="height", match=())
    assert told["relation"].to_list() == ["strengthened in B alone", RARE]
    assert told["difference"].to_list() == [pytest.approx(1, abs=0.02), None]
