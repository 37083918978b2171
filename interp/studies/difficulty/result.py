"""The result as data, as a table and as a page of figures, all from the records alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.artifacts import to_json, versions
from interp.studies.difficulty import arms
from interp.studies.difficulty.analysis import EASY, HARD, MEDIUM, MIDDLE, Records, level
from interp.studies.difficulty.arms import BUCKETS, Arm
from interp.studies.difficulty.config import HANDLED, PARTS, DifficultyConfig
from interp.studies.difficulty.prediction import contrast, positive_mass
from interp.studies.difficulty.verdicts import judge
from interp.studies.estimates import mean
from interp.studies.verdict import Judged, cell, keep, sections, table

COMMAND = "interp study difficulty"
RANGES = {"depths 1-3": HANDLED, "depths 4-7": MIDDLE, "depths 8-9": HARD}
CLAIM = "Learning is an inverted U in difficulty, hard training harms, and luck is the channel (arXiv 2605.28388)."


WORDS = (
    "An arm is named by what it was trained on (a bucket, or a depth by its number), the loss (`bnpo`: GRPO with a",
    "mean over tokens) and the credit. A *group with contrast* has rollouts that earned more and some that earned",
    "less; only these teach. *Positive mass* is the sum of a group's positive advantages. *luck 0.5* pays half of the",
    "lucky successes, *valid 0.5* half of the valid ones; the *crossing* is the share at which the change is zero, by",
    "a line between doses. The first row is the base's own valid rate.",
)


def write(records: Records, config: DifficultyConfig, out: Path) -> list[Judged]:
    from interp.studies.difficulty.figures import write_page

    judged = judge(records)
    keep(out, judged, as_markdown(records, judged, config), **facts_of(records, config))
    write_page(records, judged, out / "figure.html")
    return judged


def ran(records: Records) -> list[Arm]:
    """Every arm with a record, in the order of the parts."""
    listed = dict.fromkeys(arm for part in PARTS for arm in arms.of_part(part))
    return [arm for arm in listed if records.of(arm)]


def facts_of(records: Records, config: DifficultyConfig) -> dict[str, Any]:
    listed = ran(records)
    return {
        "claim": CLAIM,
        "seeds": sorted({seed for arm in listed for seed in records.of(arm)}),
        "config": to_json(config),
        "arms": {str(arm): {name: to_json(records.change(arm, at)) for name, at in RANGES.items()} for arm in listed},
        "command": COMMAND,
        "versions": versions("interp", "torch", "transformers"),
    }


def as_markdown(records: Records, judged: Sequence[Judged], config: DifficultyConfig) -> str:
    lines = [
        "# Difficulty: is learning an inverted U, does hard training harm, and is luck the channel?",
        "",
        f"Made by `{COMMAND}`; figures in `figure.html`, every run in `runs.jsonl`. {config.steps} steps of "
        f"{config.prompts} prompts x {config.group}, learning rate {config.lr:g}, from the shipped base. Changes are "
        f"against the base (measured with {config.base_answers} answers a problem) on the same {config.problems} "
        "held-out problems a depth, means over seeds with 95% intervals (Student's; crossings: bootstrap over seeds, "
        "which with five of them is on the narrow side). They are about these problems and this base. "
        f"Runs that diverged: {records.diverged}.",
        "",
        "## Verdicts",
    ]
    lines += sections(judged)
    lines += ["", "## What arithmetic alone predicts, and what was fed", "", *_arithmetic(records, config)]
    lines += ["", "## Change in valid rate, every arm", "", *WORDS, "", *_arms(records)]
    return "\n".join(lines) + "\n"


def _arithmetic(records: Records, config: DifficultyConfig) -> list[str]:
    """At the base's pass rate, by depth, so that the spread over depths counts: what groups hand out in the mean."""
    rows = []
    for bucket, depths in zip(BUCKETS, (EASY, MEDIUM, HARD, records.depths), strict=True):
        rates = [records.base["final"][str(depth)]["pass_rate"] for depth in depths]
        means = [
            sum(of(rate) for rate in rates) / len(rates)
            for of in (
                lambda p: p,
                lambda p: contrast(p, config.group),
                lambda p: positive_mass(p, config.group, standardised=True),
                lambda p: positive_mass(p, config.group, standardised=False),
            )
        ]
        fed = records.contrast(Arm(bucket))
        share = "" if fed.value is None else f"{fed.value / (config.steps * config.prompts):.2f}"
        lucky = mean(list(records.lucky_given_success(Arm(bucket)).values()))
        rows.append([bucket, *(f"{value:.2f}" for value in means), share, str(lucky)])
    head = [
        "bucket", "pass rate of the base", "groups with contrast, predicted", "positive mass, GRPO",
        "positive mass, Dr.GRPO", "groups with contrast, in the run", "P(lucky, given success), first ten steps",
    ]  # fmt: skip
    note = (
        "*Predicted* takes every problem of a depth to have the depth's pass rate; problems differ, and fewer groups "
        "have contrast."
    )
    return [*table(head, rows), "", note]


def _arms(records: Records) -> list[str]:
    own = [f"{level(records.base['final'], at, 'valid_rate'):.3f}" for at in RANGES.values()]
    rows = [["(the base)", "", *own, ""]] + [
        [
            str(arm),
            str(len(records.of(arm))),
            *(cell(records.change(arm, at)) for at in RANGES.values()),
            cell(records.contrast(arm), 0),
        ]
        for arm in ran(records)
    ]
    return table(["arm", "seeds", *RANGES, "groups with contrast"], rows)
