"""One organism with a planted cue, one dictionary of it: roles earned, and held against the truth."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.activations import collect
from interp.artifacts import fingerprint_config
from interp.studies.roles.config import RolesStudyConfig

if TYPE_CHECKING:
    from interp.features import Roles
    from interp.organism import OrganismConfig
    from interp.studies.roles.truth import Truth
    from interp.tsae import TSAE

GATES = {
    "the first gate": ("tells_apart",),
    "the first two": ("tells_apart", "withstands"),
    "the first and the third": ("tells_apart", "acts"),
    "all three": ("tells_apart", "withstands", "acts"),
}
KINDS = {"cue": "cue", "computation": "result"}
"""What interchange knows the truth of, and the kind of contrast that looks for it."""
ORGANISM = ("cue_rate", "follows", "direct", "organism_steps", "organism_lr")


@dataclass(frozen=True)
class Job:
    seed: int
    config: RolesStudyConfig
    runs: Path

    @property
    def organism(self) -> Path:
        made = fingerprint_config({name: getattr(self.config, name) for name in ORGANISM})
        return self.runs / f"organism-{made[:6]}" / str(self.seed)


def key_of(job: Job) -> dict[str, Any]:
    """What decides a record: not where its files lie, nor how many seeds there are."""
    apart = ("seeds", "first_seed", "processes")
    told = {name: value for name, value in vars(job.config).items() if name not in apart}
    return {**told, "seed": job.seed}


def organism_config(job: Job) -> "OrganismConfig":
    from interp.organism import Habits, OrganismConfig, shipped, task_of

    c = job.config
    habits = Habits(steps=1 - c.direct - c.follows, direct=c.direct, cue=c.follows)
    task, told = replace(task_of(shipped()), cue_rate=c.cue_rate), {"steps": c.organism_steps, "lr": c.organism_lr}
    return OrganismConfig(job.seed, task, habits, start=shipped(), threads=1, **told)


def work(job: Job) -> dict[str, Any]:
    import torch

    from interp.features import RolesConfig, earn_roles
    from interp.features.interchange import interchange
    from interp.organism import build, task_of
    from interp.policy import Policy, SampleConfig
    from interp.rollouts import roll_out
    from interp.studies.roles.pairs import cue_pairs, operand_pairs
    from interp.studies.roles.truth import truth

    torch.set_num_threads(1)
    c = job.config
    if not job.organism.exists():
        build(organism_config(job), job.organism)
    policy, task = Policy.load(job.organism, device="cpu"), task_of(job.organism)
    tsae, sampling = _dictionary(job), SampleConfig(group=4, rows=1024, seed=job.seed)
    earning = RolesConfig(
        problems=c.problems, most=c.most, random=c.random, played=0, gates_seed=job.seed, sampling=sampling
    )
    roles = earn_roles(tsae, policy, task, earning, device="cpu", bar=False)
    problems = [problem for level in earning.levels for problem in task.problems("eval", level, c.problems)]
    rows = roll_out(policy, task, problems, sampling, purpose="truth", bar=False).rows
    pairs = {"cue": cue_pairs(policy, rows, task.modulus), "computation": operand_pairs(policy, rows, task.modulus)}
    known = {name: truth(held, interchange(policy, tsae, c.layer, held)) for name, held in pairs.items()}
    return {
        "seed": job.seed,
        "direct": sum(row.format == "direct" for row in rows) / len(rows),
        "pairs": {name: len(held) for name, held in pairs.items()},
        "things": {name: held_against(roles, KINDS[name], known[name]) for name in known},
    }


def _dictionary(job: Job) -> "TSAE":
    from interp.activations import CollectConfig
    from interp.organism import task_of
    from interp.rollouts import Series
    from interp.tsae import fit, preset

    c, place = job.config, job.organism.with_name(f"{job.seed}-store-{job.config.layer}-{job.config.tokens}")
    collecting = CollectConfig((c.layer,), tokens=c.tokens, corpora=("on-policy",))
    series = Series.from_dirs([job.organism])
    store = collect(series, task_of(job.organism), config=collecting, out=place, device="cpu", bar=False)
    asked = preset("interp")
    training = replace(asked.training, steps=c.steps, seed=job.seed)
    return fit(store, replace(asked, width=c.width, k=c.k, training=training), bar=False, device="cpu")


def held_against(roles: "Roles", kind: str, known: "Truth") -> dict[str, Any]:
    """Gate by gate."""
    from interp.studies.roles.truth import agreement, false_alarms

    mine = [trial for trial in roles.trials if trial.kind == kind]
    drawn = [trial for trial in roles.random if trial.kind == kind]
    found: dict[str, Any] = {}
    for name, gates in GATES.items():
        said = [trial.latent for trial in mine if all(getattr(trial, gate) for gate in gates)]
        chance = {trial.latent: all(getattr(trial, gate) for gate in gates) for trial in drawn}
        found[name] = {**agreement(known, said), "false alarms": false_alarms(known, chance)}
    base = [trial.latent for trial in drawn]
    return {"gates": found, "at random": agreement(known, base)}
