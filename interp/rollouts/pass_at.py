"""pass@k: would one of k tries have been right?

Of n rollouts of a problem, c of them right, a set of k drawn without replacement holds a right one with probability
1 - C(n-c, k) / C(n, k): the unbiased estimate of https://arxiv.org/abs/2107.03374. It is worked out in whole numbers,
so nothing overflows and nothing cancels. Over problems it is a mean, with the problems as trials.

Right is told in two ways. By the answer alone, a large k finds every problem whose answer can be guessed; by every
step, it finds those that the policy can work out.
"""

import math
from collections import defaultdict
from collections.abc import Iterable

from interp.artifacts import BadInput
from interp.rollouts.intervals import Share, share
from interp.rollouts.record import Rollout

JUDGEMENTS = ("correct", "valid")


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that k of n rollouts, c of which are right, hold a right one."""
    if not 0 <= c <= n:
        raise BadInput(f"expected 0 to n = {n} right rollouts; got {c}")
    if not 1 <= k <= n:
        raise BadInput(
            f"pass@k needs k from 1 to the n = {n} rollouts of a problem; got k = {k}: draw more, or ask less"
        )
    sets = math.comb(n, k)
    return (sets - math.comb(n - c, k)) / sets


def pass_at(rollouts: Iterable[Rollout], k: int, judgement: str = "correct") -> Share:
    """Over problems, whose number is `n`. A problem with a rollout that could not be judged is left out: since only a
    right answer can fail to be judged, read `valid` beside how many problems are left, and beside `judged_share`."""
    if judgement not in JUDGEMENTS:
        raise BadInput(f"judgement must be one of {', '.join(JUDGEMENTS)}; got {judgement!r}")
    judged: dict[str, list[bool | None]] = defaultdict(list)
    for rollout in rollouts:
        judged[rollout.prompt].append(getattr(rollout, judgement))  # asked twice is still one problem
    known = [judgements for judgements in judged.values() if None not in judgements]
    return share([pass_at_k(len(rows), sum(map(bool, rows)), k) for rows in known], [1] * len(known))
