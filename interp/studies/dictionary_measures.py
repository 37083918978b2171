"""Measures of the dictionary study, each read off the record of one dictionary."""

import math
from collections.abc import Sequence

from interp.studies.dictionary_config import FAST, KINDS, SLOW, DictionaryConfig
from interp.studies.results import Measure, Record, share

PER_KIND = DictionaryConfig().planted.per_kind


def arm_name(world: str, name: str) -> str:
    return f"{world}: {name}"


def quality(key: str, low: float = -math.inf, high: float = math.inf) -> Measure:
    """A metric of a dictionary on held-out tokens. FVE and the recovered shares have no lower end."""
    return Measure(key, lambda record: record.get("quality", {}).get(key), low, high)


def block_recall(kind: str) -> Measure:
    """Share of planted latents of a kind that are matched one to one by decoder rows of the slow block."""

    def value(record: Record) -> float | None:
        return record.get("slow_block_recall_by_kind", {}).get(kind)

    return share(
        f"slow block: {kind}", value, counts_of=lambda record: (round((value(record) or 0) * PER_KIND), PER_KIND)
    )


def recall_of(record: Record) -> float | None:
    return record.get("recall")


def auroc(fact: str, block: str = "slow block") -> Measure:
    """AUROC of a probe of five latents of a block."""
    return share(f"{block}: {fact}", lambda record: record.get("read", {}).get(fact, {}).get(block))


def mean_auroc(name: str, facts: Sequence[str]) -> Measure:
    """Mean AUROC over facts; None where one of them could not be probed."""

    def value(record: Record) -> float | None:
        scores = [auroc(fact).value_of(record) for fact in facts]
        available = [score for score in scores if score is not None]
        return sum(available) / len(available) if len(available) == len(facts) else None

    return share(name, value)


RECALL = share(
    "planted latents found",
    recall_of,
    counts_of=lambda record: (round((recall_of(record) or 0) * len(KINDS) * PER_KIND), len(KINDS) * PER_KIND),
)
SLOW_AND_RARE = block_recall("slow rare")
SLOW_FACTS, FAST_FACTS = mean_auroc("slow facts", SLOW), mean_auroc("fast facts", FAST)
QUALITY = {
    "FVE": quality("fve"),
    "FVE, slow block alone": quality("fve_slow"),
    "L0": quality("l0"),
    "L0, slow block": quality("l0_slow"),
    "dead share": quality("dead_share", 0, 1),
    "autocorrelation": quality("autocorrelation", -1, 1),
    "autocorrelation, slow block": quality("autocorrelation_slow", -1, 1),
    "total variation, slow block": quality("total_variation_slow"),
    "the paper's smoothness": quality("paper_smoothness"),
    "the paper's smoothness, slow block": quality("paper_smoothness_slow"),
    "slow block told by firing rate (AUROC)": quality("rate_auroc", 0, 1),
    "the same, among the living": quality("rate_auroc_living", 0, 1),
    "planted latents found": RECALL,
    "CE recovered": quality("ce_recovered"),
    "KL recovered": quality("kl_recovered"),
}
