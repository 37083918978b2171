"""Tokens with all that is known of each: what is on there, what the token does, how its rollout ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from interp.encoding.encoder import look
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tsae import TSAE
from interp.tsae.codes import Codes

SHORTCUTS = ("copy", "cue")
Decoys = Callable[[str], Mapping[str, str]]
"""Of a prompt, what each planted shortcut would answer (`Chain.decoys`)."""
END = "nothing"
"""The role of what comes after the last token."""


@dataclass(frozen=True)
class Scene:
    rollouts: list[Rollout]
    codes: Codes
    facts: dict[str, ndarray]
    """By name, one for each token: see `facts_of`."""

    def __len__(self) -> int:
        return self.codes.tokens

    def __getitem__(self, name: str) -> ndarray:
        return self.facts[name]


def scene(
    policy: Policy, tsae: TSAE, layer: int, rollouts: Sequence[Rollout], *, decoys: Decoys | None = None
) -> Scene:
    """What a policy makes of rollouts, its own or another's, as a dictionary sees it."""
    rows = [row for row in rollouts if row.tokens]
    parts = list(look(policy, tsae, layer, rows))
    return Scene(rows, Codes.together([part.codes for part in parts]), facts_of(rows, decoys))


def facts_of(rollouts: Sequence[Rollout], decoys: Decoys | None = None) -> dict[str, ndarray]:
    """Of every token of every rollout, in order. `next_...` is of the token after it, which it foretells; `right` is
    whether the step that token is part of is right, 1 or 0, and -1 where it is part of none; `operands`, a number for
    what stands before it in its step; `copy` and `cue`, whether the answer is that of the planted shortcut, 1 or 0,
    and -1 where there is none to agree with."""
    problems = {problem: at for at, problem in enumerate(dict.fromkeys(row.problem for row in rollouts))}
    columns: dict[str, list[Any]] = {
        name: [] for name in ("document", "place", "token", "role", "next_token", "next_role", "right")
    }
    for at, row in enumerate(rollouts):
        n = len(row.tokens)
        columns["document"] += [at] * n
        columns["place"] += range(n)
        columns["token"] += row.tokens
        columns["role"] += row.roles
        columns["next_token"] += [*row.tokens[1:], -1]
        columns["next_role"] += [*row.roles[1:], END]
        columns["right"] += _right(row)
    found = {name: np.array(held) for name, held in columns.items()}
    of_rollout: dict[str, list[Any]] = {
        "problem": [problems[row.problem] for row in rollouts],
        "format": [row.format for row in rollouts],
        "answer": [row.answer or "" for row in rollouts],
        "depth": [-1 if row.depth is None else row.depth for row in rollouts],
        "valid": [-1 if row.valid is None else int(row.valid) for row in rollouts],
        "correct": [int(row.correct) for row in rollouts],
    }
    of_rollout |= {name: [_agrees(row, name, decoys) for row in rollouts] for name in SHORTCUTS}
    found["operands"] = _operands(found)
    return found | {name: np.array(held)[found["document"]] for name, held in of_rollout.items()}


def _agrees(row: Rollout, name: str, decoys: Decoys | None) -> int:
    decoy = None if decoys is None else decoys(row.prompt).get(name)
    return -1 if decoy is None or row.answer is None else int(row.answer == decoy)


def _operands(found: dict[str, ndarray]) -> ndarray:
    """Of the four tokens up to and with each: `3 + 4 =` and `4 + 3 =` are unlike."""
    token, place = found["token"].astype(np.int64), found["place"]
    code = np.zeros(len(token), np.int64)
    for back in range(4):
        code = code * 31 + np.where(place >= back, np.roll(token, back) + 1, 0)
    return code * 2654435761 % 2**32 >> 7


def _right(row: Rollout) -> list[int]:
    """Of the token after each."""
    of_token = [-1] * (len(row.tokens) + 1)
    for step in row.steps:
        judged = None if step.holds is None or step.follows is None else int(step.holds and step.follows)
        for at in range(step.start, min(step.end, len(row.tokens))):
            of_token[at] = -1 if judged is None else judged
    return of_token[1:]
