"""Whether a dictionary is trusted on each checkpoint: fits, thresholds and verdicts."""

from dataclasses import replace

import pytest
from tracking_fixtures import SMALL, TASK, axes_dictionary

from interp.artifacts import BadInput
from interp.rollouts import Series
from interp.tracking import Drift, TrustThresholds, track


def with_fve(drift: Drift, fve: dict[int, float | None]) -> Drift:
    """The same with these fits by step, without loss recovered."""
    return replace(drift, fits=tuple(replace(fit, fve=fve[fit.step], kl_recovered=None) for fit in drift.fits))


def test_a_dictionary_that_reconstructs_everything_is_trusted(tracks):
    drift = tracks.drift()
    assert {drift.verdict(step) for step in tracks.steps} == {"trust"}
    table = drift.table()
    assert table["fve"].min() > 0.999 and table["kl_recovered"].min() > 0.99
    assert table["kl_recovered"].null_count() == 0, "measured in every bucket"
    assert drift.summary().rows(named=True)[0]["verdict"] == "trust" and drift.summary().height == 3


@pytest.mark.parametrize(
    ("fve", "verdicts"),
    [
        ({0: 0.95, 10: 0.91, 20: 0.89}, ["trust", "trust", "refit"]),
        ({0: 0.45, 10: 0.0, 20: -0.05}, ["refit"] * 3),
        ({0: 0.95, 10: None, 20: 0.95}, ["trust", "cannot tell", "trust"]),
    ],
)
def test_more_than_twice_the_unexplained_variance_of_the_base_or_less_than_a_floor_asks_for_a_refit(
    tracks, fve, verdicts
):
    drift = with_fve(tracks.drift(), fve)
    assert [drift.verdict(step) for step in (0, 10, 20)] == verdicts
    for fit in drift.fits:
        threshold = drift.fve_threshold(fit)
        if fit.fve is not None and threshold is not None:
            assert (fit.fve < threshold) == (drift.verdict(fit.step) == "refit")


def test_a_loss_that_is_not_recovered_asks_for_a_refit(tracks):
    drift = tracks.drift()
    lost = replace(drift, fits=tuple(replace(fit, kl_recovered=0.8) for fit in drift.fits))
    assert lost.verdict(0) == "refit"


def test_the_reason_says_which_limit_was_missed_and_what_was_not_measured(tracks):
    drift = tracks.drift()
    assert drift.reason(0) == "both limits are met"
    lost = replace(drift, fits=tuple(replace(fit, kl_recovered=0.8) for fit in drift.fits))
    assert lost.reason(0) == "loss recovered 0.80 is below 0.90 on on-policy, 1"
    unmeasured = with_fve(drift, {0: 0.95, 10: 0.8, 20: None})
    assert unmeasured.summary()["reason"].to_list() == [
        "variance explained alone: no loss recovered was measured",
        "variance explained 0.80 is below 0.90 on on-policy, 1",
        "no variance explained was measured on on-policy, 1",
    ]


def test_thresholds_out_of_range_are_refused():
    with pytest.raises(BadInput, match=r"^max_unexplained_ratio must be at least 1; got 0.5$"):
        TrustThresholds(max_unexplained_ratio=0.5)
    with pytest.raises(BadInput, match=r"^min_fve must be at most 1; got 1.5$"):
        TrustThresholds(min_fve=1.5)


def test_the_figure_shows_variance_explained_with_its_threshold_dotted(tracks):
    """The base at 0.95 allows 0.9; the base at 0.6 would allow 0.2, and the floor of 0.7 is higher."""
    fve = {"on-policy": {0: 0.95, 10: 0.93, 20: 0.8}, "probe": {0: 0.6, 10: None, 20: 0.5}}
    drift = tracks.drift()
    drift = replace(drift, fits=tuple(replace(fit, fve=fve[fit.corpus][fit.step]) for fit in drift.fits))
    figure = drift.figure()
    assert [title.text for title in figure.layout.annotations] == ["1", "2"]
    lines = {trace.name: trace for trace in figure.data if trace.xaxis == "x"}
    assert {name: (list(trace.x), pytest.approx(list(trace.y))) for name, trace in lines.items()} == {
        "on-policy": ([0, 10, 20], [0.95, 0.93, 0.8]),
        "on-policy: threshold": ([0, 10, 20], [0.9] * 3),
        "probe": ([0, 20], [0.6, 0.5]),
        "probe: threshold": ([0, 10, 20], [0.7] * 3),
    }
    for corpus in fve:
        line, threshold = lines[corpus].line, lines[f"{corpus}: threshold"].line
        assert threshold.dash == "dot" and threshold.color == line.color and line.dash is None


def test_latents_of_the_base_that_fall_silent_are_counted(tracks):
    fits = tracks.drift().fits
    assert all(fit.silent_share == 0 for fit in fits if fit.step == 0)
    assert all(0 <= (fit.silent_share or 0) < 0.5 and (fit.l0 or 0) > 10 for fit in fits)


@pytest.mark.parametrize(("fitted_on", "unfitted"), [((), ()), ((0,), (10, 20)), ((0, 10), (20,)), ((0, 10, 20), ())])
def test_steps_on_which_the_dictionary_was_not_fitted_are_named(run, tmp_path, fitted_on, unfitted):
    """By weights: the dictionary may come from another run of the same base, whose steps have other numbers."""
    series = Series.from_dir(run)
    made_from = {f"policy-{40 + step}": series.checkpoint(step).fingerprint() for step in fitted_on}
    config = replace(SMALL, levels=(1,), problems=2, loss_rollouts=0)
    tsae = replace(axes_dictionary(), made_from=made_from)
    drift = track(tsae, series, TASK, config, out=tmp_path / "t", device="cpu", progress=False).drift()
    assert drift.unfitted_steps == unfitted
    expected = [step in fitted_on for step in (0, 10, 20)] if fitted_on else [None] * 3
    assert drift.summary()["fitted_on"].to_list() == expected
