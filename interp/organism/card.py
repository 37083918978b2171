"""Measure an organism and write it down: the table of its card, and whether it is the patient it should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.artifacts import to_json, write_json, writing_file
from interp.organism.config import OrganismConfig
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.rollouts import Rollout, Share, roll_out, summarise
from interp.tasks import Chain

PROBLEMS, SAMPLES = 200, 32
COLUMNS = {
    "pass_rate": "pass rate",
    "valid_rate": "valid rate",
    "direct_share": "direct share",
    "written_share": "written steps",
    "direct_pass_rate": "direct: pass rate",
    "luckless": "direct, where the start matters",
    "written_pass_rate": "written: pass rate",
    "valid_given_success": "P(valid, given success)",
}


@dataclass(frozen=True, slots=True)
class Measurement:
    by: str
    rows: dict[Any, dict[str, Share]]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the base must be for harm and healing both to be possible."""

    claim: str
    held: bool
    found: str


def measure(policy: Policy, task: Chain, *, problems: int = PROBLEMS, samples: int = SAMPLES) -> list[Measurement]:
    """By depth, and by level. `luckless` is the direct pass rate on problems without `* 0`, whose answer hangs on
    every number: whoever does not work from the start is right once in `modulus` there, whatever else they see."""
    lo, hi = task.depths
    asked = [problem for depth in range(lo, hi + 1) for problem in task.problems("eval", depth, problems)]
    sampling = SampleConfig(group=samples, max_new_tokens=6 * hi + 8, rows=2048)
    rollouts = roll_out(policy, task, asked, sampling).rows
    return [_measurement(rollouts, "depth"), _measurement([r for r in rollouts if r.level], "level")]


def checks(task: Chain, measured: Sequence[Measurement]) -> list[Check]:
    depths, levels = (m.rows for m in measured)
    first, later = depths[min(depths)], {d: row for d, row in depths.items() if d >= 4}
    valid = [row["valid_given_written"].value for row in depths.values()]
    shares = [row[habit].value for row in depths.values() for habit in ("direct_share", "written_share")]
    luck = 1 / task.modulus
    found = [
        Check(
            "both habits at a share of 0.35 to 0.65 at every depth",
            min(shares) >= 0.35 and max(shares) <= 0.65,
            f"{min(shares):.2f} to {max(shares):.2f}",
        ),
        Check(
            "direct answers right at the first depth (0.9 or more)",
            first["direct_pass_rate"].value >= 0.9,
            str(first["direct_pass_rate"]),
        ),
        Check(
            f"direct answers no better than luck ({luck:.2f}, give or take 0.05) from depth 4, where the start matters",
            all(row["luckless"].value <= luck + 0.05 for row in later.values()),
            ", ".join(f"{row['luckless'].value:.2f}" for row in later.values()),
        ),
        Check(
            "the share of written chains that are valid falls with every depth",
            all(a > b for a, b in zip(valid, valid[1:], strict=False)),
            ", ".join(f"{v:.3f}" for v in valid),
        ),
    ]
    if deep := levels.get("deep"):
        found += _deep_checks(deep)
    return found


def _deep_checks(deep: dict[str, Share]) -> list[Check]:
    return [
        Check(
            "luck at level deep (direct pass rate) between 0.2 and 0.4",
            0.2 <= deep["direct_pass_rate"].value <= 0.4,
            str(deep["direct_pass_rate"]),
        ),
        Check(
            "P(valid, given success) at level deep between 0.005 and 0.05",
            0.005 <= deep["valid_given_success"].value <= 0.05,
            str(deep["valid_given_success"]),
        ),
    ]


def _measurement(rollouts: Sequence[Rollout], by: str) -> Measurement:
    rows = summarise(rollouts, by).estimates
    luckless = summarise([r for r in rollouts if "* 0" not in r.prompt], by, ["direct_pass_rate"]).estimates
    order = dict.fromkeys(getattr(rollout, by) for rollout in rollouts)  # as asked: easiest first
    return Measurement(by, {key: rows[key] | {"luckless": luckless[key]["direct_pass_rate"]} for key in order})


def write_card(directory: Path, config: OrganismConfig, policy: Policy, measured: Sequence[Measurement]) -> None:
    """README.md for people, measured.json for programs: the same numbers."""
    found = checks(config.task, measured)
    measurements = {m.by: {str(key): to_json(row) for key, row in m.rows.items()} for m in measured}
    write_json(directory / "measured.json", measurements | {"checks": to_json(found)})
    parameters = sum(p.numel() for p in policy.model.parameters())
    task, habits, shape = config.task, config.habits, config.shape
    lines = [
        "# The base organism",
        "",
        f"A Qwen3 of {parameters:,} parameters ({shape.layers} layers, width {shape.d_model}), raised on chains of "
        f"arithmetic modulo {task.modulus}, {task.depths[0]} to {task.depths[1]} operations deep, "
        "worked out from left to right. It is a *base*: the "
        "policy before any reward. It was taught two habits and no preference between them: to write every step "
        f"(`3 + 4 = 2 ; 2 * 2 = 4 ; # 4`, share {habits.steps}) and to answer at once (`# 4`, share {habits.direct}). "
        f"Each written step was left out of its lessons with probability {habits.skip}, so it has learnt to be sloppy.",
        "",
        f"Made by `interp organism build --seed {config.seed}`; everything that made it is in `manifest.json`.",
        "",
        f"## Measured: {PROBLEMS} evaluation problems a depth, {SAMPLES} samples each, temperature 1",
        "",
        "With 95% intervals over problems. *Where the start matters*: on problems without `* 0` the answer hangs on "
        f"every number, and whoever does not work from the start is right once in {task.modulus}.",
    ]
    for measurement in measured:
        lines += ["", *_table(measurement)]
    lines += ["", "## Whether it is the right patient", "", "| it must have | found | |", "|---|---|---|"]
    lines += [f"| {check.claim} | {check.found} | {'yes' if check.held else '**no**'} |" for check in found]
    with writing_file(directory / "README.md") as aside:
        aside.write_text("\n".join(lines) + "\n")


def _table(measurement: Measurement) -> list[str]:
    head = [measurement.by, *COLUMNS.values()]
    rows = [[str(key), *(str(row[name]) for name in COLUMNS)] for key, row in measurement.rows.items()]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
