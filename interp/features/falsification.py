"""Is a latent about more than the tokens it fires at? Three tests, each with its control, none of them a judgement.

injection       the tokens, pairs and triples at which the latent is strongest are put into text in which nothing is
                computed; as many tokens drawn at random, at the same places, are the control. The best of several ways
                counts, its p-value multiplied by their number. A latent that rises so is driven by tokens
void order      the text in which it does what it is held to do, its tokens shuffled: what it is at the very same tokens
                then is not about what they say together
other surface   is what it tells apart told apart on surfaces too on which it was not found (other operands, depths)?

Text in which nothing is computed is what was written, its tokens shuffled within each completion.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from interp.features.looking import look
from interp.features.scene import Scene
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import seeded
from interp.tsae import TSAE

POSITIVES = 64
"""Rollouts in which a latent does what it is held to do, for its own height."""
WAYS = ("one, thrice", "three, in front", "three, spread", "a pair, twice", "a triple")
"""To put a latent's tokens into a text."""
DRIVEN = 0.8
"""The effect size from which tokens are said to drive a latent (Cohen's d, against the random tokens)."""
SURE = 0.01
HALF = 0.5
"""Of what a latent is where it fires by itself: less is not the same latent."""


@dataclass(frozen=True)
class Falsified:
    d: float
    """Of the best way."""
    p: float
    way: str
    reached: float
    """The share of its own height that the injected latent reaches, in the mean."""
    void: float
    """What it is at the same tokens where their text is shuffled, in the mean, as a share of what it was."""

    @property
    def by_tokens(self) -> bool:
        return self.d >= DRIVEN and self.p <= SURE and self.reached >= HALF

    @property
    def by_order(self) -> bool:
        """The same tokens do as well in any order."""
        return self.void >= HALF


@dataclass(frozen=True)
class Grounds:
    """What the tests are made on: the same for all latents."""

    policy: Policy
    tsae: TSAE
    layer: int
    texts: list[Rollout]
    """In which nothing is computed."""
    seed: int = 0

    def heights(self, rollouts: Sequence[Rollout], latent: int) -> ndarray:
        """The latent at its highest, of each rollout."""
        found = np.zeros(len(rollouts))
        for part in look(self.policy, self.tsae, self.layer, rollouts):
            mine_K = part.codes.latent_K == latent
            of_K = part.document_N[part.codes.token_K[mine_K]].numpy()
            np.maximum.at(found, of_K, part.codes.value_K[mine_K].numpy())
        return found


def shuffled(rows: Sequence[Rollout], *key: object) -> list[Rollout]:
    """Their tokens in an order drawn for each; what ends a text stays at its end."""
    found = []
    for at, row in enumerate(rows):
        ends = bool(row.roles) and row.roles[-1] == "end"
        body = list(row.tokens[: len(row.tokens) - ends])
        seeded("shuffled", *key, row.problem, row.sample, at).shuffle(body)
        found.append(worded(row, [*body, *row.tokens[len(row.tokens) - ends :]]))
    return found


def worded(row: Rollout, tokens: Sequence[int]) -> Rollout:
    """A rollout of other tokens, of which nothing is known."""
    n = len(tokens)
    nothing = {"logprobs": (0.0,) * n, "entropies": (0.0,) * n, "roles": ("text",) * n, "steps": ()}
    return replace(row, tokens=tuple(tokens), **nothing)


def strongest(scene: Scene, latent: int, n: int) -> list[tuple[int, ...]]:
    """The runs of `n` tokens at whose end a latent is strongest, in the mean over where they occur (twice at least)."""
    mine_K = (scene.codes.latent_K == latent).numpy()
    height_N = np.zeros(len(scene))
    height_N[scene.codes.token_K[mine_K].numpy()] = scene.codes.value_K[mine_K].numpy()
    held: dict[tuple[int, ...], list[float]] = {}
    token, place = scene["token"], scene["place"]
    for at in np.flatnonzero(place >= n - 1).tolist():
        held.setdefault(tuple(token[at - n + 1 : at + 1].tolist()), []).append(float(height_N[at]))
    means = {run: sum(values) / len(values) for run, values in held.items() if len(values) > 1}
    return sorted(means, key=lambda run: (-means[run], run))[:10]


def injected(row: Rollout, way: str, runs: dict[int, list[tuple[int, ...]]], *key: object) -> Rollout:
    rng, body = seeded("injected", way, *key, row.problem, row.sample), list(row.tokens)
    if way == "one, thrice":
        pieces = [runs[1][0]] * 3
    elif way in ("three, in front", "three, spread"):
        pieces = [rng.choice(runs[1][:3]) for _ in range(3)]
    else:
        pieces = [runs[2][0]] * 2 if way == "a pair, twice" else [runs[3][0]]
    for piece in pieces:
        at = 0 if way == "three, in front" else rng.randrange(len(body) + 1)
        body[at:at] = piece
    return worded(row, body)


def falsify(grounds: Grounds, scene: Scene, latent: int, positive_N: Bool[ndarray, " N"]) -> Falsified:
    """`positive_N`: the tokens at which it does what it is held to do."""
    documents = np.unique(scene["document"][positive_N])
    positives = documents[:: max(1, len(documents) // POSITIVES)][:POSITIVES].tolist()
    runs = {n: strongest(scene, latent, n) for n in (1, 2, 3)}
    own = [scene.rollouts[at] for at in positives]
    own_height = grounds.heights(own, latent)
    natural = float(own_height[own_height > 0].mean()) if (own_height > 0).any() else float("nan")
    best = (-np.inf, 1.0, WAYS[0], 0.0)
    chance = {n: random_runs(scene, n, grounds.seed, latent) for n in (1, 2, 3)}
    for way in WAYS:
        if not all(runs[n] for n in (1, 2, 3)):
            continue
        told, dull = (
            grounds.heights([injected(row, way, which, grounds.seed) for row in grounds.texts], latent)
            for which in (runs, chance)
        )
        d, p = apart(told, dull)
        best = max(best, (d, min(1.0, p * len(WAYS)), way, float(told.mean()) / natural))
    return Falsified(*best, void=in_void_order(grounds, scene, latent, own, positive_N))


def in_void_order(
    grounds: Grounds, scene: Scene, latent: int, own: Sequence[Rollout], positive_N: Bool[ndarray, " N"]
) -> float:
    """Its mean at tokens of the positives' kind, their text shuffled, over its mean at the positives."""
    mine_K = (scene.codes.latent_K == latent).numpy() & positive_N[scene.codes.token_K.numpy()]
    natural = float(scene.codes.value_K.numpy()[mine_K].sum()) / int(positive_N.sum())
    kinds, texts = set(scene["token"][positive_N].tolist()), shuffled(own, grounds.seed)
    tokens, total = np.array([token for row in texts for token in row.tokens]), 0.0
    alike_N, start = np.isin(tokens, list(kinds)), 0
    for part in look(grounds.policy, grounds.tsae, grounds.layer, texts):
        this_K = (part.codes.latent_K == latent).numpy()
        places = start + part.codes.token_K.numpy()[this_K]
        total += float(part.codes.value_K.numpy()[this_K][alike_N[places]].sum())
        start += part.codes.tokens
    return total / max(1, int(alike_N.sum())) / natural if natural > 0 else float("nan")


def random_runs(scene: Scene, n: int, *key: object) -> list[tuple[int, ...]]:
    """Ten runs of tokens of the scene, drawn from all that occur."""
    rng, token = seeded("random runs", n, *key), scene["token"]
    return [tuple(int(token[rng.randrange(len(token))]) for _ in range(n)) for _ in range(10)]


def apart(told: ndarray, dull: ndarray) -> tuple[float, float]:
    """Cohen's d of paired texts, and the p-value that the one is not above the other."""
    from scipy.stats import ttest_rel

    pooled = float(np.sqrt((told.var() + dull.var()) / 2))
    if pooled == 0:
        return (0.0, 1.0) if told.mean() == dull.mean() else (float(np.sign(told.mean() - dull.mean())) * 99.0, 0.0)
    p = float(ttest_rel(told, dull, alternative="greater").pvalue)
    return float(told.mean() - dull.mean()) / pooled, 1.0 if np.isnan(p) else p
