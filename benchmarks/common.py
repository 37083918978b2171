"""What every benchmark shares: timing arms side by side, peak memory of one arm in a process of its own, the JSON."""

import datetime
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from interp.artifacts import versions, write_json

RESULTS = Path(__file__).parent / "results"
Arm = Callable[[], float]
"""Does the work once and returns how much it did, in the benchmark's unit without the 'per second'."""


def race(arms: dict[str, Arm], repeats: int) -> dict[str, float]:
    """Units per second: the median over `repeats` rounds in which the arms take turns, after one round to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for at in range(repeats + 1):
        for name, arm in arms.items():
            start = time.perf_counter()
            done = arm()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if at:
                rates[name].append(done / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def peak_memory(make_arm: Callable[..., Arm], *args: Any) -> float:
    """MiB that the arm's work takes at its peak, above what stood ready before it, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (make_arm, *args))


def _peak(make_arm: Callable[..., Arm], *args: Any) -> float:
    arm = make_arm(*args)
    if torch.cuda.is_available():
        ready = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        arm()
        return (torch.cuda.max_memory_allocated() - ready) / 2**20
    ready = _resident()
    arm()
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) - ready
    ) / 2**20


def _resident() -> float:
    import psutil

    return psutil.Process().memory_info().rss


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def write_result(name: str, device: torch.device, unit: str, arms: dict[str, float], peer: str, **more: Any) -> Path:
    ours = next(arm for arm in arms if arm != peer)
    path = RESULTS / f"{name}{'-gpu' if device.type == 'cuda' else ''}.json"
    result = {
        "name": name,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "device": device_name(device),
        "versions": versions("interp", "torch", "transformers", "math-verify"),
        "unit": unit,
        "arms": {arm: round(rate, 3) for arm, rate in arms.items()},
        "peer": peer,
        "ratio": round(arms[ours] / arms[peer], 3),
        **more,
    }
    write_json(path, result)
    return path
