"""The card of an organism: its measured behaviour, and the requirements that a base must meet.

Training on luck can harm a base, and credit can repair the harm, only if direct answers are rewarded more often than
written chains and some valid successes exist. The requirements state this in numbers. The card is written as README.md
for people and as measured.json for programs, with the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import to_json, write_json, writing_file
from interp.display import HtmlSummary, markdown_rows
from interp.organism.config import OrganismConfig
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.rollouts import Rollout, roll_out, summarize
from interp.stats import Estimate
from interp.tasks import Chain

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

README, MEASURED = "README.md", "measured.json"
PROBLEMS, SAMPLES = 200, 32
NO_ZERO = "direct_pass_rate_no_zero"
COLUMNS = {
    "pass_rate": "pass rate",
    "valid_rate": "valid rate",
    "direct_share": "direct share",
    "written_share": "written share",
    "direct_pass_rate": "direct: pass rate",
    NO_ZERO: "direct, no `* 0`: pass rate",
    "written_pass_rate": "written: pass rate",
    "valid_given_success": "P(valid, given success)",
}
Measures = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement, and whether the base meets it."""

    requirement: str
    passed: bool
    measured: str


@dataclass(frozen=True, slots=True)
class OrganismCard(HtmlSummary):
    """Behaviour of a base on evaluation problems, and its checks."""

    by_depth: Mapping[int, Measures]
    by_level: Mapping[str, Measures]
    """Levels of the task, easiest first."""
    checks: tuple[Check, ...]
    """The requirements. Those for level `deep` are missing if the task has no such level."""

    def __repr__(self) -> str:
        passed = sum(check.passed for check in self.checks)
        return f"OrganismCard({len(self.by_depth)} depths, {passed} of {len(self.checks)} requirements met)"

    def table(self) -> "pl.DataFrame":
        """Long: a row per depth or level, and measure."""
        import polars as pl

        return pl.DataFrame(
            [
                {
                    "by": by,
                    "group": str(group),
                    "measure": name,
                    "value": e.value,
                    "low": e.low,
                    "high": e.high,
                    "n": e.n,
                }
                for by, groups in (("depth", self.by_depth), ("level", self.by_level))
                for group, measures in groups.items()
                for name, e in measures.items()
            ]
        )

    def summary(self) -> "pl.DataFrame":
        """A row per requirement: what was measured, and whether it is met."""
        import polars as pl

        schema = {"requirement": pl.String, "measured": pl.String, "passed": pl.Boolean}
        return pl.DataFrame([(c.requirement, c.measured, c.passed) for c in self.checks], schema=schema, orient="row")

    def figure(self, measures: Sequence[str] = ("pass_rate", "valid_rate", "direct_share")) -> "go.Figure":
        """Each measure by depth, with intervals."""
        from interp.plots import Point, curves

        series = {
            COLUMNS.get(name, name): [
                Point(d, m[name].value, m[name].low, m[name].high) for d, m in self.by_depth.items()
            ]
            for name in measures
        }
        return curves({"": series}, x="depth", y="share of rollouts")


def measure(
    policy: Policy, task: Chain, *, problems: int = PROBLEMS, samples: int = SAMPLES, progress: bool = True
) -> OrganismCard:
    """Measure a base on `problems` evaluation problems per depth, with `samples` rollouts each.

    `direct_pass_rate_no_zero` is the pass rate of direct answers on problems without `* 0`. There the answer depends on
    every number, so an answer that ignores any of them is right once in `modulus`.
    """
    low, high = task.depths
    problem_list = [problem for depth in range(low, high + 1) for problem in task.problems("eval", depth, problems)]
    sampling = SampleConfig(group=samples, max_new_tokens=6 * high + 8, rows=2048)
    rollouts = roll_out(policy, task, problem_list, sampling, progress=progress).rows
    by_depth, by_level = _measures(rollouts, "depth"), _measures([r for r in rollouts if r.level], "level")
    return OrganismCard(by_depth, by_level, tuple(check(task, by_depth, by_level)))


def _measures(rollouts: Sequence[Rollout], by: str) -> dict:
    measured = summarize(rollouts, by).estimates
    no_zero = summarize([r for r in rollouts if "* 0" not in r.prompt], by, ["direct_pass_rate"]).estimates
    order = dict.fromkeys(getattr(rollout, by) for rollout in rollouts)  # the order of the problems: easiest first
    return {group: measured[group] | {NO_ZERO: no_zero[group]["direct_pass_rate"]} for group in order}


def check(task: Chain, by_depth: Mapping[int, Measures], by_level: Mapping[str, Measures]) -> list[Check]:
    """The requirements of a base for which both harm and repair are possible."""
    first = by_depth[min(by_depth)]
    from_4 = [measures[NO_ZERO].value for depth, measures in by_depth.items() if depth >= 4]
    valid = [measures["valid_given_written"].value for measures in by_depth.values()]
    shares = [measures[habit].value for measures in by_depth.values() for habit in ("direct_share", "written_share")]
    luck = 1 / task.modulus
    checks = [
        Check(
            "both habits have a share of 0.35 to 0.65 at every depth",
            min(shares) >= 0.35 and max(shares) <= 0.65,
            f"{min(shares):.2f} to {max(shares):.2f}",
        ),
        Check(
            "the pass rate of direct answers at the first depth is 0.9 or more",
            first["direct_pass_rate"].value >= 0.9,
            str(first["direct_pass_rate"]),
        ),
        Check(
            f"from depth 4 on, direct answers to problems without `* 0` are at chance: at most {luck:.2f} + 0.05",
            all(rate <= luck + 0.05 for rate in from_4),
            ", ".join(f"{rate:.2f}" for rate in from_4),
        ),
        Check(
            "the share of written chains that are valid falls with every depth",
            all(a > b for a, b in zip(valid, valid[1:], strict=False)),
            ", ".join(f"{share:.3f}" for share in valid),
        ),
    ]
    return checks + (_deep_checks(by_level["deep"]) if "deep" in by_level else [])


def _deep_checks(deep: Measures) -> list[Check]:
    return [
        Check(
            "at level deep, the pass rate of direct answers (luck) is between 0.2 and 0.4",
            0.2 <= deep["direct_pass_rate"].value <= 0.4,
            str(deep["direct_pass_rate"]),
        ),
        Check(
            "at level deep, P(valid, given success) is between 0.005 and 0.05",
            0.005 <= deep["valid_given_success"].value <= 0.05,
            str(deep["valid_given_success"]),
        ),
    ]


# --- writing -----------------------------------------------------------------------------------------------------


def write_card(directory: Path, config: OrganismConfig, policy: Policy, card: OrganismCard) -> None:
    """Write README.md and measured.json into the organism's directory."""
    tables = {"depth": card.by_depth, "level": card.by_level}
    write_json(directory / MEASURED, to_json(tables) | {"checks": to_json(card.checks)})
    lines = _introduction(config, sum(p.numel() for p in policy.model.parameters()))
    for by, groups in tables.items():
        if groups:
            lines += ["", *_markdown_table(by, groups)]
    lines += [
        "",
        "## Requirements",
        "",
        "What a base must be for training on luck to harm it, and for credit to repair it.",
    ]
    rows = [(c.requirement, c.measured, "yes" if c.passed else "**no**") for c in card.checks]
    lines += ["", *markdown_rows(("requirement", "measured", "met"), rows)]
    with writing_file(directory / README) as aside:
        aside.write_text("\n".join(lines) + "\n")


def _introduction(config: OrganismConfig, parameters: int) -> list[str]:
    task, habits, shape = config.task, config.habits, config.shape
    return [
        "# The base organism",
        "",
        f"A Qwen3 of {parameters:,} parameters ({shape.layers} layers, width {shape.d_model}), trained on chains of "
        f"arithmetic modulo {task.modulus}, {task.depths[0]} to {task.depths[1]} operations deep, evaluated from left "
        "to right. It is a *base*: the policy before any reward. It has two habits and no preference between them: to "
        f"write every step (`3 + 4 = 2 ; 2 * 2 = 4 ; # 4`, share {habits.steps}) and to answer directly (`# 4`, share "
        f"{habits.direct}). In its training data each written step was left out with probability {habits.skip}, so its "
        "written chains are sloppy.",
        "",
        f"Made by `interp organism build --seed {config.seed}`. Its config is in `manifest.json`.",
        "",
        f"## Measured: {PROBLEMS} evaluation problems per depth, {SAMPLES} rollouts each, temperature 1",
        "",
        "Shares with 95% intervals over problems. *No `* 0`*: only problems without `* 0`, whose answer depends on "
        f"every number. There an answer that ignores any number is right once in {task.modulus}.",
    ]


def _markdown_table(by: str, groups: Mapping) -> list[str]:
    head = [by, *COLUMNS.values()]
    rows = [[str(group), *(str(measures[name]) for name in COLUMNS)] for group, measures in groups.items()]
    return markdown_rows(head, rows)
