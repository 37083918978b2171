"""What the study came to, written where everyone finds it: result.json, a table, figures."""

from pathlib import Path
from typing import Any

from interp.artifacts import to_json, versions
from interp.studies.dictionary.analysis import Measure, Records, quality, recall, told
from interp.studies.dictionary.config import RANDOM, DictionaryConfig
from interp.studies.dictionary.facts import FAST, SLOW
from interp.studies.dictionary.planted import KINDS
from interp.studies.dictionary.verdicts import gate, judge
from interp.studies.dictionary.work import PROBED, RESIDUAL, RESIDUAL_RANDOM
from interp.studies.verdict import Judged, cell, keep, sections, table

COMMAND = "interp study dictionary"
CLAIM = "A temporal dictionary's slow block holds slow latents, rare ones too, at little cost to the rest (Gate A)."
MEASURES: dict[str, Measure] = {
    "FVE": quality("fve"),
    "FVE, slow block alone": quality("fve_slow"),
    "L0": quality("l0"),
    "L0, slow block": quality("l0_slow"),
    "dead share": quality("dead_share"),
    "autocorrelation": quality("autocorrelation"),
    "autocorrelation, slow block": quality("autocorrelation_slow"),
    "total variation, slow block": quality("total_variation_slow"),
    "the paper's smoothness": quality("paper_smoothness"),
    "the paper's smoothness, slow block": quality("paper_smoothness_slow"),
    "slow block told by firing rate (AUROC)": quality("rate_auroc"),
    "the same, among the living": quality("rate_auroc_living"),
}
OF_WORLD: dict[str, dict[str, Measure]] = {
    "planted": MEASURES | {"planted latents found": recall()},
    "organism": MEASURES | {"CE recovered": quality("ce_recovered"), "KL recovered": quality("kl_recovered")},
}
WORDS = (
    "Arms are presets. `interp` is ours: a contrast (cosine, temperature 0.1, negatives from other documents) and",
    "promotion, which moves the most persistent latents into the slow block while training; `contrast-only` and",
    "`promotion-only` are its halves, `shuffled` deals partners out at random. `paper` follows the text of arXiv",
    "2511.05541, `released` its code; `matryoshka` has no contrast, `batchtopk` no blocks either (its one block",
    "counts as slow here). All have the same width, K and steps, and as many tokens to reconstruct, completions",
    "only; `paper` and `released` encode a partner for each beside them. Revival, learning rate and batch are ours",
    "in all, and `promotion-only`, `contrast-only` and `matryoshka-weighted` weigh the blocks as ours does (0.3 and",
    "1), `matryoshka` alike. An interval is Student's, over seeds, so that it may reach beyond what a share can be; on",
    "the organism a seed is a GRPO run of its own too. *Random weights* read the same documents as the policy, to be",
    "fitted and to be measured on. Probes are tested on other problems than they were fitted on, and all of these are",
    "others than the dictionary was. *Living* latents are those that fired on what is measured.",
)


def write(records: Records, config: DictionaryConfig, out: Path) -> list[Judged]:
    from interp.studies.dictionary.figures import write_page

    judged = judge(records)
    keep(out, judged, as_markdown(records, judged, config), **facts_of(records, judged, config))
    write_page(records, judged, out / "figure.html")
    return judged


def facts_of(records: Records, judged: list[Judged], config: DictionaryConfig) -> dict[str, Any]:
    return {
        "claim": CLAIM,
        "gate": gate(judged),
        "seeds": records.seeds("planted", "interp"),
        "config": to_json(config),
        "arms": {
            world: {
                arm: {name: to_json(records.of(world, arm, measure)) for name, measure in measures.items()}
                for arm in records.arms(world)
                if arm not in (RESIDUAL, RESIDUAL_RANDOM)
            }
            for world, measures in OF_WORLD.items()
        },
        "command": COMMAND,
        "versions": versions("interp", "torch", "transformers", "sae-lens"),
    }


def as_markdown(records: Records, judged: list[Judged], config: DictionaryConfig) -> str:
    planted = config.planted
    passed = "passes" if gate(judged) else "does not pass"
    lines = [
        "# Dictionaries: does the slow block hold what is slow?",
        "",
        f"Made by `{COMMAND}`; figures in `figure.html`, every dictionary in `runs.jsonl`. **The gate {passed}.**",
        "",
        f"*Planted*: {4 * planted.each} latents in {planted.d_model} dimensions, slow or fast, frequent (on at "
        f"{planted.frequent:.0%} of tokens) or rare ({planted.rare:.0%}), the slow ones on for {planted.dwell:g} "
        f"tokens in the mean; dictionaries of width {config.planted_width}, K {config.planted_k}. *Organism*: the base "
        f"and two checkpoints of {config.grpo_steps} GRPO steps on hard problems, layer {config.layer}, "
        f"{config.tokens:,} tokens to fit on and {config.held_out:,} of other problems to measure on; width "
        f"{config.organism_width}, K {config.organism_k}. {config.steps:,} steps of 1,024 tokens each.",
        "",
        *WORDS,
        "",
        "## Verdicts",
        *sections(judged),
    ]
    lines += ["", "## Planted latents found by rows of the slow block, by kind", "", *_kinds(records)]
    lines += ["", "## Planted latents: every measure", "", *_measures(records, "planted")]
    lines += ["", "## Organism: every measure", "", *_measures(records, "organism")]
    lines += ["", f"## Organism: what {PROBED} latents of the slow block tell (AUROC on other problems)", ""]
    lines += [*_read(records, "slow block"), "", "## The same, of the other block", "", *_read(records, "other block")]
    lines += ["", "## Fact by fact, by seed: how much more the slow block tells", "", *_apart(records)]
    return "\n".join(lines) + "\n"


APART = {
    "ours less Matryoshka": ("interp", "matryoshka"),
    "contrast alone less Matryoshka, same weights": ("contrast-only", "matryoshka-weighted"),
    "ours less ours on random weights": ("interp", RANDOM),
}


def _apart(records: Records) -> list[str]:
    facts = (*SLOW, *FAST)
    rows = [
        [name, *(cell(records.minus("organism", *arms, told(fact)), 3) for fact in facts)]
        for name, arms in APART.items()
    ]
    return table(["", *facts], rows)


def _kinds(records: Records) -> list[str]:
    rows = [
        [arm, *(cell(records.of("planted", arm, recall(kind, slow_block=True))) for kind in KINDS)]
        for arm in records.arms("planted")
    ]
    return table(["arm", *KINDS], rows)


def _measures(records: Records, world: str) -> list[str]:
    arms = [arm for arm in records.arms(world) if arm not in (RESIDUAL, RESIDUAL_RANDOM)]
    rows = [
        [name, *(cell(records.of(world, arm, measure), 3) for arm in arms)] for name, measure in OF_WORLD[world].items()
    ]
    return table(["", *arms], rows)


def _read(records: Records, block: str) -> list[str]:
    facts = (*SLOW, *FAST)
    arms = [arm for arm in records.arms("organism") if arm not in (RESIDUAL, RESIDUAL_RANDOM)]
    rows = [[arm, *(cell(records.of("organism", arm, told(fact, block))) for fact in facts)] for arm in arms]
    for name, arm, what in (
        ("interp, labels dealt anew", "interp", "labels dealt anew"),
        ("all dimensions of the residual", RESIDUAL, "all dimensions"),
        ("the same, random weights", RESIDUAL_RANDOM, "all dimensions"),
    ):
        rows.append([name, *(cell(records.of("organism", arm, told(fact, what))) for fact in facts)])
    return table(["arm", *(f"{fact} (slow)" for fact in SLOW), *(f"{fact} (fast)" for fact in FAST)], rows)
