"""What a report knows of tokens and latents, by hand: codes, steps, peaks, densities, the lens, neighbours."""

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from features_fixtures import axes_dictionary
from grpo_fixtures import make_rollout

from interp.dashboard.examples import Peaks, add_examples, select_examples
from interp.dashboard.latent_facts import ActivationCounts, logit_lens, nearest, norm_gain
from interp.dashboard.readings import (
    NO_STEP,
    STEP_NOT_DUE,
    STEP_RIGHT,
    STEP_WRONG,
    Reading,
    add_block,
    read_codes,
    read_logprobs,
    split_codes,
    step_columns,
    strongest,
)
from interp.dashboard.report import NONE, Report, unpack
from interp.dashboard.rollouts import Batch
from interp.dashboard.tokens import TokenTexts, token_text
from interp.tsae.codes import Codes

Z = torch.tensor([[0, 3.0, 1], [0, 0, 0], [2, 0, 5]])
"""Codes of three tokens and three latents."""


def read_back(report: Report, name: str):
    return unpack(report.chunks[name], **report.shapes[name])


# --- tokens --------------------------------------------------------------------------------------------------------


def test_the_strongest_latents_of_each_token_come_first_and_gaps_are_minus_one():
    latents, values = strongest(Codes.from_dense(Z), 2)
    assert latents.tolist() == [[1, 2], [-1, -1], [2, 0]]
    assert values.tolist() == [[3, 1], [0, 0], [5, 2]]
    assert strongest(Codes.from_dense(Z), 1)[0].tolist() == [[1], [-1], [2]]
    assert strongest(Codes.from_dense(torch.zeros(2, 3)), 4)[0].shape == (2, 0)


def test_a_step_is_right_wrong_or_not_due_and_has_no_state_where_it_is_not_judged():
    steps = [(0, 1, True, True), (1, 2, False, None), (2, 3, True, False), (3, 4, True, None)]
    states, numbers = step_columns(make_rollout(length=5, steps=steps))
    assert states == [STEP_RIGHT, STEP_WRONG, STEP_NOT_DUE, NO_STEP, 0] and numbers == [1, 2, 3, 4, 0]


def test_a_block_holds_every_token_and_null_for_what_was_not_read():
    rows = [
        make_rollout(length=2, steps=[(0, 1, True, True)]),
        make_rollout(length=1, advantages=(0.5,), credit=(1.0,)),
    ]
    report, texts = Report(), TokenTexts()
    texts.add(None, [4, 5])
    reading = Reading(Batch(0, 0, rows), live=Codes.from_dense(Z))
    arrays = add_block(report, 0, reading, texts, np.array([NONE, 0, 1]), codes=2)
    assert read_back(report, arrays["token"]).tolist() == [0, 1, 0] and texts.texts == ["[4]", "[5]"]
    assert read_back(report, arrays["live_latent"]).tolist() == [[0, 1], [NONE, NONE], [1, NONE]]
    assert arrays["base_latent"] is None and arrays["base_value"] is None
    advantage = read_back(report, arrays["advantage"])
    assert np.isnan(advantage[:2]).all() and advantage[2] == 0.5
    assert np.isnan(read_back(report, arrays["base_logprob"])).all()
    assert read_back(report, arrays["state"]).tolist() == [1, 0, 0]


def test_codes_and_log_probabilities_follow_each_other_also_beside_an_empty_completion(tiny):
    policy, rows = tiny["qwen3"], [make_rollout(length=n) for n in (3, 0, 2)]
    tsae = axes_dictionary(32, layer=1)
    codes = read_codes(tsae, policy, 1, rows, micro_tokens=64)
    ids = torch.tensor([[*rows[2].prompt_ids, *rows[2].tokens]])
    expected = tsae.encode(policy.capture(ids, [1])[1][0, 4:])
    assert codes is not None and codes.tokens == 5
    dense = torch.zeros(5, 64)
    dense[codes.token_K, codes.latent_K] = codes.value_K
    assert torch.allclose(dense[3:], expected, atol=1e-4)
    logprobs, entropies = read_logprobs(policy, rows, temperature=1.0, micro_tokens=64)
    own, _ = policy.score([list(rows[2].prompt_ids)], [list(rows[2].tokens)])
    assert len(logprobs) == len(entropies) == 5
    assert logprobs[3:] == pytest.approx(own[0].tolist(), abs=1e-4)
    assert read_codes(tsae, policy, 1, rows[1:2], micro_tokens=64) is None


def test_codes_are_split_into_batches_as_if_each_had_been_read_alone():
    parts = split_codes(Codes.from_dense(Z), [1, 0, 2])
    assert parts[1] is None
    for part, rows in ((parts[0], Z[:1]), (parts[2], Z[1:])):
        alone = Codes.from_dense(rows)
        assert part is not None and part.tokens == alone.tokens
        assert torch.equal(part.token_K, alone.token_K) and torch.equal(part.value_K, alone.value_K)


def byte_level_policy():
    """A tokenizer of bytes, as byte-level BPE has them: each sign of more bytes is several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from interp.policy import Policy

    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({sign: n for n, sign in enumerate(signs)}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return Policy(tiny_policy().model, PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="a", pad_token="b"))


def test_a_part_of_a_character_is_shown_by_its_byte():
    policy = byte_level_policy()
    ids = policy.tokenizer("é x")["input_ids"]
    assert [token_text(policy, token) for token in ids] == ["\\xc3", "\\xa9", " ", "x"]


def test_a_word_has_the_space_before_it(tiny):
    assert token_text(tiny["qwen3"], 4) == " 0"


# --- latents ---------------------------------------------------------------------------------------------------------


def test_rates_means_and_densities_count_active_tokens():
    counts = ActivationCounts(3)
    counts.update(Codes.from_dense(Z))
    counts.update(Codes.from_dense(torch.tensor([[0, 9.0, 0]])))
    facts = counts.facts(np.array([1, 2]))
    assert counts.alive().tolist() == [0, 1, 2]
    assert facts["firing_rate"].tolist() == [0.5, 0.5]
    assert facts["mean_when_active"].tolist() == [6, 3] and facts["max"].tolist() == [9, 5]
    histogram, edges = counts.histogram(np.array([1, 2]))
    assert histogram.sum(1).tolist() == [2, 2] and len(edges) == histogram.shape[1] + 1
    assert histogram[0, -1] == 1 and histogram[1, 0] == 1, "9 is the largest of all, 1 the smallest"


def test_without_tokens_there_are_no_facts():
    facts = ActivationCounts(3).facts(np.array([0, 1]))
    assert all(np.isnan(values).all() for values in facts.values())
    assert ActivationCounts(3).alive().tolist() == []


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_the_gain_of_a_norm_is_what_it_multiplies_by(family):
    policy = tiny_policy(family)
    norm = policy.model.get_decoder().norm
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
    x_D = torch.randn(32, generator=torch.Generator().manual_seed(0))
    expected = norm(x_D[None])[0] * (x_D.pow(2).mean() + 1e-6).sqrt()
    assert torch.allclose(norm_gain(norm, torch.ones(32)) * x_D, expected, atol=1e-3)


def test_the_lens_names_the_tokens_whose_logits_a_latent_moves(tiny):
    policy, tsae = tiny["llama"], axes_dictionary(32, layer=1)
    ((raised, by, lowered, down),) = logit_lens(tsae, policy, [5, 37], 3)
    gain = policy.model.get_decoder().norm.weight.detach()
    logit_V = policy.model.get_output_embeddings().weight.detach()[:, 5] * gain[5]
    logit_V = logit_V - logit_V.mean()
    assert raised[0].tolist() == logit_V.topk(3).indices.tolist()
    assert by[0] == pytest.approx(logit_V.topk(3).values.tolist(), rel=1e-4)
    assert lowered[0].tolist() == (-logit_V).topk(3).indices.tolist() and (down[0] < 0).all()
    assert raised[1].tolist() == lowered[0].tolist(), "latent 37 is the negative of latent 5"


def test_neighbours_are_the_closest_decoder_rows_and_never_the_latent_itself():
    tsae = axes_dictionary(2, layer=0)  # rows x, y, -x, -y
    rows, cosines = nearest(tsae, [0, 1, 2], 2)
    assert rows.tolist() == [[1, 2], [0, 2], [1, 0]] and cosines.tolist() == [[0, -1], [0, 0], [0, -1]]


def test_a_peak_is_the_strongest_token_of_a_rollout():
    peaks = Peaks.of(Codes.from_dense(Z), [2, 1], first_rollout=10)
    found = list(zip(peaks.latent_P, peaks.rollout_P, peaks.position_P, peaks.value_P, strict=True))
    assert found == [(0, 11, 0, 2), (1, 10, 0, 3), (2, 10, 0, 1), (2, 11, 0, 5)]
    both = Peaks.concat([peaks, peaks]).sorted().of_latent(2)
    assert both.once_each(np.zeros(12, int)).value_P.tolist() == [5]
    assert both.once_each(np.arange(12)).value_P.tolist() == [5, 1]
    assert Peaks.concat([peaks, peaks]).sorted().of_latent(2).value_P.tolist() == [5, 5, 1, 1]


def test_a_text_is_an_example_once_whichever_problem_it_answers():
    """Rollouts 0 and 1 answer two problems by one text; 2 answers the first problem by another."""
    peaks = Peaks(np.zeros(3, int), np.arange(3), np.zeros(3, int), np.array([1.0, 5, 3]))
    problem_R, text_R = np.array([0, 1, 0]), np.array([7, 7, 8])
    report, latents = Report(), np.array([0])
    shown = add_examples(report, latents, [peaks], [], problem_R, text_R, count=2)
    rollout = unpack(report.chunks["examples.rollout"], "i4", [1, 4])
    assert shown is not None and rollout[0].tolist() == [1, 2, -1, -1]


def test_examples_are_the_strongest_and_some_of_each_half():
    value_P = np.array([10, 9, 8, 7, 6, 4, 3, 2, 1.0])
    peaks = Peaks(np.zeros(9, int), np.arange(9), np.arange(9), value_P)
    assert select_examples(peaks, top=2, halves=2) == [0, 1, 2, 3, 6, 7]
    assert select_examples(peaks, top=9, halves=1) == [*range(9), -1, -1]
    few = Peaks(np.zeros(1, int), np.arange(1), np.arange(1), value_P[:1])
    assert select_examples(few, top=2, halves=1) == [0, -1, -1, -1]
    none = Peaks(*(np.zeros(0, int) for _ in range(3)), np.zeros(0))
    assert select_examples(none, top=1, halves=1) == [-1, -1, -1]
