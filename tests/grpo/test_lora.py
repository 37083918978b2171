"""LoRA: only adapters are trained, disabling them gives the base, and a checkpoint is a whole model."""

import sys

import pytest
import torch
from conftest import FAMILIES, tiny_policy
from grpo_fixtures import FirstWord, metric_lines, small_config, train_tiny

from interp.artifacts import BadInput
from interp.grpo.batches import Collector
from interp.grpo.learner import Learner, add_adapters, disable_adapters, expect_rank, merge_adapters
from interp.grpo.sources import problem_source
from interp.policy import Policy

LORA = small_config(update={"lora_rank": 2, "lr": 0.03})
IDS = torch.tensor([[5, 24, 6, 27, 8]])


def logits(policy):
    with torch.no_grad():
        return policy.model(IDS).logits


@pytest.fixture
def trained():
    """A learner after two steps, and its last batch."""
    learner = Learner(tiny_policy(), LORA)
    collector = Collector(FirstWord(), problem_source(FirstWord(), None, steps=6, seed=0), LORA, None, "run")
    for step in range(2):
        step_batch = collector.collect(learner.policy, step, 4 * step)
        learner.update(step_batch.rollout_batch, step_batch.advantages_BL, step_batch.loss_mask_BL, step)
    return learner, step_batch.rollout_batch


def test_a_checkpoint_of_a_lora_run_is_a_whole_model(tmp_path):
    run = train_tiny(tmp_path / "run", LORA)
    for checkpoint in run.series:
        assert not (checkpoint.path / "adapter_config.json").exists()
        policy = Policy.load(checkpoint.path, device="cpu")
        assert type(policy.model) is type(tiny_policy().model)
        assert run.rollouts(checkpoint.step).made_from["policy"] == policy.fingerprint()
    assert run.series.base.fingerprint() == tiny_policy().fingerprint() != run.series.last.fingerprint()
    assert [line["gradient_norm"] > 0 for line in metric_lines(run.path)[:-1]] == [True] * 6


@pytest.mark.parametrize("family", FAMILIES)
def test_new_adapters_do_not_change_the_policy(family):
    learner = Learner(tiny_policy(family), LORA)
    assert torch.equal(logits(learner.policy), logits(learner.base))
    assert merge_adapters(learner.policy, learner.adapters).fingerprint() == learner.base.fingerprint()


def test_only_adapters_are_trained(trained):
    learner, _ = trained
    assert all("lora_" in name for name in learner.optimizer.trainable)
    assert not torch.allclose(logits(learner.policy), logits(learner.base), atol=1e-2)
    frozen = {n.replace(".base_layer", ""): p for n, p in learner.policy.model.named_parameters() if "lora_" not in n}
    before = dict(tiny_policy().model.named_parameters())
    assert frozen.keys() == before.keys() and all(torch.equal(frozen[name], before[name]) for name in before)


def test_merging_keeps_the_logits_and_leaves_the_policy_unchanged(trained):
    learner, _ = trained
    before = learner.policy.fingerprint()
    torch.testing.assert_close(
        logits(merge_adapters(learner.policy, learner.adapters)), logits(learner.policy), atol=1e-4, rtol=1e-4
    )
    assert learner.policy.fingerprint() == before


def test_merging_into_half_precision_weights_is_done_in_float32():
    base = tiny_policy()
    base.model.to(torch.bfloat16)
    learner = Learner(base, small_config(update={"lora_rank": 2}))
    with torch.no_grad():
        for name, parameter in learner.policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 1e-3, generator=torch.Generator().manual_seed(0))
    half, merged = learner.policy.model, merge_adapters(learner.policy, learner.adapters).model
    assert next(merged.parameters()).dtype == torch.float32 and next(half.parameters()).dtype == torch.bfloat16
    before = dict(base.model.named_parameters())
    for name, weight in merged.named_parameters():
        if name.endswith("proj.weight"):  # rounded to bfloat16, most would be unchanged
            assert (weight != before[name]).float().mean() > 0.99, name


def test_disabled_adapters_leave_the_base(trained):
    learner, batch = trained
    with disable_adapters(learner.adapters) as disabled:
        assert disabled and torch.equal(logits(learner.policy), logits(learner.base))
    with disable_adapters(None) as disabled:
        assert not disabled
    rows = batch.rollouts[:4]
    theirs, _ = tiny_policy().score([list(row.prompt_ids) for row in rows], [list(row.tokens) for row in rows])
    mask_BL = batch.mask_BL[:4, : theirs.shape[1]]
    torch.testing.assert_close(learner.reference_logprobs(batch, [0, 1, 2, 3]) * mask_BL, theirs, atol=1e-4, rtol=1e-4)


def test_adapters_depend_on_the_seed_and_leave_the_random_state_alone():
    state = torch.get_rng_state()
    one, same, other = (dict(add_adapters(tiny_policy().model, 2, seed).named_parameters()) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    names = [name for name in one if "lora_A" in name]
    assert names and all(torch.equal(one[n], same[n]) and not torch.equal(one[n], other[n]) for n in names)


def test_without_peft_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(BadInput, match=r"lora_rank needs peft: pip install 'interp\[peft\]'"):
        Learner(tiny_policy(), LORA)


def test_a_rank_above_that_of_every_matrix_is_refused(tiny):
    with pytest.raises(BadInput, match=r"lora_rank must be at most \d+, the highest rank of a matrix of this model"):
        expect_rank(tiny["qwen3"].model, 10_000)
    expect_rank(tiny["qwen3"].model, 1)
