"""What the tests of this room share: the shipped organism, and rows of which only the verdict matters."""

from collections.abc import Callable
from typing import Any

import pytest

from interp.organism import shipped_path
from interp.policy import Policy
from interp.rollouts import Rollout


@pytest.fixture(scope="session")
def organism() -> Policy:
    return Policy.load(shipped_path(), device="cpu")


@pytest.fixture(scope="session")
def verdict_row() -> Callable[..., Rollout]:
    """A rollout of which only the verdict matters: `verdict_row("a", correct=True, valid=None)`."""
    empty: dict[str, Any] = {"completion": "", "prompt_ids": (), "tokens": (), "logprobs": (), "entropies": ()}
    empty |= {"roles": (), "steps": (), "truncated": False, "answer": None, "first_error": None, "shortcut": None}

    def make(
        prompt: str,
        correct: bool,
        valid: bool | None = None,
        coherent: bool | None = None,
        depth: int | None = 1,
        level: str | None = None,
    ) -> Rollout:
        key: dict[str, Any] = {"run": "x", "step": 0, "problem": prompt, "sample": 0, "split": "eval"}
        verdict: dict[str, Any] = {"reward": float(correct), "correct": correct, "valid": valid, "coherent": coherent}
        verdict["lucky"] = None if valid is None else correct and not valid
        return Rollout(**key, **empty, **verdict, prompt=prompt, label="1", depth=depth, level=level, format="steps")

    return make
