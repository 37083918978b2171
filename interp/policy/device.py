"""Where a policy lives, and in what precision."""

import torch

from interp.artifacts import BadInput


def resolve(device: str = "auto", dtype: str = "auto") -> tuple[torch.device, torch.dtype]:
    """`auto` takes CUDA, then MPS, then the CPU; bf16 on CUDA, float32 elsewhere."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise BadInput("device cuda was asked for, but this torch sees none: use device=auto or cpu")
    if dtype == "auto":
        return place, torch.bfloat16 if place.type == "cuda" else torch.float32
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in kinds:
        raise BadInput(f"dtype must be auto, {', '.join(kinds)}; got {dtype!r}")
    return place, kinds[dtype]
