"""One step by itself: what is collected, what a batch is settled to, its gradient, and what is measured of it."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from conftest import FAMILIES, tiny_policy
from grpo_world import FirstWord, a_row, small

from interp.artifacts import BadInput
from interp.credit.base import Credit, RolloutBatch, of_mean_one
from interp.grpo import OBJECTIVES, GRPOConfig
from interp.grpo import learner as learning
from interp.grpo.advantages import Collected, Collector, settle
from interp.grpo.learner import Learner, Optimiser, micro_batches
from interp.grpo.metrics import measured
from interp.grpo.prompts import prompts_for
from interp.organism import shipped
from interp.policy import Policy
from interp.policy.score import logprobs_and_entropies
from interp.tasks import Chain

PLAIN = replace(OBJECTIVES["grpo"], scale="none")


def collected(policy, config, credit=None):
    prompts = prompts_for(FirstWord(), None, steps=config.steps, seed=config.seed)
    return Collector(FirstWord(), prompts, config, credit, "run").collect(policy, 0, 0)


def gradient_of(learner, batch, advantages_BL, train_BL, taught_BL=None):
    """As the learner leaves it on the weights, before they move."""
    weights_BL = learning.shares(train_BL, learner.config.objective().reduction, 8)
    taught_BL = train_BL & (advantages_BL != 0) if taught_BL is None else taught_BL
    learner._accumulate(batch, advantages_BL, weights_BL, taught_BL, None, learning.Updated())
    gradient = torch.cat([p.grad.flatten() for p in learner.policy.model.parameters()])
    learner.optimiser.forget()
    return gradient


def half_of(batch):
    """Credit that leaves every other token without any."""
    weights_BL = batch.mask_BL.float()
    weights_BL[:, ::2] = 0
    return Credit(torch.ones(len(batch.rows)), of_mean_one(weights_BL, batch.mask_BL))


# --- what a batch is settled to ----------------------------------------------------------------------------------


def hand_batch(*rewards, group=4, length=2, **changes):
    return RolloutBatch.of([a_row(reward, length=length, **changes) for reward in rewards], group)


def test_the_gate_closes_before_the_baseline_is_taken():
    batch = hand_batch(1, 1, 0, 0)

    def gated(batch):
        return Credit(torch.tensor([0.0, 1, 1, 1]), batch.mask_BL.float())

    settled = settle(batch, gated, PLAIN, 8)
    earned_B, advantages_BL = settled.earned_B, settled.advantages_BL
    assert earned_B.tolist() == [0, 1, 0, 0]
    assert advantages_BL.tolist() == [[-0.25, -0.25], [0.75, 0.75], [-0.25, -0.25], [-0.25, -0.25]]


def test_weights_are_applied_after_the_baseline_and_fines_before_it():
    batch = hand_batch(1, 0, 0, 1, length=8)

    def tilted(batch):
        return Credit(torch.ones(4), torch.tensor([2.0, 0.0] * 4).repeat(4, 1))

    settled = settle(batch, tilted, PLAIN, 8)
    earned_B, advantages_BL = settled.earned_B, settled.advantages_BL
    assert earned_B.tolist() == [1, 0, 0, 1] and advantages_BL[:2, :3].tolist() == [[1, 0, 1], [-1, 0, -1]]
    earned_B = settle(batch, None, replace(PLAIN, fine_from=0.5), 10).earned_B
    assert earned_B.tolist() == pytest.approx([0.4, -0.6, -0.6, 0.4])


def test_a_gate_that_closes_on_all_successes_leaves_no_advantage():
    batch = hand_batch(1, 1, 0, 0, 1, 0, 0, 0)
    shut = Credit(1 - batch.rewards_B, batch.mask_BL.float())
    assert not settle(batch, lambda batch: shut, OBJECTIVES["grpo"], 8).advantages_BL.any()


def test_a_scheme_that_returns_nonsense_is_refused():
    with pytest.raises(BadInput, match=r"a gate must lie in \[0, 1\]"):
        settle(hand_batch(1, 0, group=2), lambda batch: Credit(torch.full((2,), 2.0), batch.mask_BL.float()), PLAIN, 8)


def test_with_a_loss_that_masks_them_truncated_rollouts_do_not_count():
    got = collected(tiny_policy(), small(loss="dapo", redraw=False))
    truncated_B = torch.tensor([row.truncated for row in got.rows])
    assert truncated_B.any() and not truncated_B.all()
    assert torch.equal(got.train_BL, got.batch.mask_BL & ~truncated_B[:, None])


# --- its gradient ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch():
    """Rollouts of the tiny policy, some of its groups without contrast."""
    got = collected(tiny_policy(), small(prompts=12, group=2))
    silent_B = (got.advantages_BL == 0).all(1)
    assert 4 <= silent_B.sum() < 24
    return got


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_reinforce_by_hand(family):
    policy, config = tiny_policy(family), small()
    got = collected(policy, config, credit=half_of)
    ours = gradient_of(Learner(policy, config), got.batch, got.advantages_BL, got.train_BL)
    total = torch.zeros(())
    for at, row in enumerate(got.batch.rows):
        ids = torch.tensor([[*row.prompt_ids, *row.tokens]])
        logits = policy.model(ids).logits[:, len(row.prompt_ids) - 1 : -1]
        logprobs, _ = logprobs_and_entropies(logits, ids[:, len(row.prompt_ids) :])
        total = total - (logprobs[0] * got.advantages_BL[at, : len(row.tokens)]).sum() / len(row.tokens) / 16
    theirs = torch.autograd.grad(total, list(policy.model.parameters()))
    torch.testing.assert_close(ours, torch.cat([g.flatten() for g in theirs]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("micro_tokens", [1, 40, 100])
def test_the_gradient_is_the_same_however_the_batch_is_cut(batch, micro_tokens):
    whole, cut = (
        gradient_of(
            Learner(tiny_policy(), small(update={"micro_tokens": size})),
            batch.batch,
            batch.advantages_BL,
            batch.train_BL,
        )
        for size in (4096, micro_tokens)
    )
    assert float((whole - cut).abs().max()) < 1e-6 * float(whole.abs().max())


def test_micro_batches_hold_each_row_once_and_keep_within_their_tokens(batch):
    which_B = torch.arange(24) % 3 > 0
    cut = list(micro_batches(batch.batch, which_B, 40))
    assert sorted(at for part in cut for at in part) == which_B.nonzero()[:, 0].tolist() and len(cut) > 4
    for part in cut:
        rows = [batch.batch.rows[at] for at in part]
        width = max(len(row.tokens) for row in rows) + max(len(row.prompt_ids) for row in rows)
        assert len(part) * width <= 40


def test_rows_without_advantage_are_left_out_and_the_gradient_is_the_same(batch, monkeypatch):
    seen: Counter[str] = Counter()
    forward = learning.completion_logits_of_groups

    def counted(model, prompts, completions, pad):
        seen[which] += len(prompts)
        return forward(model, prompts, completions, pad)

    monkeypatch.setattr(learning, "completion_logits_of_groups", counted)
    learner = Learner(tiny_policy(), small())
    given = (batch.batch, batch.advantages_BL, batch.train_BL)
    which = "without"
    without = gradient_of(learner, *given)
    which = "with"
    complete = gradient_of(learner, *given, taught_BL=batch.train_BL)
    assert seen == {"with": 24, "without": int((batch.advantages_BL != 0).any(1).sum())}
    torch.testing.assert_close(without, complete, atol=1e-6, rtol=1e-6)


def test_the_ratio_of_a_completion_is_that_of_all_its_tokens_credited_or_not(batch, monkeypatch):
    given: list[tuple[torch.Tensor, ...]] = []
    surrogate = learning.surrogate

    def noted(objective, new, old, advantages, mask):
        given.append((new.detach(), old, mask))
        return surrogate(objective, new, old, advantages, mask)

    monkeypatch.setattr(learning, "surrogate", noted)
    got = collected(tiny_policy(), small(loss="gspo"), credit=half_of)
    learner = Learner(tiny_policy(), small(loss="gspo", update={"inner_epochs": 2}))
    learner.update(got.batch, got.advantages_BL, got.train_BL, 0)
    (_, _, first), (new, old, second) = given
    taught = int((got.advantages_BL != 0).any(1).sum())
    lengths = sorted(len(row.tokens) for row, kept in zip(got.batch.rows, got.advantages_BL, strict=True) if kept.any())
    assert first.sum(1).tolist() == second.sum(1).tolist() == lengths and len(lengths) == taught
    assert ((new != old) & second).sum() > 0.9 * sum(lengths) and (old[second] < 0).all()


def test_an_update_that_is_not_a_number_leaves_the_weights_and_no_gradient(batch):
    spoilt, spared = (Learner(tiny_policy(), small()) for _ in range(2))
    before = spoilt.policy.fingerprint()
    for bad in (float("nan"), float("inf"), 1e38):
        with pytest.raises(FloatingPointError, match="loss .*, norm of the gradient "):
            spoilt.update(batch.batch, batch.advantages_BL * bad, batch.train_BL, 0)
        assert spoilt.policy.fingerprint() == before and not spoilt.optimiser.adam.state
    for learner in (spoilt, spared):
        learner.update(batch.batch, batch.advantages_BL, batch.train_BL, 0)
    assert spoilt.policy.fingerprint() == spared.policy.fingerprint() != before


def test_beta_pulls_every_rollout_towards_the_base(batch):
    config = small(update={"beta": 0.5})
    learner = Learner(tiny_policy(seed=1), config)  # a base of its own, which gave these rollouts another chance
    learner.policy.model.load_state_dict(tiny_policy().model.state_dict())
    before = learner.kl_to_base(batch.batch)
    for step in range(3):
        assert learner.update(batch.batch, torch.zeros_like(batch.advantages_BL), batch.train_BL, step).loss > 0
    after = collected(learner.policy, small(prompts=12, group=2))
    assert learner.kl_to_base(after.batch) < before


def test_the_kl_to_the_base_is_the_mean_over_all_tokens(batch):
    learner = Learner(tiny_policy(seed=1), small(update={"micro_tokens": 40}))
    rows = batch.batch.rows
    base, _ = learner.base.score([list(row.prompt_ids) for row in rows], [list(row.tokens) for row in rows])
    beyond_BL = base - batch.batch.logprobs_BL
    k3_BL = (beyond_BL.exp() - 1 - beyond_BL) * batch.batch.mask_BL
    assert learner.kl_to_base(batch.batch) == pytest.approx(float(k3_BL.sum() / batch.batch.mask_BL.sum()), rel=1e-4)


# --- the optimiser -----------------------------------------------------------------------------------------------


def test_the_learning_rate_rises_to_what_it_was_set_to():
    optimiser = Optimiser(torch.nn.Linear(1, 1), small(update={"lr": 0.3, "warm_up": 3}).update)
    rates = []
    for at in range(5):
        optimiser.step(at)
        rates.append(optimiser.adam.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3])


def test_an_update_ends_in_the_same_bits_with_several_threads_too():
    """The gradient of what a group shares is a sum over its rows, which threads would make in any order."""
    base, threads = Policy.load(shipped(), device="cpu"), torch.get_num_threads()
    config = GRPOConfig(prompts=16)
    got = Collector(Chain(), prompts_for(Chain(), "hard", steps=1, seed=0), config, None, "run").collect(base, 0, 0)
    try:
        torch.set_num_threads(2)
        learners = [Learner(base, config) for _ in range(3)]
        for learner in learners:
            learner.update(got.batch, got.advantages_BL, got.train_BL, 0)
    finally:
        torch.set_num_threads(threads)
    assert len({learner.policy.fingerprint() for learner in learners}) == 1
    assert not torch.are_deterministic_algorithms_enabled()  # and the caller's choice stands


def test_gradients_of_half_precision_weights_are_summed_in_float32():
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    optimiser = Optimiser(model, small(update={"max_norm": 1e9}).update)
    for piece in (256.0, 1.0, 1.0, 1.0):  # in bfloat16, 256 + 1 is 256
        model.weight.grad = torch.full_like(model.weight, piece)
        optimiser.take_up_gradients()
    assert optimiser.clip().item() == 259.0


def test_steps_too_small_for_half_precision_add_up():
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    model.weight.data.fill_(1.0)  # whose neighbour above is 1 + 2^-7
    optimiser, seen = Optimiser(model, small(update={"lr": 1e-3}).update), []
    for at in range(10):
        model.weight.grad = torch.full_like(model.weight, -1.0)
        optimiser.take_up_gradients()
        optimiser.step(at)
        seen.append(model.weight.item())
    assert seen[:3] == [1.0] * 3 and seen[-1] == 1 + 2**-7
    assert optimiser.weights()["weight"].item() == pytest.approx(1.01, abs=1e-4)


def test_a_gradient_is_scaled_down_to_the_largest_norm_and_told_as_it_was():
    model = torch.nn.Linear(2, 1, bias=False)
    optimiser = Optimiser(model, small(update={"max_norm": 0.5}).update)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    assert float(optimiser.clip()) == 5 and float(model.weight.grad.norm()) == pytest.approx(0.5, rel=1e-4)


# --- what is measured --------------------------------------------------------------------------------------------


def test_what_a_step_shows_of_itself_is_counted_by_hand():
    rows = [a_row(1, valid=True, format="chain"), a_row(1, valid=False, format="direct"), a_row(1, valid=None)]
    rows += [a_row(1, valid=True, length=6)]  # all right
    rows += [a_row(1, valid=False), *(a_row(0) for _ in range(3))]  # a lone success, of luck
    rows += [
        *(a_row(0, truncated=True, entropies=(0.5, 0.5, 0.5, 2.5)) for _ in range(3)),
        a_row(0, format="malformed"),
    ]
    batch = RolloutBatch.of(rows[4:8], 4)
    settled = settle(batch, lambda b: Credit(torch.full((4,), 0.5), b.mask_BL.float()), PLAIN, 8)
    got = measured(Collected(batch, settled, batch.mask_BL, 3, rows), 4)
    assert got == pytest.approx(
        {
            "reward": 5 / 12,
            "pass_rate": 5 / 12,
            "valid_rate": 2 / 11,  # of those that were judged
            "lucky_share": 2 / 5,  # of those that were rewarded
            "direct_share": 1 / 12,
            "malformed_share": 1 / 12,
            "truncated_share": 3 / 12,
            "length": 50 / 12,
            "entropy_nats_per_token": (47 * 0.5 + 3 * 2.5) / 50,
            "zero_variance_share": 2 / 3,
            "all_right_share": 1 / 3,
            "lone_success_share": 1 / 3,
            "mixed_groups": 1,
            "groups_drawn": 3,
            "gate": 0.5,
            "tokens": 50,
        }
    )


def test_what_nobody_judged_or_earned_is_unknown_and_not_zero():
    rows = [a_row(0, valid=None) for _ in range(4)]
    batch = RolloutBatch.of(rows, 4)
    got = measured(Collected(batch, settle(batch, None, PLAIN, 8), batch.mask_BL, 1, rows), 4)
    assert got["valid_rate"] is None and got["lucky_share"] is None and got["zero_variance_share"] == 1
