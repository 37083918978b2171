"""Every family of models, as a user has it: tied or not, in half precision, with a window shorter than the prompts.

Each is saved, opened, and compared with plain transformers, one row at a time, without a cache and without padding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_policy

from interp.grpo.learner import add_adapters, disable_adapters, merge_adapters
from interp.policy import Policy, SampleConfig
from interp.policy.fingerprints import fingerprint_of

WINDOW = 4
WINDOWED: dict[str, Any] = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
GEMMA: dict[str, Any] = {"sliding_window": WINDOW, "query_pre_attn_scalar": 8}
CASES: dict[str, tuple[str, dict[str, Any], torch.dtype]] = {
    "qwen2": ("qwen2", {}, torch.float32),
    "qwen2, tied, in bfloat16": ("qwen2", {"tie_word_embeddings": True}, torch.bfloat16),
    "qwen2, a window in the later layers": ("qwen2", WINDOWED, torch.float32),
    "qwen3, tied": ("qwen3", {"tie_word_embeddings": True}, torch.float32),
    "qwen3, a window, in bfloat16": ("qwen3", WINDOWED, torch.bfloat16),
    "llama": ("llama", {}, torch.float32),
    "llama, tied, in float16": ("llama", {"tie_word_embeddings": True}, torch.float16),
    "gemma2, tied, a window": ("gemma2", GEMMA | {"tie_word_embeddings": True}, torch.float32),
    "gemma2, untied, in bfloat16": ("gemma2", GEMMA, torch.bfloat16),
    "gemma3, tied, a window": ("gemma3", GEMMA | {"tie_word_embeddings": True}, torch.float32),
    "gemma3, untied, in bfloat16": ("gemma3", GEMMA, torch.bfloat16),
}
PROMPTS = [[1, *range(4, 20)], [1, 7, 24, 9], [1, 5, 24, 6, 27, 8, 28, 11, 25, 4, 27, 16]]
COMPLETIONS = [[6, 28, 9, 25, 4, 8, 2], [9], [12, 13, 24, 5, 27]]


@dataclass(frozen=True)
class Case:
    """A policy in memory, and the same as it is opened from disk."""

    written: Policy
    path: Path
    opened: Policy


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory) -> Case:
    family, changes, dtype = CASES[request.param]
    written = tiny_policy(family, **changes)
    written.model.to(dtype)
    path = tmp_path_factory.mktemp("policy") / "saved"
    written.save(path)
    return Case(written, path, Policy.load(path, device="cpu"))


@torch.no_grad()
def plain_logits(model: Any, ids: list[int]) -> torch.Tensor:
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def pad_left(prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in prompts])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts])
    return ids, mask


def test_a_saved_policy_is_opened_as_the_same(case):
    assert fingerprint_of(case.path) == case.opened.fingerprint() == case.written.fingerprint()
    assert case.opened.model.dtype == torch.float32
    for name, weight in case.written.model.named_parameters():
        assert torch.equal(weight.float(), case.opened.model.get_parameter(name)), name
    head, embedding = (case.opened.model.lm_head.weight, case.opened.model.model.embed_tokens.weight)
    assert (head is embedding) == case.opened.model.config.tie_word_embeddings


def test_the_last_token_sees_far_back_through_layers_of_full_attention_alone(case):
    types = getattr(case.opened.model.config, "layer_types", None) or ["full_attention"] * 3
    longest = max(PROMPTS, key=len)
    changed = [1, 29, *longest[2:]]  # outside the windows of two layers
    first, second = (case.opened.capture(torch.tensor([ids]), [0, 1, 2]) for ids in (longest, changed))
    differs = [not torch.equal(first[layer][0, -1], second[layer][0, -1]) for layer in range(3)]
    assert differs == ["full_attention" in types[: layer + 1] for layer in range(3)]


def test_captured_residuals_are_the_hidden_states_of_transformers(case):
    ids, mask = pad_left(PROMPTS)
    captured = case.opened.capture(ids, [0, 1, 2], mask)
    for row, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            output = case.opened.model(torch.tensor([prompt]), output_hidden_states=True, use_cache=False)
        for layer in (0, 1):
            expected = output.hidden_states[layer + 1][0]
            torch.testing.assert_close(captured[layer][row, -len(prompt) :], expected, atol=1e-4, rtol=1e-4)
        normed = case.opened.model.get_decoder().norm(captured[2][row, -len(prompt) :])
        torch.testing.assert_close(normed, output.hidden_states[3][0], atol=1e-4, rtol=1e-4)


def test_greedy_samples_of_a_padded_batch_are_those_of_transformers(case):
    samples = case.opened.sample(PROMPTS, SampleConfig(group=1, max_new_tokens=12, temperature=0.0))
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([prompt])
        output = case.opened.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, use_cache=False
        )
        got = samples.tokens_BL[row, : int(samples.lengths_B[row])].tolist()
        assert got == output[0, len(prompt) :].tolist()


def test_scores_and_the_log_probabilities_of_samples_are_those_of_transformers(case):
    scored, _ = case.opened.score(PROMPTS, COMPLETIONS)
    samples = case.opened.sample(PROMPTS, SampleConfig(group=2, max_new_tokens=10, temperature=1.0))
    sampled = [samples.tokens_BL[row, : int(samples.lengths_B[row])].tolist() for row in range(6)]
    prompts = [prompt for prompt in PROMPTS for _ in range(2)]
    for logprobs, rows, completions in (
        (scored, PROMPTS, COMPLETIONS),
        (samples.logprobs_BL, prompts, sampled),
    ):
        for row, (prompt, completion) in enumerate(zip(rows, completions, strict=True)):
            logits = plain_logits(case.opened.model, prompt + completion)[len(prompt) - 1 : -1]
            expected = logits.log_softmax(-1)[range(len(completion)), completion]
            torch.testing.assert_close(logprobs[row, : len(completion)], expected, atol=2e-4, rtol=0)


def test_completion_residuals_are_those_of_each_row_alone(case):
    residuals = case.opened.completion_residuals(PROMPTS, COMPLETIONS, layer=1)
    expected = [
        case.opened.capture(torch.tensor([prompt + completion]), [1])[1][0, len(prompt) :]
        for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)
    ]
    torch.testing.assert_close(residuals, torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_lora_adapters_begin_as_the_base_are_switched_off_and_merge_into_what_they_compute(case):
    policy, ids = Policy.load(case.path, device="cpu"), PROMPTS[0]
    before = plain_logits(policy.model, ids)
    adapters = add_adapters(policy.model, rank=2, seed=0)
    assert merge_adapters(policy, adapters).fingerprint() == case.opened.fingerprint()
    for name, weight in adapters.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.05)
    trained = plain_logits(policy.model, ids)
    assert not torch.allclose(trained, before, atol=1e-2)
    with disable_adapters(adapters):
        torch.testing.assert_close(plain_logits(policy.model, ids), before)
    merged = merge_adapters(policy, adapters)
    torch.testing.assert_close(plain_logits(merged.model, ids), trained, atol=1e-3, rtol=1e-4)
    assert merged.fingerprint() != case.opened.fingerprint()
    residuals = [each.capture(torch.tensor([ids]), [1])[1] for each in (policy, merged)]
    torch.testing.assert_close(residuals[0], residuals[1], atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_the_bridge_sees_the_same_residuals_to_a_share_of_their_size(case):
    ids = torch.tensor([PROMPTS[0]])
    captured = case.opened.capture(ids, [0, 1, 2])
    bridge = case.opened.bridge()
    logits, cache = bridge.run_with_cache(ids)
    for layer, residual in captured.items():
        other = cache[f"blocks.{layer}.hook_resid_post"]
        assert (other - residual).norm() <= 1e-5 * residual.norm(), layer
    expected = case.opened.model(ids).logits
    assert (logits - expected).norm() <= 1e-4 * expected.norm()
