"""Credit by latents with roles on the hard bucket, beside uniform credit and its own control: what it does and costs.

One dictionary of the shipped organism and the roles its latents have earned, and from there the same run of GRPO on
hard problems with each credit and several seeds. The control stands other latents, alive and without a role, in the
places of those that have one. Rates are on held-out problems of every depth, with intervals over problems for each run;
an interval over so few seeds would say little, so every seed is told. Of the base's own answers to medium and hard
problems: what share of its reward each credit lets a success keep, and how long it looks, as a share of the time that
sampling them took. Runs are kept, and one that was stopped goes on. A study of it, with all its controls, is another
matter.

    python benchmarks/credit.py
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from common import write_result

from interp.activations import CollectConfig, collect
from interp.credit import Credit, CreditScheme, FeatureCredit, RolloutBatch, Uniform
from interp.features import Roles, RolesConfig, earn_roles
from interp.grpo import GRPOConfig, train
from interp.organism import shipped, task_of
from interp.policy import Policy, SampleConfig
from interp.rollouts import Rollout, Series, roll_out
from interp.rollouts.evaluate import EvaluateConfig, evaluate
from interp.tsae import TSAE, fit, preset

LAYER, HARD = 2, "hard"
KINDS: dict[str, Callable[[Rollout], bool]] = {
    "answers at once": lambda row: row.format == "direct",
    "valid chains": lambda row: bool(row.valid),
    "lucky chains": lambda row: row.format not in ("direct", "malformed") and not row.valid,
}
"""Of successes."""
MEASURES = ("valid_rate", "pass_rate", "direct_share", "malformed_share", "valid_given_written")


@dataclass(frozen=True)
class Config:
    seeds: int = 3
    steps: int = 40
    tokens: int = 300_000
    fit_steps: int = 2000
    problems: int = 128
    """Of each bucket, to earn roles on."""
    random: int = 60
    """Latents drawn at random for each kind of contrast, from which the control takes its own."""
    out: Path = Path("runs/credit-once")
    repeats: int = 5
    """Of looking, of which the fastest counts."""
    threads: int = 1
    keep: bool = True
    """Write the result. Not for a dry run."""


def dictionary(config: Config) -> TSAE:
    series = Series.from_dirs([shipped()])
    collecting = CollectConfig((LAYER,), tokens=config.tokens, levels=("easy", "medium", HARD))
    store = collect(series, task_of(shipped()), config=collecting, out=config.out / "store")
    asked = preset("interp")
    training = replace(asked.training, steps=config.fit_steps)
    return fit(store, replace(asked, width=1024, k=16, training=training), out=config.out / "tsae")


def roles_of(tsae: TSAE, base: Policy, config: Config) -> Roles:
    place, earning = config.out / "roles", RolesConfig(problems=config.problems, random=config.random, played=0)
    if not place.exists():
        earn_roles(tsae, base, task_of(shipped()), earning).save(place)
    roles = Roles.load(place, made_from={"tsae": tsae.fingerprint()})
    if roles.config != earning:
        raise SystemExit(f"{place} holds roles that were earned otherwise: choose another --out, or delete it")
    return roles


def run(name: str, seed: int, credit: CreditScheme, base: Policy, config: Config) -> dict[str, Any]:
    training = GRPOConfig(steps=config.steps, prompts=32, save_every=config.steps, sampling=SampleConfig(seed=seed))
    out = config.out / name / f"{seed}"
    made = train(base, task_of(shipped()), bucket=HARD, config=training, credit=credit, out=out)
    gates = made.metrics()["gate"].to_list()
    return {"gate": round(sum(gates) / len(gates), 4), **measured(made.policy(device="cpu"))}


def measured(policy: Policy) -> dict[str, Any]:
    """Of all depths together, and of the hard bucket."""
    found = evaluate(policy, task_of(shipped()), EvaluateConfig(problems=40, group=8, k=(1,)))
    groups = {"all depths": ("all", "all"), HARD: ("bucket", HARD)}
    return {
        name: {
            measure: [round(value, 4) for value in (held.value, held.low, held.high)]
            for measure, held in found.at(0, by=by, group=group).items()
            if measure in MEASURES
        }
        for name, (by, group) in groups.items()
    }


def looked(credits: dict[str, CreditScheme], base: Policy, config: Config) -> dict[str, Any]:
    """At what the base writes."""
    task, sampling, start = task_of(shipped()), SampleConfig(group=8), time.perf_counter()
    problems = [problem for level in ("medium", HARD) for problem in task.problems("eval", level, 32)]
    rows = roll_out(base, task, problems, sampling, bar=False).rows
    sampled = time.perf_counter() - start
    batch, found = RolloutBatch.of(rows, sampling.group, policy=base), {}
    for name, credit in credits.items():
        took, given = [], Credit.uniform(batch)
        for _ in range(config.repeats):
            start = time.perf_counter()
            given = credit(batch)
            took.append(time.perf_counter() - start)
        told = {kind: [at for at, row in enumerate(rows) if row.correct and of(row)] for kind, of in KINDS.items()}
        kept = {kind: [round(float(given.gate_B[these].mean()), 3), len(these)] for kind, these in told.items()}
        found[name] = {"kept, of how many": kept, "share of sampling": round(min(took) / sampled, 3)}
    return found


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    base = Policy.load(shipped(), device="cpu")
    roles = roles_of(tsae := dictionary(config), base, config)
    print(roles, flush=True)
    credits: dict[str, CreditScheme] = {
        "uniform": Uniform(),
        "features": FeatureCredit(tsae, roles),
        "features-permuted": FeatureCredit(tsae, roles, permuted=0),
    }
    arms: dict[str, dict[str, Any]] = {name: {} for name in credits}
    for seed in range(config.seeds):
        for name, credit in credits.items():
            arms[name][f"seed {seed}"] = run(name, seed, credit, base, config)
            print(name, seed, arms[name][f"seed {seed}"], flush=True)
    if config.keep:
        told = {"roles": repr(roles), "looking": looked(credits, base, config), "base": measured(base), "runs": arms}
        rates = {
            name: sum(found["all depths"]["valid_rate"][0] for found in runs.values()) / len(runs)
            for name, runs in arms.items()
        }
        ours = {name: rates[name] for name in ("features", "features-permuted")}
        unit = "valid rate over all depths, mean of seeds"
        print(write_result("credit", torch.device("cpu"), unit, ours, "features-permuted", **told))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
