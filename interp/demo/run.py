"""The whole demo: every stage in order, each printed as soon as it is done, and the report and findings at the end."""

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interp.artifacts import locked
from interp.demo import text
from interp.demo.answers import Answers
from interp.demo.findings import findings
from interp.demo.plan import Plan
from interp.demo.stages import ARMS, BASE, RESAMPLED, Stages
from interp.demo.text import WIDTH, Section
from interp.tasks.base import BUCKETS
from interp.tracking.verdicts import TOO_RARE

if TYPE_CHECKING:
    import polars as pl

    from interp.features import Roles
    from interp.policy import Policy
    from interp.tasks import Chain
    from interp.tsae import TSAE


@dataclass
class Demo:
    stages: Stages
    say: Callable[[str], None]
    answers: dict[str, Answers] = field(default_factory=dict, init=False)
    """Of the base and of each arm."""
    results: list[Any] = field(default_factory=list, init=False)
    """What the report shows besides runs and answers."""
    values: dict[str, Any] = field(default_factory=dict, init=False)
    """Everything that was measured with the dictionary, as plain values."""
    seconds: dict[str, float] = field(default_factory=dict, init=False)
    """Seconds that each stage took."""
    sections: int = field(default=0, init=False)

    @property
    def plan(self) -> Plan:
        return self.stages.plan

    def run(self) -> dict[str, Any]:
        """Run every stage that the plan asks for."""
        self.say(text.opening(self.plan))
        self._measure_base()
        roles = None
        if self.plan.sizes.steps:
            self._train_arms()
        if self.plan.sizes.steps and self.plan.sizes.fit_steps:
            tsae = self._fit_dictionary()
            roles = self._earn_roles(tsae)
            self._track(tsae, roles)
            self._compare(tsae, roles)
            self._train_credit(tsae)
        sentences = list(findings(self.answers, roles))
        self._write_report(sentences)
        evaluations = {name: answers.evaluation.table().to_dicts() for name, answers in self.answers.items()}
        places = {"findings": sentences, "report": self.plan.report, "seconds": self.seconds}
        return {"evaluations": evaluations, **self.values, **places}

    def _measure_base(self) -> None:
        with self._timed("base"):
            buckets = self.stages.buckets("eval")
            self.answers |= {name: self.stages.measure_base(name) for name in (BASE, RESAMPLED)}
        self._show(text.base_section(self.answers[BASE], buckets, self.stages.task, self.plan))

    def _train_arms(self) -> None:
        with self._timed("training"):
            self.answers |= ((name, self.stages.train(name, arm)) for name, arm in ARMS.items())
        self._show(text.training_section(self.answers, self.plan))

    def _fit_dictionary(self) -> "TSAE":
        with self._timed("dictionary"):
            dictionary = self.stages.fit_dictionary()
        self.values["dictionary"] = dictionary.quality.headline() | dictionary.recovery.headline()
        self.results.append(dictionary.tsae)
        self._show(text.dictionary_section(dictionary))
        return dictionary.tsae

    def _earn_roles(self, tsae: "TSAE") -> "Roles":
        with self._timed("roles"):
            roles = self.stages.earn_roles(tsae)
        self.values["roles"] = _summary_and_table(roles.summary(), roles.table())
        self.results.append(roles)
        self._show(text.roles_section(roles))
        return roles

    def _track(self, tsae: "TSAE", roles: "Roles") -> None:
        with self._timed("tracks"):
            tracks = {name: self.stages.track(tsae, name) for name in BUCKETS}
            changes = {name: each.changes(roles=roles) for name, each in tracks.items()}
            drifts = {name: each.drift() for name, each in tracks.items()}
        self.values["tracks"] = {
            name: _summary_and_table(changes[name].summary(), _without_rare(changes[name].table()))
            | {"drift": drifts[name].summary().to_dicts()}
            for name in tracks
        }
        self.results += tracks.values()
        self._show(text.tracks_section(changes, drifts))

    def _compare(self, tsae: "TSAE", roles: "Roles") -> None:
        with self._timed("comparison"):
            comparison = self.stages.compare(tsae, roles)
            latents, section = comparison.latents(), text.comparison_section(comparison)
        self.values["comparison"] = _summary_and_table(latents.summary(), _without_rare(latents.table()))
        self.values["comparison"]["relations"] = latents.relations().to_dicts()
        self.values["comparison"]["behavior"] = comparison.behavior().to_dicts()
        self.results.append(comparison)
        self._show(section)

    def _train_credit(self, tsae: "TSAE") -> None:
        with self._timed("credit"):
            self.answers |= self.stages.train_credit(tsae)
            explanations = self.stages.explain_credit(tsae)
        self.values["credit"] = [each.summary().to_dicts() for each in explanations]
        self.results += explanations
        self._show(text.credit_section(self.answers))

    def _write_report(self, sentences: list[str]) -> None:
        with self._timed("report"):
            report = self.stages.report(self.answers, *self.results)
            report.save(self.plan.report, overwrite=True)
        for number, sentence in enumerate(sentences, 1):
            self.say(textwrap.fill(f"Finding {number}. {sentence}", WIDTH, subsequent_indent="  "))
        self.say(f"Report (opens offline): {self.plan.report}")

    def _show(self, section: Section) -> None:
        self.sections += 1
        self.say(section.render(self.sections))

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
