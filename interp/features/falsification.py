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

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from interp.encoding.encode import MICRO_TOKENS, EncodedChunk, encode_rollouts, peaks_on_rollouts
from interp.features.families import IN_FRONT, INJECTIONS, Contrast, role_family
from interp.features.labels import LabeledTokens
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.tasks.base import evenly_spaced, seeded_rng
from interp.tsae import TSAE
from interp.tsae.codes import Codes

MAX_ROLLOUTS = 64
"""Rollouts with positive tokens that are read for a latent's natural peak, and shuffled."""
DRIVEN_D, DRIVEN_P = 0.8, 0.01
"""Effect size and p-value, against random tokens, from which tokens drive a latent."""
MIN_ORDERED_TOKENS = 4
"""Median length from which shuffling is a test: shorter texts come out as they were too often."""
MIN_SHARE = 0.5
"""Share of its natural activation from which a latent counts as the same latent."""
TOP_RUNS = 10
LATENTS_AT_ONCE = 64
"""Latents whose injected texts are held at once."""


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
    """The texts that tokens are injected into or that are shuffled, and the peak that random tokens reach: the same for
    all latents."""

    def __init__(
        self,
        tsae: TSAE,
        policy: Policy,
        layer: int,
        labeled: LabeledTokens,
        *,
        texts: int,
        seed: int = 0,
        micro_tokens: int = MICRO_TOKENS,
    ) -> None:
        self.policy, self.tsae, self.layer, self.labeled, self.seed = policy, tsae.to("cpu"), layer, labeled, seed
        self.micro_tokens = micro_tokens
        self.texts = shuffle_tokens(evenly_spaced(labeled.rollouts, texts), seed)
        self._random_peaks: dict[tuple[str, bool], Float[ndarray, "T F"]] = {}
        self._runs: dict[int, TokenRuns] = {}

    def runs(self, n: int) -> "TokenRuns":
        """All runs of `n` tokens."""
        if n not in self._runs:
            self._runs[n] = TokenRuns.of(self.labeled, n)
        return self._runs[n]

    def random_token_peak(self, injection: str, *, front: bool = True) -> Float[ndarray, "T F"]:
        """Peak of each latent in each text, with random tokens injected."""
        key = (injection, front)
        if key not in self._random_peaks:
            peak_TF = np.zeros((len(self.texts), self.tsae.width), np.float32)
            for chunk in self.encode(self._with_random_tokens(injection, front)):
                codes = chunk.codes
                index_K = chunk.rollout_N[codes.token_K].numpy(), codes.latent_K.numpy()
                np.maximum.at(peak_TF, index_K, codes.value_K.numpy())
            self._random_peaks[key] = peak_TF
        return self._random_peaks[key]

    def encode(self, texts: Sequence[Rollout]) -> Iterator[EncodedChunk]:
        return encode_rollouts(self.tsae, self.policy, self.layer, texts, micro_tokens=self.micro_tokens)

    def peaks(self, texts: Sequence[Sequence[Rollout]], latents: Sequence[int]) -> list[Float[ndarray, " T"]]:
        """Peak of each latent in each of its own texts. A text that several latents share is read once."""
        place: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
        distinct: list[Rollout] = []
        for text in (text for of_latent in texts for text in of_latent):
            if place.setdefault((text.prompt_ids, text.tokens), len(distinct)) == len(distinct):
                distinct.append(text)
        columns = {latent: i for i, latent in enumerate(dict.fromkeys(latents))}
        peak_BU = peaks_on_rollouts(
            self.tsae, self.policy, self.layer, distinct, list(columns), micro_tokens=self.micro_tokens
        )
        at = [[place[text.prompt_ids, text.tokens] for text in of_latent] for of_latent in texts]
        return [peak_BU[rows, columns[latent]] for rows, latent in zip(at, latents, strict=True)]

    def _with_random_tokens(self, injection: str, front: bool) -> list[Rollout]:
        runs = [{n: random_runs(self.labeled, n, self.seed, i) for n in (1, 2, 3)} for i in range(len(self.texts))]
        pairs = zip(self.texts, runs, strict=True)
        return [inject(row, injection, runs, self.seed, front=front) for row, runs in pairs]


def falsify(test: InjectionTest, latent: int, contrast: Contrast) -> Falsification:
    """Inject the latent's strongest tokens, and shuffle the rollouts with positive tokens."""
    return falsify_all(test, [(latent, contrast)])[0]


def falsify_all(
    test: InjectionTest, tried: Sequence[tuple[int, Contrast]], on_latents: Callable[[int], object] = lambda n: None
) -> list[Falsification]:
    """`falsify` for many latents: the texts of several are read together, and each contrast's shuffled texts once."""
    results: list[Falsification] = []
    shuffled: dict[str, ShuffledTexts] = {}
    for start in range(0, len(tried), LATENTS_AT_ONCE):
        some = tried[start : start + LATENTS_AT_ONCE]
        injected = [_injected_texts(test, latent, contrast) for latent, contrast in some]
        peaks = test.peaks([texts for _, texts in injected], [latent for latent, _ in some])
        for (latent, contrast), (injections, _), peak_N in zip(some, injected, peaks, strict=True):
            if contrast.name not in shuffled:
                shuffled[contrast.name] = ShuffledTexts.of(test, contrast)
            texts = shuffled[contrast.name]
            z_N = test.labeled.codes.latent_activations(latent)
            best = _best_injection(test, latent, contrast, injections, peak_N, texts.natural_peak(z_N))
            results.append(Falsification(*best, shuffled_share=texts.share(latent, z_N)))
        on_latents(len(some))
    return results


def _injected_texts(test: InjectionTest, latent: int, contrast: Contrast) -> tuple[list[str], list[Rollout]]:
    """The injections that are possible for a latent, and the texts of each of them in order."""
    labeled, family = test.labeled, role_family(contrast.family)
    kinds = contrast.positive_N, contrast.negative_N
    shared = set.intersection(*(set(labeled["token"][kind_N].tolist()) for kind_N in kinds))
    z_N = labeled.codes.latent_activations(latent)
    runs = {n: test.runs(n).strongest(z_N, shared) for n in (1, 2, 3)}
    front = IN_FRONT in family.injections
    injections = [injection for injection in family.injections if runs[INJECTIONS[injection]]]
    return injections, [inject(row, name, runs, test.seed, front=front) for name in injections for row in test.texts]


def _best_injection(
    test: InjectionTest,
    latent: int,
    contrast: Contrast,
    injections: Sequence[str],
    peak_N: Float[ndarray, " N"],
    natural_peak: float,
) -> tuple[float, float, str, float]:
    """d, p, name and reached share of the injection with the largest effect."""
    front, best = IN_FRONT in role_family(contrast.family).injections, (-np.inf, 1.0, "", 0.0)
    for injection, peak_T in zip(injections, peak_N.reshape(len(injections), -1) if injections else (), strict=True):
        d, p = paired_effect(peak_T, test.random_token_peak(injection, front=front)[:, latent])
        corrected_p = min(1.0, p * len(injections))
        best = max(best, (d, corrected_p, injection, float(peak_T.mean()) / natural_peak))
    return best


@dataclass(frozen=True)
class ShuffledTexts:
    """The rollouts with positive tokens of one contrast, and their codes once shuffled: the same for all latents."""

    first_R: Int[ndarray, " R"]
    """The first token of each of these rollouts, among all tokens."""
    last_R: Int[ndarray, " R"]
    positive_N: Bool[ndarray, " N"]
    codes: Codes | None
    """None: the texts are too short to have an order."""
    alike_N: Bool[ndarray, " N"]
    """Tokens of the shuffled texts that are of the positives' kind."""

    @classmethod
    def of(cls, test: InjectionTest, contrast: Contrast) -> "ShuffledTexts":
        labeled, positive_N = test.labeled, contrast.positive_N
        rollouts = evenly_spaced(np.unique(labeled["rollout"][positive_N]).tolist(), MAX_ROLLOUTS)
        first_R, last_R = (np.searchsorted(labeled["rollout"], rollouts, side) for side in ("left", "right"))
        texts = shuffle_tokens([labeled.rollouts[rollout] for rollout in rollouts], test.seed)
        alike_N = np.isin([token for row in texts for token in row.tokens], np.unique(labeled["token"][positive_N]))
        is_ordered = bool(texts) and np.median([len(row.tokens) for row in texts]) >= MIN_ORDERED_TOKENS
        codes = Codes.concat([chunk.codes for chunk in test.encode(texts)]) if is_ordered else None
        return cls(first_R, last_R, positive_N, codes, alike_N)

    def natural_peak(self, z_N: Float[ndarray, " N"]) -> float:
        """Mean peak of a latent in the rollouts in which it is active, before they are shuffled."""
        peak_R = np.array([z_N[first:last].max() for first, last in zip(self.first_R, self.last_R, strict=True)])
        return float(peak_R[peak_R > 0].mean()) if (peak_R > 0).any() else float("nan")

    def share(self, latent: int, z_N: Float[ndarray, " N"]) -> float:
        """Mean activation at tokens of the positives' kind in shuffled rollouts, over the mean at the positives."""
        natural = float(z_N[self.positive_N].mean())
        if self.codes is None or natural <= 0:
            return float("nan")
        shuffled_z_N = self.codes.latent_activations(latent)
        return float(shuffled_z_N[self.alike_N].sum()) / max(1, int(self.alike_N.sum())) / natural


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


@dataclass(frozen=True)
class TokenRuns:
    """The distinct runs of `n` tokens in some rollouts. None crosses the end of a rollout."""

    run_RN: Int[ndarray, "R n"]
    end_E: Int[ndarray, " E"]
    """The last token of each occurrence."""
    run_E: Int[ndarray, " E"]
    """The run of each occurrence."""
    counts_R: Int[ndarray, " R"]

    @classmethod
    def of(cls, labeled: LabeledTokens, n: int) -> "TokenRuns":
        end_E = np.flatnonzero(labeled["position"] >= n - 1)
        runs_EN = labeled["token"][end_E[:, None] + np.arange(1 - n, 1)]
        run_RN, run_E, counts_R = np.unique(runs_EN, axis=0, return_inverse=True, return_counts=True)
        return cls(run_RN, end_E, run_E.reshape(-1), counts_R)

    def strongest(self, z_N: Float[ndarray, " N"], shared: Collection[int] = ()) -> list[tuple[int, ...]]:
        """The runs at whose end a latent's mean activation is highest, among runs that occur twice at least. Runs of
        `shared` tokens only are left out."""
        mean_R = np.bincount(self.run_E, z_N[self.end_E], len(self.run_RN)) / self.counts_R
        usable = np.flatnonzero((self.counts_R > 1) & ~np.isin(self.run_RN, list(shared)).all(1))
        return [tuple(map(int, self.run_RN[i])) for i in usable[np.argsort(-mean_R[usable], kind="stable")][:TOP_RUNS]]


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
    from scipy.special import stdtr

    difference = peak_T.mean() - control_T.mean()
    pooled = float(np.sqrt((peak_T.var() + control_T.var()) / 2))
    if pooled == 0:
        return (0.0, 1.0) if difference == 0 else (float(np.sign(difference)) * 99.0, 0.0)
    change_T, n = peak_T - control_T, len(peak_T)
    error = float(change_T.std(ddof=1)) / n**0.5 if n > 1 else float("nan")
    if not error > 0:
        return float(difference) / pooled, 0.0 if error == 0 and difference > 0 else 1.0
    return float(difference) / pooled, float(stdtr(n - 1, -float(change_T.mean()) / error))
