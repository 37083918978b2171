"""Backward problems of a story: its answer is stated, and one of its numbers is asked for, in two templates.

    ... Mia has x apples. She gives 5 to Leo.
    result     ... Mia has 7 apples now. What is x?
    question   ... How many apples does Mia have now? The answer is 7. What is x?

A number can be asked for if no other gives the same answer. The story is otherwise told as it was, without a cue.
"""

from dataclasses import replace

from interp.tasks.words.phrases import (
    ANSWER_IS,
    ASK_UNKNOWN,
    CUE,
    NUMBERS_OF_STORY,
    THINGS,
    UNKNOWN,
    fill,
    read_sentence,
)
from interp.tasks.words.story import Story

TEMPLATES = ("result", "question")


def backward_story(story: Story, index: int, template: str) -> Story | None:
    """The story with `numbers[index]` asked for. None where another number would give the same answer."""
    if story.solution(index, story.result) is None:
        return None
    sentences = [sentence for sentence in _masked(story, index) if sentence != CUE]
    ending = _ending(story, sentences.pop(), template)
    return replace(story, sentences=(*sentences, *ending), cue=None, masked_index=index)


def _masked(story: Story, index: int) -> list[str]:
    """The sentences of the story, with x for the number at `index`."""
    sentences, position = [], -1
    for sentence in story.sentences:
        meaning, match = read_sentence(sentence)
        position += meaning.kind in NUMBERS_OF_STORY
        if meaning.kind in NUMBERS_OF_STORY and position == index:
            sentence = sentence[: match.start("n")] + UNKNOWN + sentence[match.end("n") :]
        sentences.append(sentence)
    return sentences


def _ending(story: Story, question: str, template: str) -> tuple[str, ...]:
    if template == "question":
        return question, ANSWER_IS.format(n=story.result), ASK_UNKNOWN
    thing = next(thing for thing in THINGS if thing.unit == story.unit)
    return fill(thing.result, name=story.name, n=story.result), ASK_UNKNOWN
