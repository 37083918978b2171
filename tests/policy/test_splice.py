"""A spliced residual has its predicted effect on the logits, and nothing else changes."""

import pytest
import torch
from conftest import tiny_model
from torch import nn

import interp
from interp.artifacts import BadInput
from interp.policy.residual import capture_residuals, decoder_blocks, splice_residual

IDS = torch.tensor([[5, 24, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12]])
MASK = torch.zeros(IDS.shape, dtype=torch.bool)
MASK[0, 3:5] = MASK[1, 6] = True
LAYERS = [0, 1, 2]


def logits(model, ids_BL=IDS):
    with torch.no_grad():
        return model(ids_BL).logits


def direction(model, seed=0):
    return torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(seed))


def count_hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.fixture(scope="module")
def organism():
    return interp.Policy.load(interp.organism.shipped_path(), device="cpu")


@pytest.mark.parametrize("layer", [0, 3])
def test_an_identity_edit_does_not_change_the_logits(organism, layer):
    ids_BL = torch.arange(16).view(2, 8)
    before = logits(organism.model, ids_BL)
    with splice_residual(organism.model, layer, lambda resid_BLD: resid_BLD):
        torch.testing.assert_close(logits(organism.model, ids_BL), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_adding_a_direction_equals_a_bias_on_the_last_matrix_of_the_block(policy, layer):
    added_D = direction(policy.model)
    with splice_residual(policy.model, layer, lambda resid_BLD: resid_BLD + added_D):
        spliced = logits(policy.model)
    mlp = decoder_blocks(policy.model)[layer].mlp
    plain = mlp.down_proj
    try:
        mlp.down_proj = nn.Linear(plain.in_features, plain.out_features)
        mlp.down_proj.weight, mlp.down_proj.bias = plain.weight, nn.Parameter(added_D)
        torch.testing.assert_close(spliced, logits(policy.model), atol=1e-4, rtol=0)
    finally:
        mlp.down_proj = plain
    assert not torch.allclose(spliced, logits(policy.model), atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("layer", LAYERS)
def test_the_blocks_after_the_layer_run_on_the_edited_residual(policy, layer):
    """The rest of the forward by hand: the remaining blocks, the final norm and the head."""
    decoder, length = policy.model.get_decoder(), IDS.shape[1]
    edited_BLD = torch.where(MASK[..., None], -policy.capture(IDS, [layer])[layer], policy.capture(IDS, [layer])[layer])
    positions_1L = torch.arange(length)[None]
    causal_mask = torch.full((1, 1, length, length), -torch.inf).triu(1)
    resid_BLD = edited_BLD
    for block in decoder_blocks(policy.model)[layer + 1 :]:
        rotary = decoder.rotary_emb(resid_BLD, positions_1L)
        resid_BLD = block(resid_BLD, attention_mask=causal_mask, position_ids=positions_1L, position_embeddings=rotary)
        resid_BLD = resid_BLD[0] if isinstance(resid_BLD, tuple) else resid_BLD
    by_hand = policy.model.lm_head(decoder.norm(resid_BLD))
    with splice_residual(policy.model, layer, torch.neg, mask_BL=MASK):
        torch.testing.assert_close(logits(policy.model), by_hand, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_positions_outside_the_mask_keep_their_bits_and_earlier_logits_do_not_change(policy, layer):
    before, clean = logits(policy.model), policy.capture(IDS, [layer])[layer]
    with (
        splice_residual(policy.model, layer, lambda resid_BLD: torch.full_like(resid_BLD, torch.nan), mask_BL=MASK),
        capture_residuals(policy.model, [layer], stop=False) as residuals,
    ):
        logits(policy.model)
    assert torch.equal(residuals[layer][~MASK], clean[~MASK])
    assert residuals[layer][MASK].isnan().all()
    with splice_residual(policy.model, layer, lambda resid_BLD: resid_BLD + 1, mask_BL=MASK):
        after = logits(policy.model)
    assert torch.equal(after[0, :3], before[0, :3]) and torch.equal(after[1, :6], before[1, :6])
    assert not torch.allclose(after[0, 3], before[0, 3]) and not torch.allclose(after[1, 6], before[1, 6])


def test_an_empty_mask_changes_nothing(policy):
    before = logits(policy.model)
    with splice_residual(policy.model, 1, lambda resid_BLD: resid_BLD * 100, mask_BL=torch.zeros_like(MASK)):
        assert torch.equal(logits(policy.model), before)


def test_an_in_place_edit_changes_only_its_copy(policy):
    """A capture of the layer that was set earlier keeps the original."""
    before, clean = logits(policy.model), policy.capture(IDS, [1])[1]
    with (
        capture_residuals(policy.model, [1], stop=False) as residuals,
        splice_residual(policy.model, 1, lambda resid_BLD: resid_BLD.zero_(), mask_BL=torch.zeros_like(MASK)),
    ):
        assert torch.equal(logits(policy.model), before)
    assert torch.equal(residuals[1], clean)


def test_every_forward_in_the_block_is_spliced_and_none_after_it(policy):
    before, hooks = logits(policy.model), count_hooks(policy.model)
    with splice_residual(policy.model, 0, torch.zeros_like):
        first, second = logits(policy.model), logits(policy.model)
        assert count_hooks(policy.model) == hooks + 1
    assert torch.equal(first, second) and not torch.equal(first, before)
    assert count_hooks(policy.model) == hooks
    assert torch.equal(logits(policy.model), before)


def test_after_an_exception_the_hook_is_removed(policy):
    hooks = count_hooks(policy.model)
    with pytest.raises(KeyError, match="mine"), splice_residual(policy.model, 0, torch.neg):
        raise KeyError("mine")
    assert count_hooks(policy.model) == hooks


def test_nested_splices_apply_in_order(policy):
    before, added_D = logits(policy.model), direction(policy.model)
    with (
        splice_residual(policy.model, 1, lambda resid_BLD: resid_BLD + added_D),
        splice_residual(policy.model, 1, lambda resid_BLD: resid_BLD - added_D),
    ):
        torch.testing.assert_close(logits(policy.model), before, atol=1e-4, rtol=0)


class Paired(nn.Module):
    """A block that returns a tuple, as the blocks of older versions do."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args, **kwargs):
        return self.block(*args, **kwargs), "weights"


def test_in_a_tuple_only_the_residual_is_replaced():
    model = tiny_model()
    clean = model.get_decoder()
    x_BLD, rotary = (
        direction(model)[None, None],
        clean.rotary_emb(direction(model)[None, None], torch.zeros(1, 1).long()),
    )
    decoder_blocks(model)[1] = Paired(decoder_blocks(model)[1])
    with torch.no_grad(), splice_residual(model, 1, torch.zeros_like):
        first, rest = decoder_blocks(model)[1](x_BLD, position_embeddings=rotary)
    assert torch.equal(first, torch.zeros_like(x_BLD)) and rest == "weights"


def test_a_model_with_adapters_can_be_spliced():
    pytest.importorskip("peft")
    from interp.grpo.learner import add_adapters

    model = tiny_model()
    with splice_residual(model, 1, torch.neg):
        plain = logits(model)
    adapted = add_adapters(model, rank=2, seed=0)
    with splice_residual(adapted, 1, torch.neg):
        torch.testing.assert_close(logits(adapted), plain)


def test_gradients_flow_through_a_splice():
    model = tiny_model()
    added_D = direction(model).requires_grad_()
    with splice_residual(model, 1, lambda resid_BLD: resid_BLD + added_D, mask_BL=MASK):
        model(IDS).logits.sum().backward()
    assert added_D.grad is not None and added_D.grad.abs().sum() > 0
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize("layer", [3, -1])
def test_a_layer_out_of_range_is_refused(policy, layer):
    with (
        pytest.raises(BadInput, match=f"layer must lie between 0 and 2; got {layer}"),
        splice_residual(policy.model, layer, torch.neg),
    ):
        pass


@pytest.mark.parametrize(
    ("edit", "got"),
    [
        (lambda resid_BLD: resid_BLD[:1], r"\(1, 8, 32\) in torch.float32"),
        (lambda resid_BLD: resid_BLD[0, 0], r"\(32,\) in torch.float32"),
        (lambda resid_BLD: resid_BLD.double(), r"\(2, 8, 32\) in torch.float64"),
    ],
)
def test_an_edit_that_changes_shape_or_dtype_is_refused(policy, edit, got):
    hooks = count_hooks(policy.model)
    with (
        pytest.raises(BadInput, match=rf"keep shape and dtype, \(2, 8, 32\) in torch.float32; got {got}"),
        splice_residual(policy.model, 1, edit),
    ):
        logits(policy.model)
    assert count_hooks(policy.model) == hooks


def test_a_mask_of_another_shape_is_refused(policy):
    with (
        pytest.raises(BadInput, match=r"mask_BL must have the shape of the forward, \(2, 8\); got \(2, 7\)"),
        splice_residual(policy.model, 1, torch.neg, mask_BL=MASK[:, 1:]),
    ):
        logits(policy.model)
