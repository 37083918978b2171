"""The guided run of the whole loop on the shipped organism.

plan    how much of everything, and where it is saved
stages  train, fit, earn roles, track, compare, credit: each is resumed or opened if it was done before
text    each stage's result in a sentence and a table, beside its control
page    the same with figures, on one offline HTML page
run     all stages in order
"""
