"""Tokenizers of organisms: one token for each word of a chain; byte-level BPE, learnt from the templates, for words."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerFast

from interp.organism.config import WORDS_VOCABULARY, OrganismConfig
from interp.tasks import Chain, Words
from interp.tasks.words import write_solution

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
TEXTS_PER_DEPTH = 500


def tokenizer_for(config: OrganismConfig) -> PreTrainedTokenizerFast:
    """A new tokenizer for the organism's task, the same for the same config."""
    from tokenizers import processors

    task = config.chosen_task
    tokenizer = _chain_words(task) if isinstance(task, Chain) else _word_pieces(task, config.numbers)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    pad, bos, eos, unk = SPECIALS
    unknown: dict[str, Any] = {"unk_token": unk} if isinstance(task, Chain) else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        **unknown,
        padding_side="left",
        model_max_length=config.shape.context,
        clean_up_tokenization_spaces=False,
    )


def _chain_words(task: Chain) -> "Tokenizer":
    """One token for each word of the chain task."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: i for i, word in enumerate([*SPECIALS, *task.vocabulary()])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return words


def _word_pieces(task: Words, numbers: str) -> "Tokenizer":
    """Byte-level BPE learnt from problems and solutions. Every text can be written in it, so no token is unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    pieces = Tokenizer(models.BPE())
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if numbers == "digits" else []
    pieces.pre_tokenizer = pre_tokenizers.Sequence([*digits, bytes_of_words])
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS_VOCABULARY,
        special_tokens=list(SPECIALS[:3]),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    pieces.train_from_iterator(_sample_texts(task), trainer)
    return pieces


def _sample_texts(task: Words) -> Iterator[str]:
    """Problems of every depth with a written solution, and every number of the task."""
    rng = random.Random(0)
    for depth in range(task.depths[0], task.depths[1] + 1):
        for problem in task.problems("train", depth, TEXTS_PER_DEPTH):
            yield f"{problem.prompt} {write_solution(task.program(problem), 'steps', rng)}"
    for _ in range(TEXTS_PER_DEPTH):
        yield "".join(f" {number}" for number in range(task.largest + 1))
