"""The studies in small: one base, trained on medium problems, on hard ones, on hard with perfect credit; and a
dictionary of what the hard run went through."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import fingerprint_config
from interp.credit import StepValidity
from interp.grpo.config import GRPOConfig
from interp.policy.config import SampleConfig
from interp.rollouts.series import Series
from interp.tasks.base import BUCKETS, Task

if TYPE_CHECKING:
    from interp.policy import Policy
    from interp.rollouts import Evaluation
    from interp.tsae import TSAE, Quality

ARMS = {
    "medium": ("medium", None),
    "hard": ("hard", None),
    "hard, only valid answers paid": ("hard", StepValidity(weights=False)),
}
PROBLEMS, ANSWERS = 40, 8
"""Of each bucket, and to each: what is measured."""
LAYER, TOKENS, HELD_OUT = 2, 120_000, 40_000
SLOW_FACTS = ("format", "steps left", "depth")
"""What holds for more than one token, of an answer."""
FACTS = (*SLOW_FACTS, "operator", "digit")


def hard_against_medium(
    base: "Policy", task: Task, out: Path, *, steps: int, seed: int
) -> "Iterator[tuple[str, Evaluation]]":
    """The base and each arm as they are done. Killed and called again, it goes on where it was."""
    from interp.grpo import train
    from interp.rollouts import EvaluateConfig, evaluate

    measuring = EvaluateConfig(problems=PROBLEMS, levels=BUCKETS, group=ANSWERS, k=(1,), seed=seed)
    yield "(the base)", evaluate(base, task, measuring)
    for name, (bucket, credit) in ARMS.items():
        config, place = _training(steps, seed), place_of(name, out, steps, seed)
        run = train(base, task, bucket=bucket, config=config, credit=credit, out=place)
        yield name, evaluate(run.series.last, task, measuring, device=str(base.device))


def _training(steps: int, seed: int) -> GRPOConfig:
    sampling = SampleConfig(rows=1024, seed=seed)
    return GRPOConfig(steps=steps, sampling=sampling, save_every=steps, without_signal="go on")


def place_of(arm: str, out: Path, steps: int, seed: int) -> Path:
    return out / f"{arm.replace(', ', '-').replace(' ', '-')}-{fingerprint_config(_training(steps, seed))[:6]}"


@dataclass(frozen=True)
class Inside:
    tsae: "TSAE"
    quality: "Quality"
    told: dict[str, dict[str, float | None]]
    """Of each fact: the AUROC of probes of five latents of a block, on problems they were not fitted on."""


def look_inside(run: Path, task: Task, *, steps: int, seed: int, device: str) -> Inside:
    """A dictionary of a run's checkpoints, fitted for `steps`, measured on problems it was not fitted on."""
    from interp.studies.dictionary.facts import sample
    from interp.tsae import TSAEConfig, evaluate, fit
    from interp.tsae.metrics import ProbeConfig, probe, spans

    series = Series.from_dir(run, task=task)
    asked: dict[str, Any] = {"layer": LAYER, "device": device}
    store = series.collect(tokens=TOKENS, **asked)
    held_out = series.collect(tokens=HELD_OUT, corpora=("held-out",), **asked)
    config = TSAEConfig()
    config = replace(config, training=replace(config.training, steps=steps, seed=seed))
    tsae = fit(store, config, device=device)
    policies = {member.step: member.load(device=device) for member in series}
    tokenizer: Any = policies[series.base.step].tokenizer
    words = [tokenizer.convert_ids_to_tokens(at) for at in range(len(tokenizer))]
    found = sample(held_out, LAYER, words, 600)
    z_NF, told = tsae.to("cpu").encode(found.x_ND), {}
    for fact in FACTS:
        blocks = zip(("slow block", "other block"), spans(tsae.widths), strict=True)
        asking = {name: (z_NF[:, span], found.labels[fact], found.problem_N) for name, span in blocks}
        told[fact] = {name: probe(*of, ProbeConfig(ks=(5,)))[0].auroc for name, of in asking.items()}
    return Inside(tsae, evaluate(tsae, held_out, policies=policies.__getitem__, documents=256), told)
