"""One word, one token: the tokenizer of an organism, as an ordinary fast tokenizer."""

from transformers import PreTrainedTokenizerFast

from interp.tasks import Chain

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")


def tokenizer_for(task: Chain, context: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate([*SPECIALS, *task.vocabulary()])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    pad, bos, eos, unk = SPECIALS
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        unk_token=unk,
        padding_side="left",
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
