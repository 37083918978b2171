"""The stages of the demo. Each opens what it has saved before, or continues where it was stopped."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from interp.activations import collect
from interp.credit import StepValidity
from interp.demo.plan import Plan
from interp.rollouts.series import Series
from interp.tracking.config import CompareConfig, TrackConfig

if TYPE_CHECKING:
    from interp.credit import CreditScheme
    from interp.encoding import LossRecovery
    from interp.features import Roles
    from interp.grpo import Run
    from interp.policy import Policy
    from interp.rollouts import Checkpoint, Evaluation
    from interp.tasks import Chain
    from interp.tracking import Comparison, Tracks
    from interp.tsae import TSAE, Quality

BASE, MIDDLE, DEEP = "base", "middle", "deep"
ORACLE, FEATURES = "deep, only valid rewarded", "deep, feature credit"


class Arm(NamedTuple):
    level: str
    """The depth group that is trained on."""
    credit: "CreditScheme | None" = None


ARMS = {MIDDLE: Arm("middle"), DEEP: Arm("deep"), ORACLE: Arm("deep", StepValidity(weights=False))}


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

    # --- training ----------------------------------------------------------------------------------------------------

    def measure_base(self) -> "Evaluation":
        return self._evaluate(BASE, self.base)

    def train_arms(self) -> "Iterator[tuple[str, Evaluation]]":
        """Each arm with its evaluation, as it is done."""
        for name, arm in ARMS.items():
            yield name, self._train(name, arm)

    def train_with_features(self, tsae: "TSAE", roles: "Roles") -> "Evaluation | None":
        """The deep arm with credit by latents that have roles. None if no latent has a role that credit uses."""
        from interp.credit import FeatureCredit
        from interp.credit.role_latents import role_latents

        if not role_latents(roles):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a family without latents shows in the table of roles
            credit = FeatureCredit(tsae, roles)
        return self._train(FEATURES, Arm("deep", credit), self.plan.key)

    def run(self, arm: str) -> "Run":
        from interp.grpo import Run

        return Run.open(self.plan.run_dir(arm))

    def _train(self, name: str, arm: Arm, *inputs: object) -> "Evaluation":
        from interp.grpo import train

        run = train(
            self.base,
            self.task,
            arm.level,
            config=self.plan.training,
            credit=arm.credit,
            out=self.plan.run_dir(name, *inputs),
            progress=self.progress,
        )
        return self._evaluate(name, run.series.last, self.plan.training, *inputs)

    def _evaluate(self, name: str, policy: "Policy | Checkpoint", *inputs: object) -> "Evaluation":
        from interp.rollouts import Evaluation, evaluate

        config = self.plan.evaluation(self.task.levels)
        path = self.plan.evaluation_dir(name, config, *inputs)
        if not path.exists():
            evaluate(policy, self.task, config, **self._shared).save(path)
        return Evaluation.load(path, made_from={"policy": policy.fingerprint(), "task": self.task.fingerprint()})

    # --- the dictionary ----------------------------------------------------------------------------------------------

    def fit_dictionary(self) -> Dictionary:
        """A dictionary of the base and the ends of the middle and the deep run, measured on held-out problems."""
        from interp.encoding import loss_recovered
        from interp.tsae import TSAEConfig, evaluate, fit

        sizes, out, shared = self.plan.sizes, self.plan.dictionary_dir, self._shared
        ends = [self.run(arm).series.last.path for arm in (MIDDLE, DEEP)]
        series = Series.from_dirs([self.run(DEEP).series.base.path, *ends])
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
        config = replace(config, training=replace(config.training, steps=self.plan.fit_steps, seed=self.plan.seed))
        tsae = fit(store, config, out=out / "tsae", **shared)
        recovery = loss_recovered(tsae, held_out, series, documents=sizes.documents, **shared)
        return Dictionary(tsae, evaluate(tsae, held_out, **shared), recovery)

    def earn_roles(self, tsae: "TSAE") -> "Roles":
        """Roles that latents earn on the base, where every habit is still common."""
        from interp.features import Roles, earn_roles

        path = self.plan.dictionary_dir / "roles"
        if not path.exists():
            config = replace(self.plan.sizes.roles, test_seed=self.plan.seed)
            earn_roles(tsae, self.base, self.task, config, **self._shared).save(path)
        return Roles.load(path, made_from={"tsae": tsae.fingerprint(), "policy": self.base.fingerprint()})

    def track_deep(self, tsae: "TSAE") -> "Tracks":
        """Latents through the deep run."""
        from interp.tracking import track

        settings = {field.name: getattr(self.plan.sizes.tracking, field.name) for field in fields(CompareConfig)}
        out = self.plan.dictionary_dir / "tracks"
        return track(tsae, self.run(DEEP).series, self.task, TrackConfig(**settings), out=out, **self._shared)

    def compare_arms(self, tsae: "TSAE", roles: "Roles") -> "Comparison":
        """The ends of the middle run (A) and the deep run (B), with the base of both."""
        from interp.tracking import compare

        out, middle, deep = self.plan.dictionary_dir / "comparison", self.run(MIDDLE), self.run(DEEP)
        return compare(tsae, middle, deep, self.task, self.plan.sizes.tracking, roles=roles, out=out, **self._shared)

    @property
    def _shared(self) -> dict[str, Any]:
        return {"device": str(self.base.device), "progress": self.progress}
