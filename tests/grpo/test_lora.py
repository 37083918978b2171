"""Adapters: only they learn, the base is there whenever they are taken off, and a checkpoint is a whole model."""

import sys

import pytest
import torch
from conftest import FAMILIES, tiny_policy
from grpo_world import FirstWord, lines_of, small, trained

from interp.artifacts import BadInput
from interp.grpo.advantages import Collector
from interp.grpo.learner import Learner, adapters_off, merged, with_adapters
from interp.grpo.prompts import prompts_for
from interp.policy import Policy

LORA = small(update={"lora_rank": 2, "lr": 0.03})
IDS = torch.tensor([[5, 24, 6, 27, 8]])


def logits(policy):
    with torch.no_grad():
        return policy.model(IDS).logits


@pytest.fixture
def taught():
    """A learner after two steps, and the batch it learned from."""
    learner = Learner(tiny_policy(), LORA)
    collector = Collector(FirstWord(), prompts_for(FirstWord(), None, steps=6, seed=0), LORA, None, "run")
    for step in range(2):
        got = collector.collect(learner.policy, step, 4 * step)
        learner.update(got.batch, got.advantages_BL, got.train_BL, step)
    return learner, got.batch


def test_a_checkpoint_is_a_whole_model_that_anyone_can_open(tmp_path):
    run = trained(tmp_path / "run", LORA)
    for member in run.series:
        assert not (member.path / "adapter_config.json").exists()
        policy = Policy.load(member.path, device="cpu")
        assert type(policy.model) is type(tiny_policy().model)
        assert run.rollouts(member.step).made_from["policy"] == policy.fingerprint()
    assert run.series.base.fingerprint() == tiny_policy().fingerprint() != run.series.last.fingerprint()
    assert [line["gradient_norm"] > 0 for line in lines_of(run.path)[:-1]] == [True] * 6


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_begin_as_nothing(family):
    learner = Learner(tiny_policy(family), LORA)
    assert torch.equal(logits(learner.policy), logits(learner.base))
    assert merged(learner.policy, learner.adapters).fingerprint() == learner.base.fingerprint()


def test_only_adapters_learn(taught):
    learner, _ = taught
    assert all("lora_" in name for name in learner.optimiser.trained)
    assert not torch.allclose(logits(learner.policy), logits(learner.base), atol=1e-2)
    frozen = {n.replace(".base_layer", ""): p for n, p in learner.policy.model.named_parameters() if "lora_" not in n}
    before = dict(tiny_policy().model.named_parameters())
    assert frozen.keys() == before.keys() and all(torch.equal(frozen[name], before[name]) for name in before)


def test_merged_it_says_the_same_and_the_policy_goes_on_as_it_was(taught):
    learner, _ = taught
    before = learner.policy.fingerprint()
    torch.testing.assert_close(
        logits(merged(learner.policy, learner.adapters)), logits(learner.policy), atol=1e-4, rtol=1e-4
    )
    assert learner.policy.fingerprint() == before


def test_merged_in_half_precision_nothing_of_them_is_lost():
    base = tiny_policy()
    base.model.to(torch.bfloat16)
    learner = Learner(base, small(update={"lora_rank": 2}))
    with torch.no_grad():
        for name, parameter in learner.policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 1e-3, generator=torch.Generator().manual_seed(0))
    ours, whole = learner.policy.model, merged(learner.policy, learner.adapters).model
    assert next(whole.parameters()).dtype == torch.float32 and next(ours.parameters()).dtype == torch.bfloat16
    before = dict(base.model.named_parameters())
    for name, weight in whole.named_parameters():
        if name.endswith("proj.weight"):  # rounded, most of them would be what they were
            assert (weight != before[name]).float().mean() > 0.99, name


def test_taken_off_they_leave_the_base(taught):
    learner, batch = taught
    with adapters_off(learner.adapters) as without:
        assert without and torch.equal(logits(learner.policy), logits(learner.base))
    with adapters_off(None) as without:
        assert not without
    rows = batch.rows[:4]
    theirs, _ = tiny_policy().score([list(row.prompt_ids) for row in rows], [list(row.tokens) for row in rows])
    mask_BL = batch.mask_BL[:4, : theirs.shape[1]]
    torch.testing.assert_close(learner.reference(batch, [0, 1, 2, 3]) * mask_BL, theirs, atol=1e-4, rtol=1e-4)


def test_the_run_s_seed_draws_them_and_nothing_else_is_drawn():
    state = torch.get_rng_state()
    one, same, other = (dict(with_adapters(tiny_policy().model, 2, seed).named_parameters()) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    drawn = [name for name in one if "lora_A" in name]
    assert drawn and all(torch.equal(one[n], same[n]) and not torch.equal(one[n], other[n]) for n in drawn)


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(BadInput, match=r"lora_rank needs peft: pip install 'interp\[peft\]'"):
        Learner(tiny_policy(), LORA)
