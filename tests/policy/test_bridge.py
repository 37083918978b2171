"""The TransformerLens view shares the policy's parameters and leaves the policy unchanged."""

import pytest
import torch
from conftest import FAMILIES, tiny_policy

from interp.policy import Policy
from interp.policy.bridge import shadow

IDS = torch.tensor([[5, 24, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12]])


@pytest.fixture(scope="module")
def bridged(tiny):
    """A policy of each family with its bridge: {family: (policy, bridge)}."""
    return {family: (policy, policy.bridge()) for family, policy in tiny.items()}


@pytest.fixture(params=FAMILIES)
def pair(request, bridged):
    return bridged[request.param]


def step(policy: Policy, optimiser: torch.optim.Optimizer) -> float:
    loss = policy.model(IDS, labels=IDS).loss
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


@torch.no_grad()
def max_logit_difference(policy: Policy, bridge) -> float:
    return (bridge(IDS, return_type="logits") - policy.model(IDS).logits).abs().max().item()


def test_bridge_logits_equal_policy_logits(pair):
    assert max_logit_difference(*pair) < 1e-4


def test_bridge_logits_are_equal_with_tied_embeddings():
    policy = tiny_policy("qwen3", tie_word_embeddings=True)
    bridge = policy.bridge()
    assert max_logit_difference(policy, bridge) < 1e-4
    assert policy.model.lm_head.weight is policy.model.model.embed_tokens.weight


@torch.no_grad()
def test_captured_residuals_equal_the_cache_of_the_bridge(pair):
    policy, bridge = pair
    residuals = policy.capture(IDS, [0, 1, 2])
    _, cache = bridge.run_with_cache(IDS)
    for layer, residual in residuals.items():
        torch.testing.assert_close(residual, cache[f"blocks.{layer}.hook_resid_post"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_hook_on_the_bridge_changes_the_logits_only_while_it_is_set(pair):
    policy, bridge = pair
    before = policy.model(IDS).logits
    hook = [("blocks.1.hook_resid_post", lambda residual, hook: residual + 5.0)]
    edited = bridge.run_with_hooks(IDS, fwd_hooks=hook)
    assert (edited - before).abs().max() > 0.1
    assert max_logit_difference(policy, bridge) < 1e-4
    assert torch.equal(policy.model(IDS).logits, before)


def test_bridge_tokens_equal_the_tokenizers(pair):
    policy, bridge = pair
    assert bridge.to_tokens("1 + 2 = 3").tolist() == policy.encode(["1 + 2 = 3"]) == [[5, 24, 6, 27, 7]]


def structure_of(policy: Policy) -> dict:
    parameters = dict(policy.model.named_parameters())
    return {
        "keys": list(policy.model.state_dict()),
        "parameters": {name: id(parameter) for name, parameter in parameters.items()},
        "trainable": sum(p.numel() for p in parameters.values() if p.requires_grad),
        "modules": [name for name, _ in policy.model.named_modules()],
        "fingerprint": policy.fingerprint(),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_making_and_running_a_bridge_leaves_the_policy_unchanged(family, tmp_path):
    policy = tiny_policy(family)
    before = structure_of(policy)
    bridge = policy.bridge()
    bridge.run_with_cache(IDS)
    assert structure_of(policy) == before
    policy.save(tmp_path / "saved")
    saved = Policy.load(tmp_path / "saved")
    assert saved.fingerprint() == policy.fingerprint()
    assert torch.equal(saved.model(IDS).logits, policy.model(IDS).logits)


def test_a_bridge_shares_all_parameters(pair):
    policy, bridge = pair
    live = {parameter.data_ptr() for parameter in policy.model.parameters()}
    copied = [name for name, p in bridge.named_parameters() if p.data_ptr() not in live and p.any()]
    assert not copied


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bridge_follows_the_policy_through_training(family):
    policy, twin = tiny_policy(family), tiny_policy(family)
    bridge = policy.bridge()
    optimisers = [torch.optim.AdamW(p.model.parameters(), lr=1e-2) for p in (policy, twin)]
    start = policy.fingerprint()
    losses = []
    for _ in range(4):
        losses.append(step(policy, optimisers[0]))
        assert losses[-1] == step(twin, optimisers[1])
        bridge.run_with_cache(IDS)
        assert max_logit_difference(policy, bridge) < 1e-4
    assert losses[-1] < losses[0]
    assert policy.fingerprint() == twin.fingerprint() != start


def test_a_shadow_drops_a_patched_forward_so_that_its_own_hooks_fire(new_policy):
    model = new_policy().model
    model.forward = model.forward  # as trainers do: a method bound to this instance
    twin, calls = shadow(model), []
    twin.model.layers[1].register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(twin(IDS).logits, model(IDS).logits)
    assert len(calls) == 1
    assert "forward" in model.__dict__
