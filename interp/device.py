"""Devices and precisions, and context managers that run a model in another mode and then restore it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from interp.artifacts import BadInput

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(device: str = "auto", dtype: str = "auto") -> tuple[torch.device, torch.dtype | None]:
    """The device and the dtype to load weights in. A dtype of None keeps the precision the weights are stored in.

    Device "auto" takes CUDA, then MPS, then the CPU. Dtype "auto" keeps the stored precision, so that loading does not
    change the weights; on the CPU it is float32, which represents half precision exactly and is faster there."""
    resolved = _available_device(str(device))  # a torch.device is as good as its name
    if dtype == "auto":
        return resolved, torch.float32 if resolved.type == "cpu" else None
    if str(dtype) not in PRECISIONS:
        raise BadInput(f"dtype must be auto, {', '.join(PRECISIONS)}; got {dtype!r}")
    return resolved, PRECISIONS[dtype]


def _available_device(device: str) -> torch.device:
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device == "auto":
        device = next(kind for kind in ("cuda", "mps", "cpu") if counts[kind])
    kind, _, number = device.partition(":")
    if kind not in counts or not (re.fullmatch("[0-9]{1,4}", number) or device == kind):
        raise BadInput(f"device must be auto, {', '.join(counts)}, or one of them with a number; got {device!r}")
    if int(number or 0) >= counts[kind]:
        raise BadInput(f"expected a device that this torch sees, got {device} ({counts[kind]} of its kind): use auto")
    return torch.device(device)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; afterwards each module is back in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Deterministic algorithms within the block, on the CPU: the same bits at every run, with several threads too.

    Without them, threads sum the gradient of a gather in any order. On other devices this does nothing."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
