"""Where a policy lives, and in what precision."""

import torch

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
