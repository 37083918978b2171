"""Scores are those of a plain forward of each row by itself, whatever the padding and the micro-batch."""

import pytest
import torch
from conftest import FAMILIES, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.policy import SampleConfig
from interp.policy.score import align, completion_logits, completion_logits_of_groups, logprobs_and_entropies

PROMPTS = [[5, 24, 6, 27], [7], [1, 8, 9, 25, 10, 11, 24, 12, 27], [5, 24, 6, 27]]
COMPLETIONS = [[6, 28, 2], [9, 9, 9, 9, 9, 2], [2], [29, 5, 2]]
PAIRS = list(zip(PROMPTS, COMPLETIONS, strict=True))


def naive_row(model, prompt, completion, temperature=1.0):
    """One forward of one row, without padding."""
    logits_LV = model(torch.tensor([list(prompt) + list(completion)])).logits[0, len(prompt) - 1 : -1]
    logp_LV = torch.log_softmax(logits_LV / temperature, dim=-1)
    return logp_LV[range(len(completion)), list(completion)], -(logp_LV.exp() * logp_LV).sum(-1)


@torch.no_grad()
def naive(model, prompts, completions, temperature=1.0):
    longest = max(map(len, completions))
    logprobs_BT, entropies_BT = torch.zeros(2, len(prompts), longest)
    for at, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        logprobs_BT[at, : len(completion)], entropies_BT[at, : len(completion)] = naive_row(
            model, prompt, completion, temperature
        )
    return logprobs_BT, entropies_BT


def close(one, other, atol=1e-4):
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_score_is_that_of_a_plain_forward_and_zero_beyond_the_end(policy, temperature):
    scored = policy.score(PROMPTS, COMPLETIONS, temperature=temperature)
    close(scored, naive(policy.model, PROMPTS, COMPLETIONS, temperature))
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
def test_the_micro_tokens_changes_nothing(tiny, pairs, micro_tokens):
    prompts, completions = zip(*pairs, strict=True)
    close(
        tiny["qwen3"].score(prompts, completions, micro_tokens=micro_tokens),
        naive(tiny["qwen3"].model, prompts, completions),
    )


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_score_of_a_sample_is_what_the_sampler_said(policy, temperature):
    config = SampleConfig(group=4, max_new_tokens=20, temperature=temperature)
    samples = policy.sample(PROMPTS, config)
    written = [tokens[mask].tolist() for tokens, mask in zip(samples.tokens_BL, samples.mask_BL, strict=True)]
    scored = policy.score([prompt for prompt in PROMPTS for _ in range(4)], written, temperature=temperature)
    close(scored, (samples.logprobs_BL, samples.entropies_BL))


def test_the_logits_of_prompts_are_never_made(tiny):
    model, seen = tiny["qwen3"].model, []
    handle = model.lm_head.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    tiny["qwen3"].score(PROMPTS, COMPLETIONS, micro_tokens=1)
    handle.remove()
    assert sorted(seen) == sorted(len(completion) + 1 for completion in COMPLETIONS)


def test_no_rows_have_no_scores(tiny):
    logprobs_BT, entropies_BT = tiny["qwen3"].score([], [])
    assert logprobs_BT.shape == entropies_BT.shape == (0, 0)


def test_an_empty_completion_scores_nothing_beside_others(tiny):
    scored = tiny["qwen3"].score(PROMPTS[:2], [[], [9, 2]])
    assert not scored[0][0].any()
    close((scored[0][1:], scored[1][1:]), naive(tiny["qwen3"].model, PROMPTS[1:2], [[9, 2]]))


def test_completions_that_are_all_empty_score_nothing(tiny):
    logprobs_BT, _ = tiny["qwen3"].score(PROMPTS[:2], [[], []])
    assert logprobs_BT.shape == (2, 0)


def test_completions_that_do_not_match_their_prompts_are_refused(tiny):
    with pytest.raises(ValueError, match=r"4 prompts.*3 completions"):
        tiny["qwen3"].score(PROMPTS, COMPLETIONS[:3])


def test_rows_are_aligned_where_completions_begin():
    rows = align([[5, 6], [7]], [[8], [9, 10]], pad=0, device=torch.device("cpu"))
    assert rows.start == 2
    assert rows.ids_BL.tolist() == [[5, 6, 8, 0], [0, 7, 9, 10]]
    assert rows.mask_BL.tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]


def test_logprobs_and_entropies_of_known_logits():
    logits_BTV = torch.tensor([[[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]]).log()
    logprobs_BT, entropies_BT = logprobs_and_entropies(logits_BTV, torch.tensor([[1, 0]]))
    torch.testing.assert_close(logprobs_BT, torch.tensor([[0.25, 1.0]]).log())
    torch.testing.assert_close(entropies_BT, 1.5 * torch.tensor([[2.0, 1.0]]).log())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_through_completion_logits_is_the_naive_one(family):
    model = tiny_model(family)
    rows = align(PROMPTS, COMPLETIONS, 0, model.device)
    logprobs_BT, _ = logprobs_and_entropies(completion_logits(model, rows), rows.ids_BL[:, rows.start :])
    (logprobs_BT * rows.mask_BL[:, rows.start :]).sum().backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    sum(naive_row(model, prompt, completion)[0].sum() for prompt, completion in PAIRS).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-4, msg=name)


def logprobs_and_gradient(model, logits_BTV, tokens_BT, mask_BT):
    """Of the completions' own tokens, each weighed by another number."""
    logprobs_BT = logprobs_and_entropies(logits_BTV, tokens_BT)[0] * mask_BT
    weights_BT = torch.arange(1.0, 1 + mask_BT.numel()).view(mask_BT.shape)
    grads = torch.autograd.grad((logprobs_BT * weights_BT).sum() / weights_BT.sum(), list(model.parameters()))
    return logprobs_BT.detach(), torch.cat([grad.flatten() for grad in grads])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "completions", [COMPLETIONS, [[6], [9], [2], [29]], [[6, 28, 2]] * 4], ids=["ragged", "one token", "alike"]
)
def test_prompts_read_once_for_all_their_completions_give_the_same_logits_and_gradient(family, completions):
    model = tiny_model(family)
    rows = align(PROMPTS, completions, 0, model.device)  # of which the first prompt is also the last
    tokens_BT, mask_BT = rows.ids_BL[:, rows.start :], rows.mask_BL[:, rows.start :]
    apart = logprobs_and_gradient(model, completion_logits(model, rows), tokens_BT, mask_BT)
    logits_BTV, shared_BT = completion_logits_of_groups(model, PROMPTS, completions, 0)
    assert torch.equal(shared_BT, tokens_BT) and logits_BTV.shape[:2] == tokens_BT.shape
    close(logprobs_and_gradient(model, logits_BTV, tokens_BT, mask_BT), apart, atol=1e-5)


def test_each_prompt_of_a_group_is_read_once(tiny):
    model, read = tiny["qwen3"].model, []
    handle = model.model.embed_tokens.register_forward_pre_hook(lambda module, args: read.append(tuple(args[0].shape)))
    completion_logits_of_groups(model, [*PROMPTS[:2] * 4], [[6, 28, 2]] * 8, 0)
    handle.remove()
    assert read == [(2, 4), (8, 2)]  # and the last token is never read


@pytest.mark.parametrize("training", [True, False])
def test_the_training_mode_is_restored_and_dropout_is_off_meanwhile(new_policy, training):
    policy = new_policy(attention_dropout=0.5)
    policy.model.train(training)
    close(policy.score(PROMPTS, COMPLETIONS), naive(new_policy().model, PROMPTS, COMPLETIONS))
    assert policy.model.training == training
