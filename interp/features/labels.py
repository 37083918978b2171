"""Labeled tokens: the active latents at every token of some rollouts, and facts about the token.

Facts, one number or string for each token, in the order of the rollouts:

rollout, problem       index of its rollout, and of its problem
position, token, role  its place in the completion, its id, what it does (`interp.tasks.base.TOKEN_ROLES`)
next_token, next_role  of the token after it, which the policy predicts here (-1 and `AFTER_END` at the end)
next_right             1 or 0: the step that the next token belongs to is right or wrong; -1: it belongs to none
operands               a hash of the last four tokens: `3 + 4 =` and `4 + 3 =` differ
format, answer, depth  of its rollout (depth -1: unknown)
valid, correct         of its rollout: 1, 0, or -1 where validity was not judged
copy, cue              1 or 0: the answer is the one that this planted shortcut gives; -1: there is none to compare
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from interp.encoding.encode import MICRO_TOKENS, encode_rollouts
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tsae import TSAE
from interp.tsae.codes import Codes

PLANTED_SHORTCUTS = ("copy", "cue")
Decoys = Callable[[str], Mapping[str, str]]
"""The answer that each planted shortcut gives to a prompt (`Task.decoys`)."""
AFTER_END = "nothing"
"""`next_role` of a rollout's last token."""
CONTEXT = 4
"""Tokens that `operands` is a hash of."""


@dataclass(frozen=True)
class LabeledTokens:
    """All tokens of some rollouts: active latents in `codes`, facts by name (`labeled["role"]`)."""

    rollouts: list[Rollout]
    codes: Codes
    facts: dict[str, ndarray]

    def __len__(self) -> int:
        return self.codes.tokens

    def __getitem__(self, fact: str) -> ndarray:
        return self.facts[fact]


def label_tokens(
    tsae: TSAE,
    policy: Policy,
    layer: int,
    rollouts: Sequence[Rollout],
    *,
    decoys: Decoys | None = None,
    micro_tokens: int = MICRO_TOKENS,
) -> LabeledTokens:
    """Encode rollouts, the policy's own or another's, and label their tokens. Empty rollouts are left out."""
    rows = [row for row in rollouts if row.tokens]
    chunks = list(encode_rollouts(tsae, policy, layer, rows, micro_tokens=micro_tokens))
    return LabeledTokens(rows, Codes.concat([chunk.codes for chunk in chunks]), token_facts(rows, decoys))


def token_facts(rollouts: Sequence[Rollout], decoys: Decoys | None = None) -> dict[str, ndarray]:
    """The facts of every token, by name."""
    problem_index = {problem: i for i, problem in enumerate(dict.fromkeys(row.problem for row in rollouts))}
    names = ("rollout", "position", "token", "role", "next_token", "next_role", "next_right")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for i, row in enumerate(rollouts):
        n = len(row.tokens)
        columns["rollout"] += [i] * n
        columns["position"] += range(n)
        columns["token"] += row.tokens
        columns["role"] += row.roles
        columns["next_token"] += [*row.tokens[1:], -1]
        columns["next_role"] += [*row.roles[1:], AFTER_END]
        columns["next_right"] += _next_right(row)
    facts = {name: np.array(column) for name, column in columns.items()}
    facts["operands"] = _context_hash(facts)
    rollout_facts: dict[str, list[Any]] = {
        "problem": [problem_index[row.problem] for row in rollouts],
        "format": [row.format for row in rollouts],
        "answer": [row.answer or "" for row in rollouts],
        "depth": [-1 if row.depth is None else row.depth for row in rollouts],
        "valid": [-1 if row.valid is None else int(row.valid) for row in rollouts],
        "correct": [int(row.correct) for row in rollouts],
    }
    rollout_facts |= {name: [_agrees(row, name, decoys) for row in rollouts] for name in PLANTED_SHORTCUTS}
    return facts | {name: np.array(column)[facts["rollout"]] for name, column in rollout_facts.items()}


def _agrees(row: Rollout, shortcut: str, decoys: Decoys | None) -> int:
    decoy = None if decoys is None else decoys(row.prompt).get(shortcut)
    return -1 if decoy is None or row.answer is None else int(row.answer == decoy)


def _context_hash(facts: dict[str, ndarray]) -> ndarray:
    token, position = facts["token"].astype(np.int64), facts["position"]
    code = np.zeros(len(token), np.int64)
    for back in range(CONTEXT):
        code = code * 31 + np.where(position >= back, np.roll(token, back) + 1, 0)
    return code * 2654435761 % 2**32 >> 7


def _next_right(row: Rollout) -> list[int]:
    right = [-1] * (len(row.tokens) + 1)
    for step in row.steps:
        judged = step.holds is not None and step.follows is not None
        for i in range(step.start, min(step.end, len(row.tokens))):
            right[i] = int(bool(step.holds and step.follows)) if judged else -1
    return right[1:]
