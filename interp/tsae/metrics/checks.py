"""What the metrics share: float64 sums, and refusing what cannot be meant."""

import torch
from torch import Tensor

from interp.artifacts import BadInput


def to_float64(x: Tensor) -> Tensor:
    """In float64, where it lies; on the CPU if it lies on a device that has none (MPS)."""
    return x.to("cpu" if x.device.type == "mps" else x.device, torch.float64)


def expect_shape(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse what would otherwise be broadcast."""
    if tuple(x.shape) != shape:
        raise BadInput(f"{name} must be {shape}, as what it is measured beside; got {tuple(x.shape)}")


def expect_same(what: str, mine: object, other: object) -> None:
    """Two accumulators merge only if they accumulate the same thing."""
    if mine != other:
        raise BadInput(f"only accumulators of the same {what} can be merged; got {mine} and {other}")
