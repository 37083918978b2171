"""What every benchmark shares: timing arms side by side, peak memory of one arm in a process of its own, the JSON."""

import datetime
import json
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
COLOURS = ("#1f6feb", "#d1622b", "#6e7781", "#2a9d63")
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
    forgotten = _forget_peak()
    arm()
    return (_highest(forgotten) - ready) / 2**20


def _resident() -> float:
    import psutil

    return psutil.Process().memory_info().rss


def _forget_peak() -> bool:
    """On Linux a process begins with the peak of the one that started it, unless it is told to forget."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _highest(forgotten: bool) -> float:
    if forgotten:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def result_path(name: str, device: torch.device) -> Path:
    return RESULTS / f"{name}{'-gpu' if device.type == 'cuda' else ''}.json"


def standing(name: str, device: torch.device, part: str, otherwise: Any = None) -> Any:
    """Of the result that stands, what is not measured again. Where none stands, what there is `otherwise`."""
    path = result_path(name, device)
    found = json.loads(path.read_text()).get(part, otherwise) if path.exists() else otherwise
    if found is None:
        raise SystemExit(f"expected {part!r} in {path}, to take it over, got none: measure that part too")
    return found


def measured_now(device: torch.device) -> dict[str, str]:
    """How a figure came about: of parts that were measured apart, each keeps its own."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"command": command, "date": datetime.date.today().isoformat(), "device": device_name(device)}


def write_result(name: str, device: torch.device, unit: str, arms: dict[str, float], peer: str, **more: Any) -> Path:
    ours = next(arm for arm in arms if arm != peer)
    path = result_path(name, device)
    result = {
        "name": name,
        **measured_now(device),
        "versions": versions("interp", "torch", "transformers", "trl", "math-verify"),
        "unit": unit,
        "arms": {arm: round(rate, 3) for arm, rate in arms.items()},
        "peer": peer,
        "ratio": round(arms[ours] / arms[peer], 3),
        **more,
    }
    write_json(path, result)
    return path


def line_chart(path: Path, lines: dict[str, dict[int, float]], *, title: str, across: str, up: str) -> None:
    """A picture that needs nothing to be seen: one line a name, over numbers that double, from zero up."""
    places = sorted({x for points in lines.values() for x in points})
    highest = max(y for points in lines.values() for y in points.values())
    step = 10 ** len(str(int(highest))) / 20
    step = next(size for size in (step / 5, step / 2, step, 2 * step, 4 * step) if highest / size <= 6)

    def at(x: int, y: float) -> tuple[float, float]:
        return 70 + 420 * places.index(x) / max(len(places) - 1, 1), 320 - 260 * y / highest

    parts = [f'<text x="70" y="28" font-size="15">{title}</text>', f'<text x="70" y="48" fill="#666">{up}</text>']
    for tick in range(int(highest / step) + 1):
        _, y = at(places[0], tick * step)
        parts.append(f'<path d="M70 {y:.1f}H490" stroke="#ddd"/><text x="62" y="{y + 4:.1f}" text-anchor="end">')
        parts.append(f"{tick * step:g}</text>")
    for x in places:
        parts.append(f'<text x="{at(x, 0)[0]:.1f}" y="340" text-anchor="middle">{x}</text>')
    parts.append(f'<text x="280" y="362" text-anchor="middle" fill="#666">{across}</text>')
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        drawn = [at(x, y) for x, y in sorted(points.items())]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="')
        parts.append(" ".join(f"{x:.1f},{y:.1f}" for x, y in drawn) + '"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
        x, y = drawn[-1]
        parts.append(f'<text x="{x + 10:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>')
    frame = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 380" font-family="sans-serif" font-size="12">'
    path.write_text(frame + '<rect width="680" height="380" fill="white"/>' + "".join(parts) + "</svg>\n")
