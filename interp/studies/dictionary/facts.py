"""What is true of each token of the organism's answers, slow facts and fast ones: what a block may or may not say.

Slow facts hold for a whole answer, or for a step of it; fast ones for one token. Whether an answer is valid, how many
steps are left and what value is running are asked where steps are written (in an answer given at once they would only
say again that it was), and the running value not at tokens that are that value: there it would be the digit again. All
are read off the store: the roles of tokens, the tokens themselves, and what is known of the document.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from interp.activations import Store
from interp.tasks.base import ROLES
from interp.tasks.chain.program import OPERATORS

SLOW = ("format", "valid", "depth", "steps left", "running value")
FAST = ("role", "operator", "digit", "result")
NONE = -1
NUMBERS = ("carry", "operand", "result", "answer")
CARRYING = ("carry", "result", "answer")
"""Tokens that are, or should be, the running value itself."""


@dataclass(frozen=True)
class Sample:
    x_ND: Tensor
    document_N: Int[Tensor, " N"]
    problem_N: Int[Tensor, " N"]
    """What is held out: documents of one problem are alike."""
    labels: dict[str, Int[Tensor, " N"]]
    """-1 where a fact says nothing of a token."""


def sample(store: Store, layer: int, vocabulary: Sequence[str], documents: int) -> Sample:
    """The completions of about `documents` documents, evenly from all over the store. `vocabulary` says what
    each token id stands for."""
    every = max(1, store.documents.height // documents)
    chosen = store.documents.with_row_index("document").gather_every(every)
    problems = {problem: at for at, problem in enumerate(chosen["problem"].unique(maintain_order=True))}
    xs, ids, asked, labels = [], [], [], []
    for (shard,), part in chosen.sort("document").group_by("shard", maintain_order=True):
        at = int(shard)  # pyright: ignore[reportArgumentType]
        x_nD, table = store.read(at, layer), store.table(at)
        for row in part.iter_rows(named=True):
            rows = slice(row["first"] + row["prompt"], row["first"] + row["length"])
            xs.append(x_nD[rows])
            ids.append(np.full(row["length"] - row["prompt"], row["document"]))
            asked.append(np.full(row["length"] - row["prompt"], problems[row["problem"]]))
            roles = [store.roles[role] for role in table.role[rows].tolist()]
            words = [str(vocabulary[token]) for token in table.ids[rows].tolist()]
            labels.append(_facts(row, roles, words))
    named = {name: torch.from_numpy(np.concatenate([found[name] for found in labels])) for name in (*SLOW, *FAST)}
    document_N, problem_N = (torch.from_numpy(np.concatenate(told).astype(np.int64)) for told in (ids, asked))
    return Sample(torch.cat(xs), document_N, problem_N, named)


def _facts(row: dict[str, object], roles: list[str], words: Sequence[str]) -> dict[str, np.ndarray]:
    n = len(roles)
    results = np.array([role == "result" for role in roles])
    digit = np.array([_number(word) if role in NUMBERS else NONE for role, word in zip(roles, words, strict=True)])
    written = np.full(n, str(row["format"]) == "steps")
    return {
        "format": np.full(n, {"direct": 0, "steps": 1}.get(str(row["format"]), NONE)),
        "valid": np.where(written, NONE if row["valid"] is None else int(bool(row["valid"])), NONE),
        "depth": np.full(n, int(str(row["depth"]))),
        "steps left": np.where(written, results.sum() - results.cumsum(), NONE),
        "running value": np.where(np.isin(roles, CARRYING), NONE, _carried(digit, results)),
        "role": np.array([ROLES.index(role) for role in roles]),
        "operator": np.array([OPERATORS.index(word) if word in OPERATORS else NONE for word in words]),
        "digit": digit,
        "result": np.where(results, digit, NONE),
    }


def _number(word: str) -> int:
    return int(word) if word.isdigit() else NONE


def _carried(digit: np.ndarray, results: np.ndarray) -> np.ndarray:
    """The last result written so far, at every token after it."""
    last = np.where(results, np.arange(len(results)), NONE)
    at = np.maximum.accumulate(last) if len(last) else last
    return np.where(at == NONE, NONE, digit[at])
