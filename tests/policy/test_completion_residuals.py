"""Residuals of many completions with shared prompts equal those of each row alone."""

import pytest
import torch
from conftest import tiny_policy

from interp.policy.residual import decoder_blocks
from interp.policy.score import batches_by_length, unique_prompts

PROMPTS = [(5, 25, 6, 27), (8, 27), (5, 25, 6, 27), (8, 27), (4, 24, 9, 25, 6, 27)]
COMPLETIONS = [(5, 6, 7), (9,), (5, 6, 7, 8, 2), (5, 28), (7, 7)]


@pytest.mark.parametrize("micro_tokens", [1, 12, 8_192])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_completion_residuals_equal_those_of_each_row_alone(policy, layer, micro_tokens):
    resid_ND = policy.completion_residuals(PROMPTS, COMPLETIONS, layer, micro_tokens=micro_tokens)
    alone = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        resid_1LD = policy.capture(torch.tensor([[*prompt, *completion]]), [layer])[layer]
        alone.append(resid_1LD[0, -len(completion) :])
    torch.testing.assert_close(resid_ND, torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_each_distinct_prompt_is_read_once_and_no_block_after_the_layer_runs(monkeypatch):
    policy = tiny_policy()
    shapes: list[tuple[int, ...]] = []
    for block in decoder_blocks(policy.model)[2:]:
        monkeypatch.setattr(block, "forward", None)
    handle = decoder_blocks(policy.model)[0].register_forward_pre_hook(
        lambda _, args: shapes.append(tuple(args[0].shape[:2]))
    )
    policy.completion_residuals(PROMPTS, COMPLETIONS, 1, micro_tokens=8_192)
    handle.remove()
    assert shapes == [(3, 6), (5, 5)], "three prompts of six tokens at most, then five completions of five at most"


def test_empty_completions_give_an_empty_tensor(policy):
    assert policy.completion_residuals([], [], 0, micro_tokens=9).shape == (0, policy.d_model)
    assert policy.completion_residuals([(8, 27)], [()], 0, micro_tokens=9).shape == (0, policy.d_model)


def test_unique_prompts_and_batches_by_length_on_five_rows():
    prompts, prompt_B = unique_prompts(PROMPTS)
    assert prompts == [PROMPTS[0], PROMPTS[1], PROMPTS[4]] and prompt_B.tolist() == [0, 1, 0, 1, 2]
    assert list(batches_by_length(PROMPTS, COMPLETIONS, 12)) == [[1, 3], [4], [0], [2]]
    assert list(batches_by_length([()] * 5, COMPLETIONS, 6)) == [[1, 3, 4], [0], [2]]
