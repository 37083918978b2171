"""Credit by latents with roles on deep problems, beside uniform credit and its own control: what it does and costs.

One dictionary of the shipped organism and the roles its latents have earned; then the same GRPO run on deep problems
with each credit and several seeds. The control replaces each latent that has a role by a random active one without.

    rates      on held-out problems of every depth, with intervals over problems, for each run by itself: an interval
               over so few seeds would say little
    gates      the share of its reward that each credit lets a success of the base keep, by kind of success
    cost       the time that credit takes, as a share of the time that sampling the same rollouts took

Runs are saved, and a stopped one is continued. This is a benchmark, not a study with all its controls.

    python benchmarks/role_credit.py
"""

import time
from collections.abc import Callable, Mapping
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
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.rollouts import Rollout, Series, roll_out
from interp.rollouts.evaluate import EvaluateConfig, evaluate
from interp.tsae import TSAE, fit, preset

LAYER, DEEP = 2, "deep"
OURS, CONTROL = "features", "features-control"
SUCCESSES: dict[str, Callable[[Rollout], bool]] = {
    "direct answers": lambda rollout: rollout.format == "direct",
    "valid chains": lambda rollout: bool(rollout.valid),
    "lucky chains": lambda rollout: rollout.format not in ("direct", "malformed") and not rollout.valid,
}
"""Kinds of correct answers."""
MEASURES = ("valid_rate", "pass_rate", "direct_share", "malformed_share", "valid_given_written")


@dataclass(frozen=True)
class Config:
    seeds: int = 3
    steps: int = 40
    """Steps of GRPO."""
    tokens: int = 300_000
    """Tokens that the dictionary is fitted on."""
    fit_steps: int = 2000
    problems: int = 128
    """Problems of each level that roles are earned on."""
    random_latents: int = 60
    """Random latents for each kind of contrast, from which the control takes its own."""
    out: Path = Path("runs/credit-once")
    repeats: int = 5
    """Repeats of the timing, of which the fastest counts."""
    threads: int = 1
    save_result: bool = True
    """False for a dry run."""


def fit_dictionary(config: Config) -> TSAE:
    series = Series.from_dirs([shipped_path()])
    collecting = CollectConfig((LAYER,), tokens=config.tokens, levels=("shallow", "middle", DEEP))
    store = collect(series, load_task(shipped_path()), config=collecting, out=config.out / "store")
    defaults = preset("interp")
    training = replace(defaults.training, steps=config.fit_steps)
    return fit(store, replace(defaults, width=1024, k=16, training=training), out=config.out / "tsae")


def load_or_earn_roles(tsae: TSAE, base: Policy, config: Config) -> Roles:
    path = config.out / "roles"
    earning = RolesConfig(problems=config.problems, random_latents=config.random_latents, rollout_problems=0)
    if not path.exists():
        earn_roles(tsae, base, load_task(shipped_path()), earning).save(path)
    roles = Roles.load(path, made_from={"tsae": tsae.fingerprint()})
    if roles.config != earning:
        raise SystemExit(f"{path} holds roles earned with other settings: choose another --out, or delete it")
    return roles


def train_and_measure(name: str, seed: int, credit: CreditScheme, base: Policy, config: Config) -> dict[str, Any]:
    training = GRPOConfig(steps=config.steps, prompts=32, save_every=config.steps, sampling=SampleConfig(seed=seed))
    out = config.out / name / f"{seed}"
    run = train(base, load_task(shipped_path()), problems=DEEP, config=training, credit=credit, out=out)
    gates = run.table()["gate"].to_list()
    return {"gate": round(sum(gates) / len(gates), 4), **measure_rates(run.policy(device="cpu"))}


def measure_rates(policy: Policy) -> dict[str, Any]:
    """Rates over all depths together, and over deep problems."""
    evaluation = evaluate(policy, load_task(shipped_path()), EvaluateConfig(problems=40, group=8, k=(1,)))
    groups = {"all depths": ("all", "all"), DEEP: ("level", DEEP)}
    return {
        name: {
            measure: [round(value, 4) for value in (estimate.value, estimate.low, estimate.high)]
            for measure, estimate in evaluation.measures(0, by=by, group=group).items()
            if measure in MEASURES
        }
        for name, (by, group) in groups.items()
    }


def measure_gates_and_cost(credits: Mapping[str, CreditScheme], base: Policy, config: Config) -> dict[str, Any]:
    """Of each credit, on what the base writes."""
    task, sampling, start = load_task(shipped_path()), SampleConfig(group=8), time.perf_counter()
    problems = [problem for level in ("middle", DEEP) for problem in task.problems("eval", level, 32)]
    rollouts = roll_out(base, task, problems, sampling, progress=False).rows
    sampling_seconds = time.perf_counter() - start
    batch, results = RolloutBatch.from_rollouts(rollouts, sampling.group, policy=base), {}
    kinds = {
        kind: [i for i, rollout in enumerate(rollouts) if rollout.correct and is_kind(rollout)]
        for kind, is_kind in SUCCESSES.items()
    }
    for name, scheme in credits.items():
        seconds, credit = [], Credit.uniform(batch)
        for _ in range(config.repeats):
            start = time.perf_counter()
            credit = scheme(batch)
            seconds.append(time.perf_counter() - start)
        gates = {kind: [round(float(credit.gate_B[rows].mean()), 3), len(rows)] for kind, rows in kinds.items()}
        results[name] = {"mean gate, rollouts": gates, "share of sampling": round(min(seconds) / sampling_seconds, 3)}
    return results


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    base = Policy.load(shipped_path(), device="cpu")
    roles = load_or_earn_roles(tsae := fit_dictionary(config), base, config)
    print(roles, flush=True)
    credits: dict[str, CreditScheme] = {
        "uniform": Uniform(),
        OURS: FeatureCredit(tsae, roles),
        CONTROL: FeatureCredit(tsae, roles, control_seed=0),
    }
    runs: dict[str, dict[str, Any]] = {name: {} for name in credits}
    for seed in range(config.seeds):
        for name, credit in credits.items():
            runs[name][f"seed {seed}"] = train_and_measure(name, seed, credit, base, config)
            print(name, seed, runs[name][f"seed {seed}"], flush=True)
    if config.save_result:
        cost = measure_gates_and_cost(credits, base, config)
        rates = {
            name: sum(rates["all depths"]["valid_rate"][0] for rates in by_seed.values()) / len(by_seed)
            for name, by_seed in runs.items()
        }
        arms, unit = {name: rates[name] for name in (OURS, CONTROL)}, "valid rate over all depths, mean of seeds"
        more = {"roles": repr(roles), "gates and cost": cost, "base": measure_rates(base), "runs": runs}
        print(write_result("role-credit", torch.device("cpu"), unit, arms, CONTROL, **more))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
