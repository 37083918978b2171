"""Resuming from a recorded block output equals running the blocks before it."""

from typing import Any

import pytest
import torch
from conftest import tiny_policy
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from interp.artifacts import BadInput
from interp.grpo.learner import add_adapters
from interp.policy.residual import (
    capture_residuals,
    decoder_blocks,
    output_residual,
    record_outputs,
    replace_residual,
    resume_from,
    splice_residual,
)
from interp.policy.sample import position_ids

IDS = torch.tensor([[0, 0, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12], [0, 5, 24, 9, 27, 14, 28, 2]])
MASK = (IDS != 0).long()
LAYERS = [0, 1, 2]


def logits(model: Any, rows: slice | list[int] = slice(None)) -> torch.Tensor:
    """Logits of left-padded rows."""
    padding = {"attention_mask": MASK[rows], "position_ids": position_ids(MASK[rows])}
    with torch.no_grad():
        return model(input_ids=IDS[rows], use_cache=False, **padding).logits


def recorded_output(model: Any, layer: int) -> Any:
    with record_outputs(model, layer) as outputs:
        logits(model)
    (output,) = outputs
    return output


@pytest.mark.parametrize("layer", LAYERS)
def test_resuming_from_a_recorded_output_equals_the_whole_forward(policy, layer):
    output = recorded_output(policy.model, layer)
    with resume_from(policy.model, layer, output):
        assert torch.equal(logits(policy.model), logits(policy.model))
        resumed = logits(policy.model)
    torch.testing.assert_close(resumed, logits(policy.model), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_resuming_some_rows_gives_the_same_logits_as_resuming_all(policy, layer):
    rows, whole = [0, 2], logits(policy.model)
    with resume_from(policy.model, layer, recorded_output(policy.model, layer)[rows]):
        torch.testing.assert_close(logits(policy.model, rows), whole[rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_resuming_from_an_edited_output_equals_splicing_the_edit(policy, layer):
    output = recorded_output(policy.model, layer)
    edited = replace_residual(output, output_residual(output).neg())
    with resume_from(policy.model, layer, edited):
        resumed = logits(policy.model)
    with splice_residual(policy.model, layer, torch.neg):
        torch.testing.assert_close(resumed, logits(policy.model), atol=1e-5, rtol=0)
    assert not torch.allclose(resumed, logits(policy.model), atol=0.1)


def test_recorded_outputs_are_the_residuals_of_each_forward(policy):
    with record_outputs(policy.model, 1) as outputs:
        assert torch.equal(logits(policy.model), logits(policy.model))
    with torch.no_grad(), capture_residuals(policy.model, [1]) as residuals:
        policy.model(input_ids=IDS, attention_mask=MASK, position_ids=position_ids(MASK))
    assert len(outputs) == 2 and torch.equal(output_residual(outputs[0]), output_residual(outputs[1]))
    real = MASK.bool()
    torch.testing.assert_close(output_residual(outputs[0])[real], residuals[1][real], atol=1e-5, rtol=0)
    logits(policy.model)
    assert len(outputs) == 2, "recording ends with the block"


def test_only_the_blocks_after_the_layer_run(policy):
    calls, output = [], recorded_output(policy.model, 1)
    blocks: Any = decoder_blocks(policy.model)
    handles = [
        block.mlp.register_forward_hook(lambda *_, index=i: calls.append(index)) for i, block in enumerate(blocks)
    ]
    with resume_from(policy.model, 1, output):
        logits(policy.model)
    for handle in handles:
        handle.remove()
    assert calls == [2]


def test_blocks_are_restored_after_an_exception_too():
    """One block is already wrapped, as by libraries that spread a model over devices; and one resume is nested."""
    model = tiny_policy().model
    first, before = decoder_blocks(model)[0], logits(model)
    plain = first.forward
    first.forward = lambda *args, **kwargs: plain(*args, **kwargs)
    wrapped, output = first.forward, recorded_output(model, 2)
    with pytest.raises(ZeroDivisionError), resume_from(model, 2, output), resume_from(model, 1, output.neg()):
        raise ZeroDivisionError
    assert first.forward is wrapped
    assert ["forward" in vars(block) for block in decoder_blocks(model)] == [True, False, False]
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_out_of_range_is_refused_and_no_block_is_changed(policy, layer):
    for context in (record_outputs(policy.model, layer), resume_from(policy.model, layer, None)):
        with pytest.raises(BadInput, match=f"layer must lie between 0 and 2; got {layer}"), context:
            pass
    assert not any("forward" in vars(block) for block in decoder_blocks(policy.model))


def test_a_model_with_adapters_can_be_resumed():
    adapted = add_adapters(tiny_policy().model, rank=2, seed=0)
    output, before = recorded_output(adapted, 1), logits(adapted)
    with resume_from(adapted, 1, output):
        torch.testing.assert_close(logits(adapted), before, atol=1e-5, rtol=0)


class Block(nn.Module):
    """Adds one, and returns a tuple, as the blocks of older versions do."""

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


def test_a_block_that_returns_a_tuple_can_be_resumed_from():
    model, x_BLD = Old(), torch.zeros(2, 1, 4)
    with record_outputs(model, 1) as outputs:
        assert bool((model(x_BLD) == 3).all())
    assert output_residual(outputs[0]).tolist() == (x_BLD + 2).tolist() and outputs[0][1] == "all"
    with resume_from(model, 1, outputs[0]):
        assert bool((model(x_BLD) == 3).all())
    with resume_from(model, 1, replace_residual(outputs[0], output_residual(outputs[0])[:1] + 10)):
        assert model(x_BLD[:1]).tolist() == (x_BLD[:1] + 13).tolist()
