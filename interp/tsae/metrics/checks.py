"""Shared by the metrics: float64 sums, and checks of shapes and of what is merged."""

import torch
from torch import Tensor

from interp.artifacts import BadInput


def to_float64(x: Tensor) -> Tensor:
    """In float64 on the same device, or on the CPU if the device has no float64 (MPS)."""
    return x.to("cpu" if x.device.type == "mps" else x.device, torch.float64)


def expect_shape(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse another shape, which torch would broadcast."""
    if tuple(x.shape) != shape:
        raise BadInput(f"{name} must have the shape {shape} of what it is compared with; got {tuple(x.shape)}")


def expect_same(what: str, own: object, other: object) -> None:
    """Refuse to merge accumulators of different things."""
    if own != other:
        raise BadInput(f"only accumulators of the same {what} can be merged; got {own} and {other}")
