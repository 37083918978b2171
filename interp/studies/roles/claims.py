"""The claims, what we predict, and the rule by which each is judged. Written before the runs that are reported.

What we had seen before, on one organism that is not reported (seed 0). With the gates as they were first: precision
0.60, 0.71, 0.78 (cue: after one gate, two, three) and 0.42, 0.40, 0.46 (computation), recall 0.86, 0.71, 0.50 and 1.00,
0.44, 0.28. It showed what was wrong with them, and they were mended: latents whose ablation was sure and did next to
nothing passed (a tenth of a nat is asked for now); carriers were held against matches that were carriers too (matches
are latents that do not tell the thing apart now); text into which two operands and an operator had been put was no
longer text in which nothing is computed (single tokens are put in there now, and not those at which both kinds are
compared). After that: precision 1.00 of 7 and 0.80 of 15, recall 0.50 and 0.67. Then the third gate was made to ask
that a latent act on what the role is about and less on its like, since on the shipped organism (one dictionary, not
reported) no latent had earned a role of reasoning or of answering at once: 1.00 of 6 and 0.86 of 14, recall 0.43 and
0.67.

Then seeds 101 to 105 were run and told of: precision 1.000 [1.000, 1.000] and 0.801 [0.705, 0.896], recall 0.512 and
0.530. A review found that random tokens were put in front of texts where a latent's own were not, and that texts and
positives were not taken evenly from all levels. That was mended, no threshold was touched, and all is run again on
eight seeds that nobody has seen, 111 to 118. Claims, predictions and rules are as they were.
"""

from interp.studies.verdict import Claim

PRECISE = 0.8
FOUND = 0.5
ALARMS = 0.05

ABOUT = {"cue": "a planted cue", "computation": "a result about to be written"}


def _claims(thing: str) -> tuple[Claim, ...]:
    return (
        Claim(
            f"{thing}-precise",
            f"Latents that pass three gates for {ABOUT[thing]} carry it.",
            "Yes, four in five and more.",
            f"The share of them that interchange shows to be carriers, by organism. Supported: the interval lies above "
            f"{PRECISE}. Not supported: below it. Else inconclusive.",
        ),
        Claim(
            f"{thing}-found",
            f"And they are most of what carries {ABOUT[thing]}.",
            "Yes, by what they do; by their number less.",
            "The carriers' effects that fall to latents that passed, as a share of all carriers' effects. Supported: "
            f"the interval lies above {FOUND}. Not supported: below it. Else inconclusive.",
        ),
        Claim(
            f"{thing}-gates-matter",
            f"The later gates make the roles truer: a contrast alone names others too ({ABOUT[thing]}).",
            "Yes.",
            "Precision after three gates minus precision after the first, by organism. Supported: the interval lies "
            "above zero. Not supported: below, or within 0.05 of zero at both ends. Else inconclusive.",
        ),
        Claim(
            f"{thing}-chance",
            f"Latents drawn at random that do not carry {ABOUT[thing]} hardly ever pass.",
            f"Yes: fewer than one in {1 / ALARMS:.0f}.",
            f"The share of them that pass all gates, by organism. Supported: the interval lies below {ALARMS}. Not "
            "supported: above it. Else inconclusive.",
        ),
    )


CLAIMS = tuple(claim for thing in ABOUT for claim in _claims(thing))
