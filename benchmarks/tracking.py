"""Tracking as latents, checkpoints and rollouts grow: time a token, and the peak of memory.

The organism stands for every checkpoint, and reads what it writes; the dictionary is random, with a threshold at which
16 latents are on at a token. Time is that of everything after the rollouts are there: residuals, codes, sums; beside it
stands that of encoding alone, which is finding what is on at as many tokens, and `beyond the encoder` is what is left.
Memory is the peak of a whole `track`, from rollouts to sums, above what stood ready before it, in a process of its own.

    python benchmarks/tracking.py
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from common import peak_memory, write_result

from interp.organism import shipped, task_of
from interp.policy import Policy, SampleConfig
from interp.rollouts import Checkpoint, Series
from interp.tracking import TrackConfig, track
from interp.tracking.activation_sums import Reading
from interp.tracking.config import ON_POLICY
from interp.tracking.tracker import Reader, questions
from interp.tsae import TSAE
from interp.tsae.codes import Codes

LAYER, ACTIVE = 2, 16
WIDTHS, CHECKPOINTS, GROUPS = (1024, 4096, 24_576), (5, 20), (4, 16, 64)


@dataclass(frozen=True)
class Config:
    problems: int = 32
    repeats: int = 3
    threads: int = 2
    keep: bool = True
    """Write the result. Not for a dry run."""


def dictionary(width: int) -> TSAE:
    """Random, with as many latents on as any."""
    policy, task = Policy.load(shipped(), device="cpu"), task_of(shipped())
    rng = torch.Generator().manual_seed(0)
    ids = torch.tensor([policy.encode([problem.prompt])[0][:6] for problem in task.problems("eval", "hard", 64)])
    x_ND = policy.capture(ids, [LAYER])[LAYER].flatten(0, 1)
    W_dec = torch.randn(width, policy.d_model, generator=rng)
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
    hidden_NF = (x_ND - x_ND.mean(0)) @ W_dec.T
    bound = hidden_NF.flatten().topk(ACTIVE * len(x_ND)).values.min().clamp(min=1e-3)
    threshold = torch.full((width,), float(bound))
    return TSAE(W_dec.T.contiguous(), torch.zeros(width), W_dec, x_ND.mean(0), threshold, widths=(width,), layer=LAYER)


def asked(config: Config, group: int = 4) -> TrackConfig:
    return TrackConfig(problems=config.problems, recovered=0, sampling=SampleConfig(group=group, rows=256))


def seconds_per_token(width: int, config: Config) -> dict[str, float]:
    tsae, policy, task = dictionary(width), Policy.load(shipped(), device="cpu"), task_of(shipped())
    reader = Reader(policy, tsae, LAYER, asked(config, 16))
    waves = list(reader.answers(task, questions(task, ON_POLICY, reader.config), run="benchmark", step=0))
    tokens = sum(len(row.tokens) for wave in waves for _, _, row in wave)
    x_ND = torch.randn(tokens, policy.d_model)
    whole, encoder = [], []
    for _ in range(config.repeats + 1):
        reading, start = Reading(0, ON_POLICY, width), time.perf_counter()
        for wave in waves:
            reader.read(wave, reading)
        whole.append(time.perf_counter() - start)
        start = time.perf_counter()
        Codes.read(tsae, x_ND)
        encoder.append(time.perf_counter() - start)
    spent, encoding = min(whole[1:]) / tokens, min(encoder[1:]) / tokens
    told = {"microseconds a token": spent, "the encoder alone": encoding, "beyond the encoder": spent - encoding}
    return {**{name: round(1e6 * value, 2) for name, value in told.items()}, "tokens": tokens}


def tracking(width: int, checkpoints: int, group: int, config: Config) -> Callable[[], float]:
    torch.set_num_threads(config.threads)
    series = Series([Checkpoint(step, shipped()) for step in range(checkpoints)], run="benchmark")
    tsae, task = dictionary(width), task_of(shipped())
    Policy.load(shipped(), device="cpu")

    def arm() -> float:
        with tempfile.TemporaryDirectory() as place:
            track(tsae, series, task, asked(config, group), out=Path(place) / "tracks", device="cpu", bar=False)
        return 1.0

    return arm


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    times = {width: seconds_per_token(width, config) for width in WIDTHS}
    print(times, flush=True)
    memory: dict[str, Any] = {}
    small = replace(config, problems=min(config.problems, 16))
    for width in WIDTHS:
        for checkpoints in CHECKPOINTS if width == WIDTHS[-1] else CHECKPOINTS[:1]:
            for group in GROUPS if checkpoints == CHECKPOINTS[0] else GROUPS[:1]:
                name = f"{width:,} latents, {checkpoints} checkpoints, {group} rollouts a problem"
                memory[name] = round(peak_memory(tracking, width, checkpoints, group, small))
                print(name, memory[name], "MiB", flush=True)
    if config.keep:
        wide, narrow = (f"{width:,} latents" for width in (WIDTHS[-1], WIDTHS[0]))
        arms = {wide: times[WIDTHS[-1]]["beyond the encoder"], narrow: times[WIDTHS[0]]["beyond the encoder"]}
        told = {"times": {f"{width:,} latents": found for width, found in times.items()}, "memory_mib": memory}
        print(write_result("tracking", torch.device("cpu"), "microseconds a token", arms, narrow, **told))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
