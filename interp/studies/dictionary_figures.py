"""Tables and figures of the dictionary study."""

from collections.abc import Mapping, Sequence

from interp.plots import Panels, Point, dots
from interp.studies.base import Figure, Table
from interp.studies.dictionary_config import (
    FAST,
    KINDS,
    ORGANISM,
    PLANTED,
    PRESETS,
    RANDOM,
    RESIDUAL,
    RESIDUAL_RANDOM,
    SLOW,
)
from interp.studies.dictionary_measures import FAST_FACTS, QUALITY, SLOW_FACTS, arm_name, auroc, block_recall, quality
from interp.studies.report import cell, point
from interp.studies.results import Measure, Results

FACTS = (*SLOW, *FAST)
PAIRS = {
    "ours less Matryoshka": ("interp", "matryoshka"),
    "contrast alone less Matryoshka, same weights": ("contrast-only", "matryoshka-weighted"),
    "ours less ours on random weights": ("interp", RANDOM),
}
ON_ORGANISM = ("CE recovered", "KL recovered")
ON_PLANTED = ("planted latents found",)


def dictionaries(results: Results, world: str) -> list[str]:
    """Arms of a world that are dictionaries and were run, in the order of the presets."""
    order = (*PRESETS, *((RANDOM,) if world == ORGANISM else ()))
    return [name for name in order if results.seeds(arm_name(world, name))]


# --- tables --------------------------------------------------------------------------------------------------------


def tables(results: Results) -> list[Table]:
    return [
        kinds_table(results),
        quality_table(results, PLANTED, "Planted latents: every measure", excluded=ON_ORGANISM),
        quality_table(results, ORGANISM, "Organism: every measure", excluded=ON_PLANTED),
        facts_table(results, "slow block"),
        facts_table(results, "other block"),
        pairs_table(results),
    ]


def kinds_table(results: Results) -> Table:
    rows = [
        [name, *(cell(results.mean(arm_name(PLANTED, name), block_recall(kind))) for kind in KINDS)]
        for name in dictionaries(results, PLANTED)
    ]
    note = "Intervals in this and the following tables are Student's, and may reach beyond what a share can be."
    return Table("Planted latents found by rows of the slow block, by kind", ["arm", *KINDS], rows, note)


def quality_table(results: Results, world: str, title: str, excluded: Sequence[str]) -> Table:
    names = dictionaries(results, world)
    rows = [
        [title, *(cell(results.mean(arm_name(world, name), measure), 3) for name in names)]
        for title, measure in QUALITY.items()
        if title not in excluded
    ]
    return Table(title, ["measure", *names], rows)


def facts_table(results: Results, block: str) -> Table:
    rows = [
        [name, *(cell(results.mean(arm_name(ORGANISM, name), auroc(fact, block))) for fact in FACTS)]
        for name in dictionaries(results, ORGANISM)
    ]
    for name, source, what in (
        ("interp, shuffled labels", "interp", "shuffled labels"),
        ("all dimensions of the residual", RESIDUAL, "all dimensions"),
        ("the same, random weights", RESIDUAL_RANDOM, "all dimensions"),
    ):
        rows.append([name, *(cell(results.mean(arm_name(ORGANISM, source), auroc(fact, what))) for fact in FACTS)])
    head = ["arm", *(f"{fact} (slow)" for fact in SLOW), *(f"{fact} (fast)" for fact in FAST)]
    return Table(f"Organism: AUROC of probes of five latents of the {block}, on other problems", head, rows)


def pairs_table(results: Results) -> Table:
    rows = [
        [
            title,
            *(
                cell(results.difference(arm_name(ORGANISM, one), arm_name(ORGANISM, other), auroc(fact)), 3)
                for fact in FACTS
            ),
        ]
        for title, (one, other) in PAIRS.items()
    ]
    return Table("Organism: differences of the slow block's AUROC, fact by fact, by seed", ["arms", *FACTS], rows)


# --- figures -------------------------------------------------------------------------------------------------------


def figures(results: Results) -> list[Figure]:
    return [
        Figure(
            "Planted latents that the slow block holds",
            "Share of each kind matched one to one by decoder rows of the slow block (cosine 0.7 or more). Slow and "
            "fast latents fire at the same rates. 95% intervals over seeds: exact where latents are counted.",
            dots({"": kinds_panel(results)}, y="share of planted latents found"),
            ("slow-and-rare", "promotion-alone"),
        ),
        Figure(
            "What it costs",
            "Variance explained on held-out tokens, less BatchTopK's of the same seed.",
            dots(cost_panels(results), y="FVE, less BatchTopK's"),
            ("as-good",),
        ),
        Figure(
            "What a few latents of the slow block say of the organism's answers",
            "AUROC of probes of five latents, on problems they were not fitted on; mean over slow facts (format, "
            "valid, depth, steps left, running value) and over fast ones (role, operator, digit, result).",
            dots({"": facts_panel(results)}, y="AUROC of probes", zero_line=False),
            ("slow-facts", "fast-facts-leave"),
        ),
        Figure(
            "Smoothness",
            "Lag-1 autocorrelation on the organism: mean over the latents of a block, whatever their scale.",
            dots({"": smoothness_panel(results)}, y="autocorrelation"),
            ("smoothness-is-moved",),
        ),
    ]


def kinds_panel(results: Results) -> dict[str, list[Point]]:
    return {
        name: [point(kind, results.mean(arm_name(PLANTED, name), block_recall(kind))) for kind in KINDS]
        for name in dictionaries(results, PLANTED)
        if name != "batchtopk"
    }


def cost_panels(results: Results) -> Panels:
    titles = {PLANTED: "planted latents", ORGANISM: "organism"}
    return {
        title: {
            name: [point("", results.difference(arm_name(world, name), arm_name(world, "batchtopk"), quality("fve")))]
            for name in dictionaries(results, world)
            if name not in (RANDOM, "batchtopk")
        }
        for world, title in titles.items()
    }


def facts_panel(results: Results) -> dict[str, list[Point]]:
    facts: Mapping[str, Measure] = {"slow facts": SLOW_FACTS, "fast facts": FAST_FACTS}
    return {
        name: [point(title, results.mean(arm_name(ORGANISM, name), measure)) for title, measure in facts.items()]
        for name in dictionaries(results, ORGANISM)
        if name != "batchtopk"
    }


def smoothness_panel(results: Results) -> dict[str, list[Point]]:
    blocks = {"slow block": "autocorrelation_slow", "other block": "autocorrelation_fast", "whole": "autocorrelation"}
    return {
        name: [
            point(block, results.mean(arm_name(ORGANISM, name), quality(key, -1, 1))) for block, key in blocks.items()
        ]
        for name in dictionaries(results, ORGANISM)
        if name not in (RANDOM, "batchtopk")
    }
