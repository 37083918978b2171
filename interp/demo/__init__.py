"""The guided run of the whole loop on the shipped organism.

plan      how much of everything (presets), and where it is saved
answers   what a checkpoint answers to the held-out problems: rates by measured bucket, paired changes
stages    buckets, training, dictionary, roles, tracks, comparison, credit: each is resumed or opened if it was done
text      each stage's result in sentences and a table, beside its control
findings  five sentences with intervals
run       all stages in order, and the report
"""
