"""Pairs of texts that differ in one thing only: the cue that is shown, or the operand of the step being written."""

from collections.abc import Sequence
from dataclasses import replace

from interp.features.interchange import Pair
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import seeded
from interp.tasks.chain.program import Program, apply, parse_prompt

DIRECT = "direct"


def cue_pairs(policy: Policy, rows: Sequence[Rollout], modulus: int) -> list[Pair]:
    """Answers given at once, up to the answer: the cue shown, and another in its place."""
    found = []
    for row in rows:
        program = parse_prompt(row.prompt, modulus)
        if row.format == DIRECT and program.cue is not None and "answer" in row.roles:
            rng = seeded("another cue", row.problem, row.sample)
            another = rng.choice([n for n in range(modulus) if n != program.cue])
            written = row.tokens[: row.roles.index("answer")]
            other = replace(program, cue=another)
            found.append(_pair(policy, row, written, other, written, (program.cue, another)))
    return found


def operand_pairs(policy: Policy, rows: Sequence[Rollout], modulus: int) -> list[Pair]:
    """Right steps of right beginnings, up to their result: the operand given, and another, in question and step."""
    found = []
    for row in rows:
        program = parse_prompt(row.prompt, modulus)
        right = [bool(step.holds and step.follows) for step in row.steps]
        whole = right.index(False) if False in right else len(right)
        if whole:
            found.append(_with_operand(policy, row, program, whole))
    return [pair for pair in found if pair is not None]


def _with_operand(policy: Policy, row: Rollout, program: Program, whole: int) -> Pair | None:
    """Of one of the first `whole` steps; None where no other operand leads elsewhere, or the step names none."""
    rng = seeded("another operand", row.problem, row.sample)
    at = rng.randrange(whole)
    values, step = [program.first, *program.values()], row.steps[at]
    roles = row.roles[step.start : step.end]
    op, operand = program.rest[at]
    due = apply(op, values[at], operand, program.modulus)
    results = {n: apply(op, values[at], n, program.modulus) for n in range(program.modulus)}
    others = [n for n, result in results.items() if result != due]
    if not others or "operand" not in roles:
        return None
    other = rng.choice(others)
    written = row.tokens[: step.start + roles.index("result")]
    changed = list(written)
    changed[step.start + roles.index("operand")] = token_of(policy, other)
    return _pair(policy, row, written, program.with_number(at + 1, other), changed, (due, results[other]))


def _pair(
    policy: Policy, row: Rollout, written: Sequence[int], other: Program, changed: Sequence[int], nexts: Sequence[int]
) -> Pair:
    (asked,) = policy.encode([other.prompt()])
    text, another = (*row.prompt_ids, *written), (*asked, *changed)
    return Pair(text, another, *(token_of(policy, value) for value in nexts))


def token_of(policy: Policy, value: int) -> int:
    return int(policy.tokenizer.convert_tokens_to_ids(str(value)))  # pyright: ignore[reportArgumentType]
