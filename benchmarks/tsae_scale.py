"""Memory of a fit as stores grow, quality of the defaults as d_model grows, and what wider revival adds there.

Memory: peak memory of `interp.tsae.fit` above the memory before it, in its own process, on stores of planted
activations of 0.1 to 1.6 GB, with pools of one size and enough steps for three pools.

Defaults: `TSAEConfig()` with width, K, steps and learning rate chosen by d_model, on twice as many planted latents as
dimensions, about K / 2 of them active at a token. Without a GPU the larger sizes take only a share of the default
steps (`SHARES`). Measured are FVE on held-out tokens, the share of dead latents, and the share of planted latents found
(cosine 0.7), beside a plain BatchTopK dictionary of the same width, K and steps.

Revival: the defaults at d_model 512 on other planted latents, beside the same with half of d_model dead latents revived
at a token, as in SAELens.

    python benchmarks/tsae_scale.py         python benchmarks/tsae_scale.py --device cuda --sizes 64 256 512 1024 2048
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from common import peak_memory, provenance, stored_part, write_result

from interp.activations import Store
from interp.studies.dictionary_config import PlantedConfig
from interp.studies.planted import Planted, plant, planted_store
from interp.tsae import TSAE, TSAEConfig, evaluate, fit, preset
from interp.tsae.metrics import match_one_to_one

STORES = (0.1, 0.4, 1.6)
"""GB of activations."""
PARTS = ("memory", "revival", "defaults")
POOL_GB = 0.05
SHARES = {64: 1.0, 128: 1.0, 256: 0.25, 512: 0.1, 1024: 0.1, 2048: 0.1}
"""Share of the default steps that are taken without a GPU, by d_model."""


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    threads: int = 2
    sizes: tuple[int, ...] = tuple(SHARES)
    """Values of d_model for the defaults. Each result is written as soon as it is measured; the others are kept."""
    tokens: int = 200_000
    parts: tuple[str, ...] = PARTS
    """Parts to measure. The others are kept from the stored result. Measure memory on an idle machine."""
    directory: Path | None = None
    """Where stores and fits are saved, so that an interrupted run resumes. A temporary directory if None."""
    write: bool = True
    """Write the result. Not for a dry run."""


# --- memory --------------------------------------------------------------------------------------------------------


def measure_memory(config: Config, directory: Path) -> dict[str, float]:
    """Peak MiB by the size of the store."""
    peaks = {}
    for gb in STORES:
        path = directory / f"{gb}"
        planted = plant(PlantedConfig(d_model=256, per_kind=16, tokens=50_000))
        copies = max(1, round(gb * 1e9 / planted.x_ND.nbytes))
        planted_store(replace(planted, x_ND=planted.x_ND.repeat(copies, 1)), path)
        peaks[f"{gb:g} GB"] = round(peak_memory(fit_arm, path, config.device, config.threads))
        print(f"store of {gb:g} GB: {peaks[f'{gb:g} GB']} MiB", flush=True)
    return peaks


def fit_arm(path: Path, device: str, threads: int) -> Callable[[], float]:
    torch.set_num_threads(threads)
    config = TSAEConfig(width=1024)
    config = replace(config, training=replace(config.training, steps=150, pool_gb=POOL_GB))
    store = Store.open(path)

    def arm() -> float:
        fit(store, config, device=device, progress=False)
        return 1.0

    return arm


# --- quality -------------------------------------------------------------------------------------------------------


def planted_config(d_model: int, tokens: int, seed: int = 0) -> PlantedConfig:
    """Twice as many latents as dimensions, of which about K / 2 are active at a token."""
    per_kind = d_model // 2
    k = TSAEConfig().resolved(d_model).k or 0
    frequent_rate = 0.5 * k / (2 * per_kind * 1.1)
    return PlantedConfig(
        d_model, per_kind, frequent_rate=frequent_rate, rare_rate=frequent_rate / 10, tokens=tokens, seed=seed
    )


@dataclass(frozen=True)
class World:
    """Planted activations to fit on, and held-out ones of the same latents to measure on."""

    planted: Planted
    store: Store
    held_out: Store

    @classmethod
    def create(cls, config: PlantedConfig, path: Path) -> "World":
        planted, held_out = plant(config), plant(replace(config, tokens=32_000), draw=1)
        held_out_path = path.with_name(f"{path.name}-held-out")
        return cls(planted, planted_store(planted, path), planted_store(held_out, held_out_path))

    def fit(self, config: TSAEConfig, device: str, out: Path | None = None) -> TSAE:
        return fit(self.store, config, out=out, device=device, progress=False)

    def measure(self, tsae: TSAE, device: str) -> dict[str, float]:
        quality = evaluate(tsae, self.held_out, device=device, progress=False)
        match = match_one_to_one(self.planted.directions_GD, tsae.to("cpu").W_dec)
        return {
            "fve": round(quality.fve or 0.0, 4),
            "dead share": round(quality.firing.dead_share or 0.0, 4),
            "planted found": round(match.recall(["all"] * len(self.planted.kind_G))["all"], 3),
        }


def step_counts(d_model: int, device: str) -> tuple[int, int]:
    """Steps to take, and the default number of steps."""
    default = TSAEConfig().resolved(d_model).training.steps or 0
    return max(1, round((SHARES.get(d_model, 1.0) if device == "cpu" else 1.0) * default)), default


def with_steps(config: TSAEConfig, steps: int) -> TSAEConfig:
    return replace(config, training=replace(config.training, steps=steps))


def measure_defaults(d_model: int, config: Config, directory: Path) -> dict[str, Any]:
    world = World.create(planted_config(d_model, config.tokens), directory / f"d{d_model}")
    resolved, (steps, default_steps) = TSAEConfig().resolved(d_model), step_counts(d_model, config.device)
    result: dict[str, Any] = {"width": resolved.width, "k": resolved.k, "lr": round(resolved.training.lr or 0, 5)}
    result |= {"steps": steps, "default steps": default_steps}
    for name in ("interp", "batchtopk"):
        tsae = world.fit(with_steps(preset(name), steps), config.device, directory / f"d{d_model}-{name}")
        result[name] = world.measure(tsae, config.device)
    return result


def measure_revival(config: Config, directory: Path) -> dict[str, Any]:
    d_model = 512
    world = World.create(planted_config(d_model, config.tokens, seed=1), directory / "revival")
    steps, default_steps = step_counts(d_model, config.device)
    result: dict[str, Any] = {"d_model": d_model, "steps": steps, "default steps": default_steps}
    for revived in (TSAEConfig().resolved(d_model).revived, d_model // 2):
        started = time.perf_counter()
        tsae = world.fit(replace(with_steps(TSAEConfig(), steps), revived=revived), config.device)
        seconds = round(time.perf_counter() - started)
        result[f"revived {revived}"] = world.measure(tsae, config.device) | {"seconds of fitting": seconds}
    return result


# --- the run -------------------------------------------------------------------------------------------------------


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    result: dict[str, Any] = {"pool_gb": POOL_GB}
    with tempfile.TemporaryDirectory() if config.directory is None else nullcontext(config.directory) as path:
        directory = Path(path)
        result["parts"] = stored_part("tsae-scale", device, "parts", {})
        result |= {part: stored_part("tsae-scale", device, part, {}) for part in PARTS}
        if not result["memory"] and "memory" not in config.parts:
            raise SystemExit("expected the part memory, measured now or in a stored result; got neither")
        for part, measure in (("memory", measure_memory), ("revival", measure_revival)):
            if part in config.parts:
                result["parts"][part], result[part] = provenance(device), measure(config, directory)
        save(result, config, device)
        for d_model in config.sizes if "defaults" in config.parts else ():
            result["parts"][f"d {d_model}"] = provenance(device)
            result["defaults"][f"d {d_model}"] = measure_defaults(d_model, config, directory)
            print(d_model, result["defaults"][f"d {d_model}"], flush=True)
            save(result, config, device)


def save(result: dict[str, Any], config: Config, device: torch.device) -> None:
    if config.write:
        smallest, largest = f"{STORES[0]:g} GB", f"{STORES[-1]:g} GB"
        arms = {f"store of {size}": result["memory"][size] for size in (smallest, largest)}
        print(write_result("tsae-scale", device, "MiB at the peak", arms, f"store of {largest}", **result))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
