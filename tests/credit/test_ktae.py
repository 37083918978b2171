"""KTAE: Fisher's test as scipy has it, information gain by its definition, and credit solved by hand."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from grpo_fixtures import make_rollout
from scipy.stats import fisher_exact

from interp.artifacts import BadInput
from interp.credit import KTAE, RolloutBatch
from interp.credit.ktae import associations, fisher_p, information_gain, token_associations

TABLES = [(a, b, c, w) for c, w in itertools.product(range(6), repeat=2) if c + w
          for a in range(c + 1) for b in range(w + 1)]  # fmt: skip
"""Every table of up to five right and five wrong rollouts."""


def columns(tables) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(column) for column in zip(*tables, strict=True))


def batch_of(*tokens, rewards, group: int = 4) -> RolloutBatch:
    rollouts = [
        make_rollout(reward, length=len(ids), tokens=tuple(ids)) for ids, reward in zip(tokens, rewards, strict=True)
    ]
    return RolloutBatch.from_rollouts(rollouts, group)


# --- statistics ----------------------------------------------------------------------------------------------------


def test_p_is_that_of_fishers_exact_test():
    p = fisher_p(*(x.double() for x in columns(TABLES)))
    expected = [fisher_exact([[a, c - a], [b, w - b]])[1] for a, b, c, w in TABLES]
    assert p.tolist() == pytest.approx(expected, abs=1e-9)


def test_p_of_a_large_group_is_exact_too():
    table = (40, 3, 64, 64)
    p = fisher_p(*(torch.tensor([x]).double() for x in table))
    assert float(p) == pytest.approx(fisher_exact([[40, 24], [3, 61]])[1], rel=1e-8)


def test_information_gain_is_the_share_of_entropy_that_presence_removes():
    def entropy(*counts: float) -> float:
        shares = [count / sum(counts) for count in counts if count]
        return -sum(share * math.log(share) for share in shares)

    gains = information_gain(*(x.double() for x in columns(TABLES))).tolist()
    for (a, b, c, w), gain in zip(TABLES, gains, strict=True):
        if not (c and w):
            assert gain == 0
            continue
        parts = [(a, b), (c - a, w - b)]
        left = sum(sum(part) / (c + w) * entropy(*part) for part in parts if sum(part))
        assert gain == pytest.approx(1 - left / entropy(c, w), abs=1e-9)


def test_an_association_has_the_sign_of_the_difference_and_is_mirrored():
    a, b, c, w = columns(TABLES)
    association = associations(a, b, c, w)
    assert association.isfinite().all() and (association.abs() <= 1).all()
    for (a_, b_, c_, w_), value in zip(TABLES, association.tolist(), strict=True):
        difference = a_ / c_ - b_ / w_ if c_ and w_ else 0
        assert (value > 0, value < 0) == (difference > 1e-12, difference < -1e-12)
    assert associations(b, a, w, c).tolist() == pytest.approx((-association).tolist())


def test_more_rollouts_of_the_same_shares_are_stronger_evidence():
    values = associations(*columns([(n, 0, n, n) for n in (1, 2, 4, 8)])).tolist()
    assert values == sorted(values) and values[0] == pytest.approx(0.5) and values[-1] > 0.99


# --- credit --------------------------------------------------------------------------------------------------------

GROUP = ((5, 10), (5, 10), (5, 11), (5, 11, 11))
"""Token 5 is in every rollout, 10 in the first two, 11 in the others."""
ASSOCIATION = (1 - 1 / 3 + 1) / 2  # p = 2 / 6: of the ways to choose two of four, the two as extreme; gain of all


def test_tokens_of_the_right_rollouts_alone_are_credited_and_those_of_the_wrong_alone_blamed():
    batch = batch_of(*GROUP, rewards=(1, 1, 0, 0))
    association_BL, right_B = token_associations(batch)
    assert right_B.tolist() == [True, True, False, False]
    assert association_BL[0].tolist() == pytest.approx([0, ASSOCIATION, 0])
    assert association_BL[3].tolist() == pytest.approx([0, -ASSOCIATION, -ASSOCIATION])
    high = 1 + 0.9 * ASSOCIATION
    weights_BL = KTAE()(batch).validate(batch).weights_BL
    assert weights_BL[1].tolist() == pytest.approx([2 / (1 + high), 2 * high / (1 + high), 0])
    assert weights_BL[3].tolist() == pytest.approx([3 / (1 + 2 * high), *[3 * high / (1 + 2 * high)] * 2])


def test_a_wrong_rollout_is_spared_the_tokens_that_the_right_ones_have():
    batch = batch_of((5, 10), (5, 10), (5, 11), (5, 11, 10), rewards=(1, 1, 0, 0))
    weights = KTAE()(batch).weights_BL[3].tolist()
    assert weights[1] > weights[0] > weights[2] > 0


def test_without_gain_every_token_weighs_the_same():
    batch = batch_of(*GROUP, rewards=(1, 1, 0, 0))
    assert torch.equal(KTAE(gain=0.0)(batch).weights_BL, batch.mask_BL.float())


@pytest.mark.parametrize("rewards", [(1, 1, 1, 1), (0, 0, 0, 0), (0.5,) * 4, (1, float("nan"), 0, 0)])
def test_a_group_without_a_difference_that_can_be_read_is_weighted_evenly(rewards):
    batch = batch_of(*GROUP, rewards=(1, 1, 0, 0))
    batch = replace(batch, rewards_B=torch.tensor(rewards))
    assert torch.equal(KTAE()(batch).validate(batch).weights_BL, batch.mask_BL.float())


def test_a_rollout_is_right_if_its_reward_is_above_the_mean_of_its_group():
    graded = batch_of(*GROUP, rewards=(0.9, 0.8, 0.1, -1))
    assert torch.equal(KTAE()(graded).weights_BL, KTAE()(batch_of(*GROUP, rewards=(1, 1, 0, 0))).weights_BL)


def test_padding_is_no_token_even_if_its_id_is_written():
    batch = batch_of((5, 10, 0), (5, 10, 0), (5, 11), (5, 11), rewards=(1, 1, 0, 0))
    association_BL, _ = token_associations(batch)
    assert association_BL[0].tolist() == pytest.approx([0, ASSOCIATION, ASSOCIATION])
    assert association_BL[2].tolist() == pytest.approx([0, -ASSOCIATION, 0])


def test_each_group_has_its_own_statistics():
    both = batch_of(*GROUP, *GROUP, rewards=(1, 1, 0, 0, 0, 0, 1, 1))
    association_BL, _ = token_associations(both)
    assert association_BL[:4].any() and torch.allclose(association_BL[4:], -association_BL[:4])


def test_rollouts_without_tokens_are_in_the_tables_and_get_no_weight():
    batch = batch_of((10,), (), (), (11,), rewards=(1, 0, 0, 0))
    assert KTAE()(batch).validate(batch).weights_BL.tolist() == [[1], [0], [0], [1]]
    empty = batch_of((), (), (), (), rewards=(1, 0, 0, 0))
    assert KTAE()(empty).validate(empty).weights_BL.shape == (4, 0)


def test_a_gain_above_one_is_refused_since_weights_would_be_negative():
    with pytest.raises(BadInput, match="gain must lie between 0 and 1; got 1.5"):
        KTAE(gain=1.5)
