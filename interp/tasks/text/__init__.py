"""Answers in ordinary mathematical text.

answers     which answer a completion gives
numerals    the number it is, exactly
equality    whether it equals the labelled answer
verdicts    the verdict on the whole completion
harmless    which texts may be handed to a parser that evaluates them
"""
