"""Labels for free: answers that are known to be valid, and the same answers changed in one place.

A readout that has only ever been shown answers with too little work takes too much work for valid. Edits show both
sides (`interp.tasks.chain.edits`). Only those count that are rewarded all the same: what a readout is asked is which
successes are valid, and a wrong answer would give it away.

An edit is asked as its rollout was asked, written as its rollout was written, and ends as it ended. Only its tokens may
differ: they are those that the tokenizer makes of the text.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from interp.artifacts import BadInput
from interp.policy.policy import Policy
from interp.policy.prompts import PLAIN, PromptFormat
from interp.policy.sample import Samples
from interp.rollouts.record import Rollout, Rollouts
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

    def edits(self, problem: Problem, completion: str | None = None) -> Sequence[TextEdit]:
        """The changed answers to a problem, written as `completion` is."""
        ...


def lucky_edits(
    policy: Policy, task: Task, rollouts: Sequence[Rollout], *, prompt_format: PromptFormat | None = None
) -> list[Rollout]:
    """The rewarded edits of valid rollouts, verified by the task. The run of each is named after the kind of edit.

    `prompt_format` says where answers end; default: as the rollouts were sampled, if they state it."""
    if not isinstance(task, EditableTask):
        raise BadInput(
            f"expected a task whose answers can be changed in known ways, such as Chain(); {task.name} has no `edits`"
        )
    if prompt_format is None:
        stated = PromptFormat.stated_in(rollouts.config) if isinstance(rollouts, Rollouts) else None
        prompt_format = stated or PLAIN
    lucky = []
    for rollout in {row.problem: row for row in rollouts if row.valid}.values():
        problem = Problem(rollout.problem, rollout.prompt, rollout.label, rollout.split, rollout.depth, rollout.level)
        ending = _ending(policy, rollout, prompt_format)
        for edit in task.edits(problem, rollout.completion):
            row = record_text(
                policy, task, problem, rollout.question_ids, edit.completion,
                run=edit.kind, ending=ending, prompt_format=prompt_format,
            )  # fmt: skip
            if row.reward > 0 and not row.valid:
                lucky.append(row)
    return lucky


def _ending(policy: Policy, rollout: Rollout, prompt_format: PromptFormat) -> str:
    """What a rollout wrote behind its answer: the stop text, and what its last token had beside it."""
    written, _ = policy.decode((*rollout.hint_ids, *rollout.tokens))
    ending = written[len(rollout.completion) :] if written.startswith(rollout.completion) else ""
    if ending and not prompt_format.stop:
        raise BadInput(
            f"expected the texts that end an answer, since {ending!r} stands behind that of sample {rollout.sample} of "
            f"{rollout.problem}; got none: lucky_edits(..., prompt_format=)"
        )
    return ending


def record_text(
    policy: Policy,
    task: Task,
    problem: Problem,
    prompt_ids: Sequence[int],
    completion: str,
    *,
    run: str,
    ending: str = "",
    prompt_format: PromptFormat = PLAIN,
) -> Rollout:
    """The record of a text that no policy wrote: its log-probabilities and entropies are zero.

    It ends with the text `ending`, or else with an end token."""
    ids = policy.tokenizer.encode(completion + ending, add_special_tokens=False)
    ids = ids if ending else [*ids, *policy.stop_ids[:1]]
    zeros_BL = torch.zeros(1, len(ids))
    samples = Samples(torch.tensor([ids]), zeros_BL, zeros_BL, torch.tensor([len(ids)]), torch.tensor([True]))
    return verify_samples(
        policy, task, [problem], [prompt_ids], samples, prompt_format=prompt_format, run=run, step=0, progress=False
    )[0]
