"""The parts of one step: advantages of a batch, its gradient, the optimizer, and its metrics."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from conftest import FAMILIES, tiny_policy
from grpo_fixtures import FirstWord, make_rollout, small_config

from interp.credit.base import Credit, RolloutBatch, normalize_weights
from interp.grpo import OBJECTIVES, GRPOConfig
from interp.grpo import learner as learner_module
from interp.grpo.advantages import assign_advantages
from interp.grpo.batches import Collector, StepBatch
from interp.grpo.learner import Learner, Optimizer, micro_batches
from interp.grpo.metrics import step_metrics
from interp.grpo.sources import problem_source
from interp.organism import shipped_path
from interp.policy import Policy
from interp.policy.score import logprobs_and_entropies
from interp.tasks import Chain

PLAIN = replace(OBJECTIVES["grpo"], scale="none")


def collect_batch(policy, config, credit=None):
    source = problem_source(FirstWord(), None, steps=config.steps, seed=config.seed)
    return Collector(FirstWord(), source, config, credit, "run").collect(policy, 0, 0)


def inputs_of(step_batch):
    """What an update takes from a step's batch."""
    return step_batch.rollout_batch, step_batch.advantages_BL, step_batch.loss_mask_BL


def gradient_of(learner, batch, advantages_BL, mask_BL, trained_BL=None):
    """The gradient that the learner leaves on the weights before it steps."""
    weights_BL = learner_module.token_weights(mask_BL, learner.config.objective().reduction, 8)
    trained_BL = mask_BL & (advantages_BL != 0) if trained_BL is None else trained_BL
    learner._accumulate(batch, advantages_BL, weights_BL, trained_BL, None, learner_module.UpdateStats())
    gradient = torch.cat([p.grad.flatten() for p in learner.policy.model.parameters()])
    learner.optimizer.zero_grad()
    return gradient


def credit_every_other_token(batch):
    """Credit with weight zero on every other token."""
    weights_BL = batch.mask_BL.float()
    weights_BL[:, ::2] = 0
    return Credit(torch.ones(len(batch.rollouts)), normalize_weights(weights_BL, batch.mask_BL))


def test_dapo_leaves_truncated_rollouts_out_of_the_loss():
    step_batch = collect_batch(tiny_policy(), small_config(loss="dapo", redraw=False))
    truncated_B = torch.tensor([row.truncated for row in step_batch.rollouts])
    assert truncated_B.any() and not truncated_B.all()
    assert torch.equal(step_batch.loss_mask_BL, step_batch.rollout_batch.mask_BL & ~truncated_B[:, None])


# --- the gradient ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def step_batch():
    """A batch of the tiny policy in which some groups have equal rewards."""
    step_batch = collect_batch(tiny_policy(), small_config(prompts=12, group=2))
    silent_B = (step_batch.advantages_BL == 0).all(1)
    assert 4 <= silent_B.sum() < 24
    return step_batch


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_equals_reinforce_by_hand(family):
    policy, config = tiny_policy(family), small_config()
    step_batch = collect_batch(policy, config, credit=credit_every_other_token)
    ours = gradient_of(Learner(policy, config), *inputs_of(step_batch))
    total = torch.zeros(())
    for index, row in enumerate(step_batch.rollout_batch.rollouts):
        ids = torch.tensor([[*row.prompt_ids, *row.tokens]])
        logits = policy.model(ids).logits[:, len(row.prompt_ids) - 1 : -1]
        logprobs, _ = logprobs_and_entropies(logits, ids[:, len(row.prompt_ids) :])
        total = total - (logprobs[0] * step_batch.advantages_BL[index, : len(row.tokens)]).sum() / len(row.tokens) / 16
    theirs = torch.autograd.grad(total, list(policy.model.parameters()))
    torch.testing.assert_close(ours, torch.cat([g.flatten() for g in theirs]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("micro_tokens", [1, 40, 100])
def test_the_gradient_does_not_depend_on_micro_tokens(step_batch, micro_tokens):
    whole, small_batches = (
        gradient_of(Learner(tiny_policy(), small_config(update={"micro_tokens": size})), *inputs_of(step_batch))
        for size in (4096, micro_tokens)
    )
    assert float((whole - small_batches).abs().max()) < 1e-6 * float(whole.abs().max())


def test_micro_batches_have_each_row_once_and_at_most_micro_tokens(step_batch):
    selected_B = torch.arange(24) % 3 > 0
    parts = list(micro_batches(step_batch.rollout_batch, selected_B, 40))
    assert sorted(row for part in parts for row in part) == selected_B.nonzero()[:, 0].tolist() and len(parts) > 4
    for part in parts:
        rows = [step_batch.rollout_batch.rollouts[row] for row in part]
        width = max(len(row.tokens) for row in rows) + max(len(row.prompt_ids) for row in rows)
        assert len(part) * width <= 40


def test_leaving_out_rows_without_advantage_keeps_the_gradient(step_batch, monkeypatch):
    rows_read: Counter[str] = Counter()
    forward = learner_module.grouped_completion_logits

    def counting(model, prompts, completions, pad):
        rows_read[which] += len(prompts)
        return forward(model, prompts, completions, pad)

    monkeypatch.setattr(learner_module, "grouped_completion_logits", counting)
    learner = Learner(tiny_policy(), small_config())
    which = "without"
    without = gradient_of(learner, *inputs_of(step_batch))
    which = "with"
    complete = gradient_of(learner, *inputs_of(step_batch), trained_BL=step_batch.loss_mask_BL)
    assert rows_read == {"with": 24, "without": int((step_batch.advantages_BL != 0).any(1).sum())}
    torch.testing.assert_close(without, complete, atol=1e-6, rtol=1e-6)


def test_gspo_ratios_include_tokens_without_credit(monkeypatch):
    calls: list[tuple[torch.Tensor, ...]] = []
    surrogate = learner_module.surrogate

    def recording(objective, new, old, advantages, mask):
        calls.append((new.detach(), old, mask))
        return surrogate(objective, new, old, advantages, mask)

    monkeypatch.setattr(learner_module, "surrogate", recording)
    step_batch = collect_batch(tiny_policy(), small_config(loss="gspo"), credit=credit_every_other_token)
    learner = Learner(tiny_policy(), small_config(loss="gspo", update={"inner_epochs": 2}))
    learner.update(*inputs_of(step_batch), 0)
    (_, _, first), (new, old, second) = calls
    rows_trained = int((step_batch.advantages_BL != 0).any(1).sum())
    lengths = sorted(
        len(row.tokens)
        for row, advantages in zip(step_batch.rollout_batch.rollouts, step_batch.advantages_BL, strict=True)
        if advantages.any()
    )
    assert first.sum(1).tolist() == second.sum(1).tolist() == lengths and len(lengths) == rows_trained
    assert ((new != old) & second).sum() > 0.9 * sum(lengths) and (old[second] < 0).all()


def test_an_update_that_is_not_finite_leaves_weights_and_optimizer_unchanged(step_batch):
    failing, other = (Learner(tiny_policy(), small_config()) for _ in range(2))
    before = failing.policy.fingerprint()
    batch, advantages_BL, mask_BL = inputs_of(step_batch)
    for factor in (float("nan"), float("inf"), 1e38):
        with pytest.raises(FloatingPointError, match="loss .*, gradient norm "):
            failing.update(batch, advantages_BL * factor, mask_BL, 0)
        assert failing.policy.fingerprint() == before and not failing.optimizer.adam.state
    for learner in (failing, other):
        learner.update(*inputs_of(step_batch), 0)
    assert failing.policy.fingerprint() == other.policy.fingerprint() != before


def test_beta_pulls_every_rollout_towards_the_base(step_batch):
    config = small_config(update={"beta": 0.5})
    learner = Learner(tiny_policy(seed=1), config)  # another base, under which these rollouts have other probabilities
    learner.policy.model.load_state_dict(tiny_policy().model.state_dict())
    batch, advantages_BL, mask_BL = inputs_of(step_batch)
    before = learner.kl_to_base(batch)
    for step in range(3):
        assert learner.update(batch, torch.zeros_like(advantages_BL), mask_BL, step).loss > 0
    after = collect_batch(learner.policy, small_config(prompts=12, group=2))
    assert learner.kl_to_base(after.rollout_batch) < before


def test_the_kl_to_the_base_is_the_mean_over_all_tokens(step_batch):
    learner = Learner(tiny_policy(seed=1), small_config(update={"micro_tokens": 40}))
    batch = step_batch.rollout_batch
    prompts = [list(row.prompt_ids) for row in batch.rollouts]
    base_BL, _ = learner.base.score(prompts, [list(row.tokens) for row in batch.rollouts])
    log_ratio_BL = base_BL - batch.logprobs_BL
    k3_BL = (log_ratio_BL.exp() - 1 - log_ratio_BL) * batch.mask_BL
    assert learner.kl_to_base(batch) == pytest.approx(float(k3_BL.sum() / batch.mask_BL.sum()), rel=1e-4)


# --- the optimizer ---------------------------------------------------------------------------------------------------


def test_the_learning_rate_warms_up_linearly():
    optimizer = Optimizer(torch.nn.Linear(1, 1), small_config(update={"lr": 0.3, "warm_up": 3}).update)
    rates = []
    for step in range(5):
        optimizer.step(step)
        rates.append(optimizer.adam.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3])


def test_an_update_with_several_threads_ends_in_the_same_bits():
    """The gradient of a shared prompt is a sum over the rows of its group, which threads add in any order."""
    base, threads = Policy.load(shipped_path(), device="cpu"), torch.get_num_threads()
    config = GRPOConfig(prompts=16)
    source = problem_source(Chain(), "deep", steps=1, seed=0)
    step_batch = Collector(Chain(), source, config, None, "run").collect(base, 0, 0)
    try:
        torch.set_num_threads(2)
        learners = [Learner(base, config) for _ in range(3)]
        for learner in learners:
            learner.update(*inputs_of(step_batch), 0)
    finally:
        torch.set_num_threads(threads)
    assert len({learner.policy.fingerprint() for learner in learners}) == 1
    assert not torch.are_deterministic_algorithms_enabled()  # the caller's setting is restored


def test_gradients_of_half_precision_weights_are_summed_in_float32():
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    optimizer = Optimizer(model, small_config(update={"max_norm": 1e9}).update)
    for piece in (256.0, 1.0, 1.0, 1.0):  # in bfloat16, 256 + 1 is 256
        model.weight.grad = torch.full_like(model.weight, piece)
        optimizer.accumulate_grads()
    assert optimizer.clip_grad_norm().item() == 259.0


def test_steps_too_small_for_half_precision_add_up():
    model = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    model.weight.data.fill_(1.0)  # the next bfloat16 is 1 + 2^-7
    optimizer, weights = Optimizer(model, small_config(update={"lr": 1e-3}).update), []
    for step in range(10):
        model.weight.grad = torch.full_like(model.weight, -1.0)
        optimizer.accumulate_grads()
        optimizer.step(step)
        weights.append(model.weight.item())
    assert weights[:3] == [1.0] * 3 and weights[-1] == 1 + 2**-7
    assert optimizer.master_weights()["weight"].item() == pytest.approx(1.01, abs=1e-4)


def test_clip_grad_norm_scales_the_gradient_and_returns_its_norm():
    model = torch.nn.Linear(2, 1, bias=False)
    optimizer = Optimizer(model, small_config(update={"max_norm": 0.5}).update)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    assert float(optimizer.clip_grad_norm()) == 5 and float(model.weight.grad.norm()) == pytest.approx(0.5, rel=1e-4)


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_step_metrics_counted_by_hand():
    rows = [
        make_rollout(1, valid=True, format="chain"),
        make_rollout(1, valid=False, format="direct"),
        make_rollout(1, valid=None),
    ]
    rows += [make_rollout(1, valid=True, length=6)]  # all rewarded
    rows += [make_rollout(1, valid=False), *(make_rollout(0) for _ in range(3))]  # a lone success, and a lucky one
    rows += [
        *(make_rollout(0, truncated=True, entropies=(0.5, 0.5, 0.5, 2.5)) for _ in range(3)),
        make_rollout(0, format="malformed"),
    ]
    batch = RolloutBatch.from_rollouts(rows[4:8], 4)
    assigned = assign_advantages(batch, lambda b: Credit(torch.full((4,), 0.5), b.mask_BL.float()), PLAIN, 8)
    metrics = step_metrics(StepBatch(batch, assigned, batch.mask_BL, 3, rows), 4)
    assert metrics == pytest.approx(
        {
            "reward": 5 / 12,
            "pass_rate": 5 / 12,
            "valid_rate": 2 / 11,  # of the judged
            "lucky_share": 2 / 5,  # of the rewarded
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
            "paid_valid_share": 0,  # the lone success is lucky
            "turned_share": 0,
            "screened_share": 0,
            "tokens": 50,
        }
    )


def test_shares_of_no_rollouts_are_none():
    rows = [make_rollout(0, valid=None) for _ in range(4)]
    batch = RolloutBatch.from_rollouts(rows, 4)
    metrics = step_metrics(StepBatch(batch, assign_advantages(batch, None, PLAIN, 8), batch.mask_BL, 1, rows), 4)
    assert metrics["valid_rate"] is None and metrics["lucky_share"] is None and metrics["zero_variance_share"] == 1
