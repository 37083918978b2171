"""pass@k: the probability that at least one of k rollouts of a problem is correct.

Of n rollouts of a problem, c of them correct, a set of k drawn without replacement holds a correct one with probability

    pass@k = 1 - C(n - c, k) / C(n, k)

the unbiased estimate of https://arxiv.org/abs/2107.03374, computed in whole numbers, so that nothing overflows and
nothing cancels. Over problems it is averaged, with an interval that counts problems.

Success means a correct answer, or a valid chain. For correct answers, a large k finds every problem whose answer can be
guessed; for valid chains, it finds the problems that the policy can solve step by step.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from interp.artifacts import BadInput
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    from interp.stats import Estimate

CRITERIA = ("correct", "valid")


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that k of n rollouts, c of which are correct, hold a correct one."""
    if not 0 <= c <= n:
        raise BadInput(f"expected 0 to n = {n} correct rollouts; got {c}")
    if not 1 <= k <= n:
        raise BadInput(
            f"pass@k needs k from 1 to the n = {n} rollouts of a problem; got k = {k}: sample more, or lower k"
        )
    sets = math.comb(n, k)
    return (sets - math.comb(n - c, k)) / sets


def mean_pass_at_k(rollouts: Iterable[Rollout], k: int, criterion: str = "correct") -> "Estimate":
    """Mean of pass@k over problems, with `correct` or `valid` as success; `n` is the number of problems.

    A problem with a rollout of unknown validity is left out of `valid`. Only correct rollouts can have unknown
    validity, so read `valid` together with the number of problems that remain and with `judged_share`."""
    from interp.stats import clustered_share

    if criterion not in CRITERIA:
        raise BadInput(f"criterion must be one of {', '.join(CRITERIA)}; got {criterion!r}")
    outcomes: dict[str, list[bool | None]] = defaultdict(list)
    for rollout in rollouts:
        outcomes[rollout.prompt].append(getattr(rollout, criterion))  # a prompt that occurs twice is one problem
    complete = [group for group in outcomes.values() if None not in group]
    return clustered_share([pass_at_k(len(group), sum(map(bool, group)), k) for group in complete], [1] * len(complete))
