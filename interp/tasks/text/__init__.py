"""Answers in ordinary mathematical text.

answers     find the announced answer of a completion
numerals    read a written number exactly
equality    compare an answer with the true one
verdicts    the verdict on a whole completion
harmless    whitelist of texts for parsers that evaluate them
"""
