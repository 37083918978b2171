"""To go on from what a block gave is to have run the blocks before it, for the rows it is asked of."""

from typing import Any

import pytest
import torch
from conftest import tiny_policy
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from interp.artifacts import BadInput
from interp.grpo.learner import with_adapters
from interp.policy.residual import blocks_of, capturing, keeping, residual_in, resuming, splicing, with_residual
from interp.policy.sample import positions

IDS = torch.tensor([[0, 0, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12], [0, 5, 24, 9, 27, 14, 28, 2]])
MASK = (IDS != 0).long()
LAYERS = [0, 1, 2]


def logits(model: Any, rows: slice | list[int] = slice(None)) -> torch.Tensor:
    """Of rows that are padded on the left."""
    told = {"attention_mask": MASK[rows], "position_ids": positions(MASK[rows])}
    with torch.no_grad():
        return model(input_ids=IDS[rows], use_cache=False, **told).logits


def given(model: Any, layer: int) -> Any:
    with keeping(model, layer) as kept:
        logits(model)
    (output,) = kept
    return output


@pytest.mark.parametrize("layer", LAYERS)
def test_going_on_from_what_a_block_gave_is_the_whole_forward(policy, layer):
    output = given(policy.model, layer)
    with resuming(policy.model, layer, output):
        assert torch.equal(logits(policy.model), logits(policy.model))
        resumed = logits(policy.model)
    torch.testing.assert_close(resumed, logits(policy.model), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_some_of_the_rows_go_on_as_they_do_among_all(policy, layer):
    rows, whole = [0, 2], logits(policy.model)
    with resuming(policy.model, layer, given(policy.model, layer)[rows]):
        torch.testing.assert_close(logits(policy.model, rows), whole[rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_going_on_from_something_else_is_what_splicing_it_in_is(policy, layer):
    output = given(policy.model, layer)
    other = with_residual(output, residual_in(output).neg())
    with resuming(policy.model, layer, other):
        resumed = logits(policy.model)
    with splicing(policy.model, layer, torch.neg):
        torch.testing.assert_close(resumed, logits(policy.model), atol=1e-5, rtol=0)
    assert not torch.allclose(resumed, logits(policy.model), atol=0.1)


def test_what_is_kept_is_the_residual_after_the_block_forward_by_forward(policy):
    with keeping(policy.model, 1) as kept:
        assert torch.equal(logits(policy.model), logits(policy.model))
    with torch.no_grad(), capturing(policy.model, [1]) as caught:
        policy.model(input_ids=IDS, attention_mask=MASK, position_ids=positions(MASK))
    assert len(kept) == 2 and torch.equal(residual_in(kept[0]), residual_in(kept[1]))
    real = MASK.bool()
    torch.testing.assert_close(residual_in(kept[0])[real], caught[1][real], atol=1e-5, rtol=0)
    logits(policy.model)
    assert len(kept) == 2, "and no longer"


def test_only_blocks_behind_are_run(policy):
    ran, output = [], given(policy.model, 1)
    blocks: Any = blocks_of(policy.model)
    handles = [block.mlp.register_forward_hook(lambda *_, at=at: ran.append(at)) for at, block in enumerate(blocks)]
    with resuming(policy.model, 1, output):
        logits(policy.model)
    for handle in handles:
        handle.remove()
    assert ran == [2]


def test_blocks_are_as_they_were_afterwards_and_after_an_exception_too():
    """One of them is wrapped already, as libraries that spread a model over devices do; and one resumes in another."""
    model = tiny_policy().model
    first, before = blocks_of(model)[0], logits(model)
    plain = first.forward
    first.forward = lambda *args, **more: plain(*args, **more)
    wrapped, output = first.forward, given(model, 2)
    with pytest.raises(ZeroDivisionError), resuming(model, 2, output), resuming(model, 1, output.neg()):
        raise ZeroDivisionError
    assert first.forward is wrapped
    assert ["forward" in vars(block) for block in blocks_of(model)] == [True, False, False]
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_that_is_not_there_is_refused_and_nothing_is_touched(policy, layer):
    for asked in (keeping(policy.model, layer), resuming(policy.model, layer, None)):
        with pytest.raises(BadInput, match=f"layer must lie between 0 and 2; got {layer}"), asked:
            pass
    assert not any("forward" in vars(block) for block in blocks_of(policy.model))


def test_a_model_in_adapters_is_gone_on_in_too():
    adapted = with_adapters(tiny_policy().model, rank=2, seed=0)
    output, before = given(adapted, 1), logits(adapted)
    with resuming(adapted, 1, output):
        torch.testing.assert_close(logits(adapted), before, atol=1e-5, rtol=0)


class Block(nn.Module):
    """Adds one, and tells something else beside the residual, as blocks did of old."""

    def forward(self, resid_BLD: torch.Tensor, mask: str) -> tuple[torch.Tensor, str]:
        return resid_BLD + 1, mask


class Old(PreTrainedModel):
    def __init__(self) -> None:
        super().__init__(PretrainedConfig())
        self.layers = nn.ModuleList([Block(), Block(), Block()])

    def get_decoder(self) -> "Old":
        return self

    def forward(self, resid_BLD: torch.Tensor) -> torch.Tensor:
        for block in self.layers:
            resid_BLD = block(resid_BLD, mask="all")[0]
        return resid_BLD


def test_a_block_that_gives_more_than_the_residual_is_gone_on_from_too():
    """The blocks before pass on what they are given, and `[0]` of that is not the residual: nobody reads it."""
    model, x_BLD = Old(), torch.zeros(2, 1, 4)
    with keeping(model, 1) as kept:
        assert bool((model(x_BLD) == 3).all())
    assert residual_in(kept[0]).tolist() == (x_BLD + 2).tolist() and kept[0][1] == "all"
    with resuming(model, 1, kept[0]):
        assert bool((model(x_BLD) == 3).all())
    with resuming(model, 1, with_residual(kept[0], residual_in(kept[0])[:1] + 10)):
        assert model(x_BLD[:1]).tolist() == (x_BLD[:1] + 13).tolist()
