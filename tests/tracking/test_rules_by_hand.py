"""Rules of tracks on inputs small enough to count: rollouts for a loss, trust at its thresholds, matches, rates."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from grpo_fixtures import make_rollout
from tracking_fixtures import D, axes_dictionary

from interp.artifacts import BadInput, Mismatch
from interp.rollouts.series import Checkpoint, Series
from interp.stats import Estimate
from interp.tracking import CompareConfig, Drift, TrackConfig, TrustThresholds, comparing, match_latents, refitting
from interp.tracking.activation_sums import ActivationSums
from interp.tracking.behavior import BehaviorCounts, PromptCounts, behavior_rows, rate_difference, rate_verdict
from interp.tracking.checkpoint_sums import CheckpointSums, TrackedRollout
from interp.tracking.collector import is_loss_rollout, split_by_tokens
from interp.tracking.drift import DictionaryFit, measure_drift
from interp.tracking.latent_comparison import BucketComparison
from interp.tracking.refitting import nearest, refit
from interp.tsae.metrics import FVE

# --- rollouts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "chosen"),
    [
        (0, []),
        (1, [(0, 0)]),
        (2, [(0, 0), (2, 0)]),
        (3, [(0, 0), (1, 0), (2, 0), (3, 0)]),
        (4, [(0, 0), (1, 0), (2, 0), (3, 0)]),
        (5, [(prompt, sample) for prompt in range(4) for sample in (0, 1)]),
        (99, [(prompt, sample) for prompt in range(4) for sample in range(3)]),
    ],
)
def test_the_loss_is_measured_on_the_first_samples_of_evenly_spaced_prompts(share, chosen):
    """Four prompts with three samples each."""
    samples = [(prompt, sample) for prompt in range(4) for sample in range(3)]
    assert [pair for pair in samples if is_loss_rollout(*pair, 4, share)] == chosen


def test_a_part_of_rollouts_ends_with_the_one_that_fills_it():
    """Each has 4 tokens of its prompt and as many of its own as it says."""
    rollouts = [TrackedRollout("easy", n, make_rollout(length=length)) for n, length in enumerate((2, 4, 1, 9, 1))]
    parts = [[tracked.prompt for tracked in part] for part in split_by_tokens(rollouts, 14)]
    assert parts == [[0, 1], [2, 3], [4]]
    assert list(split_by_tokens([], 14)) == []
    assert [len(part) for part in split_by_tokens(rollouts, 1)] == [1] * 5


# --- trust ---------------------------------------------------------------------------------------------------------


def drift_of(*fits: tuple[int, float | None, float | None], corpus: str = "probe", **options: Any) -> Drift:
    """Step, variance explained and loss recovered."""
    rows = (DictionaryFit(step, corpus, "1", fve, 3.0, 0.0, kl) for step, fve, kl in fits)
    return Drift(tuple(rows), TrustThresholds(), **options)


def test_a_fit_that_is_exactly_at_a_threshold_is_trusted():
    drift = drift_of((0, 0.875, 0.9), (10, 0.75, 0.9), (20, 0.749, 0.95), (30, 0.75, 0.899))
    assert [drift.verdict(step) for step in drift.steps] == ["trust", "trust", "refit", "refit"]
    low_base = drift_of((0, 0.7, None), (10, 0.7, None), (20, 0.69, None))
    assert [low_base.verdict(step) for step in low_base.steps] == ["trust", "trust", "refit"]
    assert [drift.fve_threshold(fit) for fit in drift.fits] == [0.75] * 4
    assert [low_base.fve_threshold(fit) for fit in low_base.fits] == [0.7] * 3


def test_without_a_fit_of_the_base_or_of_the_step_nothing_can_be_told_but_a_lost_loss_is_refit():
    unknown_base = drift_of((0, None, 0.95), (10, 0.99, 0.95), (20, None, 0.5))
    assert [unknown_base.verdict(step) for step in unknown_base.steps] == ["cannot tell", "cannot tell", "refit"]
    assert unknown_base.fve_threshold(unknown_base.fits[1]) is None


def test_one_bad_corpus_is_enough_for_a_refit_and_one_unknown_for_no_trust():
    good, bad, unknown = (drift_of((0, 0.9, None), (10, fve, None)).fits for fve in (0.9, 0.5, None))
    for second, verdict in ((good, "trust"), (bad, "refit"), (unknown, "cannot tell")):
        fits = (*good, *(replace(fit, corpus="on-policy") for fit in second))
        assert Drift(fits, TrustThresholds()).verdict(10) == verdict


def test_a_summary_has_the_lowest_fits_and_the_steps_fitted_on():
    fits = (
        *drift_of((0, 0.90625, 0.99), (10, 0.8125, None)).fits,
        *drift_of((0, 0.9375, 0.97), (10, 0.9375, None), corpus="x").fits,
    )
    drift = Drift(fits, TrustThresholds(), fitted_on=(0,))
    first, second = drift.summary().to_dicts()
    assert first == {
        "step": 0, "min_fve": 0.90625, "min_kl_recovered": 0.97, "fitted_on": True, "verdict": "trust",
        "reason": "both limits are met",
    }  # fmt: skip
    assert second == {
        "step": 10, "min_fve": 0.8125, "min_kl_recovered": None, "fitted_on": False, "verdict": "trust",
        "reason": "variance explained alone: no loss recovered was measured",
    }  # fmt: skip
    assert drift.unfitted_steps == (10,) and Drift(fits, TrustThresholds()).unfitted_steps == ()


def checkpoint(step: int, active: list[list[int]], tokens: list[int], fve: float) -> Any:
    """Two prompts of bucket 1, and one of bucket 2 whose fit is not known."""
    table = ActivationSums(("bucket", "prompt"), 3)
    rows = table.row_indices([("1", 0), ("1", 1), ("2", 0)])
    table.tokens_R[rows], table.active_RF[rows] = torch.tensor([*tokens, 9]), torch.tensor([*active, [9, 9, 9]]).int()
    fit = SimpleNamespace(compute=lambda: fve)
    return SimpleNamespace(step=step, corpus="probe", tables={"prompts": table}, fve={"1": fit}, loss_recovered={})


def test_drift_counts_active_latents_per_token_and_latents_of_the_base_that_fell_silent():
    """The base has latents 0 and 1; later latent 0 is silent and latent 2 is not of the base."""
    base = checkpoint(0, [[2, 0, 0], [0, 4, 0]], [4, 8], 0.9)
    later = checkpoint(10, [[0, 1, 5], [0, 0, 0]], [4, 8], 0.8)
    fits = measure_drift([base, later], TrustThresholds(), ["1", "2"]).fits
    assert fits == (
        DictionaryFit(0, "probe", "1", 0.9, 0.5, 0.0, None),
        DictionaryFit(10, "probe", "1", 0.8, 0.5, 0.5, None),
    )
    silent = measure_drift([checkpoint(0, [[0, 0, 0]] * 2, [0, 0], 0.9)], TrustThresholds(), ["1"]).fits[0]
    assert silent.l0 is None and silent.silent_share is None


# --- refits --------------------------------------------------------------------------------------------------------


def test_a_latent_matches_at_a_cosine_of_seven_tenths_and_not_below():
    before = axes_dictionary()
    for cosine, matched in ((0.7 + 1e-4, True), (0.7 - 1e-4, False)):
        W_dec = before.W_dec.clone()
        W_dec[0] = cosine * W_dec[0]
        W_dec[0, 1:3] = torch.tensor([(1 - cosine**2) / 2] * 2).sqrt()
        match = match_latents(before, replace(before, W_dec=W_dec))
        assert (match.latent_F[0] == 0) == matched and match.cosine_F[0] == pytest.approx(cosine)
        assert match.latent_F[1:].tolist() == list(range(1, 2 * D))
        row = match.summary().row(0, named=True)
        assert (row["latents"], row["matched"], row["median_cosine"]) == (2 * D, 2 * D - (not matched), 1.0)
        assert row["matched_share"] == row["matched"] / (2 * D)
    assert match_latents(before, replace(before, W_dec=W_dec), min_cosine=0.5).matched_share() == 1


def test_nearest_rows_do_not_depend_on_how_many_are_compared_at_once_nor_on_their_norm(monkeypatch):
    rows_FD, others_GD = torch.eye(5)[:, :4] + 0.1, 7 * torch.eye(4).flip(0)
    expected = [3, 2, 1, 0]
    for at_once in (1024, 2):
        monkeypatch.setattr(refitting, "ROWS_AT_ONCE", at_once)
        cosine_F, index_F = nearest(3 * rows_FD, others_GD)
        assert index_F[:4].tolist() == expected and len(index_F) == 5
        assert cosine_F[:4].tolist() == pytest.approx([1.1 / (1.1**2 + 3 * 0.01) ** 0.5] * 4)
    assert nearest(torch.zeros(1, 4), others_GD)[0].tolist() == [0.0]


def test_a_refit_takes_a_quarter_of_the_steps_the_old_width_and_begins_from_the_old_dictionary(monkeypatch):
    calls: list[Any] = []

    def fit(store: Any, config: Any, **options: Any) -> Any:
        calls.append((store, config, options))
        return options["start"]

    monkeypatch.setattr(refitting, "fit", fit)
    tsae: Any = axes_dictionary()
    store: Any = "the store"
    from interp.tsae import TrainingConfig, TSAEConfig

    for steps, asked, expected in ((10, None, 2), (3, None, 1), (10, 7, 7)):
        config = TSAEConfig(width=999, k=2, training=TrainingConfig(steps=steps))
        refit(tsae, store, steps=asked, config=config, out="out", device="cpu", progress=False)
        opened, used, options = calls.pop()
        assert opened == "the store" and (used.width, used.training.steps) == (2 * D, expected)
        assert options == {"layer": 1, "out": "out", "start": tsae, "device": "cpu", "progress": False}


# --- behavior ------------------------------------------------------------------------------------------------------


def test_eight_prompts_are_enough_for_a_difference_of_rates():
    for prompts, verdict in ((8, "more"), (7, "too few prompts")):
        few, many = (PromptCounts(np.full(prompts, k), np.full(prompts, 8)) for k in (0, 8))
        difference = rate_difference(few, many)
        assert (difference.value, difference.n, difference.has_interval) == (1.0, prompts, prompts == 8)
        assert rate_verdict(difference) == verdict
    assert rate_verdict(Estimate(-0.5, -0.6, -0.4, 8)) == "less"
    assert rate_verdict(Estimate(-0.5, -0.6, 0.0, 8)) == rate_verdict(Estimate(0.5, 0.0, 0.6, 8)) == "undecided"


def test_a_row_of_behavior_has_the_rates_of_base_a_and_b_and_the_control():
    """Eight prompts; the base passes none, A two of four, B all, and A's second set of rollouts three of four."""
    counts = {}
    for name, successes in (("base", 0), ("a", 2), ("b", 4), ("resampled", 3)):
        counts[name] = BehaviorCounts()
        rewards = [1.0] * successes + [0.0] * (4 - successes)
        counts[name].update(("1", prompt, make_rollout(reward)) for prompt in range(8) for reward in rewards)
    rows = behavior_rows(counts, {"1": 8})
    assert [row["measure"] for row in rows] == ["pass_rate", "valid_rate", "lucky_rate", "direct_share"]
    row = rows[0]
    assert (row["base"], row["a"], row["b"], row["prompts"], row["bucket"]) == (0.0, 0.5, 1.0, 8, "1")
    assert (row["difference"], row["control"], row["verdict"]) == (0.5, 0.25, "more")
    assert row["low"] < 0.5 < row["high"] and row["control_low"] < 0.25 < row["control_high"]
    for name in ("base", "a", "b"):
        rate = counts[name].prompt_counts("1", "pass_rate", 8).rate
        assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == (rate.value, rate.low, rate.high)
    # All eight prompts changed alike, so of 2^8 swaps the two that leave them together are as far apart: p = 2 / 256.
    assert row["p"] == pytest.approx(2 / 256, abs=3e-3) and rows[3]["p"] == 1
    # Every success is lucky, so two of the four rows have this p, and the others have 1.
    assert [each["p"] for each in rows] == pytest.approx([row["p"], 1, row["p"], 1])
    assert row["q"] == pytest.approx(row["p"] * 4 / 2)
    del counts["base"], counts["resampled"]
    assert not {"base", "base_low", "control"} & set(behavior_rows(counts, {"1": 8})[0])


# --- two checkpoints -----------------------------------------------------------------------------------------------


def test_a_comparison_is_tracked_with_the_default_config_beside_b(monkeypatch):
    places = {"a": Path("/runs/a"), "b": Path("/runs/b")}
    series = {name: Series([Checkpoint(5, place / "checkpoint-5")], directory=place) for name, place in places.items()}
    calls: list[Any] = []
    monkeypatch.setattr(comparing, "track", lambda *args, **options: calls.append((args, options)))
    monkeypatch.setattr(comparing, "Comparison", lambda *args: args)
    monkeypatch.setattr(comparing, "expect_one_vocabulary", lambda compared: None)
    monkeypatch.setattr(comparing.Series, "from_dirs", classmethod(lambda cls, paths: Series(_numbered(paths))))
    tsae, task = axes_dictionary(), SimpleNamespace(name="t", fingerprint=lambda: "t")
    result: Any = comparing.compare(tsae, series["a"], series["b"], task)  # type: ignore[arg-type]
    (args, options) = calls.pop()
    assert args[0] is tsae and args[1].run == "comparison" and str(args[1].directory) == "/runs/b" and args[2] is task
    assert args[3] == TrackConfig() and options["resampled_steps"] == () and options["out"] is None
    assert options["progress"] and not options["allow_unrelated_policies"]
    assert (options["device"], options["dtype"]) == ("auto", "auto")
    assert result[1:] == (0, 1, None)


def _numbered(paths: list[Any]) -> list[Checkpoint]:
    return [Checkpoint(step, path) for step, path in enumerate(paths)]


def test_a_comparison_refuses_steps():
    with pytest.raises(BadInput, match="expected a config without steps"):
        comparing.as_track_config(TrackConfig(steps=(3,)))
    config = CompareConfig(problems=5, loss_rollouts=0, chat=True)
    assert comparing.as_track_config(config) == TrackConfig(problems=5, loss_rollouts=0, chat=True)


# --- sums of a checkpoint ------------------------------------------------------------------------------------------


def test_merged_sums_have_the_tokens_the_behavior_and_the_fit_of_both():
    first, second = CheckpointSums(0, "on-policy", 2), CheckpointSums(0, "on-policy", 2)
    for sums, tokens, reward in ((first, 3, 1.0), (second, 5, 0.0)):
        table = sums.tables["prompts"]
        row = table.row_indices([("1", 0, "valid", 4)])
        table.tokens_R[row] += tokens
        sums.behavior.update([("1", 0, make_rollout(reward))])
        x_ND = torch.arange(2.0 * tokens).view(tokens, 2)
        sums.fve.setdefault("1", FVE()).update(x_ND=x_ND, xhat_ND=x_ND)
    first.merge(second)
    assert first.tables["prompts"].tokens_R.tolist() == [8] and first.fve["1"].n == 8
    passed = first.behavior.prompt_counts("1", "pass_rate", 1)
    assert (passed.successes_P.tolist(), passed.trials_P.tolist()) == ([1], [2])


# --- runs with one base --------------------------------------------------------------------------------------------


class FixedCheckpoint(Checkpoint):
    """A checkpoint that says its fingerprint, and none if it has no name."""

    def fingerprint(self) -> str:
        assert self.path.name != "unreadable", "the same path needs no fingerprint"
        return self.path.name


def run_of(base: str, place: str = "/x") -> Series:
    return Series([FixedCheckpoint(0, Path(place) / base), FixedCheckpoint(5, Path(place) / "last")])


def test_the_base_of_two_runs_is_the_one_they_share_or_the_one_that_is_named():
    assert comparing.common_base(run_of("base"), run_of("base", "/y"), None) == FixedCheckpoint(0, Path("/x/base"))
    with pytest.raises(Mismatch, match="expected runs with one base, /x/base .base.; got one that began with /y/other"):
        comparing.common_base(run_of("base"), run_of("other", "/y"), None)
    alone = Series([FixedCheckpoint(5, Path("/x/last"))])
    assert comparing.common_base(run_of("base"), alone, None) is None
    assert comparing.common_base(alone, alone, Path("/z/named")) == Checkpoint(0, Path("/z/named"))
    named = FixedCheckpoint(7, Path("/x/base"))
    assert comparing.common_base(run_of("base"), alone, named) is named
    with pytest.raises(Mismatch, match="got one that began with /y/other"):
        comparing.common_base(alone, run_of("other", "/y"), named)
    later = Series([FixedCheckpoint(5, Path("/x/a")), FixedCheckpoint(9, Path("/x/b"))])
    assert comparing.common_base(later, later, None) is None, "its first checkpoint is no base"


def test_a_base_at_the_same_path_is_not_read_again():
    base = run_of("unreadable")
    assert comparing.common_base(base, base, None) is base[0]


def test_the_task_of_two_runs_is_the_one_they_share_or_the_only_one_known():
    one, same, other = (SimpleNamespace(name=name, fingerprint=lambda key=key: key) for name, key in ("aA", "bA", "cC"))
    for tasks, expected in (([None, None], None), ([one, None], one), ([None, one], one)):
        assert comparing.common_task(tasks) is expected  # type: ignore[arg-type]
    assert comparing.common_task([one, same]) in (one, same)  # type: ignore[list-item]
    with pytest.raises(BadInput, match=r"trained on two \(a and c\)"):
        comparing.common_task([one, other])  # type: ignore[list-item]


def test_relations_need_the_changes_of_both_since_the_base():
    verdicts: Any = SimpleNamespace(verdict_F=np.array(["strengthened"]))
    for changes in ((None, None), (verdicts, None), (None, verdicts)):
        with pytest.raises(BadInput, match="changes since the base need a base of A and B, got none"):
            _ = BucketComparison(verdicts, *changes).relation_F
    assert BucketComparison(verdicts, verdicts, verdicts).relation_F.tolist() == ["strengthened in both"]


def test_a_series_without_checkpoints_cannot_be_compared():
    with pytest.raises(BadInput, match="expected at least one checkpoint to compare, got a series without any"):
        comparing.open_series(Series([]))
    one = Checkpoint(5, Path("/x/checkpoint-5"))
    assert list(comparing.open_series(one)) == [one]
    assert comparing.open_series(SimpleNamespace(series=Series([one])))[0] == one  # type: ignore[arg-type]


def test_a_comparison_is_kept_beside_a_if_b_has_no_directory_and_needs_a_place_if_neither_has(monkeypatch):
    """The place is that of the series that is tracked."""
    places: list[Any] = []
    monkeypatch.setattr(comparing, "track", lambda tsae, series, *_, **options: places.append((series, options["out"])))
    monkeypatch.setattr(comparing, "Comparison", lambda *args: args)
    monkeypatch.setattr(comparing, "expect_one_vocabulary", lambda compared: None)
    monkeypatch.setattr(comparing.Series, "from_dirs", classmethod(lambda cls, paths: Series(_numbered(paths))))
    task: Any = SimpleNamespace(name="t", fingerprint=lambda: "t")
    at_a, nowhere = (Series([Checkpoint(5, Path("/a/last"))], directory=place) for place in (Path("/a"), None))
    tsae = axes_dictionary()
    comparing.compare(tsae, at_a, nowhere, task)
    assert places.pop()[0].directory == Path("/a")
    with pytest.raises(BadInput, match="say where to keep them"):
        comparing.compare(tsae, nowhere, nowhere, task)
    comparing.compare(tsae, nowhere, nowhere, task, out="/c")
    assert places.pop()[1] == "/c"
