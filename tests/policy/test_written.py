"""Residuals of what was written, read with each prompt once: as those of each row alone."""

import pytest
import torch
from conftest import tiny_policy

from interp.policy.completions import written_residuals
from interp.policy.residual import blocks_of
from interp.policy.score import by_length, distinct

PROMPTS = [(5, 25, 6, 27), (8, 27), (5, 25, 6, 27), (8, 27), (4, 24, 9, 25, 6, 27)]
COMPLETIONS = [(5, 6, 7), (9,), (5, 6, 7, 8, 2), (5, 28), (7, 7)]


@pytest.mark.parametrize("micro_tokens", [1, 12, 8_192])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_they_are_those_of_each_row_read_alone(policy, layer, micro_tokens):
    found_ND = written_residuals(policy, PROMPTS, COMPLETIONS, layer, micro_tokens=micro_tokens)
    rows = [torch.tensor([[*prompt, *told]]) for prompt, told in zip(PROMPTS, COMPLETIONS, strict=True)]
    wanted = [policy.capture(ids, [layer])[layer][0, -len(told) :] for ids, told in zip(rows, COMPLETIONS, strict=True)]
    torch.testing.assert_close(found_ND, torch.cat(wanted), atol=1e-5, rtol=1e-5)


def test_each_prompt_is_read_once_and_nothing_beyond_the_layer(monkeypatch):
    policy = tiny_policy()
    read: list[tuple[int, ...]] = []
    for block in blocks_of(policy.model)[2:]:
        monkeypatch.setattr(block, "forward", None)
    handle = blocks_of(policy.model)[0].register_forward_pre_hook(lambda _, args: read.append(tuple(args[0].shape[:2])))
    written_residuals(policy, PROMPTS, COMPLETIONS, 1, micro_tokens=8_192)
    handle.remove()
    assert read == [(3, 6), (5, 5)], "three prompts of six tokens at most, then five completions of five at most"


def test_nothing_written_is_nothing_read(policy):
    assert written_residuals(policy, [], [], 0, micro_tokens=9).shape == (0, policy.d_model)
    assert written_residuals(policy, [(8, 27)], [()], 0, micro_tokens=9).shape == (0, policy.d_model)


def test_prompts_are_told_once_and_rows_that_are_read_together_keep_within_bounds():
    once, asked_B = distinct(PROMPTS)
    assert once == [PROMPTS[0], PROMPTS[1], PROMPTS[4]] and asked_B.tolist() == [0, 1, 0, 1, 2]
    assert list(by_length(PROMPTS, COMPLETIONS, 12)) == [[1, 3], [4], [0], [2]]
    assert list(by_length([()] * 5, COMPLETIONS, 6)) == [[1, 3, 4], [0], [2]]
