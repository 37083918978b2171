"""A run's manifest gives its task back, where the task can be made from it."""

from interp.artifacts import to_json
from interp.tasks import Chain
from interp.tasks.chain.task import task_from_manifest


def test_a_chain_task_is_made_again_and_every_other_is_none():
    world = {"kind": "Chain", "settings": to_json(Chain(modulus=7))}
    assert task_from_manifest(world) == Chain(modulus=7)
    assert task_from_manifest({"kind": "GymTask", "settings": {}}) is None and task_from_manifest(None) is None
