"""What is held against what, to find latents that may have a role: by what tokens do, and how rollouts ended.

computation  a result about to be written (at the token before it, which is the same for all): this value against others
reasoning    chains of which every step is right against written chains that are not valid, role by role and depth by
             depth: all along, where the answer is about to be announced (is all the work done?), and from there on
shortcut     an answer given at once against the same answer worked out, at the tokens that both have; and, where such
             are planted, answers given at once that agree with the cue, or with the copy, against others that do not:
             the same value against the same, right against right and wrong against wrong, all values together and each
             by itself
format       tokens that only arrange (separators, markers, equals signs) against all others, format by format

A contrast says which tokens are positive, which negative, and within which strata they are compared. Where the facts
for it are missing (no verdicts, one format, no cue), there is none, and that is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from interp.features.labels import SHORTCUTS, Scene

REASONING, COMPUTATION, SHORTCUT, FORMAT = FAMILIES = ("reasoning", "computation", "shortcut", "format")
DIRECT = "direct"
UNWRITTEN = (DIRECT, "malformed")
ANSWERING = ("marker", "answer")
ARRANGING = ("separator", "marker", "equals", "end")
VALUES = 16
"""Of which there is a contrast of its own, the commonest."""
LEAST = 20
"""Tokens of each kind. With fewer there is no contrast."""


@dataclass(frozen=True)
class Contrast:
    name: str
    family: str
    positive_N: ndarray
    negative_N: ndarray
    stratum_N: ndarray
    surfaces: tuple[tuple[ndarray, ndarray], ...]
    """Some of the tokens, and strata to compare them in: these look unlike and have in common only what the contrast
    is about. It has to hold on each."""
    target_N: ndarray
    """The tokens that a latent with this role should help to write."""
    against_N: ndarray
    """And those of the same kind that it should not, or less."""

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
    for value in commonest(scene["next_token"][due]):
        this = due & (scene["next_token"] == value)
        role_N = strata(scene, "role")
        told = halves(scene["operands"], role_N), after(scene, this), after(scene, due & ~this)
        yield Contrast(f"result {value}", COMPUTATION, this, due & ~this, role_N, *told)


def valid_chains(scene: Scene) -> Iterator[Contrast]:
    """All their tokens; the one before the answer is announced; those from there on. At one depth valid chains are
    longer than others: what tells them apart has to do so at one place too. One step is no chain."""
    written = ~np.isin(scene["format"], UNWRITTEN) & (scene["depth"] != 1)
    announcing, after_it = scene["next_role"] == "marker", np.isin(scene["next_role"], ("answer", "end"))
    for name, these in {"chain": written, "end": written & announcing, "answer": written & after_it}.items():
        positive, negative = (these & (scene["valid"] == valid) for valid in (1, 0))
        stratum_N, placed_N = strata(scene, "role", "depth"), strata(scene, "role", "place")
        surfaces = (*halves(depth_of(scene), stratum_N), (np.ones(len(scene), bool), placed_N))
        told = surfaces, after(scene, positive), after(scene, negative)
        yield Contrast(f"valid {name}", REASONING, positive, negative, stratum_N, *told)


def answers_at_once(scene: Scene) -> Iterator[Contrast]:
    answering = np.isin(scene["role"], ANSWERING)
    direct, written = (answering & these for these in (scene["format"] == DIRECT, ~np.isin(scene["format"], UNWRITTEN)))
    alike_N = strata(scene, "role", "answer")
    yield Contrast("direct", SHORTCUT, direct, written, alike_N, halves(depth_of(scene), alike_N), direct, written)
    answer, stratum_N = scene["role"] == "answer", strata(scene, "role", "answer", "correct")
    surfaces = halves(depth_of(scene), stratum_N)
    for kind in SHORTCUTS:
        this, others = (direct & (scene[kind] == agrees) for agrees in (1, 0))
        yield Contrast(kind, SHORTCUT, this, others, stratum_N, surfaces, this & answer, others & answer)
        for value in commonest(scene["answer"][this]):
            one, unlike = (held & (scene["answer"] == value) for held in (this, others))
            told = surfaces, one & answer, unlike & answer
            yield Contrast(f"{kind} {value}", SHORTCUT, one, unlike, stratum_N, *told)


def arranging(scene: Scene) -> Iterator[Contrast]:
    this, stratum_N = np.isin(scene["role"], ARRANGING), strata(scene, "format")
    yield Contrast("arranging", FORMAT, this, ~this, stratum_N, halves(depth_of(scene), stratum_N), this, ~this)


MADE: tuple[Callable[[Scene], Iterator[Contrast]], ...] = (results, valid_chains, answers_at_once, arranging)


def commonest(values: ndarray) -> ndarray:
    found, counts = np.unique(values, return_counts=True)
    return found[np.argsort(-counts, kind="stable")][:VALUES]


def depth_of(scene: Scene) -> ndarray:
    """Where it is not known, the problem stands for it."""
    return np.where(scene["depth"] < 0, scene["problem"], scene["depth"])


def halves(fact_N: ndarray, stratum_N: ndarray) -> tuple[tuple[ndarray, ndarray], ...]:
    """The even and the odd."""
    return (fact_N % 2 == 0, stratum_N), (fact_N % 2 == 1, stratum_N)


def after(scene: Scene, this_N: ndarray) -> ndarray:
    """The tokens that come next in their rollouts."""
    return np.r_[False, this_N[:-1]] & (scene["place"] > 0)


def strata(scene: Scene, *names: str) -> ndarray:
    """A number for each combination of facts that occurs."""
    codes = [np.unique(scene[name], return_inverse=True)[1] for name in names]
    return np.unique(np.stack(codes, 1), axis=0, return_inverse=True)[1].reshape(-1)
