"""Every public name of the rooms that compute exists: the rooms import it lazily, at its first use."""

import importlib

import pytest

ROOMS = ("stats", "tsae", "tsae.metrics", "features", "tracking", "credit", "monitors", "grpo")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_exists_and_others_are_refused(room):
    package = importlib.import_module(f"interp.{room}")
    for name in package.__all__:
        assert type(getattr(package, name)).__name__ != "module", name
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = package.nonsense
