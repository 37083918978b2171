"""The study as pictures: one page that opens offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from interp.plots import Panels, Point, dots, page
from interp.studies.dictionary.analysis import Measure, Records, quality, recall, told_on_average
from interp.studies.dictionary.config import ARMS, RANDOM
from interp.studies.dictionary.facts import FAST, SLOW
from interp.studies.dictionary.planted import KINDS
from interp.studies.estimates import Estimate
from interp.studies.verdict import Judged

TITLE = "Dictionaries: does the slow block hold what is slow?"


def write_page(records: Records, judged: Sequence[Judged], path: Path) -> None:
    found = {j.claim.name: j.verdict for j in judged}
    parts = [
        (
            "Planted latents that the slow block holds",
            "The share of each kind matched one to one by decoder rows of the slow block (cosine 0.7 or more). Slow "
            f"and fast fire at the same rates. Ours above Matryoshka on slow and rare: {found['slow-and-rare']}; the "
            f"paper's loss: {found['paper']}; promotion alone: {found['promotion-alone']}.",
            dots({"": {arm: _by_kind(records, arm) for arm in _shown(records, "planted")}}, y="share found"),
        ),
        (
            "What it costs",
            f"Variance explained on held-out tokens, less BatchTopK's of the same seed. As good: {found['as-good']}.",
            dots(_cost(records), y="FVE, less BatchTopK's"),
        ),
        (
            "What a few latents of the slow block tell of the organism",
            "AUROC of probes of five latents, on problems they were not fitted on; mean over slow facts (format, "
            "valid, depth, steps left, running value) and over fast ones (role, operator, digit, result). Slow facts "
            f"easier to read than from Matryoshka's slow block: {found['slow-facts']}.",
            dots(_read(records), y="AUROC", zero=False),
        ),
        (
            "Smoothness",
            "Lag-1 autocorrelation on the organism: the mean over latents of a block, whatever their scale. Moved into "
            f"the slow block, and not made: {found['smoothness-is-moved']}.",
            dots(_smooth(records), y="autocorrelation"),
        ),
    ]
    page(path, TITLE, parts)


def _shown(records: Records, world: str) -> list[str]:
    order = (*ARMS, RANDOM)
    return [arm for arm in order if arm in records.arms(world) and arm != "batchtopk"]


def _point(name: str, found: Estimate) -> Point:
    return Point(name, found.value, found.low, found.high)


def _by_kind(records: Records, arm: str) -> list[Point]:
    return [_point(kind, records.of("planted", arm, recall(kind, slow_block=True))) for kind in KINDS]


def _cost(records: Records) -> Panels:
    worlds = {"planted": "planted latents", "organism": "organism"}
    return {
        title: {
            arm: [_point("", records.minus(world, arm, "batchtopk", quality("fve")))]
            for arm in _shown(records, world)
            if arm != RANDOM
        }
        for world, title in worlds.items()
    }


def _read(records: Records) -> Panels:
    facts: Mapping[str, Measure] = {"slow facts": told_on_average(SLOW), "fast facts": told_on_average(FAST)}
    arms = _shown(records, "organism")
    return {"": {arm: [_point(n, records.of("organism", arm, m)) for n, m in facts.items()] for arm in arms}}


def _smooth(records: Records) -> Panels:
    names = {"slow block": "autocorrelation_slow", "other block": "autocorrelation_fast", "whole": "autocorrelation"}
    arms = [arm for arm in _shown(records, "organism") if arm != RANDOM]
    return {"": {arm: [_point(n, records.of("organism", arm, quality(k))) for n, k in names.items()] for arm in arms}}
