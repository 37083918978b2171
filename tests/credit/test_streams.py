"""Recorded draws: a run is repeated from its seed, so no stream of random numbers may change unseen."""

from grpo_fixtures import make_rollout

from interp.credit import RewardSubsample
from interp.credit.base import Credit, RolloutBatch
from interp.credit.random import PositionMatched, RandomTokens

RANDOM = ["xx.", "xxxx", "..xxx", ".x.", ".x.x", "....x", ".xx", "xxxx"]
RANDOM_OF_ANOTHER_SEED = ["x..", "x.xx", ".x..x", ".xx", ".x.x", "xxxxx", "xx.", "..x."]
RANDOM_OF_ANOTHER_STEP = ["xx.", "x.xx", "xx.x.", "xxx", "..xx", ".x..x", "x..", "...x"]
MATCHED = [".xx", "...x", ".xx..", "xxx", "..xx", "...xx", ".x.", ".xx."]
PAID = [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]


def batch(step: int = 0, seed: int = 3) -> RolloutBatch:
    """Two groups of four, of 3, 4 and 5 tokens in turn."""
    rollouts = [
        make_rollout(
            1.0,
            valid=n % 2 == 0,
            problem=f"p{n // 4}",
            sample=n % 4,
            step=step,
            length=3 + n % 3,
            entropies=tuple(float(place * (n + 1) % 5) for place in range(3 + n % 3)),
        )
        for n in range(8)
    ]
    return RolloutBatch.from_rollouts(rollouts, 4, seed=seed)


def selected(credit: Credit) -> list[str]:
    """For each rollout, a mark where a token has weight."""
    lengths = [3 + n % 3 for n in range(8)]
    rows = zip(credit.weights_BL.tolist(), lengths, strict=True)
    return ["".join("x" if weight else "." for weight in row[:length]) for row, length in rows]


def test_random_tokens_are_those_recorded():
    assert selected(RandomTokens(0.4)(batch())) == RANDOM
    assert selected(RandomTokens(0.4)(batch(seed=4))) == RANDOM_OF_ANOTHER_SEED
    assert selected(RandomTokens(0.4)(batch(step=1))) == RANDOM_OF_ANOTHER_STEP


def test_tokens_matched_by_position_are_those_recorded():
    assert selected(PositionMatched(0.4)(batch())) == MATCHED


def test_paid_successes_are_those_recorded():
    paid = RewardSubsample(lucky_paid=0.5, valid_paid=0.5)(batch()).gate_B.tolist()
    assert paid == PAID
    assert RewardSubsample(valid_paid=0.5)(batch()).gate_B.tolist() == [
        p if n % 2 == 0 else 1 for n, p in enumerate(PAID)
    ]
    assert RewardSubsample(lucky_paid=0.5)(batch()).gate_B.tolist() == [p if n % 2 else 1 for n, p in enumerate(PAID)]
