"""A model to walk the whole journey with: the real one that INTERP_REAL_MODEL names, or a tiny one of random weights
with a byte-level tokenizer and a chat template; and a few word problems in the format of GSM8K."""

import json
import os
from pathlib import Path
from typing import Any

from interp.tasks.base import seeded_rng

REAL_MODEL = os.environ.get("INTERP_REAL_MODEL")
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""For a base model, which has no template of its own."""
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def link_model(place: Path) -> None:
    """The real model if there is one, else a tiny one, as the directory `place`. A base model gets a chat template."""
    if not REAL_MODEL:
        return chat_policy().save(place)
    place.mkdir()
    for file in Path(REAL_MODEL).absolute().iterdir():
        (place / file.name).symlink_to(file)
    settings = json.loads((place / "tokenizer_config.json").read_text())
    if not settings.get("chat_template") and not (place / "chat_template.jinja").exists():
        (place / "chat_template.jinja").write_text(PLAIN_TEMPLATE)


def chat_policy() -> Any:
    """A Llama of random weights whose tokens are bytes, in chats of the format of SmolLM2."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from interp.policy import Policy

    tokenizer = byte_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return Policy(LlamaForCausalLM(config).eval(), tokenizer)


def byte_tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(
        models.BPE({sign: i for i, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<|im_start|>", "<|im_end|>", "<pad>")])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<pad>",
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def write_problems(file: Path, n: int = 40) -> None:
    """Word problems of one step, in the format of GSM8K."""
    rng, questions = seeded_rng("journey"), {}
    while len(questions) < n:
        name, thing = rng.choice(("Mia", "Tom", "Ana", "Ben")), rng.choice(("apples", "pens", "coins"))
        a, b = rng.randint(5, 12), rng.randint(2, 5)
        change, sign, result = rng.choice((("gets", "+", a + b), ("gives away", "-", a - b)))
        question = f"{name} has {a} {thing} and {change} {b}. How many {thing} has {name} now?"
        questions[question] = f"{a} {sign} {b} = <<{a}{sign}{b}={result}>>{result}\n#### {result}"
    lines = [{"question": question, "answer": answer} for question, answer in questions.items()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
