"""The whole demo: every stage in order, each printed as soon as it is done, and a page with all figures at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interp.artifacts import locked
from interp.demo import text
from interp.demo.page import NOTES, Illustrated, rates_figure, write_page
from interp.demo.plan import Plan
from interp.demo.stages import BASE, DEEP, FEATURES, ORACLE, Stages
from interp.demo.text import NO_CREDIT, Section
from interp.tracking.verdicts import TOO_RARE

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles
    from interp.policy import Policy
    from interp.rollouts import Evaluation
    from interp.tasks import Chain
    from interp.tsae import TSAE


@dataclass
class Demo:
    stages: Stages
    say: Callable[[str], None]
    evaluations: "dict[str, Evaluation]" = field(default_factory=dict, init=False)
    """Of the base and of each arm."""
    result: dict[str, Any] = field(default_factory=dict, init=False)
    """Everything that was found, as plain values."""
    parts: list[Illustrated] = field(default_factory=list, init=False)
    seconds: dict[str, float] = field(default_factory=dict, init=False)
    """Seconds that each stage took."""

    @property
    def plan(self) -> Plan:
        return self.stages.plan

    def run(self) -> dict[str, Any]:
        """Run every stage that the plan asks for."""
        self._measure_base()
        if self.plan.train_steps:
            self._train_arms()
        if self.plan.train_steps and self.plan.fit_steps:
            tsae = self._fit_dictionary()
            roles = self._earn_roles(tsae)
            self._track(tsae, roles)
            self._compare(tsae, roles)
            self._train_with_features(tsae, roles)
        page = write_page(self.plan.out / "demo.html", self.parts)
        self.say(f"Page with all figures (opens offline): {page}")
        self.say(f"Seconds: {', '.join(f'{stage} {seconds:.0f}' for stage, seconds in self.seconds.items())}")
        evaluations = {name: evaluation.table().to_dicts() for name, evaluation in self.evaluations.items()}
        return {"evaluations": evaluations, **self.result, "page": page, "seconds": self.seconds}

    def _measure_base(self) -> None:
        with self._timed("base"):
            self.evaluations[BASE] = self.stages.measure_base()
        section = text.base_section(self.evaluations[BASE], self.stages.task, self.plan)
        self._show(section, rates_figure(self.evaluations), "base")

    def _train_arms(self) -> None:
        with self._timed("training"):
            self.evaluations |= self.stages.train_arms()
        self._show(text.training_section(self.evaluations, self.plan), rates_figure(self.evaluations), "training")

    def _fit_dictionary(self) -> "TSAE":
        with self._timed("dictionary"):
            dictionary = self.stages.fit_dictionary()
        self.result["dictionary"] = dictionary.quality.headline() | dictionary.recovery.headline()
        self._show(text.dictionary_section(dictionary), dictionary.quality.figure(), "dictionary")
        return dictionary.tsae

    def _earn_roles(self, tsae: "TSAE") -> "Roles":
        with self._timed("roles"):
            roles = self.stages.earn_roles(tsae)
        self.result["roles"] = _summary_and_table(roles.summary(), roles.table())
        self._show(text.roles_section(roles), roles.figure(), "roles")
        return roles

    def _track(self, tsae: "TSAE", roles: "Roles") -> None:
        with self._timed("tracks"):
            tracks = self.stages.track_deep(tsae)
            changes, drift = tracks.changes(roles=roles), tracks.drift()
        self.result["tracks"] = _summary_and_table(changes.summary(), _without_rare(changes.table()))
        self.result["tracks"]["drift"] = drift.summary().to_dicts()
        self._show(text.tracks_section(changes, drift, roles), tracks.figure(roles=roles), "tracks")

    def _compare(self, tsae: "TSAE", roles: "Roles") -> None:
        with self._timed("comparison"):
            comparison = self.stages.compare_arms(tsae, roles)
            latents, section = comparison.latents(), text.comparison_section(comparison)
        self.result["comparison"] = _summary_and_table(latents.summary(), _without_rare(latents.table()))
        self.result["comparison"]["relations"] = latents.relations().to_dicts()
        self.result["comparison"]["behavior"] = comparison.behavior().to_dicts()
        self._show(section, comparison.figure(), "comparison")

    def _train_with_features(self, tsae: "TSAE", roles: "Roles") -> None:
        with self._timed("credit"):
            evaluation = self.stages.train_with_features(tsae, roles)
        if evaluation is None:
            return self.say(NO_CREDIT)
        self.evaluations[FEATURES] = evaluation
        arms = {name: self.evaluations[name] for name in (BASE, DEEP, ORACLE, FEATURES)}
        return self._show(text.credit_section(arms, roles), rates_figure(arms, list(self.evaluations)), "credit")

    def _show(self, section: Section, figure: "go.Figure", note: str) -> None:
        self.parts.append(Illustrated(section, figure, NOTES[note]))
        self.say(section.render(len(self.parts)))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 1)


def run_demo(
    base: "Policy", task: "Chain", plan: Plan, say: Callable[[str], None], *, progress: bool = True
) -> dict[str, Any]:
    """Run the demo, print each stage with `say`, and return everything that was found, as plain values."""
    with locked(plan.out):
        return Demo(Stages(base, task, plan, progress), say).run()


def _summary_and_table(summary: "pl.DataFrame", table: "pl.DataFrame") -> dict[str, Any]:
    return {"summary": summary.to_dicts(), "table": table.to_dicts()}


def _without_rare(table: "pl.DataFrame") -> "pl.DataFrame":
    """Without the latents that are too rare for a verdict."""
    return table.filter(table["verdict"] != TOO_RARE)
