"""One dictionary of one seed: the policies that training made of the base, and the families' strengths in each."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.activations import collect
from interp.artifacts import fingerprint_config
from interp.studies.features.config import FeaturesConfig
from interp.studies.harness import alone

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme
    from interp.features import Roles
    from interp.grpo.run import Run
    from interp.policy import Policy
    from interp.rollouts import Rollout
    from interp.tsae import TSAE

BASE, AGAIN = "base", "base, asked again"
LUCK_ALONE, VALID_ALONE = "hard, luck alone paid", "hard, valid alone paid"
ARMS = {"easy": "easy", "medium": "medium", "hard": "hard", LUCK_ALONE: "hard", VALID_ALONE: "hard"}
"""What each is trained on."""
FITTED_ON = ("easy", "medium", "hard")
"""Beside the base."""
TRAINING = ("steps", "prompts", "group", "lr")


@dataclass(frozen=True)
class Job:
    seed: int
    dictionary: int | None
    """Which of the seed's; None trains its policies, for all dictionaries to share."""
    config: FeaturesConfig
    runs: Path

    @property
    def place(self) -> Path:
        made = fingerprint_config({name: getattr(self.config, name) for name in TRAINING})
        return self.runs / made[:6] / str(self.seed)


def key_of(job: Job, policy: str) -> dict[str, Any]:
    """What decides a record: not where its files lie, nor how many there are."""
    apart = ("seeds", "first_seed", "dictionaries", "processes")
    told = {name: value for name, value in vars(job.config).items() if name not in apart}
    return {**told, "seed": job.seed, "dictionary": job.dictionary, "policy": policy}


def work(job: Job) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    if job.dictionary is None:
        return {"seed": job.seed, "dictionary": None, "paid": {arm: paid(job, arm) for arm in ARMS}}
    from interp.policy import Policy
    from interp.studies.features.strengths import Ruler

    tsae = _dictionary(job)
    policies = {BASE: Policy.load(run_of(job, "easy").series.base.path, device="cpu")}
    policies |= {arm: run_of(job, arm).series.members[-1].load(device="cpu") for arm in ARMS}
    roles = _roles(job, tsae, policies[BASE])
    text = _written(job, policies[BASE], split="probe")
    ruler = Ruler.of(tsae, job.config.layer, roles, policies[BASE], text)
    found, behaviour = {}, {}
    for arm, policy in {**policies, AGAIN: policies[BASE]}.items():
        rows = _written(job, policy, purpose=AGAIN if arm == AGAIN else "strengths")
        found[arm], behaviour[arm] = ruler.measure(policy, rows), behaved(rows)
    families = {name: {"latents": family.latents, "matches": family.matches} for name, family in ruler.families.items()}
    told = {"seed": job.seed, "dictionary": job.dictionary, "families": families, "strengths": found}
    return {**told, "behaviour": behaviour, "counts": roles.counts().to_dicts(), "fve": tsae.facts.get("fve")}


def scheme_of(arm: str) -> "CreditScheme | None":
    from interp.credit import RewardSubsample, StepValidity

    return {LUCK_ALONE: RewardSubsample(valid=0.0), VALID_ALONE: StepValidity(weights=False)}.get(arm)


def run_of(job: Job, arm: str) -> "Run":
    """Trained if it is not there."""
    from interp.grpo import train
    from interp.grpo.config import GRPOConfig, UpdateConfig
    from interp.organism import shipped, task_of
    from interp.policy import Policy, SampleConfig

    c = job.config
    training = GRPOConfig(
        steps=c.steps,
        prompts=c.prompts,
        sampling=SampleConfig(group=c.group, rows=1024, seed=job.seed),
        update=UpdateConfig(lr=c.lr),
        save_every=c.steps,
        without_signal="go on",  # an arm that finds none is a result
    )
    told = {"config": training, "credit": scheme_of(arm), "out": job.place / arm.replace(", ", "-").replace(" ", "-")}
    with alone(job.place):
        base = Policy.load(shipped(), device="cpu")
        return train(base, task_of(shipped()), bucket=ARMS[arm], **told, bar=False)


def paid(job: Job, arm: str) -> dict[str, float | None]:
    """Of all rollouts that an arm was trained on, how many were valid, and of the successes how many were luck."""
    metrics, found = run_of(job, arm).metrics(), {}
    for name in ("valid_rate", "lucky_share"):
        held = metrics[name].drop_nulls().to_list()
        found[name] = sum(held) / len(held) if held else None
    return found


def _dictionary(job: Job) -> "TSAE":
    from interp.activations import CollectConfig
    from interp.organism import shipped, task_of
    from interp.rollouts import Series
    from interp.tsae import fit, preset

    c, ends = job.config, [run_of(job, arm).series.members[-1].path for arm in FITTED_ON]
    series = Series.from_dirs([shipped(), *ends])
    collecting = CollectConfig((c.layer,), tokens=c.tokens)
    with alone(job.place):
        out = job.place / f"store-{c.layer}-{c.tokens}"
        store = collect(series, task_of(shipped()), config=collecting, out=out, device="cpu", bar=False)
    asked = preset("interp")
    training = replace(asked.training, steps=c.fit_steps, seed=1000 * job.seed + (job.dictionary or 0))
    return fit(store, replace(asked, width=c.width, k=c.k, training=training), bar=False, device="cpu")


def _roles(job: Job, tsae: "TSAE", base: "Policy") -> "Roles":
    from interp.features import RolesConfig, earn_roles
    from interp.organism import shipped, task_of

    earning = RolesConfig(problems=job.config.earn_problems, random=8, played=0, gates_seed=job.seed)
    return earn_roles(tsae, base, task_of(shipped()), earning, device="cpu", bar=False)


def _written(job: Job, policy: "Policy", *, split: str = "eval", purpose: str = "strengths") -> "list[Rollout]":
    from interp.organism import shipped, task_of
    from interp.policy import SampleConfig
    from interp.rollouts import roll_out
    from interp.tasks import BUCKETS

    task, c = task_of(shipped()), job.config
    problems = [problem for bucket in BUCKETS for problem in task.problems(split, bucket, c.problems)]
    sampling = SampleConfig(group=c.answers, rows=1024, seed=job.seed)
    return roll_out(policy, task, problems, sampling, purpose=purpose, bar=False).rows


def behaved(rows: "list[Rollout]") -> dict[str, dict[str, float]]:
    from interp.tasks import BUCKETS

    found = {}
    for bucket in BUCKETS:
        mine = [row for row in rows if row.bucket == bucket]
        shares = {
            "valid": [bool(row.valid) for row in mine],
            "correct": [row.correct for row in mine],
            "direct": [row.format == "direct" for row in mine],
        }
        found[bucket] = {name: round(sum(held) / len(held), 5) for name, held in shares.items()}
    return found
