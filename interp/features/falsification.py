"""The second gate: is a latent about more than the tokens at which it fires? Three tests, each with its control.

injection      The tokens, pairs and triples at which the latent is strongest are injected into text in which nothing is
               computed. (Tokens that a contrast's positives and negatives share are not injected.) The control injects
               as many random tokens. The best of several injections counts, its p-value multiplied by their number. A
               latent that rises more than under random tokens is driven by tokens.
shuffling      The tokens of rollouts with positives are shuffled. A latent that stays as active at the same tokens does
               not depend on their order. Answers of two tokens have no order.
other surface  The latent must separate the contrast's tokens on each of several surfaces alone (other operands, depths,
               positions). This is measured with the contrast (`interp.features.earn`).

Text in which nothing is computed is what the policy wrote, its tokens shuffled within each completion.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from interp.encoding.encode import encode_rollouts, latent_on_rollouts
from interp.features.families import IN_FRONT, INJECTIONS, Contrast, role_family
from interp.features.labels import LabeledTokens
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import evenly_spaced, seeded_rng
from interp.tsae import TSAE

MAX_ROLLOUTS = 64
"""Rollouts with positive tokens that are read for a latent's natural peak, and shuffled."""
DRIVEN_D, DRIVEN_P = 0.8, 0.01
"""Effect size and p-value, against random tokens, from which tokens drive a latent."""
MIN_ORDERED_TOKENS = 4
"""Median length from which shuffling is a test: shorter texts come out as they were too often."""
MIN_SHARE = 0.5
"""Share of its natural activation from which a latent counts as the same latent."""
TOP_RUNS = 10


@dataclass(frozen=True)
class Falsification:
    """Results of the injection and of the shuffling, for one latent and contrast."""

    d: float
    """Cohen's d of the best injection, against random tokens in the same places."""
    p: float
    injection: str
    """The best injection; empty if none was possible."""
    reached_share: float
    """Mean peak activation after injection, as a share of the natural peak."""
    shuffled_share: float
    """Mean activation at the same tokens once shuffled, as a share of the mean at the positives. NaN where the texts
    are too short to have an order."""

    @property
    def driven_by_tokens(self) -> bool:
        return self.d >= DRIVEN_D and self.p <= DRIVEN_P and self.reached_share >= MIN_SHARE

    @property
    def survives_shuffling(self) -> bool:
        return self.shuffled_share >= MIN_SHARE


class InjectionTest:
    """The texts that tokens are injected into, and the peak that random tokens reach: the same for all latents."""

    def __init__(
        self, tsae: TSAE, policy: Policy, layer: int, labeled: LabeledTokens, *, texts: int, seed: int = 0
    ) -> None:
        self.policy, self.tsae, self.layer, self.labeled, self.seed = policy, tsae.to("cpu"), layer, labeled, seed
        self.texts = shuffle_tokens(evenly_spaced(labeled.rollouts, texts), seed)
        self._random_peaks: dict[tuple[str, bool], Float[ndarray, "T F"]] = {}

    def random_token_peak(self, injection: str, *, front: bool = True) -> Float[ndarray, "T F"]:
        """Peak of each latent in each text, with random tokens injected."""
        key = (injection, front)
        if key not in self._random_peaks:
            peak_TF = np.zeros((len(self.texts), self.tsae.width), np.float32)
            texts = self._with_random_tokens(injection, front)
            for chunk in encode_rollouts(self.tsae, self.policy, self.layer, texts):
                codes = chunk.codes
                index_K = chunk.rollout_N[codes.token_K].numpy(), codes.latent_K.numpy()
                np.maximum.at(peak_TF, index_K, codes.value_K.numpy())
            self._random_peaks[key] = peak_TF
        return self._random_peaks[key]

    def peak_activation(self, rollouts: Sequence[Rollout], latent: int) -> Float[ndarray, " T"]:
        """Peak of one latent in each rollout."""
        z_N, rollout_N = latent_on_rollouts(self.tsae, self.policy, self.layer, rollouts, latent)
        peak_T = np.zeros(len(rollouts))
        np.maximum.at(peak_T, rollout_N, z_N)
        return peak_T

    def _with_random_tokens(self, injection: str, front: bool) -> list[Rollout]:
        runs = [{n: random_runs(self.labeled, n, self.seed, i) for n in (1, 2, 3)} for i in range(len(self.texts))]
        pairs = zip(self.texts, runs, strict=True)
        return [inject(row, injection, runs, self.seed, front=front) for row, runs in pairs]


def falsify(test: InjectionTest, latent: int, contrast: Contrast) -> Falsification:
    """Inject the latent's strongest tokens, and shuffle the rollouts with positive tokens."""
    labeled, positive_N = test.labeled, contrast.positive_N
    rollouts = evenly_spaced(np.unique(labeled["rollout"][positive_N]).tolist(), MAX_ROLLOUTS)
    z_N = labeled.codes.latent_activations(latent)
    peak_T = np.array([z_N[labeled["rollout"] == rollout].max() for rollout in rollouts])
    natural_peak = float(peak_T[peak_T > 0].mean()) if (peak_T > 0).any() else float("nan")
    best = _best_injection(test, latent, contrast, z_N, natural_peak)
    originals = [labeled.rollouts[rollout] for rollout in rollouts]
    return Falsification(*best, shuffled_share=measure_shuffled_share(test, latent, originals, z_N, positive_N))


def _best_injection(
    test: InjectionTest, latent: int, contrast: Contrast, z_N: Float[ndarray, " N"], natural_peak: float
) -> tuple[float, float, str, float]:
    """d, p, name and reached share of the injection with the largest effect."""
    labeled, family = test.labeled, role_family(contrast.family)
    kinds = contrast.positive_N, contrast.negative_N
    shared = set.intersection(*(set(labeled["token"][kind_N].tolist()) for kind_N in kinds))
    runs = {n: strongest_runs(labeled, z_N, n, shared) for n in (1, 2, 3)}
    front = IN_FRONT in family.injections
    injections = [injection for injection in family.injections if runs[INJECTIONS[injection]]]
    best = (-np.inf, 1.0, "", 0.0)
    if injections:
        texts = [inject(row, name, runs, test.seed, front=front) for name in injections for row in test.texts]
        peak_IT = test.peak_activation(texts, latent).reshape(len(injections), -1)
        for injection, peak_T in zip(injections, peak_IT, strict=True):
            d, p = paired_effect(peak_T, test.random_token_peak(injection, front=front)[:, latent])
            corrected_p = min(1.0, p * len(injections))
            best = max(best, (d, corrected_p, injection, float(peak_T.mean()) / natural_peak))
    return best


def measure_shuffled_share(
    test: InjectionTest, latent: int, originals: Sequence[Rollout], z_N: ndarray, positive_N: Bool[ndarray, " N"]
) -> float:
    """Mean activation at tokens of the positives' kind in shuffled rollouts, over the mean at the positives."""
    texts, natural = shuffle_tokens(originals, test.seed), float(z_N[positive_N].mean())
    if np.median([len(row.tokens) for row in texts]) < MIN_ORDERED_TOKENS or natural <= 0:
        return float("nan")
    shuffled_z_N, _ = latent_on_rollouts(test.tsae, test.policy, test.layer, texts, latent)
    positive_tokens = np.unique(test.labeled["token"][positive_N])
    alike_N = np.isin(np.array([token for row in texts for token in row.tokens]), positive_tokens)
    return float(shuffled_z_N[alike_N].sum()) / max(1, int(alike_N.sum())) / natural


# --- texts and tokens -------------------------------------------------------------------------------------------------


def shuffle_tokens(rows: Sequence[Rollout], *key: object) -> list[Rollout]:
    """Each rollout with its tokens in random order; an end-of-sequence token stays at the end."""
    shuffled = []
    for i, row in enumerate(rows):
        ends = bool(row.roles) and row.roles[-1] == "end"
        body = list(row.tokens[: len(row.tokens) - ends])
        seeded_rng("shuffled", *key, row.problem, row.sample, i).shuffle(body)
        shuffled.append(with_tokens(row, [*body, *row.tokens[len(row.tokens) - ends :]]))
    return shuffled


def with_tokens(row: Rollout, tokens: Sequence[int]) -> Rollout:
    """The rollout with other tokens, of which nothing is known."""
    n = len(tokens)
    unknown = {"logprobs": (0.0,) * n, "entropies": (0.0,) * n, "roles": ("text",) * n, "steps": ()}
    return replace(row, tokens=tuple(tokens), **unknown)


def strongest_runs(
    labeled: LabeledTokens, z_N: Float[ndarray, " N"], n: int, shared: Collection[int] = ()
) -> list[tuple[int, ...]]:
    """The runs of `n` tokens at whose end a latent's mean activation is highest, among runs that occur twice at least.
    Runs of `shared` tokens only are left out."""
    ends = np.flatnonzero(labeled["position"] >= n - 1)
    run_EN = labeled["token"][ends[:, None] + np.arange(1 - n, 1)]
    run_RN, run_of_E, counts_R = np.unique(run_EN, axis=0, return_inverse=True, return_counts=True)
    mean_R = np.bincount(run_of_E.reshape(-1), z_N[ends], len(run_RN)) / counts_R
    usable = np.flatnonzero((counts_R > 1) & ~np.isin(run_RN, list(shared)).all(1))
    return [tuple(map(int, run_RN[i])) for i in usable[np.argsort(-mean_R[usable], kind="stable")][:TOP_RUNS]]


def random_runs(labeled: LabeledTokens, n: int, *key: object) -> list[tuple[int, ...]]:
    """Ten runs of `n` tokens, drawn from all tokens of the rollouts."""
    rng, token = seeded_rng("random runs", n, *key), labeled["token"]
    return [tuple(int(token[rng.randrange(len(token))]) for _ in range(n)) for _ in range(TOP_RUNS)]


def inject(
    row: Rollout, injection: str, runs: dict[int, list[tuple[int, ...]]], *key: object, front: bool = True
) -> Rollout:
    """The rollout with runs of tokens inserted at random positions. `runs` are ordered, by length; without `front`,
    nothing is inserted before the first token."""
    rng, tokens = seeded_rng("injected", injection, *key, row.problem, row.sample), list(row.tokens)
    if injection == "one, thrice":
        pieces = [runs[1][0]] * 3
    elif injection in (IN_FRONT, "three, spread"):
        pieces = [rng.choice(runs[1][:3]) for _ in range(3)]
    else:
        pieces = [runs[2][0]] * 2 if injection == "a pair, twice" else [runs[3][0]]
    for piece in pieces:
        position = 0 if injection == IN_FRONT else rng.randrange(0 if front else min(1, len(tokens)), len(tokens) + 1)
        tokens[position:position] = piece
    return with_tokens(row, tokens)


def paired_effect(peak_T: ndarray, control_T: ndarray) -> tuple[float, float]:
    """Cohen's d of paired texts, and the one-sided p-value that the first is not above the second."""
    from scipy.stats import ttest_rel

    difference = peak_T.mean() - control_T.mean()
    pooled = float(np.sqrt((peak_T.var() + control_T.var()) / 2))
    if pooled == 0:
        return (0.0, 1.0) if difference == 0 else (float(np.sign(difference)) * 99.0, 0.0)
    p = float(ttest_rel(peak_T, control_T, alternative="greater").pvalue)
    return float(difference) / pooled, 1.0 if np.isnan(p) else p
