"""Reading completions: what is made and kept is what was asked for, and logits a slice at a time are the same."""

import pytest
import torch
from conftest import tiny_policy

from interp.policy import head

PROMPTS = [(8, 27), (8, 27), (4, 5, 6)]
COMPLETIONS = [(9, 10, 11, 12, 2), (13, 2), (7,)]


def read(policy, layers=(0, 2), **options):
    return policy.read_completions(PROMPTS, COMPLETIONS, layers, micro_tokens=64, **options)


def test_without_log_probabilities_no_logits_are_made_and_forwards_stop_at_the_deepest_layer():
    policy, calls = tiny_policy(), []
    for name, module in (("block 2", policy.model.model.layers[2]), ("head", policy.model.lm_head)):
        module.register_forward_hook(lambda *args, name=name: calls.append(name))
    reading, whole = read(policy, [0, 1], logprobs=False), read(policy, [0, 1])
    assert reading.logprob_N.isnan().all() and whole.logprob_N.isfinite().all()
    for layer in (0, 1):
        assert torch.equal(reading.residuals[layer], whole.residuals[layer])
        assert torch.equal(reading.prompt_ends[layer], whole.prompt_ends[layer])
    calls.clear()
    read(policy, [0, 1], logprobs=False)
    assert calls == []


def test_only_the_residuals_of_the_tokens_that_were_asked_for_are_kept():
    policy = tiny_policy()
    kept = {0: torch.tensor([True, False, False, True, False, False, True, True]), 2: torch.zeros(8).bool()}
    whole, some = read(policy), read(policy, kept)
    assert torch.equal(some.residuals[0], whole.residuals[0][kept[0]]) and some.residuals[2].shape == (0, 32)
    assert torch.equal(some.prompt_ends[2], whole.prompt_ends[2]) and torch.equal(some.logprob_N, whole.logprob_N)


CHANGES = {
    "gemma2": {"final_logit_softcapping": 3.0},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
}


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "gemma3", *CHANGES])
def test_logits_that_are_made_a_slice_at_a_time_give_the_same_log_probabilities(family, monkeypatch):
    policy = tiny_policy(family, **CHANGES.get(family, {}))
    whole, sizes = read(policy), []
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", 4 * policy.model.config.vocab_size)
    outputs = policy.model.get_output_embeddings()
    outputs.register_forward_hook(lambda module, args, out: sizes.append(out.shape[:2].numel()))
    sliced = read(policy)
    assert torch.allclose(sliced.logprob_N, whole.logprob_N, atol=1e-5)
    assert max(sizes) <= 4 and torch.equal(sliced.residuals[2], whole.residuals[2])
    assert "forward" not in vars(policy.model.get_decoder()), "the decoder runs again"
    assert torch.allclose(read(policy).logprob_N, whole.logprob_N, atol=1e-5)
