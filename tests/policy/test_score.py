"""Scores equal those of a plain forward of each row alone, whatever the padding and the micro-batch."""

import pytest
import torch
from conftest import FAMILIES, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.policy import SampleConfig
from interp.policy.score import align_rows, completion_logits, grouped_completion_logits, logprobs_and_entropies

PROMPTS = [[5, 24, 6, 27], [7], [1, 8, 9, 25, 10, 11, 24, 12, 27], [5, 24, 6, 27]]
COMPLETIONS = [[6, 28, 2], [9, 9, 9, 9, 9, 2], [2], [29, 5, 2]]
PAIRS = list(zip(PROMPTS, COMPLETIONS, strict=True))


def naive_row(model, prompt, completion, temperature=1.0):
    """Log-probabilities and entropies from one forward of one row, without padding."""
    logits_LV = model(torch.tensor([list(prompt) + list(completion)])).logits[0, len(prompt) - 1 : -1]
    logp_LV = torch.log_softmax(logits_LV / temperature, dim=-1)
    return logp_LV[range(len(completion)), list(completion)], -(logp_LV.exp() * logp_LV).sum(-1)


@torch.no_grad()
def naive(model, prompts, completions, temperature=1.0):
    longest = max(map(len, completions))
    logprobs_BT, entropies_BT = torch.zeros(2, len(prompts), longest)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        logprobs_BT[row, : len(completion)], entropies_BT[row, : len(completion)] = naive_row(
            model, prompt, completion, temperature
        )
    return logprobs_BT, entropies_BT


def assert_scores_close(one, other, atol=1e-4):
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_scores_equal_those_of_a_plain_forward_and_are_zero_after_the_end(policy, temperature):
    scored = policy.score(PROMPTS, COMPLETIONS, temperature=temperature)
    assert_scores_close(scored, naive(policy.model, PROMPTS, COMPLETIONS, temperature))
    for row, completion in enumerate(COMPLETIONS):
        for figure in scored:
            assert not figure[row, len(completion) :].any()
            assert figure[row, : len(completion)].all()


ids = st.integers(4, 29)
pairs = st.lists(
    st.tuples(st.lists(ids, min_size=1, max_size=9), st.lists(ids, min_size=1, max_size=9)), min_size=1, max_size=7
)


@settings(max_examples=25)
@given(pairs, st.integers(1, 8))
def test_scores_do_not_depend_on_micro_tokens(tiny, pairs, micro_tokens):
    prompts, completions = zip(*pairs, strict=True)
    assert_scores_close(
        tiny["qwen3"].score(prompts, completions, micro_tokens=micro_tokens),
        naive(tiny["qwen3"].model, prompts, completions),
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_scoring_a_sample_gives_the_samplers_logprobs(policy, temperature):
    config = SampleConfig(group=4, max_new_tokens=20, temperature=temperature)
    samples = policy.sample(PROMPTS, config)
    completions = [tokens[mask].tolist() for tokens, mask in zip(samples.tokens_BL, samples.mask_BL, strict=True)]
    scored = policy.score([prompt for prompt in PROMPTS for _ in range(4)], completions, temperature=temperature)
    assert_scores_close(scored, (samples.logprobs_BL, samples.entropies_BL))


def test_the_logits_of_prompts_are_never_computed(tiny):
    model, columns = tiny["qwen3"].model, []
    handle = model.lm_head.register_forward_pre_hook(lambda module, args: columns.append(args[0].shape[1]))
    tiny["qwen3"].score(PROMPTS, COMPLETIONS, micro_tokens=1)
    handle.remove()
    assert sorted(columns) == sorted(len(completion) + 1 for completion in COMPLETIONS)


def test_no_rows_give_empty_scores(tiny):
    logprobs_BT, entropies_BT = tiny["qwen3"].score([], [])
    assert logprobs_BT.shape == entropies_BT.shape == (0, 0)


def test_an_empty_completion_scores_zero_beside_others(tiny):
    scored = tiny["qwen3"].score(PROMPTS[:2], [[], [9, 2]])
    assert not scored[0][0].any()
    assert_scores_close((scored[0][1:], scored[1][1:]), naive(tiny["qwen3"].model, PROMPTS[1:2], [[9, 2]]))


def test_only_empty_completions_give_empty_scores(tiny):
    logprobs_BT, _ = tiny["qwen3"].score(PROMPTS[:2], [[], []])
    assert logprobs_BT.shape == (2, 0)


def test_a_different_number_of_prompts_and_completions_is_refused(tiny):
    with pytest.raises(ValueError, match=r"4 prompts.*3 completions"):
        tiny["qwen3"].score(PROMPTS, COMPLETIONS[:3])


def test_aligned_completions_begin_in_one_column():
    rows = align_rows([[5, 6], [7]], [[8], [9, 10]], pad=0, device=torch.device("cpu"))
    assert rows.start == 2
    assert rows.ids_BL.tolist() == [[5, 6, 8, 0], [0, 7, 9, 10]]
    assert rows.mask_BL.tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]


def test_logprobs_and_entropies_of_known_logits():
    logits_BTV = torch.tensor([[[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]]).log()
    logprobs_BT, entropies_BT = logprobs_and_entropies(logits_BTV, torch.tensor([[1, 0]]))
    torch.testing.assert_close(logprobs_BT, torch.tensor([[0.25, 1.0]]).log())
    torch.testing.assert_close(entropies_BT, 1.5 * torch.tensor([[2.0, 1.0]]).log())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_of_completion_logits_equals_that_of_each_row_alone(family):
    model = tiny_model(family)
    rows = align_rows(PROMPTS, COMPLETIONS, 0, model.device)
    logprobs_BT, _ = logprobs_and_entropies(completion_logits(model, rows), rows.ids_BL[:, rows.start :])
    (logprobs_BT * rows.mask_BL[:, rows.start :]).sum().backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    sum(naive_row(model, prompt, completion)[0].sum() for prompt, completion in PAIRS).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-4, msg=name)


def logprobs_and_gradient(model, logits_BTV, tokens_BT, mask_BT):
    """Log-probabilities of the completions' tokens, and the gradient of a sum in which each has another weight."""
    logprobs_BT = logprobs_and_entropies(logits_BTV, tokens_BT)[0] * mask_BT
    weights_BT = torch.arange(1.0, 1 + mask_BT.numel()).view(mask_BT.shape)
    grads = torch.autograd.grad((logprobs_BT * weights_BT).sum() / weights_BT.sum(), list(model.parameters()))
    return logprobs_BT.detach(), torch.cat([grad.flatten() for grad in grads])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "completions", [COMPLETIONS, [[6], [9], [2], [29]], [[6, 28, 2]] * 4], ids=["ragged", "one token", "alike"]
)
def test_sharing_prompts_changes_neither_logits_nor_gradient(family, completions):
    model = tiny_model(family)
    rows = align_rows(PROMPTS, completions, 0, model.device)  # the first prompt is also the last
    tokens_BT, mask_BT = rows.ids_BL[:, rows.start :], rows.mask_BL[:, rows.start :]
    alone = logprobs_and_gradient(model, completion_logits(model, rows), tokens_BT, mask_BT)
    logits_BTV, shared_BT = grouped_completion_logits(model, PROMPTS, completions, 0)
    assert torch.equal(shared_BT, tokens_BT) and logits_BTV.shape[:2] == tokens_BT.shape
    assert_scores_close(logprobs_and_gradient(model, logits_BTV, tokens_BT, mask_BT), alone, atol=1e-5)


def test_each_distinct_prompt_is_read_once(tiny):
    model, shapes = tiny["qwen3"].model, []
    handle = model.model.embed_tokens.register_forward_pre_hook(
        lambda module, args: shapes.append(tuple(args[0].shape))
    )
    grouped_completion_logits(model, [*PROMPTS[:2] * 4], [[6, 28, 2]] * 8, 0)
    handle.remove()
    assert shapes == [(2, 4), (8, 2)]  # the last token is not an input


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_during_the_call_and_the_training_mode_is_restored(new_policy, training):
    policy = new_policy(attention_dropout=0.5)
    policy.model.train(training)
    assert_scores_close(policy.score(PROMPTS, COMPLETIONS), naive(new_policy().model, PROMPTS, COMPLETIONS))
    assert policy.model.training == training
