"""The claims, what we predict, and the rule by which each is judged. Written before the runs that are reported.

The first five are those of arXiv 2605.28388 about which families of features each difficulty strengthens (it says
neither how features were assigned to families nor what strength is). Families here are latents that have earned their
role in the base: `direct` (an answer given at once), `computation` (a result about to be written), `deliberative` (all
steps are done, so the answer may be announced).

What we had seen before, with one dictionary of one seed that is not reported (0; fixed, on-policy, causal): direct
-0.01, -0.19, -0.12 after easy problems, -0.07, -0.24, -0.37 after medium, -0.04, 0.17, 0.01 after hard; computation
-0.03, -0.09, 0.01 and -0.05, -0.10, -0.05 and -0.03, 0.01, 0.00; deliberative 0.25, 0.51, 0.94 and 0.22, 0.51, 1.24 and
-0.02, -0.10, 0.14, with luck alone paid 0.01, -0.14, 0.02, with valid answers alone 0.67, 1.10, 1.82.

Then seeds 201 to 205 were run and told of: of the paper's claims none was supported, and medium-deliberative was
inconclusive. Since then it was mended how the second gate puts tokens into texts and which texts it takes (see the
claims of the study of roles), and all is run again on seeds that nobody has seen, 211 to 215. Claims, predictions and
rules are as they were.
"""

from interp.studies.verdict import Claim

STRENGTH = (
    "Change against the base as a share of the base's, by seed (the mean over its dictionaries), three ways: on fixed "
    "text, on-policy, by ablation. "
)
UP = STRENGTH + (
    "Supported: all three intervals lie above zero, and on fixed text the family's change above its matches' too. Not "
    "supported: none of the three lies above zero, or one lies below. Else inconclusive."
)
DOWN = UP.replace("above zero, and", "below zero, and").replace("above its matches'", "below its matches'")
DOWN = DOWN.replace("none of the three lies above zero, or one lies below", "none lies below zero, or one lies above")
AGREEING = 0.8

CLAIMS = (
    Claim("easy-direct", "Easy problems strengthen what answers at once.", "No: it is weakened, as the habit is.", UP),
    Claim("easy-computation", "Easy problems strengthen computation.", "No: it is there already.", UP),
    Claim("easy-deliberative", "Easy problems weaken deliberation.", "No: they strengthen it.", DOWN),
    Claim("medium-computation", "Medium problems strengthen computation.", "No.", UP),
    Claim("medium-deliberative", "Medium problems strengthen deliberation.", "Yes.", UP),
    Claim(
        "hard-direct", "Hard problems strengthen what answers at once.", "On-policy alone: it is more often there.", UP
    ),
    Claim(
        "hard-success",
        "Hard problems strengthen deliberation only through the rare valid success.",
        "Inconclusive: they are so rare that plain training does not feel them.",
        "Deliberation's change where all that is right is paid, less its change where valid successes are not, by "
        "seed, three ways. Supported: all three intervals lie above zero. Not supported: none does. Else inconclusive.",
    ),
    Claim(
        "hard-valid-alone", "Where only valid successes are paid, hard problems strengthen deliberation.", "Yes.", UP
    ),
    Claim(
        "strengths-agree",
        "The three kinds of strength say the same.",
        "No: what is on more often need not do more.",
        "Of all arms and families, the share in which the three changes have the same sign, by seed. Supported: the "
        f"interval lies above {AGREEING}. Not supported: below it. Else inconclusive.",
    ),
)
