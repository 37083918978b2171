"""Shared by all benchmarks: timing arms in turns, peak memory of an arm in its own process, the result as JSON."""

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
"""Does the work once and returns its amount, in the benchmark's unit without the 'per second'."""


def race(arms: dict[str, Arm], repeats: int) -> dict[str, float]:
    """Units per second of each arm: the median over `repeats` rounds in which the arms take turns, after a warm-up."""
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(repeats + 1):
        for name, arm in arms.items():
            start = time.perf_counter()
            amount = arm()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                rates[name].append(amount / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def peak_memory(make_arm: Callable[..., Arm], *args: Any) -> float:
    """MiB that an arm's work takes at its peak, above what was there before it, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (make_arm, *args))


def _peak(make_arm: Callable[..., Arm], *args: Any) -> float:
    arm = make_arm(*args)
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        arm()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _resident_bytes()
    is_reset = _reset_peak()
    arm()
    return (_peak_bytes(is_reset) - before) / 2**20


def _resident_bytes() -> float:
    import psutil

    return psutil.Process().memory_info().rss


def _reset_peak() -> bool:
    """Reset the peak, where the system can: on Linux a process starts with the peak of its parent."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_bytes(is_reset: bool) -> float:
    if is_reset:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def result_path(name: str, device: torch.device) -> Path:
    return RESULTS / f"{name}{'-gpu' if device.type == 'cuda' else ''}.json"


def stored_part(name: str, device: torch.device, part: str, default: Any = None) -> Any:
    """A part of the stored result, for parts that are not measured again; `default` if it is not there."""
    path = result_path(name, device)
    value = json.loads(path.read_text()).get(part, default) if path.exists() else default
    if value is None:
        raise SystemExit(f"expected {part!r} in {path}, got none: measure that part too")
    return value


def provenance(device: torch.device) -> dict[str, str]:
    """Command, date and device of a measurement; parts that were measured apart have one each."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"command": command, "date": datetime.date.today().isoformat(), "device": device_name(device)}


def write_result(name: str, device: torch.device, unit: str, arms: dict[str, float], peer: str, **more: Any) -> Path:
    ours = next(arm for arm in arms if arm != peer)
    path = result_path(name, device)
    result = {
        "name": name,
        **provenance(device),
        "versions": versions("interp", "torch", "transformers", "trl", "math-verify"),
        "unit": unit,
        "arms": {arm: round(rate, 3) for arm, rate in arms.items()},
        "peer": peer,
        "ratio": round(arms[ours] / arms[peer], 3),
        **more,
    }
    write_json(path, result)
    return path


def line_chart(path: Path, lines: dict[str, dict[int, float]], *, title: str, x_title: str, y_title: str) -> None:
    """Write an SVG with one line per name, over x values that double, from zero up. It needs no script to be shown."""
    ticks = sorted({x for points in lines.values() for x in points})
    highest = max(y for points in lines.values() for y in points.values())
    step = 10 ** len(str(int(highest))) / 20
    step = next(size for size in (step / 5, step / 2, step, 2 * step, 4 * step) if highest / size <= 6)

    def to_pixels(x: int, y: float) -> tuple[float, float]:
        return 70 + 420 * ticks.index(x) / max(len(ticks) - 1, 1), 320 - 260 * y / highest

    parts = [f'<text x="70" y="28" font-size="15">{title}</text>', f'<text x="70" y="48" fill="#666">{y_title}</text>']
    for tick in range(int(highest / step) + 1):
        _, y = to_pixels(ticks[0], tick * step)
        parts.append(f'<path d="M70 {y:.1f}H490" stroke="#ddd"/><text x="62" y="{y + 4:.1f}" text-anchor="end">')
        parts.append(f"{tick * step:g}</text>")
    for x in ticks:
        parts.append(f'<text x="{to_pixels(x, 0)[0]:.1f}" y="340" text-anchor="middle">{x}</text>')
    parts.append(f'<text x="280" y="362" text-anchor="middle" fill="#666">{x_title}</text>')
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        pixels = [to_pixels(x, y) for x, y in sorted(points.items())]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="')
        parts.append(" ".join(f"{x:.1f},{y:.1f}" for x, y in pixels) + '"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in pixels]
        x, y = pixels[-1]
        parts.append(f'<text x="{x + 10:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>')
    frame = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 380" font-family="sans-serif" font-size="12">'
    path.write_text(frame + '<rect width="680" height="380" fill="white"/>' + "".join(parts) + "</svg>\n")
