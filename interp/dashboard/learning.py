"""Rates of answers at each checkpoint, by bucket, with intervals over problems.

They come from evaluations and from tracks, on problems held out, whichever covers more checkpoints of a run and bucket;
from the rollouts of training only where there are neither. Rates of two sources never share a curve.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from interp.dashboard.checkpoints import Checkpoints
from interp.dashboard.inputs import Inputs, Named
from interp.dashboard.levels import ALL
from interp.dashboard.verdicts import interval
from interp.rollouts.evaluation import Evaluation
from interp.rollouts.record import Rollout
from interp.rollouts.summary import summarize
from interp.stats.estimate import Estimate
from interp.stats.shares import clustered_share
from interp.tracking.behavior import BEHAVIOR_MEASURES, BehaviorCounts
from interp.tracking.config import ON_POLICY
from interp.tracking.tracks import Tracks

LUCKY_SHARE, GIVEN_SUCCESS = "lucky_share", "valid_given_success"
MEASURES = ("pass_rate", "valid_rate", LUCKY_SHARE, "direct_share")
EVALUATION, TRACKS, TRAINING = "evaluation", "tracks", "rollouts"
SOURCES = (EVALUATION, TRACKS, TRAINING)
"""In order of preference where they cover as many checkpoints."""
Row = dict[str, Any]


def learning_rows(
    inputs: Inputs, checkpoints: Checkpoints, training: Mapping[int, list[Rollout]], levels: bool
) -> list[Row]:
    """A row for each checkpoint, bucket and measure. `training` are all rollouts that a checkpoint sampled in training,
    by its number."""
    by_source: dict[tuple[int, str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    sources = (
        (EVALUATION, _of_evaluations(inputs.evaluations, checkpoints)),
        (TRACKS, (row for tracks in inputs.tracks for row in _of_tracks(tracks, checkpoints))),
        (TRAINING, _of_training(training, checkpoints, levels)),
    )
    for source, rows in sources:
        for row in rows:
            by_source[row["run"], row["bucket"], row["measure"]][source].append({**row, "source": source})
    return [row for sources in by_source.values() for row in _preferred(sources)]


def _preferred(sources: Mapping[str, list[Row]]) -> list[Row]:
    """The rows of the source that covers most checkpoints. Training counts only if there is no other."""
    held_out = {name: rows for name, rows in sources.items() if name != TRAINING} or sources
    best = max(held_out, key=lambda name: (len(_once(held_out[name])), -SOURCES.index(name)))
    return _once(held_out[best])


def _once(rows: Iterable[Row]) -> list[Row]:
    """Each checkpoint once, in order."""
    return sorted({row["checkpoint"]: row for row in rows}.values(), key=lambda row: row["checkpoint"])


def _rows(run: int, checkpoint: int, bucket: str, estimates: Mapping[str, Estimate]) -> Iterator[Row]:
    for measure in MEASURES:
        if measure in estimates and estimates[measure].n:
            row = {"run": run, "checkpoint": checkpoint, "bucket": bucket, "measure": measure}
            yield row | interval(estimates[measure])


def with_lucky_share(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The estimates and, of right answers, the share that is not valid: one less the share that is."""
    if (valid := estimates.get(GIVEN_SUCCESS)) is None:
        return dict(estimates)
    return {**estimates, LUCKY_SHARE: Estimate(1 - valid.value, 1 - valid.high, 1 - valid.low, valid.n)}


def tracked_rates(counts: BehaviorCounts, bucket: str, prompts: int) -> dict[str, Estimate]:
    """The same rates from the counts of tracks. A right answer of known validity is valid or lucky."""
    by_measure = {name: counts.prompt_counts(bucket, name, prompts) for name in BEHAVIOR_MEASURES}
    lucky_P, valid_P = (by_measure[name].successes_P for name in ("lucky_rate", "valid_rate"))
    rates = {name: each.rate for name, each in by_measure.items()}
    return rates | {LUCKY_SHARE: clustered_share(lucky_P.tolist(), (lucky_P + valid_P).tolist())}


def _of_evaluations(evaluations: Iterable[Named[Evaluation]], checkpoints: Checkpoints) -> Iterator[Row]:
    """Rates of every checkpoint whose weights are known here, and of those that are not, in a run of their own."""
    for named in evaluations:
        evaluation = named.result
        for step in evaluation.steps:
            numbers = checkpoints.with_weights(evaluation.policies.get(step))
            if not numbers:
                run = checkpoints.add_run(named.name, EVALUATION)
                fingerprint = evaluation.policies.get(step)
                numbers = [checkpoints.add(run, step, is_base=step == 0, fingerprint=fingerprint)]
            groups = [(ALL, ALL), *(("level", group) for group in evaluation.groups("level"))]
            for number in numbers:
                for by, group in groups:
                    estimates = with_lucky_share(evaluation.measures(step, by=by, group=group))
                    yield from _rows(checkpoints.entries[number].run, number, group, estimates)


def _of_tracks(tracks: Tracks, checkpoints: Checkpoints) -> Iterator[Row]:
    run = checkpoints.run_named(tracks.config["run"])
    assert run is not None, "tracks have a run of their own at least"
    for step in tracks.steps:
        counts = tracks.checkpoint_sums(step, ON_POLICY).behavior
        number = checkpoints.add(run, step)
        for bucket, prompts in tracks.prompts.items():
            if prompts:
                yield from _rows(run, number, bucket, tracked_rates(counts, bucket, prompts))


def _of_training(training: Mapping[int, list[Rollout]], checkpoints: Checkpoints, levels: bool) -> Iterator[Row]:
    for number, rows in training.items():
        for by in ("split", "level") if levels else ("split",):
            summary = summarize(rows, by, [*BEHAVIOR_MEASURES, GIVEN_SUCCESS])
            for group, estimates in summary.estimates.items():
                if group is not None:
                    bucket = ALL if by == "split" else str(group)
                    yield from _rows(checkpoints.entries[number].run, number, bucket, with_lucky_share(estimates))
