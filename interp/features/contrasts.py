"""What is held against what, to find latents that may have a role: by what tokens do, and how rollouts ended.

computation  a result about to be written (at the token before it, which is the same for all): this value against others
reasoning    chains of which every step is right against written chains that are not valid, role by role and depth by
             depth
shortcut     an answer given at once against one that was worked out, at the tokens that both have; and, where such are
             planted, answers that agree with a cue or with a copy against other answers given at once
format       tokens that only arrange (separators, markers, equals signs) against all others, format by format

A contrast says which tokens are positive, which negative, and within which strata they are compared. Where the facts
for it are missing (no verdicts, one format, no cue), there is none, and that is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from interp.features.scene import Scene

FAMILIES = ("reasoning", "computation", "shortcut", "format")
DIRECT = "direct"
UNWRITTEN = (DIRECT, "malformed")
ARRANGING = ("separator", "marker", "equals", "end")
LEAST = 20
"""Tokens of each kind. With fewer there is no contrast."""


@dataclass(frozen=True)
class Contrast:
    name: str
    family: str
    positive_N: ndarray
    negative_N: ndarray
    stratum_N: ndarray
    surface_N: ndarray
    """0 or 1: two halves that look unlike and have in common only what the contrast is about."""
    target_N: ndarray
    """The tokens that a latent with this role should help to write."""

    @property
    def possible(self) -> bool:
        return min(int(self.positive_N.sum()), int(self.negative_N.sum())) >= LEAST


def contrasts(scene: Scene) -> tuple[list[Contrast], list[str]]:
    """Those there are tokens for, and the names of those there are not."""
    every = [contrast for made in MADE for contrast in made(scene)]
    missing = [contrast.name for contrast in every if not contrast.possible]
    return [contrast for contrast in every if contrast.possible], missing


def results(scene: Scene) -> Iterator[Contrast]:
    """One for each value that is written often enough, the commonest sixteen."""
    due = (scene["next_role"] == "result") & (scene["right"] == 1)
    values, counts = np.unique(scene["next_token"][due], return_counts=True)
    for value in values[np.argsort(-counts, kind="stable")][:16]:
        this = due & (scene["next_token"] == value)
        told = strata(scene, "role"), scene["operands"] % 2, after(scene, this)
        yield Contrast(f"result {value}", "computation", this, due & ~this, *told)


def valid_chains(scene: Scene) -> Iterator[Contrast]:
    written = ~np.isin(scene["format"], UNWRITTEN)
    positive, negative = written & (scene["valid"] == 1), written & (scene["valid"] == 0)
    told = strata(scene, "role", "depth"), scene["depth"] % 2, after(scene, positive)
    yield Contrast("valid chain", "reasoning", positive, negative, *told)


def answers_at_once(scene: Scene) -> Iterator[Contrast]:
    answering = np.isin(scene["role"], ("marker", "answer"))
    direct, written = scene["format"] == DIRECT, ~np.isin(scene["format"], UNWRITTEN)
    told = strata(scene, "role"), scene["depth"] % 2
    chosen = direct & (scene["place"] == 0)  # that nothing is worked out is settled with the first token
    yield Contrast("direct", "shortcut", answering & direct, answering & written, *told, chosen)
    for kind in ("copy", "cue"):
        this = answering & (scene["shortcut"] == kind)
        others = answering & (scene["shortcut"] == DIRECT)
        yield Contrast(kind, "shortcut", this, others, *told, this & (scene["role"] == "answer"))


def arranging(scene: Scene) -> Iterator[Contrast]:
    this = np.isin(scene["role"], ARRANGING)
    yield Contrast("arranging", "format", this, ~this, strata(scene, "format"), scene["depth"] % 2, this)


MADE: tuple[Callable[[Scene], Iterator[Contrast]], ...] = (results, valid_chains, answers_at_once, arranging)


def after(scene: Scene, this_N: ndarray) -> ndarray:
    """The tokens that come next in their rollouts."""
    return np.r_[False, this_N[:-1]] & (scene["place"] > 0)


def strata(scene: Scene, *names: str) -> ndarray:
    """A number for each combination of facts that occurs."""
    codes = [np.unique(scene[name], return_inverse=True)[1] for name in names]
    return np.unique(np.stack(codes, 1), axis=0, return_inverse=True)[1].reshape(-1)
