"""What is put into the residual stream has the effect it must have, and nothing else has any."""

import pytest
import torch
from conftest import tiny_model
from torch import nn

import interp
from interp.artifacts import BadInput
from interp.policy.residual import blocks_of, capturing, splicing

IDS = torch.tensor([[5, 24, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12]])
MASK = torch.zeros(IDS.shape, dtype=torch.bool)
MASK[0, 3:5] = MASK[1, 6] = True
LAYERS = [0, 1, 2]


def logits(model, ids_BL=IDS):
    with torch.no_grad():
        return model(ids_BL).logits


def direction(model, seed=0):
    return torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(seed))


def hooks_of(model):
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.fixture(scope="module")
def organism():
    return interp.Policy.load(interp.organism.shipped(), device="cpu")


@pytest.mark.parametrize("layer", [0, 3])
def test_the_organism_is_itself_under_an_edit_that_changes_nothing(organism, layer):
    ids_BL = torch.arange(16).view(2, 8)
    before = logits(organism.model, ids_BL)
    with splicing(organism.model, layer, lambda resid_BLD: resid_BLD):
        torch.testing.assert_close(logits(organism.model, ids_BL), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", LAYERS)
def test_adding_a_direction_is_adding_it_to_what_the_block_writes(policy, layer):
    """The same done to the weights: a bias on the last matrix of the block writes the direction at every position."""
    added_D = direction(policy.model)
    with splicing(policy.model, layer, lambda resid_BLD: resid_BLD + added_D):
        spliced = logits(policy.model)
    mlp = blocks_of(policy.model)[layer].mlp
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
def test_what_is_put_there_is_what_the_rest_of_the_model_goes_on_from(policy, layer):
    """The second half of the forward by hand: the remaining blocks, the final norm and the head."""
    decoder, length = policy.model.get_decoder(), IDS.shape[1]
    edited_BLD = torch.where(MASK[..., None], -policy.capture(IDS, [layer])[layer], policy.capture(IDS, [layer])[layer])
    places = torch.arange(length)[None]
    ahead = torch.full((1, 1, length, length), -torch.inf).triu(1)
    resid_BLD = edited_BLD
    for block in blocks_of(policy.model)[layer + 1 :]:
        turns = decoder.rotary_emb(resid_BLD, places)
        resid_BLD = block(resid_BLD, attention_mask=ahead, position_ids=places, position_embeddings=turns)
        resid_BLD = resid_BLD[0] if isinstance(resid_BLD, tuple) else resid_BLD
    by_hand = policy.model.lm_head(decoder.norm(resid_BLD))
    with splicing(policy.model, layer, torch.neg, mask_BL=MASK):
        torch.testing.assert_close(logits(policy.model), by_hand, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_positions_outside_the_mask_keep_their_bits_and_the_past_its_logits(policy, layer):
    before, clean = logits(policy.model), policy.capture(IDS, [layer])[layer]
    with (
        splicing(policy.model, layer, lambda resid_BLD: torch.full_like(resid_BLD, torch.nan), mask_BL=MASK),
        capturing(policy.model, [layer], stop=False) as caught,
    ):
        logits(policy.model)
    assert torch.equal(caught[layer][~MASK], clean[~MASK])
    assert caught[layer][MASK].isnan().all()
    with splicing(policy.model, layer, lambda resid_BLD: resid_BLD + 1, mask_BL=MASK):
        after = logits(policy.model)
    assert torch.equal(after[0, :3], before[0, :3]) and torch.equal(after[1, :6], before[1, :6])
    assert not torch.allclose(after[0, 3], before[0, 3]) and not torch.allclose(after[1, 6], before[1, 6])


def test_an_empty_mask_changes_nothing_whatever_the_edit(policy):
    before = logits(policy.model)
    with splicing(policy.model, 1, lambda resid_BLD: resid_BLD * 100, mask_BL=torch.zeros_like(MASK)):
        assert torch.equal(logits(policy.model), before)


def test_an_edit_in_place_reaches_no_further_than_its_mask(policy):
    """It is given a copy: who captured the layer before keeps what was there."""
    before, clean = logits(policy.model), policy.capture(IDS, [1])[1]
    with (
        capturing(policy.model, [1], stop=False) as caught,
        splicing(policy.model, 1, lambda resid_BLD: resid_BLD.zero_(), mask_BL=torch.zeros_like(MASK)),
    ):
        assert torch.equal(logits(policy.model), before)
    assert torch.equal(caught[1], clean)


def test_every_forward_in_the_block_is_spliced_and_none_after(policy):
    before, hooks = logits(policy.model), hooks_of(policy.model)
    with splicing(policy.model, 0, torch.zeros_like):
        first, second = logits(policy.model), logits(policy.model)
        assert hooks_of(policy.model) == hooks + 1
    assert torch.equal(first, second) and not torch.equal(first, before)
    assert hooks_of(policy.model) == hooks
    assert torch.equal(logits(policy.model), before)


def test_no_hook_stays_behind_a_failure(policy):
    hooks = hooks_of(policy.model)
    with pytest.raises(KeyError, match="mine"), splicing(policy.model, 0, torch.neg):
        raise KeyError("mine")
    assert hooks_of(policy.model) == hooks


def test_splices_nest_and_what_the_inner_adds_the_outer_may_take_away(policy):
    before, added_D = logits(policy.model), direction(policy.model)
    with (
        splicing(policy.model, 1, lambda resid_BLD: resid_BLD + added_D),
        splicing(policy.model, 1, lambda resid_BLD: resid_BLD - added_D),
    ):
        torch.testing.assert_close(logits(policy.model), before, atol=1e-4, rtol=0)


class Paired(nn.Module):
    """A block that returns a tuple, as those of older versions did."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *args, **kwargs):
        return self.block(*args, **kwargs), "weights"


def test_of_a_tuple_the_first_is_replaced_and_the_rest_kept():
    model = tiny_model()
    clean = model.get_decoder()
    x_BLD, turns = (
        direction(model)[None, None],
        clean.rotary_emb(direction(model)[None, None], torch.zeros(1, 1).long()),
    )
    blocks_of(model)[1] = Paired(blocks_of(model)[1])
    with torch.no_grad(), splicing(model, 1, torch.zeros_like):
        first, rest = blocks_of(model)[1](x_BLD, position_embeddings=turns)
    assert torch.equal(first, torch.zeros_like(x_BLD)) and rest == "weights"


def test_a_model_in_adapters_is_spliced_as_the_model_itself():
    pytest.importorskip("peft")
    from interp.grpo.learner import with_adapters

    model = tiny_model()
    with splicing(model, 1, torch.neg):
        plain = logits(model)
    adapted = with_adapters(model, rank=2, seed=0)
    with splicing(adapted, 1, torch.neg):
        torch.testing.assert_close(logits(adapted), plain)


def test_gradients_go_through_a_splice():
    model = tiny_model()
    added_D = direction(model).requires_grad_()
    with splicing(model, 1, lambda resid_BLD: resid_BLD + added_D, mask_BL=MASK):
        model(IDS).logits.sum().backward()
    assert added_D.grad is not None and added_D.grad.abs().sum() > 0
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0


@pytest.mark.parametrize("layer", [3, -1])
def test_a_layer_out_of_range_is_refused(policy, layer):
    with (
        pytest.raises(BadInput, match=f"layer must lie between 0 and 2; got {layer}"),
        splicing(policy.model, layer, torch.neg),
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
def test_an_edit_that_gives_back_something_else_is_refused(policy, edit, got):
    hooks = hooks_of(policy.model)
    with (
        pytest.raises(BadInput, match=rf"what it was given, \(2, 8, 32\) in torch.float32; got {got}"),
        splicing(policy.model, 1, edit),
    ):
        logits(policy.model)
    assert hooks_of(policy.model) == hooks


def test_a_mask_of_another_shape_is_refused(policy):
    with (
        pytest.raises(BadInput, match=r"mask_BL must be of the forward's shape, \(2, 8\); got \(2, 7\)"),
        splicing(policy.model, 1, torch.neg, mask_BL=MASK[:, 1:]),
    ):
        logits(policy.model)
