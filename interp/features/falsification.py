"""Is a latent about more than the tokens it fires at? Three tests, each with its control, none of them a judgement.

injection       the tokens, pairs and triples at which the latent is strongest are put into text in which nothing is
                computed (but for tokens at which positives and negatives are compared alike); as many tokens drawn at
                random are the control. The best of several ways counts, its p-value multiplied by their number. A
                latent that rises so is driven by tokens
void order      the text in which it does what it is held to do, its tokens shuffled: what it is at the very same tokens
                then is not about what they say together. (An answer of two tokens has no order to lose)
other surface   is what it tells apart told apart on each of several surfaces alone (other operands, depths, places)?

Text in which nothing is computed is what was written, its tokens shuffled within each completion.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from interp.encoding.encoder import look, look_at_one
from interp.features.contrasts import COMPUTATION, SHORTCUT, Contrast
from interp.features.labels import Scene
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import evenly, seeded
from interp.tsae import TSAE

POSITIVES = 64
"""Rollouts in which a latent does what it is held to do, for its own height."""
IN_FRONT = "three, in front"
LENGTHS = {"one, thrice": 1, IN_FRONT: 1, "three, spread": 1, "a pair, twice": 2, "a triple": 3}
WAYS = tuple(LENGTHS)
"""To put a latent's tokens into a text."""
DRIVEN = 0.8
"""The effect size from which tokens are said to drive a latent (Cohen's d, against the random tokens)."""
SURE = 0.01
ORDERED = 4
"""Tokens, in the middle of what the texts have: shorter ones come out as they were too often."""
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
    """What it is at the same tokens where their text is shuffled, in the mean, as a share of what it was. NaN where
    the texts are too short to have an order to lose."""

    @property
    def by_tokens(self) -> bool:
        return self.d >= DRIVEN and self.p <= SURE and self.reached >= HALF

    @property
    def by_order(self) -> bool:
        """The same tokens do as well in any order."""
        return self.void >= HALF


class Grounds:
    """What the tests are made on: the same for all latents, and so is what random tokens do to each of them."""

    def __init__(self, policy: Policy, tsae: TSAE, layer: int, seen: Scene, *, texts: int, seed: int = 0) -> None:
        self.policy, self.tsae, self.layer, self.seen, self.seed = policy, tsae.to("cpu"), layer, seen, seed
        self.texts = shuffled(evenly(seen.rollouts, texts), seed)
        """In which nothing is computed."""
        self._dull: dict[tuple[str, bool], Float[ndarray, "T F"]] = {}

    def dull(self, way: str, *, front: bool = True) -> Float[ndarray, "T F"]:
        """How high each latent rises in the texts with tokens drawn at random for each, put in just as its own are."""
        if (way, front) not in self._dull:
            told_TF = np.zeros((len(self.texts), self.tsae.width), np.float32)
            for part in look(self.policy, self.tsae, self.layer, self._with_random(way, front)):
                held = part.codes
                place_K = part.document_N[held.token_K].numpy(), held.latent_K.numpy()
                np.maximum.at(told_TF, place_K, held.value_K.numpy())
            self._dull[way, front] = told_TF
        return self._dull[way, front]

    def _with_random(self, way: str, front: bool) -> list[Rollout]:
        drawn = [{n: random_runs(self.seen, n, self.seed, at) for n in (1, 2, 3)} for at in range(len(self.texts))]
        pairs = zip(self.texts, drawn, strict=True)
        return [injected(row, way, runs, self.seed, front=front) for row, runs in pairs]

    def heights(self, rollouts: Sequence[Rollout], latent: int) -> Float[ndarray, " T"]:
        """The latent at its highest, of each rollout."""
        z_N, document_N = look_at_one(self.policy, self.tsae, self.layer, rollouts, latent)
        found = np.zeros(len(rollouts))
        np.maximum.at(found, document_N, z_N)
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


def strongest(
    seen: Scene, height_N: Float[ndarray, " N"], n: int, shared: Collection[int] = ()
) -> list[tuple[int, ...]]:
    """The runs of `n` tokens at whose end a latent is strongest, in the mean over where they occur (twice at least).
    Runs of nothing but `shared` tokens are left out: those at which positives and negatives alike are compared."""
    ends = np.flatnonzero(seen["place"] >= n - 1)
    run_EN = seen["token"][ends[:, None] + np.arange(1 - n, 1)]
    runs_RN, of_E, counts_R = np.unique(run_EN, axis=0, return_inverse=True, return_counts=True)
    mean_R = np.bincount(of_E.reshape(-1), height_N[ends], len(runs_RN)) / counts_R
    telling = np.flatnonzero((counts_R > 1) & ~np.isin(runs_RN, list(shared)).all(1))
    return [tuple(map(int, runs_RN[at])) for at in telling[np.argsort(-mean_R[telling], kind="stable")][:10]]


def injected(
    row: Rollout, way: str, runs: dict[int, list[tuple[int, ...]]], *key: object, front: bool = True
) -> Rollout:
    rng, body = seeded("injected", way, *key, row.problem, row.sample), list(row.tokens)
    if way == "one, thrice":
        pieces = [runs[1][0]] * 3
    elif way in (IN_FRONT, "three, spread"):
        pieces = [rng.choice(runs[1][:3]) for _ in range(3)]
    else:
        pieces = [runs[2][0]] * 2 if way == "a pair, twice" else [runs[3][0]]
    for piece in pieces:
        at = 0 if way == IN_FRONT else rng.randrange(0 if front else min(1, len(body)), len(body) + 1)
        body[at:at] = piece
    return worded(row, body)


def falsify(grounds: Grounds, latent: int, contrast: Contrast) -> Falsified:
    seen, positive_N = grounds.seen, contrast.positive_N
    positives = evenly(np.unique(seen["document"][positive_N]).tolist(), POSITIVES)
    height_N = seen.codes.of_latent(latent)
    natural = _mean_above_zero(np.array([height_N[seen["document"] == at].max() for at in positives]))
    shared = set(seen["token"][positive_N].tolist()) & set(seen["token"][contrast.negative_N].tolist())
    runs, front = {n: strongest(seen, height_N, n, shared) for n in (1, 2, 3)}, contrast.family != SHORTCUT
    ways = [way for way in ways_for(contrast.family) if runs[LENGTHS[way]]]
    best = (-np.inf, 1.0, "", 0.0)
    if ways:
        texts = [injected(row, way, runs, grounds.seed, front=front) for way in ways for row in grounds.texts]
        told_WT = grounds.heights(texts, latent).reshape(len(ways), -1)
        for way, told_T in zip(ways, told_WT, strict=True):
            d, p = apart(told_T, grounds.dull(way, front=front)[:, latent])
            best = max(best, (d, min(1.0, p * len(ways)), way, float(told_T.mean()) / natural))
    own = [seen.rollouts[at] for at in positives]
    return Falsified(*best, void=in_void_order(grounds, latent, own, height_N, positive_N))


def ways_for(family: str) -> list[str]:
    """What is put in must not be the thing itself: two operands and their operator are a computation, and tokens in
    front of all others are how an answer at once begins."""
    if family == COMPUTATION:
        return [way for way in WAYS if LENGTHS[way] == 1]
    return [way for way in WAYS if family != SHORTCUT or way != IN_FRONT]


def in_void_order(
    grounds: Grounds, latent: int, own: Sequence[Rollout], height_N: ndarray, positive_N: Bool[ndarray, " N"]
) -> float:
    """Its mean at tokens of the positives' kind, their text shuffled, over its mean at the positives."""
    texts, natural = shuffled(own, grounds.seed), float(height_N[positive_N].mean())
    if np.median([len(row.tokens) for row in texts]) < ORDERED or natural <= 0:
        return float("nan")
    z_N, _ = look_at_one(grounds.policy, grounds.tsae, grounds.layer, texts, latent)
    kinds = np.unique(grounds.seen["token"][positive_N])
    alike_N = np.isin(np.array([token for row in texts for token in row.tokens]), kinds)
    return float(z_N[alike_N].sum()) / max(1, int(alike_N.sum())) / natural


def _mean_above_zero(held: ndarray) -> float:
    return float(held[held > 0].mean()) if (held > 0).any() else float("nan")


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
