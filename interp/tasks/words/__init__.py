"""Word problems: English stories of changes to a number, in which every written step can be checked exactly.

task          the `Words` task: options, splits, levels
phrases       the sentences of a story: people, things, changes, and what does not matter
story         the computation of a problem, and its prompt
backward      the same story with one of its numbers asked for
completions   solutions: writing and parsing
"""

from interp.tasks.words.completions import HABITS, write_solution
from interp.tasks.words.story import Story, parse_story
from interp.tasks.words.task import Words

__all__ = ["HABITS", "Story", "Words", "parse_story", "write_solution"]
