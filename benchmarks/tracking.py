"""Cost of tracking as latents, checkpoints and rollouts grow: time per token and peak memory.

Every checkpoint is the shipped organism, on its own rollouts; the dictionary is random, with a threshold at which 16
latents are active at a token. Time is that of everything after sampling: residuals, codes, sums. Beside it stands
encoding alone, of as many tokens; the difference is `beyond the encoder`. Memory is the peak of a whole `track`, from
rollouts to sums, above what was loaded before it, in a process of its own.

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

from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.rollouts import Checkpoint, Series
from interp.tracking import TrackConfig, track
from interp.tracking.checkpoint_sums import CheckpointSums
from interp.tracking.collector import SumsCollector
from interp.tracking.config import ON_POLICY
from interp.tracking.tracker import corpus_problems
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


def random_dictionary(width: int) -> TSAE:
    """A dictionary with random rows, of which `ACTIVE` are active at a token on average."""
    policy, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    rng = torch.Generator().manual_seed(0)
    ids = torch.tensor([policy.encode([problem.prompt])[0][:6] for problem in task.problems("eval", "deep", 64)])
    x_ND = policy.capture(ids, [LAYER])[LAYER].flatten(0, 1)
    W_dec = torch.randn(width, policy.d_model, generator=rng)
    W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)
    hidden_NF = (x_ND - x_ND.mean(0)) @ W_dec.T
    bound = hidden_NF.flatten().topk(ACTIVE * len(x_ND)).values.min().clamp(min=1e-3)
    zeros_F, threshold_F = torch.zeros(width), torch.full((width,), float(bound))
    W_enc = W_dec.T.contiguous()
    return TSAE(W_enc, zeros_F, W_dec, x_ND.mean(0), threshold_F, block_widths=(width,), layer=LAYER)


def track_config(config: Config, group: int = 4) -> TrackConfig:
    return TrackConfig(problems=config.problems, loss_rollouts=0, sampling=SampleConfig(group=group, rows=256))


def time_per_token(width: int, config: Config) -> dict[str, float]:
    """Microseconds per token: of all after sampling, of encoding alone, and their difference."""
    tsae, policy, task = random_dictionary(width), Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    tracking = track_config(config, 16)
    collector = SumsCollector(tsae, policy, LAYER, tracking)
    waves = list(collector.sample(task, corpus_problems(task, ON_POLICY, tracking), run="benchmark", step=0))
    tokens = sum(len(tracked.rollout.tokens) for wave in waves for tracked in wave)
    x_ND = torch.randn(tokens, policy.d_model)
    whole_seconds, encoder_seconds = [], []
    for _ in range(config.repeats + 1):
        sums, start = CheckpointSums(0, ON_POLICY, width), time.perf_counter()
        for wave in waves:
            collector.add(wave, sums)
        whole_seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        Codes.encode(tsae, x_ND)
        encoder_seconds.append(time.perf_counter() - start)
    whole, encoder = (1e6 * min(seconds[1:]) / tokens for seconds in (whole_seconds, encoder_seconds))
    times = {"microseconds a token": whole, "the encoder alone": encoder, "beyond the encoder": whole - encoder}
    return {**{name: round(value, 2) for name, value in times.items()}, "tokens": tokens}


def make_tracking_arm(width: int, checkpoints: int, group: int, config: Config) -> Callable[[], float]:
    torch.set_num_threads(config.threads)
    series = Series([Checkpoint(step, shipped_path()) for step in range(checkpoints)], run="benchmark")
    tsae, task, tracking = random_dictionary(width), load_task(shipped_path()), track_config(config, group)
    Policy.load(shipped_path(), device="cpu")

    def arm() -> float:
        with tempfile.TemporaryDirectory() as directory:
            track(tsae, series, task, tracking, out=Path(directory) / "tracks", device="cpu", progress=False)
        return 1.0

    return arm


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    times = {width: time_per_token(width, config) for width in WIDTHS}
    print(times, flush=True)
    memory: dict[str, Any] = {}
    small = replace(config, problems=min(config.problems, 16))
    for width in WIDTHS:
        for checkpoints in CHECKPOINTS if width == WIDTHS[-1] else CHECKPOINTS[:1]:
            for group in GROUPS if checkpoints == CHECKPOINTS[0] else GROUPS[:1]:
                name = f"{width:,} latents, {checkpoints} checkpoints, {group} rollouts a problem"
                memory[name] = round(peak_memory(make_tracking_arm, width, checkpoints, group, small))
                print(name, memory[name], "MiB", flush=True)
    if config.keep:
        wide, narrow = (f"{width:,} latents" for width in (WIDTHS[-1], WIDTHS[0]))
        arms = {wide: times[WIDTHS[-1]]["beyond the encoder"], narrow: times[WIDTHS[0]]["beyond the encoder"]}
        tables = {"times": {f"{width:,} latents": row for width, row in times.items()}, "memory_mib": memory}
        print(write_result("tracking", torch.device("cpu"), "microseconds a token", arms, narrow, **tables))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
