"""A real model as it is: what is asked, written and scored agrees with plain transformers on a real tokenizer and real
weights. `make test-real` imports SmolLM2, and takes any other with MODEL=DIRECTORY; without one these tests are
skipped."""

import os

import pytest
import torch

from interp.artifacts import BadInput
from interp.policy import Policy, PromptFormat, SampleConfig
from interp.rollouts import roll_out
from interp.tasks import JsonlTask

pytestmark = pytest.mark.skipif("INTERP_REAL_MODEL" not in os.environ, reason="make test-real imports the model")
PROMPTS = [
    "2 + 2 =",
    "The capital of France is",
    "12345 apples and 678 pears are together",
    "Name: Zoë 🦆. The duck says",
]


@pytest.fixture(scope="module")
def policy() -> Policy:
    torch.set_num_threads(2)
    return Policy.load(os.environ["INTERP_REAL_MODEL"], device="cpu")


def expect_own_chat_template(policy: Policy) -> None:
    if not policy.tokenizer.chat_template:
        pytest.skip("a base model has no chat template")


def greedy(policy: Policy, prompts: list[list[int]], tokens: int) -> list[list[int]]:
    """What plain transformers writes, one prompt at a time, without padding."""
    return [
        policy.model.generate(
            input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row), dtype=torch.long), do_sample=False,
            max_new_tokens=tokens, pad_token_id=policy.pad_id,
        )[0, len(row):].tolist()
        for row in prompts
    ]  # fmt: skip


def test_it_knows_the_capital_of_france_in_a_chat(policy):
    expect_own_chat_template(policy)
    ask = PromptFormat(chat=True, system_prompt="Answer in one word.")
    (prompt,) = policy.encode(["What is the capital of France?"], ask)
    assert "Answer in one word." in policy.tokenizer.decode(prompt)
    row = policy.sample([prompt], SampleConfig(1, 12, temperature=0.0), progress=False).row(0)
    assert "Paris" in policy.decode(row.tokens)[0]


def test_greedy_completions_of_padded_prompts_are_those_of_transformers(policy):
    prompts = policy.encode(PROMPTS)
    assert len({len(prompt) for prompt in prompts}) > 1, "prompts of one length need no padding"
    samples = policy.sample(prompts, SampleConfig(1, 10, temperature=0.0), progress=False)
    assert [list(samples.row(i).tokens) for i in range(len(prompts))] == greedy(policy, prompts, 10)


def test_log_probabilities_are_those_of_transformers(policy):
    prompts = policy.encode(PROMPTS)
    samples = policy.sample(prompts, SampleConfig(1, 8), progress=False)
    rows = [list(samples.row(i).tokens) for i in range(len(prompts))]
    scored_BT, _ = policy.score(prompts, rows)
    for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        with torch.no_grad():
            logp_LV = policy.model(torch.tensor([prompt + row])).logits[0].log_softmax(-1)
        expected = [float(logp_LV[len(prompt) - 1 + t, token]) for t, token in enumerate(row)]
        assert scored_BT[i, : len(row)].tolist() == pytest.approx(expected, abs=1e-3)
        assert samples.row(i).logprobs == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("text", ["12,345 and 678", "Zoë 🦆 👩‍👩‍👧", "x = \\frac{1}{2}", "a\n\n  b"])
def test_the_text_of_tokens_covers_numbers_and_code_points_that_span_several(policy, text):
    ids = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    decoded, offsets = policy.decode(ids)
    assert decoded == text == "".join(policy.token_texts(ids)) and len(offsets) == len(ids)
    assert all(0 <= start < end <= len(text) for start, end in offsets)
    assert {place for start, end in offsets for place in range(start, end)} == set(range(len(text)))


def test_a_prompt_beyond_the_context_is_refused(policy):
    with pytest.raises(BadInput, match=f"a prompt must have 1 to {policy.context - 1} tokens"):
        policy.encode(["one two " * policy.context])


def test_the_residuals_are_those_of_the_hidden_states(policy):
    (prompt,) = policy.encode(PROMPTS[:1])
    ids = torch.tensor([prompt])
    residuals = policy.capture(ids, [0, 15])
    with torch.no_grad():
        states = policy.model(ids, output_hidden_states=True).hidden_states
    for layer, resid_BLD in residuals.items():
        torch.testing.assert_close(resid_BLD, states[layer + 1])


def test_a_few_shot_prompt_with_a_stop_text_gets_answers_that_are_read(policy, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"question": "Mia has 3 pens and gets 2 more. How many?", "answer": "#### 5"}\n')
    task = JsonlTask(tmp_path / "p.jsonl", prompt_field="question")
    shots = "Q: Tom has 4 pens and gets 3 more. How many?\nA: 4 + 3 = 7. The answer is 7.\n\n"
    ask = PromptFormat(prefix=f"{shots}Q: ", suffix="\nA:", stop=("\n",))
    (split,) = [split for split in ("train", "eval", "probe") if task.size(split, None)]
    rollouts = roll_out(
        policy, task, task.problems(split, None, 1), SampleConfig(16, 24, 0.5), prompt_format=ask, progress=False
    )
    assert all("\n" not in row.completion and "Q:" not in row.completion for row in rollouts)
    announced = [row for row in rollouts if row.answer is not None]
    assert len(announced) >= 4 and any(row.correct and row.steps for row in rollouts)
