"""The loop from end to end: each stage told as it is done, and in the end a page with the figures of all."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interp.demo import inside
from interp.demo import text as report
from interp.demo.arms import BASE, HARD, PAID, SEEN, hard_again, hard_against_medium
from interp.demo.page import write
from interp.demo.plan import Plan
from interp.report.dictionaries import what_is_fitted, what_it_tells
from interp.report.features import earned
from interp.report.training import side_by_side, what_it_shows
from interp.tasks.base import Task
from interp.tracking.changes import RARE

if TYPE_CHECKING:
    from interp.features import Roles
    from interp.policy import Policy
    from interp.rollouts import Evaluation
    from interp.tracking import Comparison, Tracks

Say = Callable[..., None]
SHOWN = 2
"""Latents of each role, the surest."""


@dataclass
class Loop:
    base: "Policy"
    task: Task
    plan: Plan
    say: Say
    bar: bool
    ends: "dict[str, Evaluation]" = field(default_factory=dict, init=False)
    """What came of each arm."""
    seconds: dict[str, float] = field(default_factory=dict, init=False)
    """That each stage took."""

    @property
    def looking(self) -> dict[str, Any]:
        return {"device": str(self.base.device), "bar": self.bar}

    def go(self) -> dict[str, Any]:
        """All of it. What comes back is what was found, as plain values."""
        self._train()
        found: dict[str, Any] = {}
        parts: dict[str, Any] = {}
        if self.plan.learn:
            fitted = self._fit()
            roles = self._earn(fitted.tsae)
            tracks = self._track(fitted.tsae, roles)
            comparison = self._compare(fitted.tsae, roles)
            self._again(fitted.tsae, roles)
            parts = {"roles": roles, "tracks": tracks, "comparison": comparison}
            found = {"dictionary": {"quality": fitted.quality.row(), "told": fitted.told}, **plain(**parts)}
        with self._timed("page"):
            page = write(self.plan.out / "demo.html", self.ends, **parts)
        told = ", ".join(f"{stage} {took:.0f}" for stage, took in self.seconds.items())
        self.say("", f"Seconds: {told}.", f"All figures in one page, which opens offline: {page}")
        after = {name: end.table().to_dicts() for name, end in self.ends.items()}
        return {"after": after, **found, "page": page, "seconds": self.seconds}

    def _train(self) -> None:
        self.say("", what_it_shows(self.plan.steps), "")
        with self._timed("training"):
            self.ends |= hard_against_medium(self.base, self.task, self.plan, bar=self.bar)
        self.say(side_by_side(self.ends), "", report.trained(self.ends))
        self.say(f"Runs, with checkpoints and rollouts: {self.plan.out}")

    def _fit(self) -> inside.Fitted:
        self.say("", what_is_fitted(self.plan.learn))
        with self._timed("dictionary"):
            fitted = inside.fitted(self.task, self.plan, **self.looking)
        self.say("", report.explained(fitted.quality), "", what_it_tells(fitted.told, inside.SLOW_FACTS))
        return fitted

    def _earn(self, tsae: Any) -> "Roles":
        self.say("", report.WHAT_IS_EARNED, "")
        with self._timed("roles"):
            roles = inside.roles_of(tsae, self.base, self.task, self.plan, bar=self.bar)
        self.say(earned(roles, SHOWN), "", report.roles_earned(roles))
        return roles

    def _track(self, tsae: Any, roles: "Roles") -> "Tracks":
        self.say("", report.WHAT_IS_TRACKED, "")
        with self._timed("tracks"):
            tracks = inside.tracks_of(tsae, self.task, self.plan, **self.looking)
            changes, fits = tracks.changes(), tracks.drift()
        told = (report.went(changes, bucket, roles) for bucket in changes.buckets)
        self.say(report.by_role(changes, roles), "", *told, report.trusted(fits))
        return tracks

    def _compare(self, tsae: Any, roles: "Roles") -> "Comparison":
        self.say("", report.WHAT_IS_COMPARED, "")
        with self._timed("comparison"):
            comparison = inside.comparison_of(tsae, roles, self.task, self.plan, **self.looking)
            told = report.set_apart(comparison)
        self.say(told, "", report.apart_in_words(comparison))
        return comparison

    def _again(self, tsae: Any, roles: "Roles") -> None:
        credit = inside.credit_of(tsae, roles)
        if credit is None:
            return self.say("", report.NO_CREDIT)
        self.say("", report.what_credit_reads(roles), "")
        with self._timed("hard again"):
            self.ends[SEEN] = hard_again(self.base, self.task, self.plan, credit, bar=self.bar)
        shown = {name: self.ends[name] for name in (BASE, HARD, PAID, SEEN)}
        self.say(side_by_side(shown), "", report.credited(*list(shown.values())[1:]))
        return None

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - began, 1)


def plain(roles: "Roles", tracks: "Tracks", comparison: "Comparison") -> dict[str, Any]:
    """Of latents that were not too rare to be judged."""
    import polars as pl

    changes, found, drift = tracks.changes(), comparison.compared(), tracks.drift()
    judged = [told.table().filter(pl.col("verdict") != RARE).to_dicts() for told in (changes, found)]
    earned = {"counts": roles.counts().to_dicts(), "missing": roles.missing, "trials": roles.table().to_dicts()}
    tracked = {"drift": {step: drift.verdict(step) for step in drift.steps}, "counts": changes.counts().to_dicts()}
    compared = {"behaviour": comparison.behaviour().to_dicts(), "counts": found.counts().to_dicts()}
    compared |= {"relations": found.relations().to_dicts()}
    return {
        "roles": earned,
        "tracks": {**tracked, "latents": judged[0]},
        "comparison": {**compared, "latents": judged[1]},
    }
