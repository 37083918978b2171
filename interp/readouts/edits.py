"""Labels for free: answers that are known to be valid, and the same answers changed in one place.

A readout that has only ever been shown answers with too little work takes too much work for valid. Edits show both
sides (`interp.tasks.chain.edits`). Only those count that are rewarded all the same: what a readout is asked is which
successes are valid, and a wrong answer would give it away.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from interp.artifacts import BadInput
from interp.policy.policy import Policy
from interp.policy.sample import Samples
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import verify_samples
from interp.tasks.base import Problem, Task


class TextEdit(Protocol):
    """A changed answer."""

    @property
    def kind(self) -> str: ...
    @property
    def completion(self) -> str: ...


@runtime_checkable
class EditableTask(Protocol):
    """A task whose answers can be changed in known ways."""

    def edits(self, problem: Problem) -> Sequence[TextEdit]: ...


def lucky_edits(policy: Policy, task: Task, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The rewarded edits of valid rollouts, verified by the task. The run of each is named after the kind of edit."""
    if not isinstance(task, EditableTask):
        raise BadInput(
            f"expected a task whose answers can be changed in known ways, such as Chain(); {task.name} has no `edits`"
        )
    lucky = []
    for rollout in {row.problem: row for row in rollouts if row.valid}.values():
        problem = Problem(rollout.problem, rollout.prompt, rollout.label, rollout.split, rollout.depth, rollout.level)
        for edit in task.edits(problem):
            row = record_text(policy, task, problem, rollout.question_ids, edit.completion, run=edit.kind)
            if row.reward > 0 and not row.valid:
                lucky.append(row)
    return lucky


def record_text(
    policy: Policy, task: Task, problem: Problem, prompt_ids: Sequence[int], completion: str, *, run: str
) -> Rollout:
    """The record of a text that no policy wrote: its log-probabilities and entropies are zero."""
    ids = [*policy.tokenizer.encode(completion, add_special_tokens=False), *policy.stop_ids[:1]]
    zeros_BL = torch.zeros(1, len(ids))
    samples = Samples(torch.tensor([ids]), zeros_BL, zeros_BL, torch.tensor([len(ids)]), torch.tensor([True]))
    return verify_samples(policy, task, [problem], [prompt_ids], samples, run=run, step=0, progress=False)[0]
