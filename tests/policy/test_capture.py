"""Captured residuals are the model's own hidden states, and capturing leaves no hooks behind."""

import pytest
import torch
from torch import nn

from interp.artifacts import BadInput
from interp.policy.residual import capture_residuals, decoder_blocks

IDS = torch.tensor([[5, 24, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12]])
LAST = 2


def count_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


class BlockCalls:
    """Context manager that counts how often each block of a model runs."""

    def __init__(self, model: nn.Module) -> None:
        self.count = [0] * len(decoder_blocks(model))
        self.handles = [
            block.register_forward_pre_hook(lambda module, args, i=i: self.add(i))
            for i, block in enumerate(decoder_blocks(model))
        ]

    def add(self, layer: int) -> None:
        self.count[layer] += 1

    def __enter__(self) -> list[int]:
        return self.count

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


@torch.no_grad()
def test_captured_residuals_equal_the_models_hidden_states(policy):
    residuals = policy.capture(IDS, [0, 1, LAST])
    states = policy.model(IDS, output_hidden_states=True).hidden_states
    assert sorted(residuals) == [0, 1, LAST] == list(range(policy.n_layers))
    for layer in (0, 1):
        torch.testing.assert_close(residuals[layer], states[layer + 1], atol=1e-5, rtol=0)
    assert residuals[LAST].shape == (*IDS.shape, policy.d_model)
    normed = policy.model.get_decoder().norm(residuals[LAST])
    torch.testing.assert_close(normed, states[LAST + 1], atol=1e-5, rtol=0)
    assert not torch.allclose(residuals[LAST], states[LAST + 1], atol=1e-2)


def test_layers_can_be_captured_together_or_alone_in_any_order(policy):
    together = policy.capture(IDS, [LAST, 0, 1])
    for layer in range(LAST + 1):
        assert torch.equal(policy.capture(IDS, [layer])[layer], together[layer])


@pytest.mark.parametrize(("layers", "runs"), [([0], [1, 0, 0]), ([1, 0], [1, 1, 0]), ([2], [1, 1, 1])])
def test_the_forward_stops_at_the_deepest_captured_layer(policy, layers, runs):
    head_calls = []
    handle = policy.model.lm_head.register_forward_pre_hook(lambda *_: head_calls.append(1))
    with BlockCalls(policy.model) as count:
        policy.capture(IDS, layers)
    handle.remove()
    assert count == runs
    assert not head_calls


def test_without_stop_every_forward_runs_to_the_end_and_is_captured(policy):
    with (
        BlockCalls(policy.model) as count,
        torch.no_grad(),
        capture_residuals(policy.model, [0], stop=False) as residuals,
    ):
        logits = policy.model(IDS).logits
        first = residuals[0].clone()
        policy.model(IDS.flip(0))
        assert torch.equal(residuals[0], policy.capture(IDS.flip(0), [0])[0])
    assert count == [3, 2, 2]
    assert torch.equal(first, policy.capture(IDS, [0])[0])
    torch.testing.assert_close(logits, policy.model(IDS).logits)


@pytest.mark.parametrize("layers", [[3], [-1], [0, 7]])
def test_a_layer_out_of_range_is_refused(tiny, layers):
    out_of_range = [layer for layer in layers if not 0 <= layer <= LAST]
    with pytest.raises(BadInput, match=rf"layers must lie between 0 and {LAST}; got \[{out_of_range[0]}\]"):
        tiny["qwen3"].capture(IDS, layers)


def test_hooks_are_removed_after_the_block(policy):
    before = count_hooks(policy.model)
    policy.capture(IDS, [0, 1])
    assert count_hooks(policy.model) == before
    with torch.no_grad(), capture_residuals(policy.model, [1], stop=False):
        policy.model(IDS)
        assert count_hooks(policy.model) == before + 1
    assert count_hooks(policy.model) == before


def test_after_an_exception_the_hook_is_removed_and_the_exception_propagates(policy):
    before = count_hooks(policy.model)
    with pytest.raises(IndexError), capture_residuals(policy.model, [1]):
        policy.model(torch.tensor([[10_000]]))
    assert count_hooks(policy.model) == before
    with pytest.raises(KeyError, match="mine"), capture_residuals(policy.model, [1], stop=False):
        raise KeyError("mine")
    assert count_hooks(policy.model) == before


def test_a_left_padded_row_has_the_residuals_of_the_row_alone(policy):
    short = IDS[0, :5]
    ids_BL = torch.stack([torch.cat([torch.full((3,), policy.pad_id), short]), IDS[1]])
    mask_BL = torch.tensor([[0] * 3 + [1] * 5, [1] * 8])
    padded = policy.capture(ids_BL, [0, LAST], mask_BL)
    alone = policy.capture(short[None], [0, LAST])
    for layer in (0, LAST):
        torch.testing.assert_close(padded[layer][0, 3:], alone[layer][0], atol=1e-5, rtol=0)
        torch.testing.assert_close(padded[layer][1], policy.capture(IDS[1:], [layer])[layer][0], atol=1e-5, rtol=0)


def test_a_right_padded_row_has_the_residuals_of_the_row_alone(policy):
    ids_BL = torch.stack([torch.cat([IDS[0, :5], torch.full((3,), policy.pad_id)]), IDS[1]])
    mask_BL = torch.tensor([[1] * 5 + [0] * 3, [1] * 8])
    padded = policy.capture(ids_BL, [LAST], mask_BL)[LAST]
    alone = policy.capture(IDS[:1, :5], [LAST])[LAST]
    torch.testing.assert_close(padded[0, :5], alone[0], atol=1e-5, rtol=0)


def test_capture_has_no_gradient_but_capture_residuals_keeps_it(tiny):
    policy = tiny["qwen3"]
    assert not policy.capture(IDS, [1])[1].requires_grad
    with capture_residuals(policy.model, [1]) as residuals:
        policy.model(IDS)
    assert residuals[1].requires_grad
