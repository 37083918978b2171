"""A device or a precision that there is not is refused, whatever is passed for it."""

from typing import Any

import pytest
import torch

from interp.artifacts import BadInput
from interp.device import resolve_device

A_DEVICE = "device must be auto, cpu, cuda, mps, or one of them with a number; got "
A_PRECISION = "dtype must be auto, float32, bfloat16, float16; got "


@pytest.mark.parametrize(
    "device", ["mars", "", "CPU", "cpu:", "cpu:x", "cpu:-1", "cpu:٣", "cuda:" + "9" * 5000, 3, None]
)
def test_what_is_no_device_is_refused(device: Any):
    with pytest.raises(BadInput) as refused:
        resolve_device(device)
    assert str(refused.value).startswith(A_DEVICE)


@pytest.mark.parametrize("device", ["cpu:1", "cuda:999"])
def test_a_device_that_this_machine_lacks_is_refused(device):
    with pytest.raises(BadInput, match="expected a device that this torch sees, got"):
        resolve_device(device)


@pytest.mark.parametrize("dtype", ["int8", "float64", "", None, 16, torch.int8, ["float32"]])
def test_what_is_no_precision_is_refused(dtype: Any):
    with pytest.raises(BadInput) as refused:
        resolve_device("cpu", dtype)
    assert str(refused.value).startswith(A_PRECISION)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu")])
def test_a_device_is_a_name_or_that_of_torch(device: Any):
    assert resolve_device(device, "bfloat16")[0].type == "cpu"
    assert resolve_device(device) == (torch.device(str(device)), torch.float32)
