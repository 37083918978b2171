"""Roll a policy out on problems of a task: sample, verify, join."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from interp.artifacts import BadInput, to_json
from interp.policy.config import SampleConfig
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.tasks.base import Problem, Step, Task, hash_of, token_at, token_roles

if TYPE_CHECKING:
    from interp.policy import Policy, Samples


def roll_out(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem],
    sampling: SampleConfig | None = None,
    *,
    run: str = "base",
    step: int = 0,
    chat: bool = False,
) -> Rollouts:
    """A group of rollouts for each problem. The random stream of a row hangs on (seed, run step, problem, sample), so
    that the same problem is answered alike whatever else is asked with it."""
    sampling = sampling or SampleConfig()
    prompts = encode(policy, problems, chat=chat)
    samples = policy.sample(prompts, sampling, keys=[hash_of(step, problem.id) for problem in problems])
    rows = [
        record(policy, task, problem, prompts[at], samples, at * sampling.group + member, member, run, step)
        for at, problem in enumerate(problems)
        for member in range(sampling.group)
    ]
    config = {"task": task.name, "sampling": to_json(sampling), "run": run, "step": step, "chat": chat}
    return Rollouts(rows, config=config, made_from={"policy": policy.fingerprint(), "task": task.fingerprint()})


def encode(policy: "Policy", problems: Sequence[Problem], *, chat: bool = False) -> list[list[int]]:
    prompts = []
    for problem in problems:
        try:
            prompts += policy.encode([problem.prompt], chat=chat)
        except BadInput as error:
            raise BadInput(f"problem {problem.id}: {error}") from error
    return prompts


def record(
    policy: "Policy",
    task: Task,
    problem: Problem,
    prompt: Sequence[int],
    samples: "Samples",
    row: int,
    member: int,
    run: str,
    step: int,
) -> Rollout:
    length = int(samples.lengths_B[row])
    tokens = samples.tokens_BL[row, :length].tolist()
    finished = bool(samples.finished_B[row])
    completion, offsets = policy.decode(tokens)
    verdict = task.verify(problem, completion)
    return Rollout(
        run=run,
        step=step,
        problem=problem.id,
        sample=member,
        split=problem.split,
        depth=problem.depth,
        bucket=problem.bucket,
        prompt=problem.prompt,
        label=problem.answer,
        completion=completion,
        prompt_ids=tuple(prompt),
        tokens=tuple(tokens),
        logprobs=tuple(samples.logprobs_BL[row, :length].tolist()),
        entropies=tuple(samples.entropies_BL[row, :length].tolist()),
        roles=(*token_roles(verdict, offsets), *(["end"] if finished else [])),
        truncated=not finished,
        reward=float(verdict.rewarded),
        correct=verdict.correct,
        valid=verdict.valid,
        lucky=verdict.lucky,
        coherent=verdict.coherent,
        format=verdict.format,
        answer=verdict.answer,
        shortcut=verdict.shortcut,
        first_error=token_at(verdict.first_error, offsets),
        steps=tuple(_in_tokens(step, offsets) for step in verdict.steps),
    )


def _in_tokens(step: Step, offsets: Sequence[tuple[int, int]]) -> TokenStep:
    first, last = token_at(step.start, offsets), token_at(step.end - 1, offsets)
    assert first is not None and last is not None, "a step was read from tokens"
    return TokenStep(first, last + 1, step.holds, step.follows)
