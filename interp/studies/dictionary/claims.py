"""The claims, what we predict, and the rule by which each is judged. Written before the runs that are reported.

The study was run three times. On seeds 101 to 105 first, where its control of random weights read other text, probes
held out documents and not problems, pools held whole shards, and the arm `matryoshka-weighted` was missing; then, with
all that mended, on the same seeds again, where a review found that two slow facts were in part fast ones: "valid" was
false in every answer given at once, and the running value was asked at the very tokens that are it. Both are mended,
and the study is run on seeds that nobody has seen, 106 to 110. What the second time had shown: slow-and-rare recall
0.98 (ours), 0.16 (Matryoshka), 0.24 (the same weights), 0.43 (the paper's loss), 0.18 (the released code's), 0.19 (our
contrast alone), 1.00 (promotion alone), 0.02 (shuffled); slow facts told by ours less Matryoshka's 0.015 [-0.005,
0.035], without the two faulty ones 0.025 [0.010, 0.041]; by the contrast alone less Matryoshka's 0.026 [0.021, 0.031];
by ours less the same on random weights 0.032 [0.002, 0.061], of format and steps left, not of depth or validity. The
claims `contrast-on-organism` and `promotion-on-organism` are new, and made of that. The rule of `time-matters` asks
more than it did the first time: that the effect be gone, not only less.

What we had seen before, at seeds that are not reported: on planted latents (seeds 0 to 2) Matryoshka found the slow and
rare ones in its slow block at 0.08 to 0.17, the paper's loss at 0.54 (one seed), the released code's at 0.17, ours
without promotion at 0.1 to 0.3 whatever its temperature and weight, promotion alone and ours at 1.00, with shuffled
pairs 0.08; FVE 0.945 for BatchTopK and 0.941 to 0.942 for ours. On the organism (one run, measured on what was fitted
on): FVE 0.993 and 0.986, loss recovered 1.00 for all; probes of five latents of the slow block told the format at
0.87 (Matryoshka) and 0.98 (ours), the number of steps left at 0.65 and 0.75, depth at 0.57 and 0.56.

Promotion is ours, and it was made after a contrast alone had failed at the gate on seed 0, at every temperature, weight
and budget tried.
"""

from interp.studies.verdict import Claim

TOLERANCE = 0.01
"""Of variance explained: what a slow block may cost."""
RECOVERED, RECALLED = 0.95, 0.8
GATE = ("as-good", "loss-recovered", "planted-found", "slow-and-rare")
"""The claims that must hold for the dictionaries to be used for anything else."""

SHARE = "Share of planted slow-and-rare latents matched one to one by decoder rows of the slow block (cosine 0.7). "
ABOVE = SHARE + (
    "Supported: above Matryoshka's with disjoint intervals. Not supported: below it, or equal to within 0.1 at both "
    "ends of the interval of the difference. Else inconclusive."
)
ABOVE_WEIGHTED = ABOVE.replace("above Matryoshka's", "above that of Matryoshka with the same weights of its blocks")

CLAIMS = (
    Claim(
        "as-good",
        "A temporal dictionary reconstructs as well as an ordinary one.",
        "Yes, to within 0.01 of the variance; closer on planted latents than on the organism.",
        "FVE on held-out tokens, ours minus BatchTopK, by seed, in both worlds. Supported: both intervals lie above "
        f"-{TOLERANCE}. Not supported: one lies below it. Else inconclusive.",
    ),
    Claim(
        "loss-recovered",
        "Spliced into the policy, it keeps what the policy does.",
        "Yes: 0.99 and more, against the mean in the residual's place.",
        f"CE and KL recovered on the organism. Supported: both intervals lie above {RECOVERED}. Not supported: one "
        "lies below it. Else inconclusive.",
    ),
    Claim(
        "planted-found",
        "It finds the latents that are there.",
        "Yes, nearly all of them: width is ample.",
        f"Planted latents matched one to one (cosine 0.7). Supported: the interval lies above {RECALLED}. Not "
        "supported: below it. Else inconclusive.",
    ),
    Claim(
        "slow-and-rare",
        "Its slow block holds the slow latents, the rare ones too.",
        "Yes, nearly all; Matryoshka's holds the frequent ones, slow or fast.",
        ABOVE,
    ),
    Claim(
        "paper", "The published loss puts slow and rare latents into the slow block.", "Some: above Matryoshka.", ABOVE
    ),
    Claim("released", "The loss of the released code does.", "No: level with Matryoshka.", ABOVE),
    Claim(
        "weights-alone",
        "To weigh the slow block's own error less, as ours does, is enough.",
        "No: level with Matryoshka.",
        ABOVE,
    ),
    Claim("contrast-alone", "Our contrast does so without promotion.", "No: level with Matryoshka.", ABOVE_WEIGHTED),
    Claim("promotion-alone", "Promotion does so without a contrast.", "Yes, nearly all.", ABOVE_WEIGHTED),
    Claim(
        "time-matters",
        "It is time that does it: with partners dealt out at random the effect is gone.",
        "Yes.",
        "The same share. Supported: ours above that of shuffled pairs with disjoint intervals, and theirs not above "
        "Matryoshka's (same weights). Not supported: ours is not above theirs. Else inconclusive.",
    ),
    Claim(
        "slow-facts",
        "On the organism, slow facts are easier to read from the slow block.",
        "Yes, if little: format and steps left.",
        "AUROC of probes of five latents, mean over slow facts (format, valid, depth, steps left, running value), ours "
        "minus Matryoshka's, by seed. Supported: the interval lies above zero. Not supported: below. Else "
        "inconclusive.",
    ),
    Claim(
        "contrast-on-organism",
        "There it is the contrast that does it.",
        "Yes: it alone does as well as ours.",
        "The same, the contrast alone minus Matryoshka with the same weights of its blocks.",
    ),
    Claim(
        "promotion-on-organism",
        "And promotion does too.",
        "No.",
        "The same, promotion alone minus Matryoshka with the same weights of its blocks.",
    ),
    Claim(
        "fast-facts-leave",
        "And fast facts are harder to read from it than from Matryoshka's slow block.",
        "Yes, if little.",
        "The same for fast facts (role, operator, digit, result). Supported: the interval lies below zero. Not "
        "supported: above. Else inconclusive.",
    ),
    Claim(
        "learned-not-given",
        "What the slow block says is of what the policy learned, not of the words alone.",
        "Yes, but most of it is in the words: random weights that read them come near.",
        "Mean over slow facts, ours on the policy minus ours on random weights reading the same documents, by seed. "
        "Supported: the interval lies above zero. Not supported: below. Else inconclusive.",
    ),
    Claim(
        "smoothness-is-moved",
        "The slow block is smoother than Matryoshka's, and the dictionary as a whole is not.",
        "Smoother in the slow block; as a whole a little too.",
        "Lag-1 autocorrelation on the organism, ours minus Matryoshka's, by seed. Supported: the slow block's interval "
        "lies above zero and the whole's holds zero. Not supported: the slow block's does not lie above zero, or the "
        "whole's does. Else inconclusive.",
    ),
)
