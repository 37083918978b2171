"""A site is the same place here, in the TransformerLens bridge and in the sum that makes the residual."""

from typing import Any

import pytest
import torch
from conftest import tiny_model, tiny_tokenizer

from interp.artifacts import BadInput
from interp.policy import Policy
from interp.policy.residual import (
    capture_residuals,
    compute_residuals,
    output_activations,
    record_outputs,
    replace_residual,
    resume_from,
    select_rows,
    splice_residual,
)
from interp.policy.site import FAMILIES, KINDS, Site, parse_hook

IDS = torch.tensor([[5, 24, 6, 27, 9, 28, 2, 7], [1, 8, 9, 25, 10, 11, 24, 12], [1, 7, 9, 4, 10, 13, 24, 12]])
MODELS = {  # name in transformers, without Config and ForCausalLM
    "gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3Text", "llama": "Llama", "mistral": "Mistral",
    "olmo2": "Olmo2", "qwen2": "Qwen2", "qwen3": "Qwen3", "smollm3": "SmolLM3",
}  # fmt: skip
BRIDGED = ("gemma2", "gemma3_text", "llama", "qwen3")


def model_of(family: str) -> Any:
    """A tiny model whose norms differ from 1, so that a norm after a module shows."""
    import transformers

    if family in ("llama", "qwen2", "qwen3"):
        model = tiny_model(family)
    else:
        sizes = {"vocab_size": 30, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
        ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        config = getattr(transformers, f"{MODELS[family]}Config")(**sizes, **heads, **ids)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            causal = getattr(transformers, f"{MODELS[family].removesuffix('Text')}ForCausalLM")
            model = causal(config).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module", params=BRIDGED)
def bridged(request):
    policy = Policy(model_of(request.param), tiny_tokenizer())
    return policy, policy.bridge()


def sites(layer: int) -> list[Site]:
    return [Site(layer, kind) for kind in KINDS]


def capture_one(model: Any, site: Any) -> torch.Tensor:
    return compute_residuals(model, IDS, torch.ones_like(IDS), [site])[site]


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [0, 2])
def test_a_captured_site_is_the_bridges_hook_of_that_name(bridged, layer, kind):
    policy, bridge = bridged
    site = Site(layer, kind)
    _, cache = bridge.run_with_cache(IDS)
    torch.testing.assert_close(capture_one(policy.model, site), cache[site.hook_name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "resid_mid"])
def test_a_spliced_site_changes_what_the_bridges_hook_of_that_name_changes(bridged, kind):
    policy, bridge = bridged
    site = Site(1, kind)
    with splice_residual(policy.model, site, lambda x: 0.5 * x + 1):
        spliced = logits(policy.model)
    with torch.no_grad():
        hooks = [(site.hook_name, lambda x, hook: 0.5 * x + 1)]
        expected = bridge.run_with_hooks(IDS, fwd_hooks=hooks, return_type="logits")
    torch.testing.assert_close(spliced, expected, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(spliced, logits(policy.model), atol=1e-2)


def test_a_change_of_resid_mid_changes_the_residual_itself():
    model = model_of("gemma3_text")
    with splice_residual(model, Site(1, "resid_mid"), lambda x: x + 1):
        changed = logits(model)
    with splice_residual(model, Site(1, "attn_out"), lambda x: x + 1):
        torch.testing.assert_close(changed, logits(model), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(changed, logits(model), atol=1e-2)


@pytest.mark.parametrize("family", MODELS)
def test_the_sites_of_a_block_sum_to_its_residuals(family):
    model = model_of(family)
    places = sites(1)
    found = compute_residuals(model, IDS, torch.ones_like(IDS), places)
    x = {site.kind: resid for site, resid in found.items()}
    torch.testing.assert_close(x["resid_pre"] + x["attn_out"], x["resid_mid"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x["resid_mid"] + x["mlp_out"], x["resid_post"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(x["resid_pre"], capture_one(model, 0), atol=0, rtol=0)
    for site in (Site(1, "attn"), Site(1, "mlp")):
        same = torch.equal(x[site.kind], x[site.added.kind])
        assert same == (site.in_family(family) == site.added) == (family not in ("gemma2", "gemma3_text", "olmo2"))


def test_every_family_whose_blocks_are_known_is_tested():
    assert set(FAMILIES) == set(MODELS) | {"gemma3"}, "gemma3 holds a gemma3_text"


@pytest.mark.parametrize("kind", KINDS)
def test_positions_outside_the_mask_keep_their_bits(kind):
    model, site = model_of("llama"), Site(1, kind)
    clean = capture_one(model, 1)
    mask = torch.zeros_like(IDS, dtype=torch.bool)
    mask[:, 5:] = True
    splice = splice_residual(model, site, lambda x: x + 1, mask_BL=mask)
    with splice, torch.no_grad(), capture_residuals(model, [1], stop=False) as spliced:
        model(input_ids=IDS, use_cache=False)
    assert torch.equal(spliced[1][:, :5], clean[:, :5])
    assert not torch.equal(spliced[1][:, 5:], clean[:, 5:])


def test_gradients_reach_a_change_that_is_zero():
    model = model_of("llama")
    for site in sites(1):
        step = torch.zeros(32, requires_grad=True)
        with splice_residual(model, site, lambda x, step=step: x + step):
            model(input_ids=IDS, use_cache=False).logits[..., 5].sum().backward()
        assert step.grad is not None and step.grad.abs().max() > 0, site


@pytest.mark.parametrize("family", ["gemma3_text", "llama"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [0, 2])
def test_resuming_from_a_changed_site_equals_splicing_it(family, kind, layer):
    model, site = model_of(family), Site(layer, kind)
    with record_outputs(model, site) as outputs:
        whole = logits(model)
    (output,) = outputs
    with resume_from(model, site, output):
        torch.testing.assert_close(logits(model), whole, atol=1e-5, rtol=1e-5)
    with resume_from(model, site, replace_residual(output, output_activations(output) + 1)):
        resumed = logits(model)
    with splice_residual(model, site, lambda x: x + 1):
        torch.testing.assert_close(resumed, logits(model), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["mlp_out", "resid_post"])
def test_rows_of_a_recorded_site_are_selected_before_they_are_changed(kind):
    model, site = model_of("llama"), Site(1, kind)
    with record_outputs(model, site) as outputs:
        whole = logits(model)
    two = select_rows(outputs[0], torch.tensor([2, 0]))
    with resume_from(model, site, replace_residual(two, output_activations(two))), torch.no_grad():
        resumed = model(input_ids=IDS[[2, 0]], use_cache=False).logits
    torch.testing.assert_close(resumed, whole[[2, 0]], atol=1e-5, rtol=1e-5)


def test_a_recorded_site_refuses_activations_of_other_rows():
    model, site = model_of("llama"), Site(1, "mlp_out")
    with record_outputs(model, site) as outputs:
        logits(model)
    with pytest.raises(BadInput, match="as many rows as were recorded, got 1"):
        replace_residual(outputs[0], torch.zeros(1, 8, 32))


# --- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("blocks.3.hook_mlp_out", Site(3, "mlp_out")),
        ("blocks.0.hook_resid_pre", Site(0, "resid_pre")),
        ("blocks.12.hook_resid_mid", Site(12, "resid_mid")),
        ("blocks.3.hook_attn_out", Site(3, "attn_out")),
        ("blocks.3.hook_out", Site(3, "resid_post")),
        ("blocks.3.hook_in", Site(3, "resid_pre")),
        ("blocks.3.mlp.hook_out", Site(3, "mlp")),
        ("blocks.3.ln2_post.hook_out", Site(3, "mlp_out")),
        ("model.layers.3", Site(3, "resid_post")),
        ("model.layers.3.mlp", Site(3, "mlp")),
        ("model.language_model.layers.3.self_attn", Site(3, "attn")),
        ("layers.3.post_feedforward_layernorm", Site(3, "mlp_out")),
    ],
)
def test_a_hooks_name_says_layer_and_kind(name, site):
    assert parse_hook(name) == site


@pytest.mark.parametrize("site", [Site(2, kind) for kind in KINDS])
def test_the_name_of_a_site_is_read_as_that_site(site):
    assert parse_hook(site.hook_name) == site


@pytest.mark.parametrize("name", ["blocks.3.attn.hook_z", "blocks.x.hook_out", "model.layers.3.mlp.down_proj", ""])
def test_other_places_are_refused_with_what_can_be_read(name):
    with pytest.raises(BadInput, match=r"expected a hook at one of resid_pre, .*resid_post of a block"):
        parse_hook(name)


def test_the_residual_before_a_block_is_the_one_after_the_block_before_it():
    assert Site(3, "resid_pre").canonical == Site(2)
    assert Site(0, "resid_pre").canonical == Site(0, "resid_pre")
    assert Site(3, "mlp_out").canonical == Site(3, "mlp_out")


def test_an_unknown_kind_is_refused():
    with pytest.raises(BadInput, match="site must be one of resid_pre, .*; got 'hook_z'"):
        Site(1, "hook_z")


def test_sites_within_a_block_are_refused_in_a_family_whose_blocks_are_not_known():
    from transformers import PhiConfig, PhiForCausalLM

    sizes: dict[str, Any] = {"vocab_size": 30, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    model = PhiForCausalLM(PhiConfig(**sizes, num_attention_heads=4, pad_token_id=0)).eval()
    assert capture_one(model, Site(1, "resid_pre")).shape == (*IDS.shape, 32)
    with pytest.raises(BadInput, match="for the site mlp_out, got phi: use resid_pre or resid_post"):
        capture_one(model, Site(1, "mlp_out"))


@pytest.mark.parametrize(
    "layers",
    [[Site(1, "resid_mid"), Site(1, "attn_out")], [Site(1, "attn_out"), Site(1, "attn")], [1, Site(1, "resid_post")]],
)
def test_sites_that_share_a_module_are_captured_together_in_any_order(tiny, layers):
    policy, ids = tiny["qwen3"], torch.tensor([[5, 6, 7]])
    alone = {layer: policy.capture(ids, [layer])[layer] for layer in layers}
    for order in (layers, layers[::-1]):
        together = policy.capture(ids, order)
        assert set(together) == set(layers)
        assert all(torch.equal(together[layer], alone[layer]) for layer in layers)
