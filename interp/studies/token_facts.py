"""Slow and fast facts about each token of the organism's answers, for probes of a dictionary's blocks.

Slow facts hold for a whole answer, or for a step of it; fast facts for one token. "valid", "steps left" and "running
value" apply only where steps are written: in a direct answer they would repeat that it is direct. The running value
does not apply at tokens that are that value, where it would repeat the digit. All facts come from the store: the roles
of tokens, the tokens themselves, and the table of documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Store
from interp.studies.dictionary_config import FAST, SLOW
from interp.tasks.base import TOKEN_ROLES
from interp.tasks.chain.program import OPERATORS

NONE = -1
"""Label of a token that a fact does not apply to."""
NUMBERS = ("carry", "operand", "result", "answer")
RUNNING_VALUES = ("carry", "result", "answer")
"""Tokens that are, or should be, the running value itself."""


@dataclass(frozen=True)
class FactSample:
    """Tokens of answers, with their activations and facts."""

    x_ND: Float[Tensor, "N D"]
    document_N: Int[Tensor, " N"]
    problem_N: Int[Tensor, " N"]
    """Probes are tested on other problems, since documents of one problem are alike."""
    labels: dict[str, Int[Tensor, " N"]]
    """Label of each token, by fact; -1 where the fact does not apply."""


def sample_facts(store: Store, layer: int, vocabulary: Sequence[str], documents: int) -> FactSample:
    """Completions of about `documents` documents, evenly spread over the store, with their facts. `vocabulary` gives
    the word of each token id."""
    step = max(1, store.documents.height // documents)
    sampled = store.documents.with_row_index("document").gather_every(step)
    problems = {problem: index for index, problem in enumerate(sampled["problem"].unique(maintain_order=True))}
    activations, document_ids, problem_ids, labels = [], [], [], []
    for (shard,), part in sampled.sort("document").group_by("shard", maintain_order=True):
        shard = int(shard)  # pyright: ignore[reportArgumentType]
        x_nD, tokens = store.read(shard, layer), store.tokens(shard)
        for row in part.iter_rows(named=True):
            rows = slice(row["first"] + row["prompt"], row["first"] + row["length"])
            activations.append(x_nD[rows])
            document_ids.append(np.full(row["length"] - row["prompt"], row["document"]))
            problem_ids.append(np.full(row["length"] - row["prompt"], problems[row["problem"]]))
            roles = [store.roles[role] for role in tokens.role[rows].tolist()]
            words = [str(vocabulary[token]) for token in tokens.ids[rows].tolist()]
            labels.append(_facts(row, roles, words))
    by_fact = {name: torch.from_numpy(np.concatenate([one[name] for one in labels])) for name in (*SLOW, *FAST)}
    document_N, problem_N = (
        torch.from_numpy(np.concatenate(ids).astype(np.int64)) for ids in (document_ids, problem_ids)
    )
    return FactSample(torch.cat(activations), document_N, problem_N, by_fact)


def _facts(row: dict[str, object], roles: list[str], words: Sequence[str]) -> dict[str, np.ndarray]:
    n = len(roles)
    results = np.array([role == "result" for role in roles])
    digit = np.array([_digit(word) if role in NUMBERS else NONE for role, word in zip(roles, words, strict=True)])
    has_steps = np.full(n, str(row["format"]) == "steps")
    return {
        "format": np.full(n, {"direct": 0, "steps": 1}.get(str(row["format"]), NONE)),
        "valid": np.where(has_steps, NONE if row["valid"] is None else int(bool(row["valid"])), NONE),
        "depth": np.full(n, int(str(row["depth"]))),
        "steps left": np.where(has_steps, results.sum() - results.cumsum(), NONE),
        "running value": np.where(np.isin(roles, RUNNING_VALUES), NONE, _last_result(digit, results)),
        "role": np.array([TOKEN_ROLES.index(role) for role in roles]),
        "operator": np.array([OPERATORS.index(word) if word in OPERATORS else NONE for word in words]),
        "digit": digit,
        "result": np.where(results, digit, NONE),
    }


def _digit(word: str) -> int:
    return int(word) if word.isdigit() else NONE


def _last_result(digit: np.ndarray, results: np.ndarray) -> np.ndarray:
    """The last result written so far, at every token after it."""
    last = np.where(results, np.arange(len(results)), NONE)
    place = np.maximum.accumulate(last) if len(last) else last
    return np.where(place == NONE, NONE, digit[place])
