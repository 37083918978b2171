"""The policy gradient against TRL on the same tensors, against identities from the papers, and by hand."""

from dataclasses import replace
from math import log

import pytest
import torch
from conftest import CONTEXT, tiny_policy
from hypothesis import given
from hypothesis import strategies as st

from interp.grpo.advantages import advantages, mixed_groups, penalize_overlong
from interp.grpo.config import OBJECTIVES
from interp.grpo.losses import k3, surrogate, token_weights
from interp.policy import SampleConfig
from interp.policy.score import align_rows, completion_logits, logprobs_and_entropies

LIMIT = 8
ROWS = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())
REDUCTIONS = pytest.mark.parametrize("reduction", ["rollout", "token", "longest"])
SCALES = pytest.mark.parametrize("scale", ["group", "batch", "none"])
LENGTHS = (7, 3, 1, 5, 0, 4, 2, 6)  # of the rollouts of a batch; one has no tokens in the mask
ADVANTAGES = torch.tensor([1.5, -0.5, 1.0, -1.0, 2.0, 0.7, -2.0, 1.2])


def mask_of(lengths=LENGTHS, width=7):
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def off_policy():
    """Log-probabilities, old ones beyond both sides of every clip, advantages of both signs, and the mask."""
    mask_BL, generator = mask_of(), torch.Generator().manual_seed(0)
    logprobs_BL = -3 * torch.rand(mask_BL.shape, generator=generator) - 0.1
    shift = torch.tensor([0.1, -0.5, 2.0, 0.0, -2.0, 0.5, -0.1])
    shift_BL = torch.stack([shift.roll(row) for row in range(len(LENGTHS))])
    shift_BL[-1] = 1e-4  # within the clip of every objective
    weights_BL = 1 + torch.rand(mask_BL.shape, generator=generator)
    weights_BL = weights_BL / ((weights_BL * mask_BL).sum(1) / mask_BL.sum(1).clamp(min=1)).clamp(min=1)[:, None]
    return logprobs_BL, logprobs_BL - shift_BL, ADVANTAGES[:, None] * weights_BL, mask_BL


def loss_of(objective, logprobs_BL, old_BL, advantages_BL, mask_BL, token_weights_BL=None):
    token_weights_BL = (
        token_weights(mask_BL, objective.reduction, LIMIT) if token_weights_BL is None else token_weights_BL
    )
    return -(token_weights_BL * surrogate(objective, logprobs_BL, old_BL, advantages_BL, mask_BL)[0]).sum()


def gradient(objective, logprobs_BL, *rest):
    leaf_BL = logprobs_BL.clone().requires_grad_()
    (grad_BL,) = torch.autograd.grad(loss_of(objective, leaf_BL, *rest), leaf_BL)
    return grad_BL


def by_hand(objective, log_ratios, per_token, old=-1.0):
    """Value, gradient and clipping of one rollout, token by token."""
    old_BL = torch.full((1, len(log_ratios)), old)
    leaf_BL = (old_BL + torch.tensor([log_ratios])).requires_grad_()
    value_BL, clipped_BL = surrogate(
        objective, leaf_BL, old_BL, torch.tensor([per_token]), torch.ones_like(old_BL).bool()
    )
    (grad_BL,) = torch.autograd.grad(value_BL.sum(), leaf_BL)
    return value_BL[0].tolist(), grad_BL[0].tolist(), clipped_BL[0].tolist()


# --- TRL -------------------------------------------------------------------------------------------------------------


def trl_trainer(policy, directory, rewards=(), **settings):
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    settings |= {"use_cpu": True, "bf16": False, "report_to": "none", "max_completion_length": LIMIT}
    settings |= {"use_bias_correction_kl": False}  # TRL's default multiplies k3 by the ratio; the papers do not
    config = trl.GRPOConfig(str(directory), per_device_train_batch_size=8, num_generations=4, **settings)
    prompts = datasets.Dataset.from_dict({"prompt": ["1 + 2 ="]})
    return trl.GRPOTrainer(
        policy.model, lambda prompts, **_: list(rewards), config, prompts, processing_class=policy.tokenizer
    )


THEIRS = {"dr-grpo": "dr_grpo", "gspo": "grpo", "lite-ppo": "dapo"}
TRL = {name: (objective, THEIRS.get(name, name)) for name, objective in OBJECTIVES.items()}
TRL["gspo by token"] = (replace(OBJECTIVES["gspo"], reduction="token"), "bnpo")
TRL["gspo by longest"] = (replace(OBJECTIVES["gspo"], reduction="longest", clip_low=0.2, clip_high=0.2), "dr_grpo")


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("per_token", [False, True], ids=["a rollout's advantage", "a token's advantage"])
@pytest.mark.parametrize("name", TRL)
def test_loss_and_gradient_equal_trls(name, per_token, beta, tmp_path):
    objective, loss_type = TRL[name]
    new_BL, before_BL, credited_BL, mask_BL = off_policy()
    shift_BL = new_BL - before_BL
    advantages_BL = credited_BL if per_token else ADVANTAGES[:, None].expand(mask_BL.shape)
    prompts = [[4 + row + at for at in range(2 + row % 3)] for row in range(len(LENGTHS))]
    completions = [[4 + (5 * row + 7 * at) % 26 for at in range(length)] for row, length in enumerate(LENGTHS)]

    ours, theirs = tiny_policy(), tiny_policy()
    for policy in (ours, theirs):
        policy.model.double()  # so that rounding in the model does not matter
    rows = align_rows(prompts, completions, 0, ours.model.device)
    tokens_BL = rows.ids_BL[:, rows.start :]
    logprobs_BL, _ = logprobs_and_entropies(completion_logits(ours.model, rows), tokens_BL)
    old_BL = logprobs_BL.detach() - shift_BL
    reference_BL = logprobs_BL.detach() + shift_BL.flip(0)
    value_BL, clipped_BL = surrogate(objective, logprobs_BL, old_BL, advantages_BL, mask_BL)
    value_BL = value_BL - beta * k3(logprobs_BL, reference_BL)
    loss = -(token_weights(mask_BL, objective.reduction, LIMIT) * value_BL).sum()
    loss.backward()

    up_BL = advantages_BL > 0
    assert (clipped_BL <= mask_BL).all() and (~clipped_BL & mask_BL).any() and (clipped_BL & up_BL).any(), (
        "some are clipped above"
    )
    assert (clipped_BL & ~up_BL).any() == (objective.ratio != "weight"), "and some below, where there is a lower clip"

    level = "sequence" if objective.ratio == "sequence" else "token"
    clips = {"epsilon": objective.clip_low, "epsilon_high": objective.clip_high + (objective.ratio == "weight")}
    trainer = trl_trainer(theirs, tmp_path, loss_type=loss_type, importance_sampling_level=level, **clips)
    trainer.beta = beta  # in its configuration, it would look for the reference model on the network
    inputs = {
        "prompt_ids": rows.ids_BL[:, : rows.start],
        "prompt_mask": rows.mask_BL[:, : rows.start],
        "completion_ids": tokens_BL,
        "completion_mask": rows.mask_BL[:, rows.start :],
        "advantages": advantages_BL if per_token else ADVANTAGES,
        "old_per_token_logps": old_BL,
        "ref_per_token_logps": reference_BL,
        "num_items_in_batch": mask_BL.sum(),
    }
    expected = trainer._compute_loss(theirs.model, inputs)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    if level == "token":
        metric = "cispo_clip_ratio" if objective.ratio == "weight" else "clip_ratio/region_mean"
        assert trainer._metrics["eval"][metric][-1] == pytest.approx(float(clipped_BL.sum() / mask_BL.sum()))
    if level == "sequence" and per_token:
        return  # there each token has its own gradient, by design (see losses.py)
    expected.backward()
    mine, other = (torch.cat([p.grad.flatten() for p in policy.model.parameters()]) for policy in (ours, theirs))
    torch.testing.assert_close(mine, other, atol=1e-6 * float(other.abs().max()), rtol=0)


@SCALES
def test_advantages_equal_trls(scale, tmp_path):
    rewards = [0.1, 0.1, 0.1, 0.1, 0.0, 1.0, 0.0, 0.5]
    trainer = trl_trainer(tiny_policy(), tmp_path, rewards, scale_rewards=scale)
    trainer.model.train()
    theirs_B = trainer._generate_and_score_completions([{"prompt": "1 + 2 ="}] * 4 + [{"prompt": "3 + 4 ="}] * 4)
    torch.testing.assert_close(advantages(torch.tensor(rewards), 4, scale), theirs_B["advantages"], atol=1e-6, rtol=0)


# --- identities ------------------------------------------------------------------------------------------------------


@ROWS
def test_at_ratio_one_the_gradient_is_reinforce(objective):
    logprobs_BL, _, advantages_BL, mask_BL = off_policy()
    expected_BL = -token_weights(mask_BL, objective.reduction, LIMIT) * advantages_BL
    grad_BL = gradient(objective, logprobs_BL, logprobs_BL, advantages_BL, mask_BL)
    torch.testing.assert_close(grad_BL, expected_BL, atol=1e-7, rtol=1e-6)


def test_at_ratio_one_gspo_has_the_gradient_of_grpo():
    logprobs_BL, _, _, mask_BL = off_policy()
    rest = (logprobs_BL, logprobs_BL, ADVANTAGES[:, None].expand(mask_BL.shape), mask_BL)
    torch.testing.assert_close(gradient(OBJECTIVES["gspo"], *rest), gradient(OBJECTIVES["grpo"], *rest))


@ROWS
@SCALES
def test_groups_of_equal_rewards_have_no_gradient(objective, scale):
    logprobs_BL, old_BL, _, mask_BL = off_policy()
    rewards_B = torch.tensor([0.1, 0.1, 0.1, 0.1, 1.0, 0.0, 0.0, 1.0])
    assert mixed_groups(rewards_B, 4).tolist() == [False, True]
    advantages_BL = advantages(rewards_B, 4, scale)[:, None].expand(mask_BL.shape)
    grad_BL = gradient(objective, logprobs_BL, old_BL, advantages_BL, mask_BL)
    assert not grad_BL[:4].any() and grad_BL[4:].any()
    assert not advantages(torch.full((7,), 0.3), 7, scale).any()  # their mean in float32 is not quite 0.3


@ROWS
@given(st.integers(0, 5), st.floats(-30, 0))
def test_more_padding_changes_nothing(objective, columns, junk):
    *tables, mask_BL = off_policy()
    pad_BL = torch.full((len(mask_BL), columns), junk)
    wider = [torch.cat([table_BL, pad_BL * n], 1) for n, table_BL in enumerate(tables)]
    wide_BL = torch.cat([mask_BL, torch.zeros_like(pad_BL, dtype=torch.bool)], 1)
    torch.testing.assert_close(loss_of(objective, *wider, wide_BL), loss_of(objective, *tables, mask_BL))
    grad_BL = gradient(objective, *wider, wide_BL)
    torch.testing.assert_close(grad_BL[:, : mask_BL.shape[1]], gradient(objective, *tables, mask_BL))
    assert not grad_BL[~wide_BL].any()


@ROWS
@given(st.lists(st.integers(0, 3), min_size=len(LENGTHS), max_size=len(LENGTHS)))
def test_the_loss_of_a_batch_is_the_sum_over_any_micro_batches(objective, part_of_row):
    tables = off_policy()
    whole_BL = gradient(objective, *tables)
    token_weights_BL, total = token_weights(tables[-1], objective.reduction, LIMIT), torch.tensor(0.0)
    for part in set(part_of_row):
        rows = [at for at, other in enumerate(part_of_row) if other == part]
        width = max(LENGTHS[at] for at in rows)  # a micro-batch is only as wide as its longest row
        parts = [table_BL[rows, :width] for table_BL in (*tables, token_weights_BL)]
        total += loss_of(objective, *parts)
        torch.testing.assert_close(gradient(objective, *parts), whole_BL[rows, :width])
    torch.testing.assert_close(total, loss_of(objective, *tables))


@REDUCTIONS
def test_weights_of_mean_one_keep_a_rollouts_total_advantage(reduction):
    _, _, credited_BL, mask_BL = off_policy()
    token_weights_BL = token_weights(mask_BL, reduction, LIMIT)
    assert ((credited_BL - ADVANTAGES[:, None]).abs() * mask_BL).amax() > 0.1
    torch.testing.assert_close((token_weights_BL * credited_BL).sum(1), ADVANTAGES * token_weights_BL.sum(1))


def test_the_end_token_has_a_gradient(tiny):
    policy = tiny["qwen3"]
    samples = policy.sample([[5, 24, 6, 27]], SampleConfig(group=16, max_new_tokens=CONTEXT - 4))
    mask_BL = samples.mask_BL
    ends_BL = samples.tokens_BL.eq(policy.tokenizer.eos_token_id) & mask_BL
    assert ends_BL.any(1).equal(samples.finished_B) and samples.finished_B.sum() > 1
    for objective in OBJECTIVES.values():
        grad_BL = gradient(objective, *[samples.logprobs_BL] * 2, torch.ones(mask_BL.shape), mask_BL)
        assert grad_BL[ends_BL].all() and grad_BL.ne(0).equal(mask_BL)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_token_weights_of_two_rollouts():
    mask_BL = mask_of((1, 3), 4)
    expected = {"rollout": (1 / 2, 1 / 6), "token": (1 / 4, 1 / 4), "longest": (1 / 16, 1 / 16)}
    for reduction, (first, second) in expected.items():
        rows = [[first, 0, 0, 0], [second, second, second, 0]]
        torch.testing.assert_close(token_weights(mask_BL, reduction, LIMIT), torch.tensor(rows))
        assert not token_weights(mask_of((0, 0), 4), reduction, LIMIT).any()


def test_advantages_of_a_lone_success_and_of_two_groups():
    rewards_B = torch.eye(8)[0]
    assert advantages(rewards_B, 8, "group").tolist() == pytest.approx([2.475] + [-0.3535] * 7, abs=1e-3)
    assert advantages(rewards_B, 8, "none").tolist() == [0.875] + [-0.125] * 7
    rewards_B = torch.tensor([1.0, 0.0, 1.0, 1.0])  # deviations: 0.71 of the first group, 0.5 of the batch
    assert advantages(rewards_B, 2, "batch").tolist() == pytest.approx([1, -1, 0, 0], abs=1e-3)


@pytest.mark.parametrize("successes", range(9))
def test_scaling_by_deviation_gives_every_mixed_group_the_same_weight(successes):
    rewards_B, mixed = (torch.arange(8) < successes).float(), 0 < successes < 8
    assert float(advantages(rewards_B, 8, "group").square().sum()) == pytest.approx(7 * mixed, rel=1e-3)
    assert float(advantages(rewards_B, 8, "none").square().sum()) == successes * (8 - successes) / 8


def test_the_ratio_is_clipped_on_the_side_of_the_advantage():
    value, grad, clipped = by_hand(OBJECTIVES["grpo"], [log(1.5), log(1.5), log(0.5), log(0.5)], [1.0, -1.0, 1.0, -1.0])
    assert value == pytest.approx([1.2, -1.5, 0.5, -0.8])
    assert grad == pytest.approx([0, -1.5, 0.5, 0]) and clipped == [True, False, False, True]
    value, _, clipped = by_hand(OBJECTIVES["dapo"], [log(1.25), log(0.75)], [1.0, -1.0])  # up to 1.28
    assert value == pytest.approx([1.25, -0.8]) and clipped == [False, True]


def test_cispo_bounds_the_weight_and_cuts_no_gradient():
    value, grad, clipped = by_hand(OBJECTIVES["cispo"], [log(7), log(3), log(0.1)], [1.0, -1.0, 1.0], old=-4.0)
    assert grad == pytest.approx([5, -3, 0.1])
    assert value == pytest.approx([5 * (log(7) - 4), -3 * (log(3) - 4), 0.1 * (log(0.1) - 4)])
    assert clipped == [True, False, False]


def test_gspo_has_one_ratio_per_completion_and_a_gradient_per_token():
    # as a whole the completion is as likely as before
    value, grad, clipped = by_hand(OBJECTIVES["gspo"], [log(2), -log(2)], [1.0, 3.0])
    assert value == pytest.approx([1, 3]) and grad == pytest.approx([1, 3]) and clipped == [False, False]
    value, grad, clipped = by_hand(OBJECTIVES["gspo"], [log(2), -log(2) + 1e-3], [1.0, -1.0])
    assert value == pytest.approx([1.0004, -1.0005], abs=1e-6)
    assert grad == pytest.approx([0, -1.0005], abs=1e-6) and clipped == [True, False]


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=LIMIT))
def test_gspo_has_one_value_for_all_tokens_of_a_completion(log_ratios):
    value, _, clipped = by_hand(OBJECTIVES["gspo"], log_ratios, [1.0] * len(log_ratios))
    assert len(set(value)) == len(set(clipped)) == 1


def test_k3_and_its_gradient_on_known_policies():
    leaf_BL = torch.tensor([[-1.0, -1.0, -1.0]], requires_grad=True)
    value_BL = k3(leaf_BL, torch.tensor([[-1.0, -1 + log(2), -1 - log(2)]]))
    assert value_BL[0].tolist() == pytest.approx([0, 1 - log(2), log(2) - 0.5])
    (grad_BL,) = torch.autograd.grad(value_BL.sum(), leaf_BL)
    assert grad_BL[0].tolist() == pytest.approx([0, -1, 0.5])


@given(st.floats(-20, 0, width=32), st.floats(-1, 1, width=32), st.sampled_from([1, 1e-2, 1e-4, 1e-7]))
def test_k3_is_never_negative_and_zero_for_equal_policies(logprob, apart, size):
    logprobs_BL = torch.tensor([[logprob]])
    assert k3(logprobs_BL, logprobs_BL).item() == 0
    assert k3(logprobs_BL, logprobs_BL + apart * size).item() >= 0
    if size < 1e-1:  # for close policies k3 is half the squared log ratio
        apart_BL = torch.tensor([[apart * size]])
        torch.testing.assert_close(k3(0 * apart_BL, apart_BL), apart_BL.square() / 2, atol=2e-12, rtol=1e-2)


def test_the_overlong_penalty_rises_linearly_to_the_limit():
    rewards_B, lengths_B = torch.ones(5), torch.tensor([0, 80, 90, 100, 120])
    assert penalize_overlong(rewards_B, lengths_B, 100, 0.8).tolist() == pytest.approx([1, 1, 0.5, 0, 0])
    assert penalize_overlong(rewards_B, lengths_B, 100, 1.0).equal(rewards_B)
    for percent in range(100):  # 100 * 0.29 is not quite 29
        assert penalize_overlong(rewards_B[:1], torch.tensor([percent]), 100, percent / 100).item() == 1
