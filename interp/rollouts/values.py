"""Values of prefixes: how often a completion that begins like this ends well, measured on many continuations of it.

    V(k)    = mean reward of n completions that begin with the first k tokens of a rollout      V(0): of its prompt
    V(T)    = reward of the rollout itself, which has ended
    delta V = V(end of a segment) - V(start of it)           what a segment did for the outcome: its true credit

A segment lies between two positions. By default it is a written step, with what separates it from the one before; the
last one is what follows the last step. The deltas of a rollout sum to its reward less V(0). Validity is measured on the
same continuations.

A prefix that several rollouts of a problem begin with is continued once. Its draws depend on (seed, purpose, step,
problem, tokens of the prefix), not on the other prefixes.

A rollout whose hint counts as written may be longer than `max_new_tokens`; its continuations may then be as long.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from interp.artifacts import BadInput, fingerprint, to_json
from interp.policy.config import SampleConfig
from interp.policy.prompts import PLAIN, PromptFormat, same_prompts
from interp.rollouts.prefix_values import Outcome, PrefixValue, PrefixValues, RolloutValues
from interp.rollouts.record import Rollout, Rollouts
from interp.tasks.base import Problem, Task, hash_of

if TYPE_CHECKING:
    from interp.policy import Policy

CONTINUATIONS = 64
Positions = Callable[[Rollout], Sequence[int]]
"""Where the values of a rollout are measured, in tokens of its completion. 0 and the end are always added."""


# --- positions -----------------------------------------------------------------------------------------------------


def step_positions(rollout: Rollout) -> Sequence[int]:
    """The ends of the written steps."""
    return [step.end for step in rollout.steps]


def token_positions(rollout: Rollout) -> Sequence[int]:
    """The end of every token."""
    return range(1, len(rollout.tokens) + 1)


# --- measuring -----------------------------------------------------------------------------------------------------


class Prefix(NamedTuple):
    """The beginning of a completion of a problem, at one step of training."""

    problem: Problem
    step: int
    prompt_ids: tuple[int, ...]
    tokens: tuple[int, ...]
    max_tokens: int
    """Tokens that a completion of it may have, these included."""
    hint_ids: tuple[int, ...] = ()
    """The end of the prompt, where it is the beginning of the answer."""

    def order(self) -> tuple[Any, ...]:
        """Prefixes of similar length together, in an order that does not depend on that of the rollouts."""
        length = len(self.prompt_ids) + len(self.tokens)
        return length, self.problem.id, self.step, self.tokens, self.prompt_ids, self.max_tokens


def measure_values(
    policy: "Policy",
    task: Task,
    rollouts: Sequence[Rollout],
    sampling: SampleConfig | None = None,
    *,
    positions: Positions = step_positions,
    prompt_format: PromptFormat | None = None,
    purpose: str = "values",
    progress: bool = True,
) -> PrefixValues:
    """The values of the prefixes of rollouts, under `policy`.

    `sampling.group` is the number of continuations of each prefix (default: 64); length and temperature should be those
    of the rollouts. `positions` says where values are measured. `prompt_format` says where answers end; default: as the
    rollouts were sampled, if they state it, or as the run of the policy put its problems."""
    config = rollouts.config if isinstance(rollouts, Rollouts) else {}
    sampling = sampling or SampleConfig(group=CONTINUATIONS)
    sampling.warn_if_other(config.get("sampling"), of="the rollouts")
    if prompt_format is None:
        of_rollouts = PromptFormat.stated_in(config)
        prompt_format = of_rollouts or same_prompts(
            PLAIN, PromptFormat.of_checkpoint(policy.path), of="the run of this policy"
        )
    content = fingerprint(*(str((_key(rollout), rollout.tokens)) for rollout in rollouts))
    made_from = {"policy": policy.fingerprint(), "task": task.fingerprint(), "rollouts": content}
    rows = sample_values(
        policy, task, rollouts, sampling,
        positions=positions, prompt_format=prompt_format, purpose=purpose, progress=progress,
    )  # fmt: skip
    config = {"task": task.name, "sampling": to_json(sampling), "purpose": purpose, **to_json(prompt_format)}
    return PrefixValues(rows, config=config, made_from=made_from)


def sample_values(
    policy: "Policy",
    task: Task,
    rollouts: Sequence[Rollout],
    sampling: SampleConfig,
    *,
    positions: Positions = step_positions,
    prompt_format: PromptFormat = PLAIN,
    purpose: str,
    progress: bool = True,
) -> list[RolloutValues]:
    """The rows of `measure_values`, without fingerprints: a fingerprint takes longer than a few continuations."""
    _expect_room(policy, rollouts, sampling)
    positions_of = [_all_positions(rollout, positions(rollout)) for rollout in rollouts]
    inner = [[_prefix(rollout, position, sampling) for position in own[:-1]]
             for rollout, own in zip(rollouts, positions_of, strict=True)]  # fmt: skip
    distinct = sorted({prefix for own in inner for prefix in own}, key=Prefix.order)
    size = max(1, sampling.rows // sampling.group)
    waves = [distinct[start : start + size] for start in range(0, len(distinct), size)]
    values: dict[Prefix, PrefixValue] = {}
    for wave in tqdm(waves, desc="continuing", unit="wave", delay=1, leave=False) if progress else waves:
        outcomes = continue_prefixes(policy, task, wave, sampling, prompt_format=prompt_format, purpose=purpose)
        values |= {prefix: PrefixValue.from_outcomes(own) for prefix, own in zip(wave, outcomes, strict=True)}
    return [
        RolloutValues(*_key(rollout), own, (*(values[prefix] for prefix in prefixes), PrefixValue.of_whole(rollout)))
        for rollout, own, prefixes in zip(rollouts, positions_of, inner, strict=True)
    ]


def continue_prefixes(
    policy: "Policy",
    task: Task,
    prefixes: Sequence[Prefix],
    sampling: SampleConfig,
    *,
    prompt_format: PromptFormat = PLAIN,
    purpose: str,
) -> list[list[Outcome]]:
    """Sample `sampling.group` continuations of each prefix, and verify the completions that they end."""
    left = max(prefix.max_tokens - len(prefix.tokens) for prefix in prefixes)
    samples = policy.sample(
        [[*prefix.prompt_ids, *prefix.tokens] for prefix in prefixes],
        replace(sampling, max_new_tokens=left),
        stop=prompt_format.stop,
        keys=[hash_of(purpose, prefix.step, prefix.problem.id, *prefix.tokens) for prefix in prefixes],
        progress=False,
    )
    rows = zip(samples.tokens_BL.tolist(), samples.lengths_B.tolist(), strict=True)
    outcomes: dict[tuple[Problem, tuple[int, ...]], Outcome] = {}  # equal completions are verified once

    def outcome(prefix: Prefix, continuation: Sequence[int]) -> Outcome:
        tokens = (*prefix.tokens, *continuation)[: prefix.max_tokens]
        whole = (*prefix.hint_ids, *tokens)
        if (key := (prefix.problem, whole)) not in outcomes:
            completion, _ = prompt_format.answer(*policy.decode(whole))
            verdict = task.verify(prefix.problem, completion)
            outcomes[key] = Outcome(float(verdict.rewarded), verdict.valid)
        return outcomes[key]

    return [
        [outcome(prefix, tokens[:length]) for tokens, length in (next(rows) for _ in range(sampling.group))]
        for prefix in prefixes
    ]


def _expect_room(policy: "Policy", rollouts: Sequence[Rollout], sampling: SampleConfig) -> None:
    """Refuse rollouts that are longer than a completion may be, or were cut off sooner, before anything is sampled."""
    for rollout in rollouts:
        prompt, length = len(rollout.prompt_ids), len(rollout.tokens)
        if not 0 < prompt <= policy.context - length:
            raise BadInput(
                f"expected a prompt of at least one token, and with its completion up to {policy.context} tokens; "
                f"sample {rollout.sample} of {rollout.problem} has {prompt} + {length}: leave it out"
            )
        longest = _max_tokens(rollout, sampling)
        was_cut_sooner = rollout.truncated and length < min(longest, policy.context - prompt)
        if length > longest or was_cut_sooner:
            raise BadInput(
                f"expected completions of up to max_new_tokens={sampling.max_new_tokens} tokens, as their continuations"
                f" may have; sample {rollout.sample} of {rollout.problem} "
                f"{'was cut off at' if was_cut_sooner else 'has'} {length}: use the length that they were sampled with"
            )


def _all_positions(rollout: Rollout, positions: Sequence[int]) -> tuple[int, ...]:
    length = len(rollout.tokens)
    if outside := [position for position in positions if not 0 <= position <= length]:
        raise BadInput(
            f"expected positions from 0 to {length}, the tokens of sample {rollout.sample} of {rollout.problem}; got "
            f"{outside[0]}"
        )
    return tuple(sorted({0, *positions, length}))


def _max_tokens(rollout: Rollout, sampling: SampleConfig) -> int:
    """Tokens that a rollout could have had. One that begins with a hint which counts as written had the hint and as
    many tokens as are sampled; how long the hint was is not recorded, so it could have been as long as it is."""
    begins_with_hint = rollout.hint_tokens == 0
    return max(sampling.max_new_tokens, len(rollout.tokens)) if begins_with_hint else sampling.max_new_tokens


def _prefix(rollout: Rollout, position: int, sampling: SampleConfig) -> Prefix:
    problem = Problem(rollout.problem, rollout.prompt, rollout.label, rollout.split, rollout.depth, rollout.level)
    tokens, longest = rollout.tokens[:position], _max_tokens(rollout, sampling)
    return Prefix(problem, rollout.step, rollout.prompt_ids, tokens, longest, rollout.hint_ids)


def _key(rollout: Rollout) -> tuple[str, int, str, int]:
    return rollout.run, rollout.step, rollout.problem, rollout.sample
