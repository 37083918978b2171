"""Roll a policy out on problems of a task: encode the prompts, sample, verify, and write one record per completion.

`roll_out` gives rollouts with config and fingerprints, `sample_rollouts` the bare rows, `stream_rollouts` rows one by
one, from any position of an endless stream of problems. A completion depends only on (seed, purpose, step, problem,
sample), not on the other problems of the batch.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from interp.artifacts import BadInput, to_json
from interp.policy.config import SampleConfig
from interp.policy.prompts import PLAIN, PromptFormat, same_prompts
from interp.rollouts.problems import ProblemStream
from interp.rollouts.record import Rollout, Rollouts, TokenStep
from interp.tasks.base import Problem, Step, Task, Verdict, hash_of, token_at, token_roles

if TYPE_CHECKING:
    from interp.policy import Policy, Samples

STREAM_PURPOSE = "collect"
FIRST_WAVE = 64
"""Rollouts in the first wave of a stream."""


def roll_out(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem],
    sampling: SampleConfig | None = None,
    *,
    run: str = "base",
    step: int = 0,
    prompt_format: PromptFormat | None = None,
    purpose: str = "roll-out",
    progress: bool = True,
) -> Rollouts:
    """Sample a group of rollouts for each problem, and verify them.

    Another `purpose` gives other draws: problems that were chosen by their rollouts must not be measured on the same
    rollouts. `step` and `run` name the checkpoint in the record. `prompt_format` says how problems are
    put, and where answers end; default: as the run of the policy put them, if it is a checkpoint."""
    sampling = sampling or SampleConfig()
    if prompt_format is None:
        prompt_format = same_prompts(PLAIN, PromptFormat.of_checkpoint(policy.path), of="the run of this policy")
    made_from = {"policy": policy.fingerprint(), "task": task.fingerprint()}
    rows = sample_rollouts(
        policy,
        task,
        problems,
        sampling,
        run=run,
        step=step,
        prompt_format=prompt_format,
        purpose=purpose,
        progress=progress,
    )
    config = {"task": task.name, "sampling": to_json(sampling), "run": run, "step": step, **to_json(prompt_format)}
    return Rollouts(rows, config=config | {"purpose": purpose}, made_from=made_from)


def sample_rollouts(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem],
    sampling: SampleConfig,
    *,
    run: str,
    step: int,
    prompt_format: PromptFormat = PLAIN,
    purpose: str,
    progress: bool = True,
) -> list[Rollout]:
    """The rows of `roll_out`, without fingerprints: a fingerprint takes longer than a few rollouts."""
    prompt_ids = encode_problems(policy, problems, prompt_format)
    keys = [hash_of(purpose, step, problem.id) for problem in problems]
    samples = policy.sample(prompt_ids, sampling, stop=prompt_format.stop, keys=keys, progress=progress)
    return verify_samples(
        policy, task, problems, prompt_ids, samples, prompt_format=prompt_format, run=run, step=step, progress=progress
    )


def stream_rollouts(
    policy: "Policy",
    stream: ProblemStream,
    sampling: SampleConfig,
    *,
    run: str,
    step: int,
    prompt_format: PromptFormat = PLAIN,
    start: int = 0,
) -> Iterator[Rollout]:
    """Rollouts of one problem after another, a group for each, from rollout number `start` on.

    They are sampled in waves, each twice as large as the one before, so that little is wasted if only a few are taken.
    The waves begin at the same problems for every `start`: the rows of a batch affect the last bits of each other's
    logits, and a stream that was stopped must continue with the same rollouts."""
    largest = max(1, sampling.rows // sampling.group)
    first_problem, wave = 0, max(1, min(FIRST_WAVE, sampling.rows) // sampling.group)
    while (first_problem + wave) * sampling.group <= start:
        first_problem, wave = first_problem + wave, min(2 * wave, largest)
    n_skipped = start - first_problem * sampling.group
    while problems := stream.slice(first_problem, wave):
        rollouts = sample_rollouts(
            policy, stream.task, problems, sampling,
            run=run, step=step, prompt_format=prompt_format, purpose=STREAM_PURPOSE, progress=False,
        )  # fmt: skip
        yield from rollouts[n_skipped:]
        first_problem, wave, n_skipped = first_problem + wave, min(2 * wave, largest), 0


def encode_problems(
    policy: "Policy", problems: Sequence[Problem], prompt_format: PromptFormat = PLAIN
) -> list[list[int]]:
    """Token ids of each problem's prompt; an error names the problem."""
    prompt_ids = []
    for problem in problems:
        try:
            prompt_ids += policy.encode([problem.prompt], prompt_format)
        except BadInput as error:
            raise BadInput(f"problem {problem.id}: {error}") from error
    return prompt_ids


def verify_samples(
    policy: "Policy",
    task: Task,
    problems: Sequence[Problem],
    prompt_ids: Sequence[Sequence[int]],
    samples: "Samples",
    *,
    prompt_format: PromptFormat = PLAIN,
    run: str,
    step: int,
    hints: Sequence[Sequence[int]] | None = None,
    progress: bool = True,
) -> list[Rollout]:
    """Verify each completion, and join problem, tokens and verdict into one row each.

    `hints` are tokens that were given as the beginning of each problem's answer, at the end of its `prompt_ids`. The
    whole answer is verified."""
    group = len(samples.lengths_B) // max(len(problems), 1)
    rollouts = []
    indices = range(len(samples.lengths_B))
    for i in tqdm(indices, desc="verifying", unit="rollout", delay=1, leave=False) if progress else indices:
        problem, sample = problems[i // group], samples.row(i)
        hint = tuple(hints[i // group]) if hints else ()
        completion, offsets = prompt_format.answer(*policy.decode((*hint, *sample.tokens)))
        verdict = task.verify(problem, completion)
        rollouts.append(
            Rollout(
                run=run,
                step=step,
                problem=problem.id,
                sample=i % group,
                split=problem.split,
                depth=problem.depth,
                level=problem.level,
                prompt=problem.prompt,
                label=problem.answer,
                completion=completion,
                prompt_ids=tuple(prompt_ids[i // group]),
                tokens=sample.tokens,
                logprobs=sample.logprobs,
                entropies=sample.entropies,
                truncated=not sample.finished,
                **_verdict_in_tokens(verdict, offsets, len(sample.tokens), hint=len(hint)),
            )
        )
    return rollouts


def _verdict_in_tokens(
    verdict: Verdict, offsets: Sequence[tuple[int, int]], length: int, *, hint: int
) -> dict[str, Any]:
    """The fields of a record that come from the verdict, for the `length` tokens after the first `hint`. Tokens beyond
    `offsets` are no part of the answer: they end it. What began in the hint counts from the first token."""
    first_error = token_at(verdict.first_error, offsets)
    steps = [_step_in_tokens(step, offsets, hint) for step in verdict.steps]
    return {
        "roles": (*token_roles(verdict, offsets), *(["end"] * (hint + length - len(offsets))))[hint:],
        "reward": float(verdict.rewarded),
        "correct": verdict.correct,
        "valid": verdict.valid,
        "lucky": verdict.lucky,
        "coherent": verdict.coherent,
        "format": verdict.format,
        "answer": verdict.answer,
        "shortcut": verdict.shortcut,
        "first_error": None if first_error is None else min(max(first_error - hint, 0), length - 1),
        "steps": tuple(step for step in steps if step.end > 0),
        "hint_tokens": hint or None,
        "hint_steps": sum(step.end <= 0 for step in steps) if hint else None,
    }


def _step_in_tokens(step: Step, offsets: Sequence[tuple[int, int]], hint: int) -> TokenStep:
    first, last = token_at(step.start, offsets), token_at(step.end - 1, offsets)
    assert first is not None and last is not None, "a step was read from tokens"
    return TokenStep(max(first - hint, 0), last + 1 - hint, step.holds, step.follows)
