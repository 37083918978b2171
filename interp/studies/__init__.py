"""Claims of the literature as experiments: claim, prediction and measure first, then runs, then the verdict."""
