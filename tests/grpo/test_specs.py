"""The spec of a credit scheme or task: equal settings give equal specs, other settings give other specs."""

from dataclasses import dataclass

import torch

from interp.credit import RewardSubsample
from interp.grpo.specs import spec_of


class Tilted:
    def __init__(self, by: float) -> None:
        self.by, self.weights = by, torch.full((3,), by)


@dataclass(frozen=True)
class WithTable:
    table: torch.Tensor
    name: str = "x"


def scheme_of(by: float):
    return lambda batch: batch * by


def test_the_spec_of_a_dataclass_is_its_class_and_fields():
    assert spec_of(RewardSubsample(lucky_paid=0.5)) == {
        "kind": "RewardSubsample",
        "settings": {"lucky_paid": 0.5, "valid_paid": 1.0},
    }
    assert spec_of(None) is None


def test_objects_with_other_attributes_have_other_specs():
    assert spec_of(Tilted(1.0)) == spec_of(Tilted(1.0)) != spec_of(Tilted(2.0))


def test_functions_with_other_code_or_closure_have_other_specs():
    assert spec_of(lambda batch: batch) != spec_of(lambda batch: batch + 1)
    assert spec_of(scheme_of(1.0)) == spec_of(scheme_of(1.0)) != spec_of(scheme_of(2.0))


def test_the_spec_of_a_tensor_depends_on_its_content():
    assert spec_of(WithTable(torch.zeros(2))) == spec_of(WithTable(torch.zeros(2))) != spec_of(WithTable(torch.ones(2)))
