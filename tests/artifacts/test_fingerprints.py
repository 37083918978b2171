"""Fingerprints change with every bit of the contents, and with nothing else."""

import string

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interp.artifacts import fingerprint, fingerprint_config, fingerprint_tensors

text = st.text(string.printable, max_size=8)


def of_tensors(**tensors: torch.Tensor) -> str:
    return fingerprint_tensors(tensors, tensors.__getitem__)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.binary(min_size=4, max_size=32).filter(lambda data: len(data) % 4 == 0), st.data())
def test_a_fingerprint_changes_if_any_bit_changes(data, draw):
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    one, other = (torch.frombuffer(bytearray(part), dtype=torch.float32) for part in (data, flipped))
    assert of_tensors(a=one) != of_tensors(a=other)
    assert of_tensors(a=one) == of_tensors(a=one.clone())


def test_a_fingerprint_changes_with_dtype_shape_and_name():
    zeros = torch.zeros(4, dtype=torch.float32)
    prints = [
        of_tensors(a=zeros),
        of_tensors(a=zeros.int()),
        of_tensors(a=zeros.reshape(2, 2)),
        of_tensors(a=zeros.reshape(4, 1)),
        of_tensors(b=zeros),
        of_tensors(a=zeros, b=zeros[:0]),
        of_tensors(a=zeros[:2], b=zeros[2:]),
    ]
    assert len(set(prints)) == len(prints)


def test_half_precision_has_the_fingerprint_of_the_equal_float32():
    exact = torch.tensor([0.5, -1.25, 3.0])
    assert of_tensors(a=exact.bfloat16()) == of_tensors(a=exact.half()) == of_tensors(a=exact)
    assert of_tensors(a=torch.tensor([0.1]).bfloat16()) != of_tensors(a=torch.tensor([0.1]))


def test_a_fingerprint_depends_neither_on_order_nor_on_memory_layout():
    a, b = torch.arange(6.0).reshape(2, 3), torch.ones(2, dtype=torch.bfloat16)
    assert of_tensors(a=a, b=b) == of_tensors(b=b, a=a)
    assert of_tensors(a=a) == of_tensors(a=a.T.contiguous().T)


def test_a_scalar_tensor_has_another_fingerprint_than_a_vector_of_one():
    assert of_tensors(a=torch.tensor(1.0)) != of_tensors(a=torch.tensor(1.0).reshape(1))


@given(st.lists(text, max_size=4), st.lists(text, max_size=4))
def test_different_lists_of_parts_have_different_fingerprints(one, other):
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


def test_the_fingerprint_of_a_config_does_not_depend_on_the_order_of_its_keys():
    assert fingerprint_config({"a": 1, "b": 2}) == fingerprint_config({"b": 2, "a": 1})
    assert fingerprint_config({"a": 1}) != fingerprint_config({"a": 2})
