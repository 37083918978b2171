"""Where a policy lives, and in what precision.

Ways to run a model for a block, and leave everything as it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from interp.artifacts import BadInput

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve(device: str = "auto", dtype: str = "auto") -> tuple[torch.device, torch.dtype | None]:
    """`auto` takes CUDA, then MPS, then the CPU. Weights keep the precision they are stored in, so that they stay the
    weights they are (None); but on the CPU half precision becomes the float32 it is equal to, which is faster there."""
    place = _place(device)
    if dtype == "auto":
        return place, torch.float32 if place.type == "cpu" else None
    if dtype not in PRECISIONS:
        raise BadInput(f"dtype must be auto, {', '.join(PRECISIONS)}; got {dtype!r}")
    return place, PRECISIONS[dtype]


def _place(device: str) -> torch.device:
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device == "auto":
        device = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    kind, _, index = device.partition(":")
    if kind not in there or not (index.isascii() and index.isdigit() or device == kind):
        raise BadInput(f"device must be auto, {', '.join(there)}, or one of them with a number; got {device!r}")
    if int(index or 0) >= there[kind]:
        raise BadInput(
            f"device {device} was asked for, but this torch sees {there[kind]} of that kind: use device=auto"
        )
    return torch.device(device)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """In evaluation mode for the block, then each module back in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """The same bits each time, on the CPU with several threads too: there the gradient of a gather is otherwise summed
    in whatever order the threads come. Elsewhere nothing is promised."""
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
