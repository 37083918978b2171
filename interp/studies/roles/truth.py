"""What interchange says carries a thing, and how well the latents that passed so many gates agree with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from interp.features.interchange import Interchanged, Pair

SURE = 2.58
"""Standard errors over pairs by which a latent's effect must lie above none (99%)."""
SHARE = 0.02
"""Of what the whole residual does, at least: carriers do something that counts."""


@dataclass(frozen=True)
class Truth:
    """Of one thing: all that carry some value of it."""

    effect_F: Float[ndarray, " F"]
    """The largest over values, as a share of the whole residual's."""
    carriers: frozenset[int]


def truth(pairs: Sequence[Pair], found: Interchanged) -> Truth:
    """A latent may stand for one value only: effects are told value by value, of pairs that are about it."""
    nexts_P2 = np.array([(pair.next, pair.other_next) for pair in pairs])
    effect_F, carries_F = np.zeros(found.moved_PF.shape[1]), np.zeros(found.moved_PF.shape[1], bool)
    for value in np.unique(nexts_P2):
        mine_P = (nexts_P2 == value).any(1)
        moved_PF, whole = found.moved_PF[mine_P], float(found.whole_P[mine_P].mean())
        if whole <= 0:
            continue  # the policy does not heed it: there is nothing to carry
        mean_F = moved_PF.mean(0)
        error_F = moved_PF.std(0, ddof=1) / np.sqrt(len(moved_PF))
        effect_F = np.maximum(effect_F, mean_F / whole)
        carries_F |= (mean_F > SURE * error_F) & (mean_F >= SHARE * whole) & (mean_F > 0)
    return Truth(effect_F, frozenset(np.flatnonzero(carries_F).tolist()))


def agreement(known: Truth, said: Sequence[int]) -> dict[str, Any]:
    """Precision is None where nothing was said, recall where there is nothing to find."""
    hits = known.carriers & set(said)
    told, every = (float(known.effect_F[sorted(held)].sum()) for held in (hits, known.carriers))
    return {
        "said": len(said),
        "hits": len(hits),
        "carriers": len(known.carriers),
        "precision": len(hits) / len(said) if said else None,
        "recall": len(hits) / len(known.carriers) if known.carriers else None,
        "recall by effect": told / every if known.carriers else None,
    }


def false_alarms(known: Truth, passed: Mapping[int, bool]) -> dict[str, Any]:
    """Of latents drawn at random that do not carry it, how many passed."""
    others = [ok for latent, ok in passed.items() if latent not in known.carriers]
    return {"others": len(others), "passed": sum(others), "rate": sum(others) / len(others) if others else None}
