"""What an edit of a latent does to what a policy is judged by, whatever role the latent may have.

valid     the tokens of chains of which every step is right, less those of chains that are not valid
answer    the answer where it is right, less the answer where it is wrong
at_once   the first token of answers given at once: the log-odds that the policy begins so

All are changes of log-odds of what was written, in nats a token, as in `ablation.py`. What comes of it when the policy
goes its own way is played (`playing.py`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from interp.features.ablation import Mean, effect
from interp.features.contrasts import DIRECT, UNWRITTEN
from interp.features.labels import Scene


@dataclass(frozen=True)
class Consequences:
    """Of one edit. NaN where there are no such tokens."""

    valid: Mean
    answer: Mean
    at_once: Mean

    @property
    def values(self) -> tuple[float, float, float]:
        return self.valid.value, self.answer.value, self.at_once.value


@dataclass(frozen=True)
class Outcomes:
    """The tokens by which consequences are told."""

    valid_N: Bool[ndarray, " N"]
    not_valid_N: Bool[ndarray, " N"]
    right_N: Bool[ndarray, " N"]
    wrong_N: Bool[ndarray, " N"]
    at_once_N: Bool[ndarray, " N"]
    problem_N: Int[ndarray, " N"]

    @classmethod
    def of(cls, scene: Scene) -> "Outcomes":
        written, answer = ~np.isin(scene["format"], UNWRITTEN), scene["role"] == "answer"
        at_once = (scene["format"] == DIRECT) & (scene["place"] == 0)
        valid_N, not_valid_N = (written & (scene["valid"] == told) for told in (1, 0))
        right_N, wrong_N = (answer & (scene["correct"] == told) for told in (1, 0))
        return cls(valid_N, not_valid_N, right_N, wrong_N, at_once, scene["problem"])

    def consequences(self, change_N: Float[ndarray, " N"], drawn_BP: Float[ndarray, "B P"]) -> Consequences:
        told = self.problem_N, drawn_BP
        return Consequences(
            valid=effect(change_N, self.valid_N, self.not_valid_N, *told).apart,
            answer=effect(change_N, self.right_N, self.wrong_N, *told).apart,
            at_once=effect(change_N, self.at_once_N, ~self.at_once_N, *told).target,
        )
