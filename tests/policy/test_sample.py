"""Sampled completions, log-probabilities and entropies equal those of plain forwards, whatever else is in the batch."""

import numpy as np
import pytest
import torch
from conftest import CONTEXT, FAMILIES, tiny_policy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from interp.artifacts import BadInput
from interp.policy import Policy, SampleConfig
from interp.policy.sample import Samples, draw_tokens, uniform_stream

PROMPTS = [[5, 24, 6, 27], [7], [1, 8, 9, 25, 10, 11, 24, 12, 27]]


@pytest.fixture(scope="module")
def exact():
    """A policy in double precision, where the rest of the batch cannot change a token."""
    policy = tiny_policy("qwen3", seed=3)
    policy.model.double()
    return policy


def rows_of(samples: Samples) -> list[list[int]]:
    return [
        tokens[:length].tolist() for tokens, length in zip(samples.tokens_BL, samples.lengths_B.tolist(), strict=True)
    ]


@torch.no_grad()
def naive(policy: Policy, prompt: list[int], completion: list[int], temperature: float = 1.0):
    """Log-probabilities and entropies from one forward of one row, without cache or padding."""
    logits_LV = policy.model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    logp_LV = torch.log_softmax(logits_LV / temperature, dim=-1)
    return logp_LV[range(len(completion)), completion], -(logp_LV.exp() * logp_LV).sum(-1)


class ForwardShapes:
    """Context manager that records the rows and columns of each forward of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.rows: list[int] = []
        self.columns: list[int] = []
        self.handle = model.register_forward_pre_hook(self.note, with_kwargs=True)

    def note(self, module: object, args: object, kwargs: dict) -> None:
        rows, columns = kwargs["input_ids"].shape
        self.rows.append(rows)
        self.columns.append(columns)

    def __enter__(self) -> "ForwardShapes":
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


# --- drawing tokens --------------------------------------------------------------------------------------------------


def test_draws_follow_the_distribution():
    logits_V = torch.tensor([0.0, 1.0, -1.0, 2.0, -3.0, 0.5, -float("inf"), 1.5])
    count = 20_000
    tokens_B, logprobs_B, _ = draw_tokens(
        logits_V.expand(count, -1), torch.from_numpy(uniform_stream(0, 0, count)), 0.7
    )
    p_V = torch.softmax(logits_V.double() / 0.7, dim=-1)
    possible = p_V > 0
    counts_V = torch.bincount(tokens_B, minlength=len(p_V))
    assert counts_V[~possible].sum() == 0
    assert chisquare(counts_V[possible].numpy(), (count * p_V[possible]).numpy()).pvalue > 0.01
    torch.testing.assert_close(logprobs_B, p_V.log()[tokens_B].float())


@given(
    st.lists(st.just(-float("inf")) | st.floats(-200, 200, width=32), min_size=1, max_size=12).filter(
        lambda row: max(row) > -float("inf")
    ),
    st.integers(0, 2**24 - 1) | st.sampled_from([0, 1, 2**24 - 1]),
    st.sampled_from([0.0, 0.1, 0.7, 1.0, 3.0]),
)
def test_a_token_of_probability_zero_is_never_drawn(row, tick, temperature):
    logits_BV = torch.tensor([row])
    tokens_B, logprobs_B, entropies_B = draw_tokens(logits_BV, torch.tensor([tick / 2**24]), temperature)
    assert torch.softmax(logits_BV / (temperature or 1e-6), dim=-1)[0, tokens_B[0]] > 0
    assert torch.isfinite(logprobs_B).all()
    assert torch.isfinite(entropies_B).all()


def test_a_draw_inverts_the_distribution_at_the_uniform():
    logits_BV = torch.tensor([0.25, 0.5, 0.25]).log().expand(6, -1)
    uniforms_B = torch.tensor([0.0, 0.24, 0.26, 0.74, 0.76, 1 - 2**-24])
    tokens_B, logprobs_B, entropies_B = draw_tokens(logits_BV, uniforms_B, 1.0)
    assert tokens_B.tolist() == [0, 0, 1, 1, 2, 2]
    torch.testing.assert_close(logprobs_B.exp(), torch.tensor([0.25, 0.25, 0.5, 0.5, 0.25, 0.25]))
    torch.testing.assert_close(entropies_B, torch.full((6,), 1.5 * np.log(2)), check_dtype=False)


def test_at_temperature_zero_the_most_likely_token_is_certain():
    tokens_B, logprobs_B, entropies_B = draw_tokens(torch.tensor([[0.0, 3.0, 1.0]]), torch.tensor([0.99]), 0.0)
    assert (tokens_B.item(), logprobs_B.item(), entropies_B.item()) == (1, 0.0, 0.0)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1), st.integers(1, 20))
def test_uniforms_lie_below_one_and_a_longer_stream_extends_a_shorter_one(seed, key, length):
    numbers = uniform_stream(seed, key, length)
    assert numbers.dtype == np.float32
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert (uniform_stream(seed, key, length + 7)[:length] == numbers).all()


# --- log-probabilities and entropies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_and_entropies_equal_those_of_a_plain_forward(tiny, family, temperature):
    policy = tiny[family]
    config = SampleConfig(group=4, max_new_tokens=20, temperature=temperature)
    samples = policy.sample(PROMPTS, config)
    for index, completion in enumerate(rows_of(samples)):
        logprobs_L, entropies_L = naive(policy, PROMPTS[index // config.group], completion, temperature)
        width = len(completion)
        torch.testing.assert_close(samples.logprobs_BL[index, :width], logprobs_L, atol=1e-4, rtol=0)
        torch.testing.assert_close(samples.entropies_BL[index, :width], entropies_L, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_temperature_zero_equals_greedy_generation(tiny, family):
    policy = tiny[family]
    samples = policy.sample(PROMPTS, SampleConfig(group=2, max_new_tokens=16, temperature=0.0))
    for index, completion in enumerate(rows_of(samples)):
        ids = torch.tensor([PROMPTS[index // 2]])
        output = policy.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=16)
        assert completion == output[0, ids.shape[1] :].tolist()
    assert not samples.logprobs_BL.any()
    assert not samples.entropies_BL.any()


def test_after_its_end_a_row_holds_padding_and_zeros(tiny):
    samples = tiny["qwen2"].sample(PROMPTS, SampleConfig(group=8, max_new_tokens=30))
    beyond = ~samples.mask_BL
    assert beyond.any()
    assert (samples.tokens_BL[beyond] == tiny["qwen2"].pad_id).all()
    assert not samples.logprobs_BL[beyond].any()
    assert not samples.entropies_BL[beyond].any()
    assert samples.tokens_BL.shape[1] == samples.lengths_B.max()


# --- the end of a row ------------------------------------------------------------------------------------------------


def test_a_stop_token_ends_its_row_and_counts_in_its_length(tiny):
    policy = tiny["qwen2"]
    samples = policy.sample(PROMPTS, SampleConfig(group=8, max_new_tokens=30))
    assert samples.finished_B.any()
    assert not samples.finished_B.all()
    for row, finished in zip(rows_of(samples), samples.finished_B.tolist(), strict=True):
        assert [token in policy.stop_ids for token in row[:-1]] == [False] * (len(row) - 1)
        assert (row[-1] in policy.stop_ids) == finished


def test_a_row_that_never_stops_is_marked_as_truncated(tiny):
    samples = tiny["qwen3"].sample(PROMPTS, SampleConfig(group=8, max_new_tokens=5))
    truncated = ~samples.finished_B
    assert truncated.any()
    assert (samples.lengths_B[truncated] == 5).all()
    assert samples.lengths_B.max() == 5


def test_a_stop_token_at_the_length_limit_is_not_a_truncation(tiny):
    policy = tiny["qwen2"]
    longer = policy.sample(PROMPTS, SampleConfig(group=8, max_new_tokens=30))
    index = int(longer.finished_B.nonzero()[0, 0])
    length = int(longer.lengths_B[index])
    cut = policy.sample(PROMPTS, SampleConfig(group=8, max_new_tokens=length))
    assert cut.finished_B[index]
    assert cut.lengths_B[index] == length


def test_stop_tokens_of_the_generation_config_end_a_completion(new_policy):
    policy = new_policy("qwen2")
    policy.model.generation_config.eos_token_id = [2, 5, 6, 7, 8]
    assert policy.stop_ids == [2, 5, 6, 7, 8]
    samples = policy.sample(PROMPTS, SampleConfig(group=8, max_new_tokens=30))
    ends = {row[-1] for row, done in zip(rows_of(samples), samples.finished_B.tolist(), strict=True) if done}
    assert len(ends & {5, 6, 7, 8}) > 1


def test_a_completion_ends_at_the_end_of_the_context(tiny):
    policy = tiny["qwen3"]
    config = SampleConfig(group=4, max_new_tokens=30)
    assert policy.sample([[5] * (CONTEXT - 3)], config).tokens_BL.shape[1] <= 3
    assert policy.sample([[5] * (CONTEXT - 1)], config).lengths_B.tolist() == [1] * 4


def test_a_long_prompt_does_not_shorten_the_completions_of_a_short_one(exact):
    config = SampleConfig(group=4, max_new_tokens=30)
    alone = exact.sample([[7]], config)
    together = exact.sample([[7], [5] * (CONTEXT - 3)], config)
    assert rows_of(together)[:4] == rows_of(alone)


def test_a_prompt_that_fills_the_context_is_refused(tiny):
    with pytest.raises(BadInput, match=f"{CONTEXT}"):
        tiny["qwen3"].sample([[5] * CONTEXT], SampleConfig(group=1))


def test_counting_live_rows_less_often_changes_no_sample(tiny, monkeypatch):
    config = SampleConfig(group=4, max_new_tokens=30)
    often = tiny["qwen3"].sample([[5, 6], [7]], config)
    monkeypatch.setattr("interp.policy.sample.CHECK_EVERY", {})
    assert rows_of(tiny["qwen3"].sample([[5, 6], [7]], config)) == rows_of(often)


def test_weights_that_are_not_finite_raise_an_error():
    policy = tiny_policy("qwen3")
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.fill_(float("nan"))
    for temperature in (1.0, 0.0):
        with pytest.raises(FloatingPointError, match="not finite"):
            policy.sample([[5, 6]], SampleConfig(group=2, max_new_tokens=4, temperature=temperature))


def test_samples_can_be_used_in_a_loss(tiny):
    samples = tiny["qwen3"].sample([[5, 6]], SampleConfig(group=2, max_new_tokens=4))
    weight = torch.ones((), requires_grad=True)
    ((samples.logprobs_BL * weight).exp() * samples.entropies_BL).sum().backward()
    assert weight.grad is not None


def test_no_prompts_give_no_samples(tiny):
    samples = tiny["qwen3"].sample([], SampleConfig())
    assert samples.tokens_BL.shape == (0, 0)
    assert samples.lengths_B.shape == (0,)


# --- reproducibility -------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_samples_twice(policy):
    config = SampleConfig(group=4, max_new_tokens=20, seed=7)
    one, other = policy.sample(PROMPTS, config), policy.sample(PROMPTS, config)
    assert torch.equal(one.tokens_BL, other.tokens_BL)
    assert torch.equal(one.logprobs_BL, other.logprobs_BL)


def test_each_seed_key_and_group_member_has_its_own_stream(exact):
    def first(seed: int = 0, key: int = 0) -> list[list[int]]:
        return rows_of(exact.sample([PROMPTS[0]], SampleConfig(group=4, max_new_tokens=12, seed=seed), keys=[key]))

    rows = [*first(), *first(seed=1), *first(key=1), *first(seed=1, key=1)]
    assert len({tuple(row) for row in rows}) == len(rows)


def test_a_larger_group_begins_with_the_smaller_one(exact):
    small = rows_of(exact.sample(PROMPTS[:1], SampleConfig(group=3, max_new_tokens=12)))
    big = rows_of(exact.sample(PROMPTS[:1], SampleConfig(group=7, max_new_tokens=12)))
    assert big[:3] == small


prompt_rows = st.lists(st.lists(st.integers(4, 29), min_size=1, max_size=12), min_size=1, max_size=5)


@settings(max_examples=15)
@given(prompt_rows, st.integers(1, 9), st.integers(0, 2**63 - 1), st.randoms(use_true_random=False))
def test_a_completion_depends_on_its_prompt_and_key_alone(exact, prompts, rows, seed, random):
    def config(rows: int) -> SampleConfig:
        return SampleConfig(group=2, max_new_tokens=10, rows=rows, seed=seed)

    order = random.sample(range(len(prompts)), len(prompts))
    together = exact.sample([prompts[i] for i in order], config(rows), keys=order)
    for place, i in enumerate(order):
        alone = exact.sample([prompts[i]], config(512), keys=[i])
        assert rows_of(alone) == rows_of(together)[2 * place : 2 * place + 2]
        width = alone.tokens_BL.shape[1]
        torch.testing.assert_close(
            together.logprobs_BL[2 * place : 2 * place + 2, :width], alone.logprobs_BL, atol=1e-6, rtol=0
        )


def test_prompts_of_mixed_lengths_give_the_samples_of_each_alone(policy):
    config = SampleConfig(group=3, max_new_tokens=16)
    together = rows_of(policy.sample(PROMPTS, config))
    apart = [row for key, prompt in enumerate(PROMPTS) for row in rows_of(policy.sample([prompt], config, keys=[key]))]
    assert together == apart


# --- efficiency ------------------------------------------------------------------------------------------------------


def test_one_prefill_serves_a_whole_group(tiny):
    policy = tiny["qwen3"]
    with ForwardShapes(policy.model) as forwards:
        policy.sample(PROMPTS, SampleConfig(group=8, max_new_tokens=4))
    assert forwards.rows[0] == len(PROMPTS)
    assert forwards.columns[0] == max(map(len, PROMPTS))
    assert set(forwards.columns[1:]) == {1}


def test_ended_rows_leave_the_batch(tiny):
    policy = tiny["qwen2"]
    with ForwardShapes(policy.model) as forwards:
        samples = policy.sample(PROMPTS, SampleConfig(group=16, max_new_tokens=40))
    decoding = forwards.rows[1:]
    assert decoding == sorted(decoding, reverse=True)
    for t, width in enumerate(decoding, start=1):
        living = int((samples.lengths_B > t).sum())
        assert living <= width <= 2 * living
    assert decoding[-1] < decoding[0] // 2


def test_sampling_ends_when_the_last_row_ends(new_policy):
    policy = new_policy()
    policy.model.generation_config.eos_token_id = list(range(4, 16))
    with ForwardShapes(policy.model) as forwards:
        samples = policy.sample(PROMPTS[:1], SampleConfig(group=4, max_new_tokens=40))
    assert samples.finished_B.all()
    assert len(forwards.rows) == samples.lengths_B.max() < 40


def test_no_wave_has_more_rows_than_the_config_allows(tiny):
    policy = tiny["qwen3"]
    with ForwardShapes(policy.model) as forwards:
        policy.sample(PROMPTS * 4, SampleConfig(group=4, max_new_tokens=5, rows=8))
    assert max(forwards.rows) == 8


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_during_the_call_and_the_training_mode_is_restored(new_policy, training):
    policy = new_policy("qwen3", attention_dropout=0.5)
    without_dropout = policy.sample(PROMPTS, SampleConfig(group=2, max_new_tokens=8))
    policy.model.train(training)
    samples = policy.sample(PROMPTS, SampleConfig(group=2, max_new_tokens=8))
    assert policy.model.training == training
    assert torch.equal(samples.logprobs_BL, without_dropout.logprobs_BL)


def test_the_training_mode_is_restored_after_an_exception(new_policy):
    policy = new_policy()
    policy.model.train()
    policy.model.lm_head.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        policy.sample(PROMPTS, SampleConfig(group=2))
    assert policy.model.training


def test_sampling_does_not_use_the_global_random_state(tiny):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    tiny["qwen3"].sample(PROMPTS, SampleConfig(group=2, max_new_tokens=4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("field", "value"), [("group", 0), ("max_new_tokens", 0), ("rows", 0), ("temperature", -0.1), ("seed", -1)]
)
def test_a_setting_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(BadInput, match=f"{field} .*got {value}"):
        SampleConfig(**{field: value})


def test_a_temperature_that_is_not_a_number_is_refused():
    with pytest.raises(BadInput, match="temperature"):
        SampleConfig(temperature=float("nan"))
