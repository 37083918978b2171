"""How much of what a few GRPO steps do to the weights survives when a checkpoint is stored in bfloat16.

Beside the norm of the change by training stands the norm of what rounding does to the trained weights, and the share of
weights that differ from the base's once both are rounded. SmolLM2-135M-Instruct (`make build/real/smollm2`), its
default learning rate.

    python benchmarks/rounding.py            python benchmarks/rounding.py --model DIRECTORY --steps 20
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from common import provenance, result_path
from real import MODEL, EvenWords

from interp.artifacts import versions, write_json
from interp.display import text_columns
from interp.grpo import GRPOConfig, UpdateConfig, train
from interp.policy import Policy, SampleConfig


@dataclass(frozen=True)
class Config:
    model: Path = MODEL
    steps: int = 6
    prompts: int = 2
    group: int = 4
    threads: int = 1


def measure(config: Config) -> dict[str, Any]:
    policy = Policy.load(config.model, device="cpu", dtype="float32")
    base = {name: tensor.detach().clone() for name, tensor in policy.model.named_parameters()}
    sampling = SampleConfig(group=config.group, max_new_tokens=12)
    settings = GRPOConfig(
        steps=config.steps, prompts=config.prompts, save_every=config.steps, kl_every=0, sampling=sampling,
        update=UpdateConfig(micro_tokens=512),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = train(policy, EvenWords(), config=settings, out=Path(folder) / "run", progress=False)
        trained = dict(run.policy(device="cpu").model.named_parameters())
    rounding = change = 0.0
    differing = weights = 0
    for name, before in base.items():
        after = trained[name].detach()
        rounding += float((after.bfloat16().float() - after).square().sum())
        change += float((after - before).square().sum())
        differing += int((after.bfloat16() != before.bfloat16()).sum())
        weights += after.numel()
    return {"rounding over change": (rounding / change) ** 0.5, "share of weights that differ": differing / weights}


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    device, result = torch.device("cpu"), measure(config)
    settings = {"model": config.model.name, "steps": config.steps, "prompts": config.prompts, "group": config.group}
    facts = {"name": "rounding", "versions": versions("interp", "torch", "transformers"), "config": settings}
    write_json(result_path("rounding", device), {**facts, **result, "measured": provenance(device)})
    print(text_columns(["what", "measured"], [[name, f"{value:.3f}"] for name, value in result.items()]))


if __name__ == "__main__":
    main(tyro.cli(Config))
