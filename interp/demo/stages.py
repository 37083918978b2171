"""The stages of the demo. Each opens what it has saved before, or continues where it was stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from interp.artifacts import BadInput
from interp.credit import StepValidity
from interp.demo.answers import Answers
from interp.demo.plan import ROWS, Plan
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import BUCKETS
from interp.tracking.config import CompareConfig, TrackConfig

if TYPE_CHECKING:
    from interp.credit import CreditExplanation, CreditScheme, ReadoutCredit
    from interp.dashboard import Dashboard
    from interp.encoding import LossRecovery
    from interp.features import Roles
    from interp.grpo import Run
    from interp.grpo.config import Scale
    from interp.policy import Policy
    from interp.readouts import Labels, Source
    from interp.rollouts import Buckets, Rollout
    from interp.tasks import Chain, Problem
    from interp.tracking import Comparison, Tracks
    from interp.tsae import TSAE, Quality

EASY, MEDIUM, HARD = BUCKETS
BASE, RESAMPLED = "base", "base again"
ORACLE = "hard, valid only"
DEEP = "deep"
"""A level of the task: almost out of the base's reach, so that nearly all successes are luck."""
CONTROL, FEATURES, DEEP_ORACLE = "deep, parser", "deep, features", "deep, valid only"
CREDIT = (DEEP, CONTROL, FEATURES, DEEP_ORACLE)
"""Arms of the comparison of credit. Plain GRPO is named by its problems."""
LABELS = "labels"
LABEL_ANSWERS = 4
"""Answers of the base to each problem whose validity is a label before the first step."""
LABEL_WEIGHT = 32.0
"""How many audits they, and their edits, count as."""


class Arm(NamedTuple):
    problems: str
    """What it is trained on: a measured bucket, or a level of the task."""
    credit: "CreditScheme | None" = None
    scale: "Scale | None" = None
    """The unit of advantages; by default that of the loss. Credit that pays by degrees needs "none"."""


ARMS = {**{name: Arm(name) for name in BUCKETS}, ORACLE: Arm(HARD, StepValidity(weights=False))}


class Dictionary(NamedTuple):
    tsae: "TSAE"
    quality: "Quality"
    """On held-out problems."""
    recovery: "LossRecovery"


@dataclass(frozen=True)
class Stages:
    base: "Policy"
    task: "Chain"
    plan: Plan
    progress: bool

    # --- buckets -----------------------------------------------------------------------------------------------------

    def buckets(self, split: str) -> "Buckets":
        """Problems of a split in the buckets that the base's pass rate puts them into."""
        from interp.rollouts import Buckets, bucket

        path = self.plan.training_dir / "buckets" / split
        if not path.exists():
            problems = self.task.problems(split, None, self.plan.sizes.measured)
            bucket(self.base, self.task, problems, config=self.plan.buckets, progress=self.progress).save(path)
        return Buckets.load(path, made_from={"policy": self.base.fingerprint(), "task": self.task.fingerprint()})

    def held_out_problems(self) -> "list[Problem]":
        """Held-out problems of each bucket, which is their level."""
        measured = self.buckets("eval")
        return [problem for name in BUCKETS for problem in measured.problems(name)[: self.plan.sizes.problems]]

    # --- training ----------------------------------------------------------------------------------------------------

    def measure_base(self, name: str = BASE) -> Answers:
        """The base's answers, other ones than decided the buckets; and as `base again` a second set, the control."""
        return self._answers(name, self.base, purpose="evaluate" if name == BASE else f"evaluate {name}")

    def train(self, name: str, arm: Arm, out: Path | None = None) -> Answers:
        """Train an arm, and let its last checkpoint answer the held-out problems."""
        from interp.grpo import train

        problems = self.buckets("train").problems(arm.problems) if arm.problems in BUCKETS else arm.problems
        if not problems:
            raise BadInput(
                f"expected problems of every bucket among {self.plan.sizes.measured}, got none that this base finds "
                f"{arm.problems}: train another base (--policy)"
            )
        run = train(
            self.base,
            self.task,
            problems,
            config=replace(self.plan.training, scale=arm.scale),
            credit=arm.credit,
            out=(out or self.plan.training_dir) / slug(name),
            progress=self.progress,
        )
        return self._answers(name, run.series.last, out=out)

    def run(self, name: str) -> "Run":
        """The finished run of an arm."""
        from interp.grpo import Run

        places = (parent / slug(name) for parent in (self.plan.training_dir, self.plan.dictionary_dir))
        return Run.open(next(path for path in places if path.exists()))

    def _answers(
        self, name: str, policy: "Policy | Checkpoint", *, purpose: str = "evaluate", out: Path | None = None
    ) -> Answers:
        from interp.rollouts import Rollouts, roll_out

        path = (out or self.plan.training_dir) / "answers" / slug(name)
        if not path.exists():
            is_checkpoint = isinstance(policy, Checkpoint)
            loaded = policy.load(device=str(self.base.device)) if is_checkpoint else policy
            step = policy.step if is_checkpoint else 0
            problems, sampling = self.held_out_problems(), self.plan.answering
            roll_out(
                loaded, self.task, problems, sampling, run=slug(name), step=step, purpose=purpose,
                progress=self.progress,
            ).save(path)  # fmt: skip
        made_from = {"policy": policy.fingerprint(), "task": self.task.fingerprint()}
        return Answers(Rollouts.load(path, made_from=made_from))

    # --- the dictionary ----------------------------------------------------------------------------------------------

    def fit_dictionary(self) -> Dictionary:
        """A dictionary of the base and the ends of training on each bucket, measured on held-out problems."""
        from interp.activations import collect
        from interp.encoding import loss_recovered
        from interp.tsae import TSAEConfig, evaluate, fit

        sizes, out, shared = self.plan.sizes, self.plan.dictionary_dir, self._shared
        ends = [self.run(name).series.last.path for name in BUCKETS]
        series = Series.from_dirs([self.run(HARD).series.base.path, *ends])
        store = collect(series, self.task, layer=sizes.layer, tokens=sizes.fit_tokens, out=out / "store", **shared)
        held_out = collect(
            series,
            self.task,
            layer=sizes.layer,
            tokens=sizes.held_out_tokens,
            corpora=("held-out",),
            out=out / "held-out",
            **shared,
        )
        config = TSAEConfig(width=sizes.width)
        config = replace(config, training=replace(config.training, steps=sizes.fit_steps, seed=sizes.seed))
        tsae = fit(store, config, out=out / "tsae", **shared)
        recovery = loss_recovered(tsae, held_out, series, documents=sizes.documents, **shared)
        return Dictionary(tsae, evaluate(tsae, held_out, **shared), recovery)

    def earn_roles(self, tsae: "TSAE") -> "Roles":
        """Roles that latents earn on the base, where every habit is still common."""
        from interp.features import Roles, earn_roles

        path = self.plan.dictionary_dir / "roles"
        if not path.exists():
            earn_roles(tsae, self.base, self.task, self.plan.roles, **self._shared).save(path)
        return Roles.load(path, made_from={"tsae": tsae.fingerprint(), "policy": self.base.fingerprint()})

    def track(self, tsae: "TSAE", name: str) -> "Tracks":
        """Latents through the run of an arm, by measured bucket."""
        from interp.tracking import track

        settings = {field.name: getattr(self._tracking, field.name) for field in fields(CompareConfig)}
        series, buckets = self.run(name).series, self.buckets("eval")
        out = self.plan.dictionary_dir / f"tracks-{slug(name)}"
        return track(tsae, series, self.task, TrackConfig(**settings), buckets=buckets, out=out, **self._shared)

    def compare(self, tsae: "TSAE", roles: "Roles") -> "Comparison":
        """The ends of training on medium (A) and on hard problems (B), with the base of both."""
        from interp.tracking import compare

        medium, hard, buckets = self.run(MEDIUM), self.run(HARD), self.buckets("eval")
        out = self.plan.dictionary_dir / f"comparison-{MEDIUM}-{HARD}"
        return compare(
            tsae, medium, hard, self.task, self._tracking, buckets=buckets, roles=roles, out=out, **self._shared
        )

    # --- credit ------------------------------------------------------------------------------------------------------

    def train_credit(self, tsae: "TSAE") -> dict[str, Answers]:
        """Deep problems with each credit: none; how likely a success is to be valid, by the base's likelihood with the
        latents, and with a parser in their place; and the verifier's own word."""
        schemes = {
            DEEP: None,
            CONTROL: self._readout(None),
            FEATURES: self._readout(tsae),
            DEEP_ORACLE: StepValidity(weights=False),
        }
        of_dictionary = {FEATURES: self.plan.dictionary_dir}
        return {
            name: self.train(name, Arm(DEEP, scheme, "none"), of_dictionary.get(name))
            for name, scheme in schemes.items()
        }

    def explain_credit(self, tsae: "TSAE") -> "list[CreditExplanation]":
        """What both arms read and paid; the features beside what the control, after its own audits, would have paid."""
        from interp.grpo import explain_run

        features, control = (self._readout(one) for one in (tsae, None))
        device = str(self.base.device)
        return [
            explain_run(self.run(FEATURES), features, control=control, control_run=self.run(CONTROL), device=device),
            explain_run(self.run(CONTROL), control, device=device),
        ]

    def _readout(self, tsae: "TSAE | None") -> "ReadoutCredit":
        """Credit by the likelihood and latents; without a dictionary, by the likelihood and a parser. Each has the
        threshold that was best for it in `interp study credit-strengths`, on the shipped base."""
        from interp.credit import ReadoutCredit
        from interp.readouts import Completeness, Latents, Likelihood
        from interp.studies import credit_runs

        scheme = credit_runs.COMPLETENESS if tsae is None else credit_runs.FEATURES
        sources = [Likelihood(), Completeness() if tsae is None else Latents(tsae, self.plan.sizes.layer)]
        return ReadoutCredit(sources, threshold=credit_runs.strength_of(scheme), labels=self._labels(sources))

    def _labels(self, sources: "Sequence[Source]") -> "Labels":
        """The base's own successes and their lucky edits, as audits of which as many are valid as of its successes on
        deep problems. Without successes of both kinds, none: then audits alone decide."""
        from interp.readouts import Labels, label_rollouts, with_base_rate

        labels = label_rollouts(sources, self.base, self._labelled_answers)
        if not labels.has_both_kinds:
            return Labels()
        own = [row.valid for row in self._labelled_answers if row.level == DEEP and row.run == LABELS]
        rate = (sum(map(bool, own)) + 1) / (len(own) + 2)
        return with_base_rate(labels, rate, LABEL_WEIGHT)

    @cached_property
    def _labelled_answers(self) -> "list[Rollout]":
        from interp.policy import SampleConfig
        from interp.readouts import lucky_edits
        from interp.rollouts import Rollouts, roll_out

        path = self.plan.training_dir / LABELS
        if not path.exists():
            problems = self.task.problems("train", None, self.plan.sizes.measured)
            sampling = SampleConfig(LABEL_ANSWERS, rows=ROWS, seed=self.plan.sizes.seed)
            roll_out(self.base, self.task, problems, sampling, run=LABELS, purpose=LABELS, progress=self.progress).save(
                path
            )
        successes = [row for row in Rollouts.load(path) if row.reward > 0]
        return [*successes, *lucky_edits(self.base, self.task, successes)]

    # --- the report --------------------------------------------------------------------------------------------------

    def report(self, answers: Mapping[str, Answers], *results: Any) -> "Dashboard":
        """A report of all runs, of their answers to held-out problems, and of the results that a dictionary gave."""
        from interp.dashboard import make_dashboard

        runs = [self.run(name) for name in answers if name not in (BASE, RESAMPLED)]
        evaluations = [each.evaluation for name, each in answers.items() if name != RESAMPLED]
        rollouts = [each.rollouts for each in answers.values()]
        controls = (f"{slug(FEATURES)}:{slug(CONTROL)}",) if FEATURES in answers else ()
        config = replace(self.plan.sizes.dashboard, controls=controls)
        return make_dashboard(
            *runs, *evaluations, *rollouts, self.buckets("eval"), *results, config=config, **self._shared
        )

    @property
    def _tracking(self) -> CompareConfig:
        tracking = self.plan.sizes.tracking
        return replace(tracking, sampling=replace(tracking.sampling, seed=self.plan.sizes.seed))

    @property
    def _shared(self) -> dict[str, Any]:
        return {"device": str(self.base.device), "progress": self.progress}


def slug(name: str) -> str:
    """The name of an arm as the name of its directory."""
    return name.replace(", ", "-").replace(" ", "-")
