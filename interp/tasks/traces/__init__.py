"""Written equations in ordinary mathematical text: find them, check them exactly, and give each character a role.

    text   --lexer-->        tokens          words, numbers and signs
           --parser-->       expressions     trees of numbers and operations
           --equations-->    equations       one for every equals sign, with its two sides
           --checking-->     holds           True, False or None for each equation
           --steps-->        steps           equations joined with the calculator annotations that repeat them
           --annotate-->     trace           steps with `holds` and `follows`, roles, and the answer

`units` holds the words that stand for units and numbers. `annotate(text, prompt)` runs it all.
"""

from interp.tasks.traces.annotate import Trace, annotate

__all__ = ["Trace", "annotate"]
