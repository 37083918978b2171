"""A run goes on only with the very same credit: what a scheme says of itself."""

from dataclasses import dataclass

import torch

from interp.credit import RewardSubsample
from interp.grpo.run import identity_of


class Tilted:
    def __init__(self, by: float) -> None:
        self.by, self.weights = by, torch.full((3,), by)


@dataclass(frozen=True)
class Holds:
    table: torch.Tensor
    name: str = "x"


def scheme_of(by: float):
    return lambda batch: batch * by


def test_a_dataclass_is_its_kind_and_its_fields():
    assert identity_of(RewardSubsample(lucky_paid=0.5)) == {"kind": "Dial", "settings": {"luck": 0.5, "valid": 1.0}}
    assert identity_of(None) is None


def test_an_object_is_told_from_another_by_its_attributes():
    assert identity_of(Tilted(1.0)) == identity_of(Tilted(1.0)) != identity_of(Tilted(2.0))


def test_a_function_is_told_from_another_by_its_code_and_by_what_it_encloses():
    assert identity_of(lambda batch: batch) != identity_of(lambda batch: batch + 1)
    assert identity_of(scheme_of(1.0)) == identity_of(scheme_of(1.0)) != identity_of(scheme_of(2.0))


def test_a_tensor_is_told_by_its_content():
    assert identity_of(Holds(torch.zeros(2))) == identity_of(Holds(torch.zeros(2))) != identity_of(Holds(torch.ones(2)))
