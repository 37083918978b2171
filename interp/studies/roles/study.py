"""The study from end to end: the organisms that are missing, then verdicts, table and figure from the ledger."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.artifacts import to_json, versions
from interp.plots import Point, dots, page
from interp.studies.estimates import Estimate
from interp.studies.harness import Ledger, Record, do
from interp.studies.roles.claims import ABOUT
from interp.studies.roles.config import RolesStudyConfig
from interp.studies.roles.verdicts import alarms, base_rate, judge, told
from interp.studies.roles.work import GATES, Job, key_of, work
from interp.studies.verdict import Judged, cell, keep, sections, table

COMMAND = "interp study roles"
CLAIM = "Roles earned in three gates are those of the latents that interchange shows to carry the thing."
TITLE = "Roles: do they tell the truth?"
LEDGER = "runs.jsonl"
MEASURES = ("precision", "recall", "recall by effect")
WORDS = (
    "Organisms that are taught on from the shipped one, each by lessons of its own, with a cue beside every",
    "question that names the answer at a known rate and with the habit of following it. The truth is had without",
    "roles: two texts that differ in the cue alone (or in the operand of the step being written alone), and latent",
    "by latent the value of the one put into the other; a carrier moves the log-odds of the next token towards the",
    "other text's surely (2.58 standard errors over pairs) and by at least a fiftieth of what the whole residual",
    "does, for some value. Roles are earned on other problems. An interval is Student's, over organisms, so that it",
    "may reach beyond what a share can be; where it has no width, all organisms had the same.",
)


def study(config: RolesStudyConfig, out: Path, runs: Path) -> list[Judged]:
    """`out` gets the result, `runs` the organisms. Killed and started again, it does what is missing."""
    ledger = Ledger(out / LEDGER, key_of)
    jobs = [Job(seed, config, runs) for seed in range(config.first_seed, config.first_seed + config.seeds)]
    do(jobs, work, ledger, processes=config.processes, name="organisms")
    return write([ledger[job] for job in jobs], config, out)


def write(records: Sequence[Record], config: RolesStudyConfig, out: Path) -> list[Judged]:
    judged = judge(records)
    told_too: dict[str, Any] = {
        "claim": CLAIM,
        "seeds": [record["seed"] for record in records],
        "config": to_json(config),
        "arms": {
            thing: {gate: {m: to_json(told(records, thing, gate, m)) for m in MEASURES} for gate in GATES}
            for thing in ABOUT
        },
        "command": COMMAND,
        "versions": versions("interp", "torch", "transformers", "sae-lens"),
    }
    keep(out, judged, as_markdown(records, judged, config), **told_too)
    verdicts = " ".join(f"{j.claim.claim} <b>{j.verdict.capitalize()}.</b>" for j in judged)
    page(out / "figure.html", TITLE, [("Gate by gate", verdicts, figure(records))])
    return judged


def figure(records: Sequence[Record]):
    panels = {
        thing: {m: [_point(gate, told(records, thing, gate, m)) for gate in GATES] for m in MEASURES}
        | {"false alarms among random latents": [_point(gate, alarms(records, thing, gate)) for gate in GATES]}
        for thing in ABOUT
    }
    return dots(panels, y="share")


def _point(name: str, found: Estimate) -> Point:
    return Point(name, found.value, found.low, found.high)


def as_markdown(records: Sequence[Record], judged: Sequence[Judged], config: RolesStudyConfig) -> str:
    lines = [
        f"# {TITLE}",
        "",
        f"Made by `{COMMAND}`; figure in `figure.html`, every organism in `runs.jsonl`.",
        "",
        *WORDS,
        "",
        f"The cue names the answer at a rate of {config.cue_rate:g}; {config.follows:.0%} of what an organism is "
        f"taught follows it, {config.direct:.0%} is answered at once without it. Dictionaries of width "
        f"{config.width}, K {config.k}, layer {config.layer}.",
        "",
        "## Verdicts",
        *sections(judged),
    ]
    for thing, words in ABOUT.items():
        lines += ["", f"## Gate by gate: {words}", "", *_gates(records, thing)]
    return "\n".join(lines) + "\n"


def _gates(records: Sequence[Record], thing: str) -> list[str]:
    head = ["after", "latents", "carriers there are", *MEASURES, "false alarms among random latents"]
    rows = []
    for gate in GATES:
        counts = [cell(told(records, thing, gate, name), 1) for name in ("said", "carriers")]
        shares = [cell(told(records, thing, gate, name)) for name in MEASURES]
        rows.append([gate, *counts, *shares, cell(alarms(records, thing, gate), 3)])
    rows.append(["drawn at random", "", "", cell(base_rate(records, thing)), "", "", ""])
    return table(head, rows)
