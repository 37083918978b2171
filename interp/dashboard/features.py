"""The latents that a report shows, and everything about them.

Shown are all that are active in the rollouts shown, that have a verdict other than too rare, or that took part in a
trial; if that is more than the report may hold, those of trials first, then those that changed, then the strongest.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from interp.dashboard.config import DashboardConfig
from interp.dashboard.examples import Peaks, add_examples
from interp.dashboard.inputs import Inputs
from interp.dashboard.latent_facts import ActivationCounts, add_lens, add_neighbors
from interp.dashboard.readings import Reading
from interp.dashboard.report import NONE, Report
from interp.dashboard.rollouts import PROBE_TEXT
from interp.dashboard.tokens import TokenTexts
from interp.dashboard.tracked import TrackedRun, add_tracks
from interp.dashboard.trials import role_names, trial_rows
from interp.rollouts.record import Rollout
from interp.tracking.verdicts import STRENGTHENED, VERDICTS, WEAKENED

if TYPE_CHECKING:
    from interp.policy import Policy


class Features:
    """The latents of a report: chosen once all rollouts were read, then added."""

    def __init__(
        self,
        inputs: Inputs,
        config: DashboardConfig,
        report: Report,
        texts: TokenTexts,
        tracked: Sequence[TrackedRun],
    ) -> None:
        self.inputs, self.config, self.report, self.texts, self.tracked = inputs, config, report, texts, tracked
        self.latents: Int[ndarray, " A"] | None = None
        """Their numbers in the dictionary, in order. None until they are chosen, or without a dictionary."""
        self.lens: dict[str, str] | None = None

    @property
    def row_of(self) -> Int[ndarray, " F"] | None:
        """The row of each latent of the dictionary; `NONE` of those that are not shown."""
        if self.latents is None or self.inputs.width is None:
            return None
        row_F = np.full(self.inputs.width, NONE, dtype=np.int64)
        row_F[self.latents] = np.arange(len(self.latents))
        return row_F

    # --- which latents -----------------------------------------------------------------------------------------------

    def choose(self, readings: Sequence[Reading]) -> None:
        """Choose the latents that are shown, once."""
        width = self.inputs.width
        if self.latents is not None or width is None:
            return
        counts = _counts(width, readings, own_text=False)
        strength_F = np.zeros(width)
        alive = counts.alive()
        if len(alive):
            strength_F[alive] = counts.facts(alive)["max"]
        rank_F = np.full(width, 4)
        rank_F[alive] = 3
        for each in self.tracked:
            rank_F[each.is_judged_F()] = np.minimum(rank_F[each.is_judged_F()], 2)
            for verdicts in each.changes.values():
                rank_F[np.isin(verdicts.verdict_F, (STRENGTHENED, WEAKENED))] = 1
        if self.inputs.roles is not None:
            roles = self.inputs.roles.result
            rank_F[[trial.latent for trial in (*roles.trials, *roles.random_trials)]] = 0
        order = np.lexsort((-strength_F, rank_F))
        candidates = order[: int((rank_F < 4).sum())]
        self.latents = np.sort(candidates[: self.config.latents])
        self._say_shown(len(candidates), width)

    def _say_shown(self, candidates: int, width: int) -> None:
        assert self.latents is not None
        if candidates > len(self.latents):
            self.report.leave_out(
                f"{len(self.latents):,} of {candidates:,} latents are shown: those of trials, those that changed, and "
                "the strongest (--latents shows more)."
            )
        if candidates < width:
            self.report.leave_out(
                f"{width - candidates:,} of {width:,} latents are left out: they are active nowhere in the rollouts "
                "shown, too rare for a verdict, and took part in no trial."
            )

    def read_base(self, policy: "Policy") -> None:
        """The logit lens, while the base is in memory."""
        if self.inputs.tsae is not None and self.latents is not None and self.lens is None:
            latents = self.latents.tolist()
            self.lens = add_lens(self.report, self.inputs.tsae.result, policy, latents, self.texts, self.config.lens)

    # --- what is known of them ---------------------------------------------------------------------------------------

    def add(self, readings: Sequence[Reading], buckets: Sequence[str]) -> dict[str, Any] | None:
        """Add everything about the latents shown: the entry of the index. None without a dictionary, roles and
        tracks."""
        if self.latents is None or self.inputs.width is None:
            return None
        tsae, roles = self.inputs.tsae, self.inputs.roles
        counts = _counts(self.inputs.width, readings, own_text=True)
        facts = counts.facts(self.latents)
        role = np.zeros(len(self.latents), int)
        slow = np.zeros(len(self.latents), int)
        if roles is not None:
            role = np.array([role_names().index(roles.result.role_of(int(each))) for each in self.latents], dtype=int)
        if tsae is not None and len(tsae.result.block_widths) > 1:
            slow = self.latents < tsae.result.n_slow
        density = None
        if counts.tokens:
            histogram, edges = counts.histogram(self.latents)
            density = {"counts": self.report.add("density", histogram, "u4"), "edges": edges}
        return {
            "count": len(self.latents),
            "latents": self.report.add("latents", self.latents, "u4"),
            "dictionary": self._dictionary(),
            "roles": role_names(),
            "role": self.report.add("role", role, "u1"),
            "facts": {name: self.report.add(f"facts.{name}", values, "f4") for name, values in facts.items()}
            | {"slow": self.report.add("facts.slow", slow, "u1")},
            "facts_tokens": counts.tokens,
            "density": density,
            "lens": self.lens,
            "neighbors": None
            if tsae is None
            else add_neighbors(self.report, tsae.result, self.latents.tolist(), self.config.neighbors),
            "tracks": [
                track
                for number, tracked in enumerate(self.tracked)
                for track in add_tracks(self.report, tracked, number, self.latents, buckets)
            ],
            "verdicts": list(VERDICTS),
            "trials": None if roles is None else self.report.add_json("trials", trial_rows(roles.result)),
            "examples": self._examples(readings),
        }

    def _dictionary(self) -> dict[str, Any]:
        named, width, layer = self.inputs.tsae, self.inputs.width, self.inputs.layer
        if named is None:
            return {"name": "not given", "width": width, "layer": layer, "k": None, "fve": None}
        tsae = named.result
        k = tsae.form.top_k if tsae.config is None else tsae.config.k
        return {"name": named.name, "width": width, "layer": layer, "k": k, "fve": tsae.fit_metrics.get("fve")}

    def _examples(self, readings: Sequence[Reading]) -> dict[str, object] | None:
        assert self.latents is not None
        own, probe, first = list[Peaks](), list[Peaks](), 0
        for reading in readings:
            rows = reading.batch.rows
            if reading.live is not None:
                peaks = Peaks.of(reading.live, [len(row.tokens) for row in rows], first)
                (probe if reading.batch.source == PROBE_TEXT else own).append(peaks)
            first += len(rows)
        rows = [row for reading in readings for row in reading.batch.rows]
        problem_R, text_R = (_numbers([each(row) for row in rows]) for each in (lambda row: row.problem, _text_of))
        return add_examples(self.report, self.latents, own, probe, problem_R, text_R, self.config.examples)


def _text_of(row: Rollout) -> tuple[int, ...]:
    return tuple(row.tokens)


def _numbers(keys: Sequence[Hashable]) -> Int[ndarray, " R"]:
    """Equal numbers where the keys are equal."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], int)


def _counts(width: int, readings: Sequence[Reading], *, own_text: bool) -> ActivationCounts:
    """Activity of every latent: at the checkpoints that wrote the text, or wherever it was read."""
    counts = ActivationCounts(width)
    for reading in readings:
        if own_text and reading.batch.source == PROBE_TEXT:
            continue
        for codes in (reading.live,) if own_text else (reading.live, reading.base):
            if codes is not None:
                counts.update(codes)
    return counts
