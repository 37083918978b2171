"""Training state on disk: weights, optimizer moments and step, so that a stopped run resumes bit for bit.

    <path>/state.safetensors    weights/<name> for each parameter and buffer, <slot>/<name> for each moment of AdamW
    <path>/more.safetensors     other tensors of the loop, if it has any
    <path>/manifest.json        config, step, and the other facts the loop needs to resume

Data position and random state are not saved: every step seeds its own random numbers. No pickle is written or read.
"""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interp.artifacts import (
    BadInput,
    Mismatch,
    describe_changes,
    open_artifact,
    reading,
    recover,
    to_json,
    write_manifest,
    writing_dir,
)

KIND = "training-state"
FILE, MORE = "state.safetensors", "more.safetensors"


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that the loop can finish its step and save. A second Ctrl-C interrupts
    at once. Outside the main thread the event is never set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def set_stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, previous)
        stop.set()

    previous = signal.signal(signal.SIGINT, set_stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def save_training_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    step: int,
    config: Any,
    facts: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the state atomically, over an older one. `facts` and `tensors` are what else the loop needs to resume."""
    from safetensors.torch import save_file

    stored: dict[str, Tensor] = {}
    for name, tensor in _state_tensors(model).items():
        stored[f"weights/{name}"] = tensor.detach()
        for slot, moment in optimizer.state.get(tensor, {}).items():
            stored[f"{slot}/{name}"] = moment
    with writing_dir(path, overwrite=True) as partial:
        save_file({key: tensor.contiguous() for key, tensor in stored.items()}, partial / FILE)
        if tensors:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, partial / MORE)
        write_manifest(partial, KIND, config=config, made_from={}, step=step, facts=dict(facts or {}))


def load_training_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, config: Any
) -> tuple[int, dict[str, Any]]:
    """Restore model and optimizer in place; return the number of steps done and the saved facts, or (0, {}) if there
    is no state. A state of another config or architecture is refused."""
    recover(path)
    if not path.exists():
        return 0, {}
    artifact = open_artifact(path, KIND)
    if changed := describe_changes(artifact.manifest["config"], to_json(config)):
        raise BadInput(f"{path} is the state of a run with another {changed}: finish that run, or delete the state")
    with reading(path, "the state of a run", remedy=f"delete {path} to begin again"):
        step, facts, stored = artifact.manifest["step"], dict(artifact.manifest["facts"]), artifact.tensors(FILE)
        if not isinstance(step, int) or step < 0:
            raise ValueError(f"step {step!r}")
        _expect_same_shapes(path, stored, model)
        _restore(stored, model, optimizer)
    return step, facts


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The other tensors of a saved state; none if it has none."""
    artifact = open_artifact(path, KIND)
    with reading(path, "the state of a run", remedy=f"delete {path} to begin again"):
        return artifact.tensors(MORE) if MORE in artifact.records else {}


def _restore(stored: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    step_on_device = any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)
    with torch.no_grad():
        for name, tensor in _state_tensors(model).items():
            tensor.copy_(stored[f"weights/{name}"])
            slots = {key.split("/", 1)[0]: value for key, value in stored.items() if key.split("/", 1)[1] == name}
            if moments := {slot: value for slot, value in slots.items() if slot not in ("weights", "step")}:
                step = slots["step"].to(tensor.device) if step_on_device else slots["step"]
                optimizer.state[tensor] = {"step": step} | {
                    slot: _with_layout_of(tensor, moment) for slot, moment in moments.items()
                }


def _state_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name. A shared parameter is listed once."""
    parameters = dict(model.named_parameters())
    parameter_names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    state = model.state_dict(keep_vars=True)
    return {**parameters, **{name: value for name, value in state.items() if name not in parameter_names}}


def _with_layout_of(parameter: Tensor, moment: Tensor) -> Tensor:
    """A copy of `moment` in the memory layout of its parameter, as a fused optimizer requires."""
    return torch.empty_like(parameter, dtype=moment.dtype, memory_format=torch.preserve_format).copy_(moment)


def _expect_same_shapes(path: Path, stored: Mapping[str, Tensor], model: nn.Module) -> None:
    shapes = {key.removeprefix("weights/"): tuple(t.shape) for key, t in stored.items() if key.startswith("weights/")}
    expected = {name: tuple(tensor.shape) for name, tensor in _state_tensors(model).items()}
    if different := sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name)):
        name = different[0]
        raise Mismatch(
            f"{path} is the state of another architecture: {len(different)} weights differ, e.g. {name}: expected "
            f"{expected.get(name, 'none')}, got {shapes.get(name, 'none')}. Resume with the model that was saved."
        )
