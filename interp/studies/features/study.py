"""The study from end to end: the runs and dictionaries that are missing, then verdicts, tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.artifacts import to_json, versions
from interp.plots import Panels, Point, dots, page
from interp.studies.estimates import Estimate, mean
from interp.studies.features.config import FeaturesConfig
from interp.studies.features.strengths import FAMILIES, FIXED, KINDS, ON_POLICY
from interp.studies.features.verdicts import Records, judge
from interp.studies.features.work import AGAIN, ARMS, BASE, Job, key_of, work
from interp.studies.harness import Ledger, Record, do
from interp.studies.verdict import Judged, cell, keep, sections, table

COMMAND = "interp study features"
CLAIM = "Each difficulty strengthens its own families of features (arXiv 2605.28388)."
TITLE = "Features: what does difficulty feed?"
LEDGER = "runs.jsonl"
ABOUT = {
    "direct": "an answer given at once",
    "computation": "a result about to be written",
    "deliberative": "all is done",
}
CLAIMED = {
    "direct": ("easy-direct", "hard-direct"),
    "computation": ("easy-computation", "medium-computation"),
    "deliberative": ("easy-deliberative", "medium-deliberative", "hard-success", "hard-valid-alone"),
}
WORDS = (
    "Every arm is plain GRPO on problems of one difficulty, from the shipped organism, as in the difficulty study;",
    "in two arms on hard problems only lucky successes are paid, or only valid ones. With each seed come",
    "dictionaries fitted on the base and on what easy, medium and hard training made of it, and of each dictionary",
    "the latents that have earned a role in the base, in three gates. How strong a family is in a policy is told",
    "three ways: *fixed* (how much of it there is on text that the base wrote), *on-policy* (on what the policy",
    "writes) and *causal* (how much less likely its tokens in the fixed text are without all of its latents at",
    "once). All are told as a change against the base, as a share of what it was there. *Matches* are latents that",
    "no contrast told anything of, as frequent and as strong. An interval is Student's, over seeds; of a seed, the",
    "mean over its dictionaries counts.",
)


def study(config: FeaturesConfig, out: Path, runs: Path) -> list[Judged]:
    """`out` gets the result, `runs` the policies. Killed and started again, it does what is missing."""
    from interp.organism import shipped
    from interp.policy.directory import fingerprint_of

    policy = fingerprint_of(shipped())
    ledger = Ledger(out / LEDGER, lambda job: key_of(job, policy))
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    trained = [Job(seed, None, config, runs) for seed in seeds]
    read = [Job(seed, at, config, runs) for seed in seeds for at in range(config.dictionaries)]
    do(trained, work, ledger, processes=config.processes, name="seeds trained")
    do(read, work, ledger, processes=config.processes, name="dictionaries")
    return write([ledger[job] for job in trained], [ledger[job] for job in read], config, out)


def write(trained: Sequence[Record], read: Sequence[Record], config: FeaturesConfig, out: Path) -> list[Judged]:
    records = Records(read)
    judged = judge(records)
    told: dict[str, Any] = {
        "claim": CLAIM,
        "seeds": list(records.by_seed),
        "config": to_json(config),
        "arms": {
            arm: {family: {kind: to_json(records.of(arm, family, kind)) for kind in KINDS} for family in FAMILIES}
            for arm in ARMS
        },
        "command": COMMAND,
        "versions": versions("interp", "torch", "transformers", "sae-lens"),
    }
    keep(out, judged, as_markdown(trained, read, records, judged), **told)
    page(out / "figure.html", TITLE, figures(read, records, judged))
    return judged


def figures(read: Sequence[Record], records: Records, judged: Sequence[Judged]) -> list[tuple[str, str, Any]]:
    """A family each: their scales are not alike."""
    behaviour: Panels = {
        f"{measure} answers": {
            bucket: [_point(arm, behaved(read, arm, bucket, measure)) for arm in (BASE, *ARMS)]
            for bucket in ("easy", "medium", "hard")
        }
        for measure in ("valid", "direct")
    }
    parts = []
    for family, about in ABOUT.items():
        told = " ".join(
            f"{j.claim.claim} <b>{j.verdict.capitalize()}.</b>" for j in judged if j.claim.name in CLAIMED[family]
        )
        held: Panels = {"": {kind: [_point(arm, records.of(arm, family, kind)) for arm in ARMS] for kind in KINDS}}
        parts.append((f"{family.capitalize()}: {about}", told, dots(held, y="change, as a share of the base's")))
    return [*parts, ("Behaviour beside it", "Shares of answers, by the bucket asked.", dots(behaviour, y="share"))]


def _point(name: str, found: Estimate) -> Point:
    return Point(name, found.value, found.low, found.high)


def behaved(read: Sequence[Record], arm: str, bucket: str, measure: str) -> Estimate:
    """A seed's dictionaries are of one and the same policy: its answers count once."""
    return mean(list({record["seed"]: record["behaviour"][arm][bucket][measure] for record in read}.values()))


def as_markdown(trained: Sequence[Record], read: Sequence[Record], records: Records, judged: Sequence[Judged]) -> str:
    lines = [
        f"# {TITLE}",
        "",
        f"Made by `{COMMAND}`; figures in `figure.html`, every seed and dictionary in `runs.jsonl`.",
        "",
        *WORDS,
        "",
        "## Verdicts",
        *sections(judged),
        "",
        "## Latents that bear a role, by family",
        "",
        *_sizes(read),
    ]
    for family in FAMILIES:
        lines += ["", f"## Strength: {family}", "", *_strengths(records, family)]
    lines += ["", "## Behaviour", "", *_behaviour(read), "", "## What was paid in training", "", *_paid(trained)]
    return "\n".join(lines) + "\n"


def _sizes(read: Sequence[Record]) -> list[str]:
    rows = []
    for family in FAMILIES:
        counts = [len(record["families"].get(family, {"latents": ()})["latents"]) for record in read]
        told = [f"{sum(counts) / len(counts):.1f}", str(min(counts)), str(max(counts))]
        rows.append([family, *told, str(sum(count == 0 for count in counts))])
    return table(["family", "mean", "fewest", "most", "dictionaries with none"], rows)


def _strengths(records: Records, family: str) -> list[str]:
    kinds = (*KINDS, f"{FIXED}, matches", f"{ON_POLICY}, matches")
    rows = [[arm, *(cell(records.of(arm, family, kind)) for kind in kinds)] for arm in ARMS]
    rows.append([AGAIN, *(cell(records.of(AGAIN, family, kind)) for kind in kinds)])
    rows.append(["seeds whose dictionaries agree in sign", *(_steady(records, family, kind) for kind in kinds)])
    return table(["arm", *kinds], rows)


def _steady(records: Records, family: str, kind: str) -> str:
    found = [value for arm in ARMS if (value := records.steady(arm, family, kind).value) is not None]
    return f"{sum(found) / len(found):.2f}" if found else ""


def _behaviour(read: Sequence[Record]) -> list[str]:
    asked = [(bucket, measure) for bucket in ("easy", "medium", "hard") for measure in ("valid", "correct", "direct")]
    rows = [[arm, *(cell(behaved(read, arm, *one)) for one in asked)] for arm in (BASE, *ARMS)]
    return table(["arm", *(f"{bucket}: {measure}" for bucket, measure in asked)], rows)


def _paid(trained: Sequence[Record]) -> list[str]:
    names = ("valid_rate", "lucky_share")
    rows = [[arm, *(cell(mean([r["paid"][arm].get(name) for r in trained]), 4) for name in names)] for arm in ARMS]
    return table(["arm", "share of rollouts that were valid", "lucky among successes"], rows)
