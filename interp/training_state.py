"""Stop training anywhere and go on as if nothing had happened: weights, AdamW moments and step, as safetensors.

Data position and random numbers need no saving where every step draws from its own hash. No pickle is written or
read.
"""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interp.artifacts import BadInput, Mismatch, changes, read_manifest, recover, to_json, write_manifest, writing_dir

KIND = "training-state"
FILE = "state.safetensors"


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that the step under way is finished first. A second Ctrl-C does not wait."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def save_training_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    step: int,
    config: Any,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """`facts` are whatever else the loop needs to go on, as plain values."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, value in _held(model).items():
        tensors[f"weights/{name}"] = value.detach()
        for slot, moment in optimiser.state.get(value, {}).items():
            tensors[f"{slot}/{name}"] = moment
    with writing_dir(path, overwrite=True) as aside:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside / FILE)
        write_manifest(aside, KIND, config=config, made_from={}, step=step, facts=dict(facts or {}))


def load_training_state(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, *, config: Any
) -> tuple[int, dict[str, Any]]:
    """The number of steps already done and the facts beside it; none if there is nothing here. Refused if they were
    done under another config or on another architecture."""
    from safetensors.torch import load_file

    recover(path)
    if not path.exists():
        return 0, {}
    manifest = read_manifest(path, KIND)
    done, wanted = manifest["config"], to_json(config)
    if done != wanted:
        raise BadInput(f"{path} is of a run of another {changes(done, wanted)}: finish or delete it")
    tensors = load_file(path / FILE)
    _expect_same_shapes(path, tensors, model)
    steps_on_device = any(group.get("fused") or group.get("capturable") for group in optimiser.param_groups)
    with torch.no_grad():
        for name, held in _held(model).items():
            held.copy_(tensors[f"weights/{name}"])
            slots = {key.split("/", 1)[0]: value for key, value in tensors.items() if key.split("/", 1)[1] == name}
            if moments := {slot: value for slot, value in slots.items() if slot not in ("weights", "step")}:
                step = slots["step"].to(held.device) if steps_on_device else slots["step"]
                laid_out = {slot: _laid_out_like(held, value) for slot, value in moments.items()}
                optimiser.state[held] = {"step": step, **laid_out}
    return manifest["step"], manifest["facts"]


def _held(model: nn.Module) -> dict[str, Tensor]:
    """Parameters, each once however many names it has, and the buffers that are part of the model's state."""
    parameters = dict(model.named_parameters())
    every_name = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    buffers = {name: value for name, value in model.state_dict(keep_vars=True).items() if name not in every_name}
    return {**parameters, **buffers}


def _laid_out_like(held: Tensor, value: Tensor) -> Tensor:
    """Where a parameter is stored by columns, a fused optimiser wants its moments so too."""
    return torch.empty_like(held, dtype=value.dtype, memory_format=torch.preserve_format).copy_(value)


def _expect_same_shapes(path: Path, tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    found = {key.removeprefix("weights/"): tuple(t.shape) for key, t in tensors.items() if key.startswith("weights/")}
    wanted = {name: tuple(held.shape) for name, held in _held(model).items()}
    if strange := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
        name = strange[0]
        raise Mismatch(
            f"{path} holds another architecture: {len(strange)} weights differ, e.g. {name}: expected "
            f"{wanted.get(name, 'none')}, got {found.get(name, 'none')}. Go on with the policy it was begun with."
        )
