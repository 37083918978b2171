"""Study: does a temporal dictionary's slow block find slow latents, rare ones too, at little cost elsewhere?

Two worlds: planted latents, known exactly, and the organism before and after GRPO on hard problems, which are the chain
task's deep ones (depths 8-9). The unit of evidence is a seed.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.stats.estimate import Estimate
from interp.studies.base import (
    INCONCLUSIVE,
    NO_EVIDENCE,
    NOT_SUPPORTED,
    SUPPORTED,
    Claim,
    Figure,
    Study,
    Table,
    Verdict,
    judge_above,
    judge_below,
)
from interp.studies.dictionary_config import (
    ARMS,
    ORGANISM,
    PLANTED,
    RANDOM,
    DictionaryConfig,
    world_spec,
)
from interp.studies.dictionary_measures import FAST_FACTS, QUALITY, RECALL, SLOW_AND_RARE, SLOW_FACTS, arm_name, quality
from interp.studies.results import Arm, Measure, Results
from interp.studies.runner import Row

if TYPE_CHECKING:
    from interp.studies.judging import Judgement

MAX_FVE_COST = 0.01
"""Variance explained that a slow block may cost."""
MIN_RECOVERED, MIN_RECALL = 0.95, 0.8
EQUAL_WITHIN = 0.1
"""Shares that surely differ by less count as equal."""
GATE_CLAIMS = ("as-good", "loss-recovered", "planted-found", "slow-and-rare")
"""The claims that must hold for the dictionaries to be used for anything else."""
INTERP, MATRYOSHKA, WEIGHTED, SHUFFLED = "interp", "matryoshka", "matryoshka-weighted", "shuffled"


# --- claims, each after its rule in code ---------------------------------------------------------------------------


def as_good(results: Results) -> Verdict:
    measures = {
        f"{world}: FVE, ours minus BatchTopK": results.difference(
            arm_name(world, INTERP), arm_name(world, "batchtopk"), quality("fve")
        )
        for world in (PLANTED, ORGANISM)
    }
    return judge_above(list(measures.values()), measures, -MAX_FVE_COST)


def loss_recovered(results: Results) -> Verdict:
    names = {"CE recovered": "ce_recovered", "KL recovered": "kl_recovered"}
    measures = {name: results.mean(arm_name(ORGANISM, INTERP), quality(key)) for name, key in names.items()}
    return judge_above(list(measures.values()), measures, MIN_RECOVERED)


def planted_found(results: Results) -> Verdict:
    recall = results.mean(arm_name(PLANTED, INTERP), RECALL)
    return judge_above([recall], {"all planted latents": recall}, MIN_RECALL)


WORTH = (
    Claim(
        "as-good",
        "A temporal dictionary reconstructs as well as an ordinary one.",
        "Yes, to within 0.01 of the variance; closer on planted latents than on the organism.",
        "FVE on held-out tokens, ours minus BatchTopK, by seed, in both worlds. Supported: both intervals lie above "
        f"-{MAX_FVE_COST}. Not supported: one lies below it. Else inconclusive.",
        as_good,
    ),
    Claim(
        "loss-recovered",
        "Spliced into the policy, a temporal dictionary preserves its predictions.",
        "Yes: 0.99 and more, against the mean in the residual's place.",
        f"CE and KL recovered on the organism. Supported: both intervals lie above {MIN_RECOVERED}. Not supported: one "
        "lies below it. Else inconclusive.",
        loss_recovered,
    ),
    Claim(
        "planted-found",
        "A temporal dictionary finds the planted latents.",
        "Yes, nearly all of them: width is ample.",
        f"Planted latents matched one to one (cosine 0.7). Supported: the interval lies above {MIN_RECALL}. Not "
        "supported: below it. Else inconclusive.",
        planted_found,
    ),
)


def beats(name: str, other: str = MATRYOSHKA) -> Callable[[Results], Verdict]:
    """The rule that one arm is above another: by disjoint intervals; equal if the difference by seed is surely within
    0.1."""

    def rule(results: Results) -> Verdict:
        own, reference = (results.mean(arm_name(PLANTED, one), SLOW_AND_RARE) for one in (name, other))
        difference = results.difference(arm_name(PLANTED, name), arm_name(PLANTED, other), SLOW_AND_RARE)
        measures = {name: own, other: reference, "difference, by seed": difference}
        if lies_above(own, reference):
            return Verdict(SUPPORTED, measures)
        is_worse = lies_above(reference, own) or difference.is_within(-EQUAL_WITHIN, EQUAL_WITHIN)
        return Verdict(NOT_SUPPORTED if is_worse else INCONCLUSIVE, measures)

    return rule


def lies_above(upper: Estimate, lower: Estimate) -> bool:
    """The one interval lies wholly above the other."""
    return upper.is_above(lower.high)


def time_matters(results: Results) -> Verdict:
    ours, shuffled, weighted = (arm_name(PLANTED, name) for name in (INTERP, SHUFFLED, WEIGHTED))
    measures = {name: results.mean(arm_name(PLANTED, name), SLOW_AND_RARE) for name in (INTERP, SHUFFLED, WEIGHTED)}
    excess = results.difference(shuffled, weighted, SLOW_AND_RARE)
    beside = {
        "interp minus shuffled, by seed": results.difference(ours, shuffled, SLOW_AND_RARE),
        "shuffled minus matryoshka-weighted, by seed": excess,
    }
    if not lies_above(measures[INTERP], measures[SHUFFLED]):
        worse = lies_above(measures[SHUFFLED], measures[INTERP])
        return Verdict(NOT_SUPPORTED if worse else NO_EVIDENCE, measures, beside)
    is_gone = not lies_above(measures[SHUFFLED], measures[WEIGHTED])
    if not results.is_registered:
        is_gone = excess.is_below(EQUAL_WITHIN)  # shown, and not merely not refuted
    return Verdict(SUPPORTED if is_gone else INCONCLUSIVE, measures, beside)


SHARE = "Share of planted slow-and-rare latents matched one to one by decoder rows of the slow block (cosine 0.7). "
ABOVE = SHARE + (
    "Supported: above Matryoshka's with disjoint intervals. Not supported: below it, or equal to within 0.1 at both "
    "ends of the interval of the difference. Else inconclusive."
)
ABOVE_WEIGHTED = ABOVE.replace("above Matryoshka's", "above that of Matryoshka with the same weights of its blocks")
SORTING = (
    "This measures who may sort latents into the slow block. Ordinary dictionaries find the same latents (BatchTopK, "
    "whose one block counts as slow, has all of them in the table below), and choosing its 51 most persistent latents "
    "after fitting, which was no arm here and was tried on two seeds afterwards, finds as many slow and rare ones. "
    "What promotion adds beyond sorting is not shown."
)
KIND_WORLD = "The planted world is kind to promotion: slow latents are surely slow, and 48 of them fit into 51 places."
FOUND_RARE = (
    Claim(
        "slow-and-rare",
        "The slow block of a temporal dictionary holds the slow latents, the rare ones too.",
        "Yes, nearly all; Matryoshka's holds the frequent ones, slow or fast.",
        ABOVE,
        beats(INTERP),
        (SORTING, KIND_WORLD),
    ),
    Claim(
        "paper",
        "The published loss puts slow and rare latents into the slow block.",
        "Some: above Matryoshka.",
        ABOVE,
        beats("paper"),
    ),
    Claim(
        "released",
        "The loss of the released code puts slow and rare latents into the slow block.",
        "No: level with Matryoshka.",
        ABOVE,
        beats("released"),
    ),
    Claim(
        "weights-alone",
        "A smaller weight on the slow block's own error, as in ours, is enough to put slow and rare latents there.",
        "No: level with Matryoshka.",
        ABOVE,
        beats(WEIGHTED),
    ),
    Claim(
        "contrast-alone",
        "Our contrast puts slow and rare latents into the slow block without promotion.",
        "No: level with Matryoshka.",
        ABOVE_WEIGHTED,
        beats("contrast-only", WEIGHTED),
    ),
    Claim(
        "promotion-alone",
        "Promotion puts slow and rare latents into the slow block without a contrast.",
        "Yes, nearly all.",
        ABOVE_WEIGHTED,
        beats("promotion-only", WEIGHTED),
        (SORTING, KIND_WORLD),
    ),
    Claim(
        "time-matters",
        "The effect depends on time: with random partners it is gone.",
        "Yes.",
        "The same share. Supported: ours above that of shuffled pairs with disjoint intervals, and theirs not above "
        "Matryoshka's (same weights). Not supported: ours is not above theirs. Else inconclusive.",
        time_matters,
        (
            'The registered rule takes a difference that is not significant for "gone". The other readings ask that '
            f"shuffled pairs lie surely less than {EQUAL_WITHIN} above Matryoshka (same weights). Equality is not "
            "shown.",
        ),
    ),
)


def sign(name: str, other: str, measure: Measure, *, up: bool = True) -> Callable[[Results], Verdict]:
    """Whether one arm surely lies above (or below) another on the organism, by seed."""

    def rule(results: Results) -> Verdict:
        first, second = arm_name(ORGANISM, name), arm_name(ORGANISM, other)
        difference = results.difference(first, second, measure)
        measures = {
            name: results.mean(first, measure),
            other: results.mean(second, measure),
            "difference, by seed": difference,
        }
        return (judge_above if up else judge_below)([difference], measures)

    return rule


def smoothness_is_moved(results: Results) -> Verdict:
    ours, theirs = arm_name(ORGANISM, INTERP), arm_name(ORGANISM, MATRYOSHKA)
    slow, whole = (results.difference(ours, theirs, QUALITY[f"autocorrelation{one}"]) for one in (", slow block", ""))
    measures = {"slow block, ours minus Matryoshka's": slow, "whole dictionary": whole}
    rough = "the paper's smoothness, slow block"
    beside = {f"{rough}, ours minus Matryoshka's": results.difference(ours, theirs, QUALITY[rough])}
    if math.isnan(slow.value) or math.isnan(whole.value):
        return Verdict(INCONCLUSIVE, measures, beside)
    if slow.is_negative or whole.is_positive:
        return Verdict(NOT_SUPPORTED, measures, beside, ways=2)
    if not slow.is_positive:
        return Verdict(NO_EVIDENCE, measures, beside)
    return Verdict(INCONCLUSIVE if whole.is_negative else SUPPORTED, measures, beside)


READ_OFF = (
    Claim(
        "slow-facts",
        "On the organism, slow facts are easier to read from our slow block than from Matryoshka's.",
        "Yes, if little: format and steps left.",
        "AUROC of probes of five latents, mean over slow facts (format, valid, depth, steps left, running value), ours "
        "minus Matryoshka's, by seed. Supported: the interval lies above zero. Not supported: below. Else "
        "inconclusive.",
        sign(INTERP, MATRYOSHKA, SLOW_FACTS),
        ("The verdict changed over three looks at the data, and its measure was defined anew between them.",),
    ),
    Claim(
        "contrast-on-organism",
        "On the organism, the contrast alone makes slow facts easier to read from the slow block.",
        "Yes: it alone does as well as ours.",
        "The same, the contrast alone minus Matryoshka with the same weights of its blocks.",
        sign("contrast-only", WEIGHTED, SLOW_FACTS),
        ("A replication: the claim was made from the same arms on other seeds.",),
    ),
    Claim(
        "promotion-on-organism",
        "On the organism, promotion alone makes slow facts easier to read from the slow block.",
        "No.",
        "The same, promotion alone minus Matryoshka with the same weights of its blocks.",
        sign("promotion-only", WEIGHTED, SLOW_FACTS),
        ("A replication: the claim was made from the same arms on other seeds.",),
    ),
    Claim(
        "fast-facts-leave",
        "On the organism, fast facts are harder to read from our slow block than from Matryoshka's.",
        "Yes, if little.",
        "The same for fast facts (role, operator, digit, result). Supported: the interval lies below zero. Not "
        "supported: above. Else inconclusive.",
        sign(INTERP, MATRYOSHKA, FAST_FACTS, up=False),
    ),
    Claim(
        "learned-not-given",
        "The slow block encodes what the policy learned, not only the words that it reads.",
        "Yes, but most of it is in the words: random weights that read them come near.",
        "Mean over slow facts, ours on the policy minus ours on random weights reading the same documents, by seed. "
        "Supported: the interval lies above zero. Not supported: below. Else inconclusive.",
        sign(INTERP, RANDOM, SLOW_FACTS),
    ),
    Claim(
        "smoothness-is-moved",
        "Our slow block is smoother than Matryoshka's, and the dictionary as a whole is not.",
        "Smoother in the slow block; as a whole a little too.",
        "Lag-1 autocorrelation on the organism, ours minus Matryoshka's, by seed. Supported: the slow block's interval "
        "lies above zero and the whole's holds zero. Not supported: the slow block's does not lie above zero, or the "
        "whole's does. Else inconclusive.",
        smoothness_is_moved,
        ("By the T-SAE paper's own smoothness (lower is smoother) our slow block is rougher than Matryoshka's.",),
    ),
)


# --- the study -----------------------------------------------------------------------------------------------------


class Dictionary(Study[DictionaryConfig]):
    name = "dictionary"
    title = "Dictionaries: does the slow block hold what is slow?"
    question = "Does a temporal dictionary's slow block hold what is slow, at little cost?"
    summary = "A temporal dictionary's slow block holds slow latents, rare ones too, at little cost to the rest."
    Config = DictionaryConfig
    committed = DictionaryConfig()
    claims = (*WORTH, *FOUND_RARE, *READ_OFF)
    measures = QUALITY
    background = """\
The study was run three times, so that its predictions come before these runs and after others like them: the runs are
a replication. On seeds 101 to 105 its control of random weights read other text, probes held out documents and not
problems, pools held whole shards, and the arm `matryoshka-weighted` was missing. With all that mended it was run on
the same seeds again, where a review found that two slow facts were in part fast ones: "valid" was false in every
direct answer, and the running value was asked at the very tokens that are it. Both are mended, and the study is run
on new seeds, 106 to 110.

The second run had shown: slow-and-rare recall 0.98 (ours), 0.16 (Matryoshka), 0.24 (the same weights), 0.43 (the
paper's loss), 0.18 (the released code's), 0.19 (our contrast alone), 1.00 (promotion alone), 0.02 (shuffled); slow
facts, ours less Matryoshka's 0.015 [-0.005, 0.035], without the two faulty ones 0.025 [0.010, 0.041]; the contrast
alone less Matryoshka's 0.026 [0.021, 0.031]; ours less the same on random weights 0.032 [0.002, 0.061], of format and
steps left, not of depth or validity. The claims `contrast-on-organism` and `promotion-on-organism` are new, and made
of that. The rule of `time-matters` asks more than it did the first time: that the effect be gone, not only less.

At seeds that are not reported we had seen: on planted latents (seeds 0 to 2) Matryoshka found slow and rare ones in
its slow block at 0.08 to 0.17, the paper's loss at 0.54 (one seed), the released code's at 0.17, ours without
promotion at 0.1 to 0.3 whatever its temperature and weight, promotion alone and ours at 1.00, with shuffled pairs
0.08; FVE 0.945 for BatchTopK and 0.941 to 0.942 for ours. On the organism (one run, measured on what was fitted on):
FVE 0.993 and 0.986, loss recovered 1.00 for all; probes of five latents of the slow block told the format at 0.87
(Matryoshka) and 0.98 (ours), the number of steps left at 0.65 and 0.75, depth at 0.57 and 0.56. Promotion is ours,
and was made after a contrast alone had failed at the gate on seed 0, at every temperature, weight and budget tried."""

    def arms(self, config: DictionaryConfig) -> list[Arm]:
        named = {arm_name(world, name): (world, name) for world in config.worlds for name in ARMS[world]}
        return [
            Arm(
                key,
                {"world": world_spec(world, config), "arm": name, "steps": config.steps, "size": config.size(world)},
            )
            for key, (world, name) in named.items()
        ]

    def world_spec(self, config: DictionaryConfig) -> Any:
        return [world_spec(world, config) for world in (PLANTED, ORGANISM)]

    def prepare(self, config: DictionaryConfig, seed: int, directory: Path) -> None:
        from interp.studies.dictionary_worlds import make_world

        for world in config.worlds:
            make_world(world, directory, config, seed)

    def run(self, arm: Arm, seed: int | None, config: DictionaryConfig, directory: Path) -> dict[str, Any]:
        from interp.studies.dictionary_worlds import run_arm

        assert seed is not None, "every arm has seeds"
        world, _, name = arm.name.partition(": ")
        return run_arm(world, name, config, seed, directory)

    def migrate(self, record: dict[str, Any]) -> Row:
        """The control of shuffled labels had another name. Rows of worlds alone belong to no arm."""
        for scores in record.get("read", {}).values():
            if "labels dealt anew" in scores:
                scores["shuffled labels"] = scores.pop("labels dealt anew")
        return Row(record, arm_name(record["world"], str(record["arm"])), record["seed"])

    def facts(self, judgements: "Sequence[Judgement]") -> dict[str, Any]:
        return {"gate": passes_gate(judgements)}

    def method(self, config: DictionaryConfig) -> str:
        planted = config.planted
        return f"""\
*Planted*: {4 * planted.per_kind} latents in {planted.d_model} dimensions, slow or fast, frequent (active at
{planted.frequent_rate:.0%} of tokens) or rare ({planted.rare_rate:.0%}), the slow ones active for {planted.dwell:g}
tokens on average; dictionaries of width {config.planted_width}, K {config.planted_k}. *Organism*: the base and two
checkpoints of {config.grpo_steps} GRPO steps on deep problems (depths 8-9), layer {config.layer}, {config.tokens:,}
tokens to fit on and {config.held_out_tokens:,} of other problems to measure on; width {config.organism_width}, K
{config.organism_k}. {config.steps:,} steps of 1,024 tokens each.

Arms are presets. `interp` is ours: a contrast (cosine, temperature 0.1, negatives from other documents) and
promotion, which moves the most persistent latents into the slow block while training; `contrast-only` and
`promotion-only` are its halves, `shuffled` deals partners out at random. `paper` follows the text of arXiv
2511.05541, `released` its code; `matryoshka` has no contrast, `batchtopk` no blocks either (its one block counts as
slow here). All have the same width, K and steps, and as many tokens to reconstruct, completions only; `paper` and
`released` encode a partner for each beside them, so that tokens are matched and compute is not. Revival, learning
rate and batch are ours in all, and `promotion-only`, `contrast-only` and `matryoshka-weighted` weigh the blocks as
ours does (0.3 and 1), `matryoshka` alike. On the organism a seed is a GRPO run of its own too. *Random weights* read
the same documents as the policy. Probes are tested on other problems than they were fitted on, and all of these are
others than the dictionary was. *Living* latents are those that fired on what is measured."""

    def tables(self, results: Results, config: DictionaryConfig) -> list[Table]:
        from interp.studies.dictionary_figures import tables

        return tables(results)

    def figures(self, results: Results, config: DictionaryConfig) -> list[Figure]:
        from interp.studies.dictionary_figures import figures

        return figures(results)


def passes_gate(judgements: "Sequence[Judgement]") -> dict[str, bool]:
    """Whether dictionaries may be used for anything else, by each kind of verdict."""
    gate = [one for one in judgements if one.claim.name in GATE_CLAIMS]
    return {
        kind: all(getattr(one, kind) == SUPPORTED for one in gate) for kind in ("registered", "verdict", "any_shape")
    }
