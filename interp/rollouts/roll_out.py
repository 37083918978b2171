"""Roll a policy out on problems of a task: sample, judge, join."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from interp.artifacts import BadInput, to_json
from interp.policy.config import SampleConfig
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.tasks.base import Problem, Step, Task, Verdict, hash_of, token_at, token_roles

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
    purpose: str = "roll-out",
    bar: bool = True,
) -> Rollouts:
    """A group of rollouts for each problem. What a problem is answered hangs on (seed, purpose, step, problem, sample)
    and on nothing else that is asked with it. Draws of another purpose are fresh: what was chosen by its luck in one
    must not be measured by the same luck again. `bar` shows one for whatever takes longer than a second."""
    sampling = sampling or SampleConfig()
    made_from = {"policy": policy.fingerprint(), "task": task.fingerprint()}
    rows = answered(policy, task, problems, sampling, run=run, step=step, chat=chat, purpose=purpose, bar=bar)
    config = {"task": task.name, "sampling": to_json(sampling), "run": run, "step": step, "chat": chat}
    return Rollouts(rows, config=config | {"purpose": purpose}, made_from=made_from)


def answered(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem],
    sampling: SampleConfig,
    *,
    run: str,
    step: int,
    chat: bool = False,
    purpose: str,
    bar: bool = True,
) -> list[Rollout]:
    """The rows alone, without a look at what made them."""
    prompts = encode(policy, problems, chat=chat)
    keys = [hash_of(purpose, step, problem.id) for problem in problems]
    samples = policy.sample(prompts, sampling, keys=keys, bar=bar)
    return judge(policy, task, problems, prompts, samples, run=run, step=step, bar=bar)


def encode(policy: "Policy", problems: Sequence[Problem], *, chat: bool = False) -> list[list[int]]:
    prompts = []
    for problem in problems:
        try:
            prompts += policy.encode([problem.prompt], chat=chat)
        except BadInput as error:
            raise BadInput(f"problem {problem.id}: {error}") from error
    return prompts


def judge(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem],
    prompts: Sequence[Sequence[int]],
    samples: "Samples",
    *,
    run: str,
    step: int,
    bar: bool = True,
) -> list[Rollout]:
    """Verify what was sampled and join it all, row by row. `bar` shows one if it takes longer than a second."""
    group = len(samples.lengths_B) // max(len(problems), 1)
    rollouts = []
    places = range(len(samples.lengths_B))
    for at in tqdm(places, desc="judging", unit="row", delay=1, leave=False) if bar else places:
        problem, drawn = problems[at // group], samples.row(at)
        completion, offsets = policy.decode(drawn.tokens)
        verdict = task.verify(problem, completion)
        rollouts.append(
            Rollout(
                run=run,
                step=step,
                problem=problem.id,
                sample=at % group,
                split=problem.split,
                depth=problem.depth,
                bucket=problem.bucket,
                prompt=problem.prompt,
                label=problem.answer,
                completion=completion,
                prompt_ids=tuple(prompts[at // group]),
                tokens=drawn.tokens,
                logprobs=drawn.logprobs,
                entropies=drawn.entropies,
                truncated=not drawn.finished,
                **_judged(verdict, offsets, len(drawn.tokens)),
            )
        )
    return rollouts


def _judged(verdict: Verdict, offsets: Sequence[tuple[int, int]], length: int) -> dict[str, Any]:
    """A verdict in tokens: those with `offsets`, and the end token after them if `length` has room for it."""
    first_error = token_at(verdict.first_error, offsets)
    return {
        "roles": (*token_roles(verdict, offsets), *(["end"] * (length - len(offsets)))),
        "reward": float(verdict.rewarded),
        "correct": verdict.correct,
        "valid": verdict.valid,
        "lucky": verdict.lucky,
        "coherent": verdict.coherent,
        "format": verdict.format,
        "answer": verdict.answer,
        "shortcut": verdict.shortcut,
        "first_error": None if first_error is None else min(first_error, length - 1),
        "steps": tuple(_in_tokens(step, offsets) for step in verdict.steps),
    }


def _in_tokens(step: Step, offsets: Sequence[tuple[int, int]]) -> TokenStep:
    first, last = token_at(step.start, offsets), token_at(step.end - 1, offsets)
    assert first is not None and last is not None, "a step was read from tokens"
    return TokenStep(first, last + 1, step.holds, step.follows)
