"""Stop training anywhere and go on as if nothing had happened: weights, AdamW moments and step, as safetensors.

Data position and random numbers need no saving where every step draws from its own hash. No pickle is written or read.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interp.artifacts import BadInput, read_manifest, recover, to_json, write_manifest, writing_dir

KIND = "training-state"
FILE = "state.safetensors"


def save_training_state(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, *, step: int, config: Any
) -> None:
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        tensors[f"weights/{name}"] = parameter.detach()
        for slot, value in optimiser.state.get(parameter, {}).items():
            tensors[f"{slot}/{name}"] = value
    with writing_dir(path, overwrite=True) as aside:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside / FILE)
        write_manifest(aside, KIND, config=config, made_from={}, step=step)


def load_training_state(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, *, config: Any) -> int:
    """The number of steps already done, none if there is nothing here. Refused if done under another config."""
    from safetensors.torch import load_file

    recover(path)
    if not path.exists():
        return 0
    manifest = read_manifest(path, KIND)
    done, wanted = manifest["config"], to_json(config)
    if done != wanted:
        changed = sorted(key for key in done.keys() | wanted.keys() if done.get(key) != wanted.get(key))
        raise BadInput(
            f"{path}: expected a run of the same config, got another {', '.join(changed)}: finish or delete it"
        )
    tensors = load_file(path / FILE)
    steps_on_device = any(group.get("fused") or group.get("capturable") for group in optimiser.param_groups)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"weights/{name}"])
            slots = {key.split("/", 1)[0]: value for key, value in tensors.items() if key.split("/", 1)[1] == name}
            if moments := {slot: value for slot, value in slots.items() if slot != "weights"}:
                optimiser.state[parameter] = {
                    slot: value.to(parameter.device) if slot != "step" or steps_on_device else value
                    for slot, value in moments.items()
                }
    return manifest["step"]
