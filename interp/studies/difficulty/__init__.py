"""Is learning an inverted U in difficulty, does hard training harm, and is luck the channel?

Parent paper: arXiv 2605.28388. Its claims are in `claims.py`, each with the prediction and the rule of its verdict,
written before the runs; what is run is in `arms.py`, one run in `work.py`, what the runs come to in `analysis.py`.
"""
