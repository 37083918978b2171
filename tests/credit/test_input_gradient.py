"""Credit by input gradients: the derivative that finite differences give, whoever reads, whatever is in the batch."""

import contextlib

import pytest
import torch
from grpo_fixtures import make_rollout, train_tiny

from interp.artifacts import BadInput
from interp.credit import InputGradient, RolloutBatch
from interp.credit.input_gradient import answer_saliency
from interp.policy import Policy

PROMPTS, TOKENS = [[9, 24, 10, 27], [5, 25, 6]], [[7, 8, 28, 29, 11, 12], [4, 29, 13]]
IS_ANSWER_BL = torch.tensor([[0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 0, 0]]).bool()
ANSWER_AT_3 = ("carry", "text", "marker", "answer", "answer", "end")


def answered(roles=ANSWER_AT_3, reward: float = 1.0, **changes):
    return make_rollout(reward, length=len(roles), roles=roles, **changes)


def batch_of(*rollouts, **options) -> RolloutBatch:
    return RolloutBatch.from_rollouts(rollouts, 1, **options)


def weights_of(policy: Policy, *rollouts, **settings) -> torch.Tensor:
    batch = batch_of(*rollouts, base=policy)
    return InputGradient(**settings)(batch).validate(batch).weights_BL


# --- saliency ------------------------------------------------------------------------------------------------------


def answer_logp(policy: Policy, row: int, token: int, scale: float) -> float:
    """Log-probability of the answer of a row if the embedding of one completion token is scaled."""
    position = len(PROMPTS[row]) + token

    def scale_embedding(module, args, out):
        changed = out.clone()
        changed[:, position] *= scale
        return changed

    ids = torch.tensor([PROMPTS[row] + TOKENS[row]])
    handle = policy.model.get_input_embeddings().register_forward_hook(scale_embedding)
    with torch.no_grad(), contextlib.ExitStack() as hooks:
        hooks.callback(handle.remove)
        logp = torch.log_softmax(policy.model(input_ids=ids).logits[0], -1)
    start = len(PROMPTS[row])
    answers = IS_ANSWER_BL[row].nonzero()[:, 0].tolist()
    return sum(float(logp[start + t - 1, TOKENS[row][t]]) for t in answers)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "gemma3"])
def test_saliency_is_how_the_answer_changes_if_the_embedding_of_a_token_is_scaled(new_policy, family):
    policy = new_policy(family)
    policy.model.double()
    saliency_BL = answer_saliency(policy, PROMPTS, TOKENS, IS_ANSWER_BL, micro_tokens=1024)
    step = 5e-3  # norms compute in float32
    for row, tokens in enumerate(TOKENS):
        for token in range(len(tokens)):
            high, low = (answer_logp(policy, row, token, 1 + sign * step) for sign in (1, -1))
            assert float(saliency_BL[row, token]) == pytest.approx(abs(high - low) / (2 * step), rel=1e-2, abs=1e-3)
    assert saliency_BL[0, :5].min() > 0, "the second token of the answer depends on the first"


def test_what_follows_the_answer_and_padding_have_no_saliency(tiny):
    saliency_BL = answer_saliency(tiny["llama"], PROMPTS, TOKENS, IS_ANSWER_BL, micro_tokens=1024)
    assert saliency_BL[0, 5] == 0 and not saliency_BL[1, 2:].any()


@pytest.mark.parametrize("micro_tokens", [1, 16, 4096])
def test_saliency_does_not_depend_on_the_rows_of_a_pass(tiny, micro_tokens):
    together = answer_saliency(tiny["qwen3"], PROMPTS, TOKENS, IS_ANSWER_BL, micro_tokens=micro_tokens)
    for row, tokens in enumerate(TOKENS):
        answers = IS_ANSWER_BL[row : row + 1, : len(tokens)]
        alone = answer_saliency(tiny["qwen3"], PROMPTS[row : row + 1], [tokens], answers, micro_tokens=1024)
        assert torch.allclose(alone[0], together[row, : len(tokens)], atol=1e-5)


def test_gradients_of_weights_are_not_touched_and_none_have_to_be_allowed(new_policy):
    policy = new_policy("qwen2")
    before = weights_of(policy, answered())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in policy.model.parameters())
    policy.model.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(weights_of(policy, answered()), before)
    policy.model.train()
    assert torch.equal(weights_of(policy, answered()), before) and policy.model.training


def test_a_policy_in_half_precision_reads_nearly_the_same(new_policy):
    exact, rounded = new_policy("llama"), new_policy("llama")
    rounded.model.bfloat16()
    difference = (weights_of(exact, answered()) - weights_of(rounded, answered())).abs()
    assert 0 < difference.max() < 0.2


# --- weights -------------------------------------------------------------------------------------------------------


def test_tokens_before_the_answer_weigh_by_their_saliency_and_the_rest_as_the_mean(tiny):
    policy, rollout = tiny["qwen3"], answered()
    is_answer_BL = torch.tensor([[role == "answer" for role in ANSWER_AT_3]])
    saliency = answer_saliency(policy, [rollout.prompt_ids], [rollout.tokens], is_answer_BL, micro_tokens=1024)[0, :3]
    relative = saliency / saliency.mean()
    weights = weights_of(policy, rollout, min_weight=0.0, max_weight=100.0)[0]
    assert weights.tolist() == pytest.approx([*relative.tolist(), 1, 1, 1], rel=1e-5)
    high, low = float(relative.max()) - 0.1, float(relative.min()) + 0.1
    assert high > 1 > low
    clipped = torch.cat([relative.clamp(low, high), torch.ones(3)])
    weights = weights_of(policy, rollout, min_weight=low, max_weight=high)[0]
    assert weights.tolist() == pytest.approx((clipped / clipped.mean()).tolist(), rel=1e-5)


@pytest.mark.parametrize(
    "roles",
    [("text",) * 4, ("answer", "end"), ("answer",), ("text", "marker", "end"), ()],
    ids=lambda roles: len(roles),
)
def test_a_rollout_without_an_answer_or_with_nothing_before_it_is_weighted_evenly(tiny, roles):
    weights_BL = weights_of(tiny["llama"], answered(roles), answered())
    assert weights_BL[0].tolist() == [1] * len(roles) + [0] * (6 - len(roles))
    assert len(set(weights_BL[1].tolist())) > 2, "the other rollout is read"


def test_without_any_answer_nobody_has_to_read_anything():
    batch = batch_of(make_rollout(), base=None)
    assert torch.equal(InputGradient()(batch).weights_BL, batch.mask_BL.float())


def test_a_gradient_that_is_not_finite_leaves_its_rollout_even(new_policy):
    policy = new_policy("qwen2")
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[19] = float("nan")
    weights_BL = weights_of(policy, answered(tokens=(4, 19, 6, 7, 8, 9)), answered())
    assert weights_BL[0].tolist() == [1] * 6 and len(set(weights_BL[1].tolist())) > 2


def test_success_and_failure_weigh_the_same_tokens(tiny):
    weights_BL = weights_of(tiny["llama"], answered(), answered(reward=0))
    assert torch.allclose(weights_BL[0], weights_BL[1])


# --- who reads -----------------------------------------------------------------------------------------------------


def test_the_frozen_base_reads_unless_the_live_policy_is_asked_for(tiny):
    batch = batch_of(answered(), base=tiny["llama"], policy=tiny["qwen2"])
    by_base, by_live = InputGradient()(batch).weights_BL, InputGradient("live")(batch).weights_BL
    assert torch.equal(by_base, weights_of(tiny["llama"], answered()))
    assert torch.equal(by_live, weights_of(tiny["qwen2"], answered())) and not torch.equal(by_live, by_base)


def test_a_batch_without_the_reader_is_refused(tiny):
    with pytest.raises(BadInput, match=r"expected a batch with the frozen base, got none: .*base=base"):
        InputGradient()(batch_of(answered(), policy=tiny["llama"]))
    with pytest.raises(BadInput, match=r"expected a batch with the policy that sampled it, got none: .*policy=policy"):
        InputGradient("live")(batch_of(answered(), base=tiny["llama"]))


def test_an_unknown_reader_is_refused():
    with pytest.raises(BadInput, match="reader must be one of base, live; got 'frozen'"):
        InputGradient("frozen")  # type: ignore[arg-type]


@pytest.mark.parametrize("reader", ["base", "live"])
def test_a_policy_is_trained_with_it(tmp_path, reader):
    run = train_tiny(tmp_path / "run", credit=InputGradient(reader), progress=False)
    assert run.checkpoint_steps()[-1] == 6
