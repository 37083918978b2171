"""Strategies for hard problems: what a run asks where its policy would learn nothing from the problem as it is.

base        the contract: a strategy takes a share of the groups of every batch
backward    the answer is stated, a number is asked for
hints       the beginning of a valid answer of the base is given, shorter and shorter; `hints_as_written` trains on it
replay      valid answers of earlier steps are put back into later batches
curriculum  a source of problems that follows the pass rate of the run
"""
