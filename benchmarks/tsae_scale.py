"""What a fit takes and comes to: its memory as stores grow, its defaults as d_model grows, what revival is worth there.

Memory: the peak of `interp.tsae.fit` above what stood ready before it, in a process of its own, on stores of planted
activations from 0.1 to 1.6 GB, with the same room for its pools, for steps enough to go through three of them.

Defaults: `TSAEConfig()` as it is, width, K, steps and learning rate chosen by the dimension, on planted latents twice
as many as dimensions, of which about half of K are on at a token. Only a share of the default steps are taken where
all of them would take hours without a GPU. Beside FVE on held-out tokens stand that of a plain BatchTopK dictionary of
the same width, K and steps, the share of latents that are dead, and that of planted latents found (cosine 0.7).

Revival: the same of the defaults at d_model 512, on other planted latents, beside a dictionary that differs in one
thing: half as many dead latents as dimensions share in revival at a token, as in SAELens.

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
from common import provenance, peak_memory, stored_part, write_result

from interp.activations import Store
from interp.studies.dictionary_config import PlantedConfig
from interp.studies.planted import Planted, plant, planted_store
from interp.tsae import TSAE, TSAEConfig, evaluate, fit, preset
from interp.tsae.metrics import match_one_to_one

STORES = (0.1, 0.4, 1.6)
"""GB of activations."""
PARTS = ("memory", "revival", "defaults")
POOL = 0.05
SHARES = {64: 1.0, 128: 1.0, 256: 0.25, 512: 0.1, 1024: 0.1, 2048: 0.1}
"""Of the default steps, without a GPU."""


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    threads: int = 2
    sizes: tuple[int, ...] = tuple(SHARES)
    """Of the defaults. Each is kept as soon as it is measured; those not asked for are taken over as they stand."""
    tokens: int = 200_000
    parts: tuple[str, ...] = PARTS
    """Which to measure. What is not is taken over from the result that stands: memory wants a quiet machine."""
    room: Path | None = None
    """Where stores and fits are kept, so that what was stopped goes on. If not given, a place that is gone after."""
    keep: bool = True
    """Write the result. Not for a dry run."""


def memory(config: Config, room: Path) -> dict[str, float]:
    """MiB, by the store's size in GB."""
    found = {}
    for gb in STORES:
        place = room / f"{gb}"
        planted = plant(PlantedConfig(d_model=256, per_kind=16, tokens=50_000))
        copies = max(1, round(gb * 1e9 / planted.x_ND.nbytes))
        many = replace(planted, x_ND=planted.x_ND.repeat(copies, 1))
        planted_store(many, place)
        found[f"{gb:g} GB"] = round(peak_memory(fitting, place, config.device, config.threads))
        print(f"store of {gb:g} GB: {found[f'{gb:g} GB']} MiB", flush=True)
    return found


def fitting(place: Path, device: str, threads: int) -> Callable[[], float]:
    torch.set_num_threads(threads)
    asked = TSAEConfig(width=1024)
    training = replace(asked.training, steps=150, pool_gb=POOL)
    store = Store.open(place)

    def arm() -> float:
        fit(store, replace(asked, training=training), device=device, progress=False)
        return 1.0

    return arm


def planted_of(d_model: int, tokens: int, seed: int = 0) -> PlantedConfig:
    each = d_model // 2
    k = TSAEConfig().resolved(d_model).k or 0
    frequent = 0.5 * k / (2 * each * 1.1)
    return PlantedConfig(d_model, each, frequent_rate=frequent, rare_rate=frequent / 10, tokens=tokens, seed=seed)


@dataclass(frozen=True)
class World:
    """Planted activations to fit on, and others of the same latents to measure on."""

    planted: Planted
    store: Store
    held_out: Store

    @classmethod
    def of(cls, wanted: PlantedConfig, place: Path) -> "World":
        planted = plant(wanted)
        held_out = planted_store(
            plant(replace(wanted, tokens=32_000), draw=1), place.with_name(f"{place.name}-held-out")
        )
        return cls(planted, planted_store(planted, place), held_out)

    def fitted(self, asked: TSAEConfig, device: str, out: Path | None = None) -> TSAE:
        return fit(self.store, asked, out=out, device=device, progress=False)

    def measured(self, tsae: TSAE, device: str) -> dict[str, float]:
        quality = evaluate(tsae, self.held_out, device=device, progress=False)
        matched = match_one_to_one(self.planted.directions_GD, tsae.to("cpu").W_dec)
        return {
            "fve": round(quality.fve or 0.0, 4),
            "dead share": round(quality.firing.dead_share or 0.0, 4),
            "planted found": round(matched.recall(["all"] * len(self.planted.kind_G))["all"], 3),
        }


def steps_of(d_model: int, device: str) -> tuple[int, int]:
    """Those that are taken, and all."""
    every = TSAEConfig().resolved(d_model).training.steps or 0
    return max(1, round((SHARES.get(d_model, 1.0) if device == "cpu" else 1.0) * every)), every


def defaults(d_model: int, config: Config, room: Path) -> dict[str, Any]:
    world = World.of(planted_of(d_model, config.tokens), room / f"d{d_model}")
    chosen, (steps, every) = TSAEConfig().resolved(d_model), steps_of(d_model, config.device)
    found: dict[str, Any] = {"width": chosen.width, "k": chosen.k, "lr": round(chosen.training.lr or 0, 5)}
    found |= {"steps": steps, "default steps": every}
    for name in ("interp", "batchtopk"):
        tsae = world.fitted(_for(preset(name), steps), config.device, room / f"d{d_model}-{name}")
        found[name] = world.measured(tsae, config.device)
    return found


def revival(config: Config, room: Path) -> dict[str, Any]:
    d_model = 512
    world = World.of(planted_of(d_model, config.tokens, seed=1), room / "revival")
    steps, every = steps_of(d_model, config.device)
    found: dict[str, Any] = {"d_model": d_model, "steps": steps, "default steps": every}
    for revived in (TSAEConfig().resolved(d_model).revived, d_model // 2):
        asked, began = replace(_for(TSAEConfig(), steps), revived=revived), time.perf_counter()
        tsae, took = world.fitted(asked, config.device), time.perf_counter() - began
        found[f"revived {revived}"] = world.measured(tsae, config.device) | {"seconds of fitting": round(took)}
    return found


def _for(asked: TSAEConfig, steps: int) -> TSAEConfig:
    return replace(asked, training=replace(asked.training, steps=steps))


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    device = torch.device(config.device)
    told: dict[str, Any] = {"pool_gb": POOL}
    with tempfile.TemporaryDirectory() if config.room is None else nullcontext(config.room) as place:
        room = Path(place)
        told["parts"] = stored_part("tsae-scale", device, "parts", {})
        told |= {part: stored_part("tsae-scale", device, part, {}) for part in PARTS}
        if not told["memory"] and "memory" not in config.parts:
            raise SystemExit("expected memory to be measured, or a result to take it over from, got neither")
        for part, measure in (("memory", memory), ("revival", revival)):
            if part in config.parts:
                told["parts"][part], told[part] = provenance(device), measure(config, room)
        keep(told, config, device)
        for d_model in config.sizes if "defaults" in config.parts else ():
            told["parts"][f"d {d_model}"] = provenance(device)
            told["defaults"][f"d {d_model}"] = defaults(d_model, config, room)
            print(d_model, told["defaults"][f"d {d_model}"], flush=True)
            keep(told, config, device)


def keep(told: dict[str, Any], config: Config, device: torch.device) -> None:
    if config.keep:
        smallest, largest = f"{STORES[0]:g} GB", f"{STORES[-1]:g} GB"
        arms = {f"store of {size}": told["memory"][size] for size in (smallest, largest)}
        print(write_result("tsae-scale", device, "MiB at the peak", arms, f"store of {largest}", **told))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
