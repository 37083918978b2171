"""Answers in ordinary mathematical text.

verdicts        the verdict on a whole completion
answers         find the announced answer of a completion
doubt           what around an announcement denies it or operates on it
retractions     what right behind an announced answer takes it back
equality        compare an answer with the true one

numerals        read a written number exactly, with the words around it
magnitudes      the number itself, in digits
number_words    the number itself, in words
computing       what a computation of plain numbers comes to
vocabulary      words that may stand around a number
units           units of measure

formulas        read a formula as a tree
formula_tokens  its tokens
shapes          the sets, tuples, intervals, lists and relations that formulae form
shape_equality  compare them
values          compare formulae by their values at random points

choices         letters among those offered; yes and no
clock           times, dates, ratios, places in an order
"""
