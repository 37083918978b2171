"""Every layer's residual is the model's own, and reading it leaves nothing behind."""

import pytest
import torch
from torch import nn

from interp.artifacts import BadInput
from interp.policy.residual import blocks_of, capturing

IDS = torch.tensor([[5, 24, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12]])
LAST = 2


def hooks_of(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


class Calls:
    """How often each block of a model has run."""

    def __init__(self, model: nn.Module) -> None:
        self.count = [0] * len(blocks_of(model))
        self.handles = [
            block.register_forward_pre_hook(lambda module, args, i=i: self.add(i))
            for i, block in enumerate(blocks_of(model))
        ]

    def add(self, layer: int) -> None:
        self.count[layer] += 1

    def __enter__(self) -> list[int]:
        return self.count

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


@torch.no_grad()
def test_every_layer_is_the_hidden_state_the_model_itself_reports(policy):
    caught = policy.capture(IDS, [0, 1, LAST])
    states = policy.model(IDS, output_hidden_states=True).hidden_states
    assert sorted(caught) == [0, 1, LAST] == list(range(policy.n_layers))
    for layer in (0, 1):
        torch.testing.assert_close(caught[layer], states[layer + 1], atol=1e-5, rtol=0)
    assert caught[LAST].shape == (*IDS.shape, policy.d_model)
    normed = policy.model.get_decoder().norm(caught[LAST])
    torch.testing.assert_close(normed, states[LAST + 1], atol=1e-5, rtol=0)
    assert not torch.allclose(caught[LAST], states[LAST + 1], atol=1e-2)


def test_layers_come_the_same_one_by_one_and_in_any_order(policy):
    together = policy.capture(IDS, [LAST, 0, 1])
    for layer in range(LAST + 1):
        assert torch.equal(policy.capture(IDS, [layer])[layer], together[layer])


@pytest.mark.parametrize(("layers", "runs"), [([0], [1, 0, 0]), ([1, 0], [1, 1, 0]), ([2], [1, 1, 1])])
def test_the_forward_stops_at_the_deepest_layer_asked_for(policy, layers, runs):
    head = []
    handle = policy.model.lm_head.register_forward_pre_hook(lambda *_: head.append(1))
    with Calls(policy.model) as count:
        policy.capture(IDS, layers)
    handle.remove()
    assert count == runs
    assert not head


def test_without_stop_the_forward_goes_on_and_each_one_is_caught(policy):
    with Calls(policy.model) as count, torch.no_grad(), capturing(policy.model, [0], stop=False) as caught:
        logits = policy.model(IDS).logits
        first = caught[0].clone()
        policy.model(IDS.flip(0))
        assert torch.equal(caught[0], policy.capture(IDS.flip(0), [0])[0])
    assert count == [3, 2, 2]
    assert torch.equal(first, policy.capture(IDS, [0])[0])
    torch.testing.assert_close(logits, policy.model(IDS).logits)


@pytest.mark.parametrize("layers", [[3], [-1], [0, 7]])
def test_a_layer_out_of_range_is_refused(tiny, layers):
    strange = [layer for layer in layers if not 0 <= layer <= LAST]
    with pytest.raises(BadInput, match=rf"layers must lie between 0 and {LAST}; got \[{strange[0]}\]"):
        tiny["qwen3"].capture(IDS, layers)


def test_no_hook_stays_behind(policy):
    before = hooks_of(policy.model)
    policy.capture(IDS, [0, 1])
    assert hooks_of(policy.model) == before
    with torch.no_grad(), capturing(policy.model, [1], stop=False):
        policy.model(IDS)
        assert hooks_of(policy.model) == before + 1
    assert hooks_of(policy.model) == before


def test_no_hook_stays_behind_a_failure_and_the_failure_is_heard(policy):
    before = hooks_of(policy.model)
    with pytest.raises(IndexError), capturing(policy.model, [1]):
        policy.model(torch.tensor([[10_000]]))
    assert hooks_of(policy.model) == before
    with pytest.raises(KeyError, match="mine"), capturing(policy.model, [1], stop=False):
        raise KeyError("mine")
    assert hooks_of(policy.model) == before


def test_with_left_padding_a_row_is_what_it_is_alone(policy):
    short = IDS[0, :5]
    ids_BL = torch.stack([torch.cat([torch.full((3,), policy.pad), short]), IDS[1]])
    mask_BL = torch.tensor([[0] * 3 + [1] * 5, [1] * 8])
    padded = policy.capture(ids_BL, [0, LAST], mask_BL)
    alone = policy.capture(short[None], [0, LAST])
    for layer in (0, LAST):
        torch.testing.assert_close(padded[layer][0, 3:], alone[layer][0], atol=1e-5, rtol=0)
        torch.testing.assert_close(padded[layer][1], policy.capture(IDS[1:], [layer])[layer][0], atol=1e-5, rtol=0)


def test_with_right_padding_a_row_is_what_it_is_alone(policy):
    ids_BL = torch.stack([torch.cat([IDS[0, :5], torch.full((3,), policy.pad)]), IDS[1]])
    mask_BL = torch.tensor([[1] * 5 + [0] * 3, [1] * 8])
    padded = policy.capture(ids_BL, [LAST], mask_BL)[LAST]
    alone = policy.capture(IDS[:1, :5], [LAST])[LAST]
    torch.testing.assert_close(padded[0, :5], alone[0], atol=1e-5, rtol=0)


def test_what_is_captured_carries_no_graph_but_capturing_can(tiny):
    policy = tiny["qwen3"]
    assert not policy.capture(IDS, [1])[1].requires_grad
    with capturing(policy.model, [1]) as caught:
        policy.model(IDS)
    assert caught[1].requires_grad
