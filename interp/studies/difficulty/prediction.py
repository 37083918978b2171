"""What arithmetic alone predicts: the positive advantage a group of a given pass rate hands out.

With k successes of G the standardised advantage of a success is sqrt((G - k) / k) and there are k of them; centred
only, it is (G - k) / G. Averaged over k this is an inverted U in the pass rate, the same for lucky and for valid
successes.
"""

import math


def positive_mass(pass_rate: float, group: int, *, standardised: bool) -> float:
    """Expected sum of positive advantages in a group (population deviation)."""
    total = 0.0
    for k in range(1, group):
        chance = math.comb(group, k) * pass_rate**k * (1 - pass_rate) ** (group - k)
        total += chance * (math.sqrt(k * (group - k)) if standardised else k * (group - k) / group)
    return total


def contrast(pass_rate: float, group: int) -> float:
    """The chance that a group holds both successes and failures."""
    return 1 - pass_rate**group - (1 - pass_rate) ** group
