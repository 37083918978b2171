"""A report from results: everything in order, each part left out with a sentence where what it needs is missing."""

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput, versions
from interp.dashboard.changes import change_rows
from interp.dashboard.checkpoints import Checkpoints
from interp.dashboard.comparisons import MeasuredComparison, add_comparison
from interp.dashboard.config import DashboardConfig
from interp.dashboard.dashboard import Dashboard
from interp.dashboard.explaining import explain_named_credit
from interp.dashboard.extras import Extra
from interp.dashboard.features import Features
from interp.dashboard.finding import open_results
from interp.dashboard.inputs import KINDS, Inputs, Named, expect_together, sort_results
from interp.dashboard.journal import add_rollouts
from interp.dashboard.learning import learning_rows
from interp.dashboard.levels import Levels
from interp.dashboard.missing import say_missing
from interp.dashboard.overview import overview
from interp.dashboard.report import SCHEMA, Report
from interp.dashboard.subjects import with_shipped_policies
from interp.dashboard.tokens import TokenTexts
from interp.dashboard.tracked import TrackedRun, measure_tracks
from interp.dashboard.visits import Visitor
from interp.features.notes import Notes
from interp.rollouts.record import Rollout
from interp.tracking.comparison import Comparison

if TYPE_CHECKING:
    from interp.policy import Policy


def make_dashboard(
    *results: Any,
    config: DashboardConfig | None = None,
    notes: Notes | str | Path | None = None,
    base: str | Path | None = None,
    extras: Mapping[str, Extra] | None = None,
    explain_credit: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = True,
) -> Dashboard:
    """A dashboard of results: runs, series, tracks, comparisons, roles, a dictionary, evaluations, rollouts, buckets,
    results of studies, or directories of such; and explanations of credit (`interp.grpo.explain_run`).

    Any of them may be missing: what needs it is left out, and `left_out` says so. All must be of one dictionary and of
    one base. `notes` are names of latents, or the file that holds them; by default those that lie beside results that
    are given as directories. `base` is step 0 of directories of checkpoints whose trainer did not save it. `extras`
    are further colourings of tokens by name: a value per token, by rollout or from a function of the rollout
    (`interp.dashboard.extras`). `explain_credit` has the base of each run read again what its credit read, if that
    has a name (--credit likelihood)."""
    config = config or DashboardConfig()
    paths = [Path(result) for result in results if isinstance(result, str | Path)]
    objects = [
        Named(_name_of(result), result, str(getattr(result, "path", "") or ""))
        for result in results
        if not isinstance(result, str | Path)
    ]
    listed, left_out = open_results(paths, base=None if base is None else Path(base))
    inputs = sort_results([*objects, *listed])
    inputs.left_out += left_out
    if notes is not None:
        inputs.notes = notes if isinstance(notes, Notes) else _load_notes(notes)
    if inputs.notes is None and inputs.roles is not None and inputs.roles.result.path is not None:
        inputs.notes = inputs.roles.result.notes()
    if not (objects or listed):
        raise BadInput(f"expected {KINDS}, or directories of such, got none")
    with_shipped_policies(inputs)
    expect_together(inputs, allow_unrelated_policies=config.allow_unrelated_policies)
    if explain_credit:
        explain_named_credit(inputs, config, device, dtype)
    return Building(inputs, config, extras or {}, device, dtype, progress).dashboard()


def _name_of(result: Any) -> str:
    path = getattr(result, "path", None)
    return path.absolute().name if isinstance(path, Path) else type(result).__name__.lower()


def _load_notes(path: str | Path) -> Notes:
    if not Path(path).exists():
        raise BadInput(f"{path}: expected notes on latents, got no such file: leave out --notes, or save them there")
    return Notes.load(path)


class Building:
    """A report under construction."""

    def __init__(
        self,
        inputs: Inputs,
        config: DashboardConfig,
        extras: Mapping[str, Extra],
        device: str,
        dtype: str,
        progress: bool,
    ) -> None:
        self.inputs, self.config, self.extras = inputs, config, extras
        self.device, self.dtype, self.progress = device, dtype, progress
        self.report, self.checkpoints, self.texts = Report(), Checkpoints(), TokenTexts()
        self.levels = Levels(inputs)

    def dashboard(self) -> Dashboard:
        for sentence in self.inputs.left_out:
            self.report.leave_out(sentence)
        self._add_checkpoints()
        tracked = [self._track(number) for number in range(len(self.inputs.tracks))]
        compared = [self._compare(named) for named in self.inputs.comparisons]
        features = Features(self.inputs, self.config, self.report, self.texts, tracked)
        visitor = self._visitor(features)
        readings = visitor.read()
        learning = learning_rows(self.inputs, self.checkpoints, visitor.training, levels=self.levels.are_of_rollouts)
        run_of = [entry.run for entry in self.checkpoints.entries]
        pairs = [(run_of[each.checkpoints[-1]], run_of[each.checkpoints[-2]]) for each in compared]
        changes = change_rows(self.inputs, self.checkpoints, tracked, pairs, self.levels.of, self.config)
        buckets = self.levels.names([row for reading in readings for row in reading.batch.rows], learning)
        features.choose(readings)
        rollouts = add_rollouts(
            self.report, readings, self.levels, buckets, self.texts, features.row_of, self.config, self.extras,
            self.inputs.explanations,
        )  # fmt: skip
        self._say_tokens_shown(readings)
        index: dict[str, Any] = {
            "schema": SCHEMA,
            "title": self.config.title,
            "made": {"version": versions("interp").get("interp", ""), "date": datetime.date.today().isoformat()},
            "overview": overview(self.inputs, self.checkpoints, tracked, compared, learning, changes),
            "features": features.add(readings, buckets),
            "comparisons": [
                add_comparison(self.report, measured, number, features.latents, buckets)
                for number, measured in enumerate(compared)
            ],
            "rollouts": rollouts,
            "buckets": buckets,
            "notes": self.inputs.notes.to_json() if self.inputs.notes is not None else {},
        }
        if rollouts is not None:
            rollouts["token_texts"] = self.report.add_json("tokens.texts", self.texts.texts)
        say_missing(self.report, self.inputs, index)
        index |= self.checkpoints.to_index()
        return Dashboard(index | {"chunks": self.report.shapes, "left_out": self.report.left_out}, self.report.chunks)

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _add_checkpoints(self) -> None:
        for subject in self.inputs.subjects:
            run = self.checkpoints.add_run(subject.name, subject.kind, subject.note)
            if subject.note:
                self.report.leave_out(f"The run {subject.name} is partial: {subject.note}.")
            for step in subject.steps:
                is_base, fingerprint = step == subject.steps[0], subject.fingerprints.get(step)
                fingerprint = subject.base if is_base else fingerprint
                self.checkpoints.add(run, step, is_base=is_base, fingerprint=fingerprint)

    def _track(self, number: int) -> TrackedRun:
        tracks = self.inputs.tracks[number]
        run = self.checkpoints.run_named(tracks.config["run"])
        assert run is not None, "tracks have a run of their own at least"
        places = [
            self.checkpoints.add(
                run, step, is_base=step == tracks.steps[0], fingerprint=tracks.made_from[f"policy-{step}"]
            )
            for step in tracks.steps
        ]
        return measure_tracks(tracks, run, places, progress=self.progress)

    def _compare(self, named: Named[Comparison]) -> MeasuredComparison:
        return MeasuredComparison.of(named.result, named.name, self._comparison_checkpoints(named.result))

    def _comparison_checkpoints(self, comparison: Comparison) -> list[int]:
        """The number of the base, if there is one, of A and of B: where they are in a run, if it was given."""
        places = []
        for step in comparison.names:
            fingerprint = comparison.tracks.made_from[f"policy-{step}"]
            path = Path(comparison.tracks.paths.get(step, f"step {step}"))
            numbers = self.checkpoints.with_weights(fingerprint)
            own = [each for each in numbers if self.checkpoints.runs[self.checkpoints.entries[each].run].name
                   in (path.name, path.parent.name)]  # fmt: skip
            if not numbers:
                name = path.parent.name if path.name.startswith("checkpoint-") else path.name
                run = self.checkpoints.add_run(name or comparison.path.name, "series")
                suffix = path.name.removeprefix("checkpoint-")
                numbers = [
                    self.checkpoints.add(
                        run,
                        int(suffix) if suffix.isdigit() else step,
                        is_base=step == comparison.base,
                        fingerprint=fingerprint,
                    )
                ]
            places.append((own or numbers)[0])
        return places

    # --- rollouts ----------------------------------------------------------------------------------------------------

    def _visitor(self, features: Features) -> Visitor:
        numbers = {
            (subject.name, step): self.checkpoints.add(run, step)
            for subject in self.inputs.subjects
            if (run := self.checkpoints.run_named(subject.name)) is not None
            for step in subject.steps
        }
        extra: dict[int, list[Rollout]] = {}
        for named in self.inputs.rollouts:
            extra.setdefault(self._rollouts_checkpoint(named), []).extend(named.result.rows)

        def on_base(policy: "Policy", readings: Iterable[Any]) -> None:
            if listed := list(readings):
                features.choose(listed)
                features.read_base(policy)

        return Visitor(
            self.inputs, self.config, self.report, self.texts, numbers, extra, self.levels.of,
            self.device, self.dtype, self.progress, on_base,
        )  # fmt: skip

    def _rollouts_checkpoint(self, named: Named[Any]) -> int:
        """The number of the checkpoint that wrote some rollouts."""
        rollouts = named.result
        step, fingerprint = int(rollouts.config.get("step", 0)), rollouts.made_from.get("policy")
        numbers = self.checkpoints.with_weights(fingerprint)
        same_step = [number for number in numbers if self.checkpoints.entries[number].step == step]
        if numbers:
            return (same_step or numbers)[0]
        run = self.checkpoints.add_run(named.name, "series")
        return self.checkpoints.add(run, step, is_base=step == 0, fingerprint=fingerprint)

    def _say_tokens_shown(self, readings: list[Any]) -> None:
        if any(reading.live is not None for reading in readings):
            self.report.leave_out(
                f"At each token at most the {self.config.codes} strongest latents are shown; facts about latents count "
                "all of them."
            )
