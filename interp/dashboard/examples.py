"""For each latent, the rollouts shown in which it is strongest, and some from each half of its range.

Strongest rollouts alone make a latent look purer than it is. So there are also rollouts whose peak lies in the upper
half of its highest activation, and in the lower half: those closest to three quarters and to one quarter of it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from interp.dashboard.report import Report
from interp.tsae.codes import Codes

OWN, PROBE = "own text", "probe text"
TOP, UPPER, LOWER = "top", "upper half", "lower half"
UPPER_PLACE, LOWER_PLACE = 0.75, 0.25


@dataclass(frozen=True)
class Peaks:
    """The strongest token of a latent in a rollout, for every pair of them where it is active."""

    latent_P: Int[ndarray, " P"]
    rollout_P: Int[ndarray, " P"]
    """Row of the report."""
    position_P: Int[ndarray, " P"]
    """Token of the completion."""
    value_P: Float[ndarray, " P"]

    @classmethod
    def of(cls, codes: Codes, lengths: list[int], first_rollout: int) -> "Peaks":
        """Peaks of the codes of consecutive rollouts with so many tokens each."""
        rollout_N = np.repeat(np.arange(len(lengths)), lengths)
        start_N = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
        token_K, latent_K, value_K = codes.token_K.numpy(), codes.latent_K.numpy(), codes.value_K.double().numpy()
        rollout_K = rollout_N[token_K]
        order_K = np.lexsort((token_K, -value_K, rollout_K, latent_K))
        pairs = np.stack([latent_K[order_K], rollout_K[order_K]])
        is_first = np.ones(len(order_K), bool)
        is_first[1:] = (np.diff(pairs) != 0).any(0)
        peak_P = order_K[is_first]
        position_P = token_K[peak_P] - start_N[token_K[peak_P]]
        return cls(latent_K[peak_P], rollout_K[peak_P] + first_rollout, position_P, value_K[peak_P])

    @classmethod
    def concat(cls, parts: "list[Peaks]") -> "Peaks":
        names = ("latent_P", "rollout_P", "position_P", "value_P")
        empty = (np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), np.zeros(0))
        columns = (
            np.concatenate([zero, *(getattr(part, name) for part in parts)])
            for name, zero in zip(names, empty, strict=True)
        )
        return cls(*columns)

    def of_latent(self, latent: int) -> "Peaks":
        """The peaks of one latent, strongest first. Peaks are in order of latents."""
        inside = slice(*np.searchsorted(self.latent_P, [latent, latent + 1]))
        order = np.argsort(-self.value_P[inside], kind="stable")
        return Peaks(*(getattr(self, name)[inside][order] for name in vars(self)))

    def once_each(self, group_R: Int[ndarray, " R"]) -> "Peaks":
        """The first rollout of each group alone."""
        _, first = np.unique(group_R[self.rollout_P], return_index=True)
        return Peaks(*(values[np.sort(first)] for values in vars(self).values()))

    def sorted(self) -> "Peaks":
        """In order of latents."""
        order = np.argsort(self.latent_P, kind="stable")
        return Peaks(*(values[order] for values in vars(self).values()))


def select_examples(peaks: Peaks, top: int, halves: int) -> list[int]:
    """Indices into the peaks of one latent, strongest first: the first `top`; `halves` of the upper half of its range
    that are not among them, and `halves` of the lower half. -1 where there are no more."""
    value_P = peaks.value_P
    chosen = list(range(min(top, len(value_P))))
    places = chosen + [-1] * (top - len(chosen))
    if not len(value_P):
        return places + [-1] * (2 * halves)
    share_P = value_P / value_P[0]
    for place, inside_P in ((UPPER_PLACE, share_P > 0.5), (LOWER_PLACE, share_P <= 0.5)):
        free = [index for index in np.flatnonzero(inside_P).tolist() if index not in chosen]
        nearest = sorted(free, key=lambda index: abs(share_P[index] - place))[:halves]
        chosen += nearest
        places += sorted(nearest) + [-1] * (halves - len(nearest))
    return places


def add_examples(
    report: Report,
    latents: Int[ndarray, " A"],
    own: list[Peaks],
    probe: list[Peaks],
    problem_R: Int[ndarray, " R"],
    text_R: Int[ndarray, " R"],
    count: int,
) -> dict[str, object] | None:
    """Add the examples of every latent shown: of the checkpoints' own text, and the strongest of the probe text.

    Of the answers to one problem the strongest alone is an example, and of equal answers to several problems too: they
    are alike. `problem_R` and `text_R` are the problem and the text of each rollout, by number."""
    if not own and not probe:
        return None
    halves = max(1, count // 2) if own else 0
    columns = [TOP] * count + [UPPER] * halves + [LOWER] * halves if own else []
    corpora = [OWN] * len(columns) + ([PROBE] * halves if probe and own else [PROBE] * count if probe else [])
    quantiles = columns + [TOP] * (len(corpora) - len(columns))
    rollout = np.full((len(latents), len(corpora)), -1)
    position, value = np.zeros(rollout.shape, int), np.full(rollout.shape, np.nan)
    plans = [(Peaks.concat(own).sorted(), count if own else 0, halves, 0)]
    plans += [(Peaks.concat(probe).sorted(), len(corpora) - len(columns), 0, len(columns))]
    for peaks, top, half, first in plans:
        for row, latent in enumerate(latents.tolist()):
            one = peaks.of_latent(latent).once_each(text_R).once_each(problem_R)
            for column, index in enumerate(select_examples(one, top, half), first):
                if index >= 0:
                    rollout[row, column], position[row, column] = one.rollout_P[index], one.position_P[index]
                    value[row, column] = one.value_P[index]
    return {
        "rollout": report.add("examples.rollout", rollout, "i4"),
        "position": report.add("examples.position", position, "u4"),
        "value": report.add("examples.value", value, "f4"),
        "quantile": quantiles,
        "corpus": corpora,
    }
