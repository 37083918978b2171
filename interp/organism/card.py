"""The card of an organism: its measured behaviour, and the requirements that a base must meet.

Training on luck can harm a base, and credit can repair the harm, only if direct answers are rewarded more often than
written chains and some valid successes exist. The requirements state this in numbers. The card is written as README.md
for people and as measured.json for programs, with the same numbers.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interp.artifacts import to_json, write_json, writing_file
from interp.display import HtmlSummary, markdown_rows
from interp.organism.config import OrganismConfig
from interp.organism.requirements import NO_ZERO, Check, Measures, check, check_words
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.rollouts import BucketConfig, Rollout, roll_out, summarize
from interp.tasks import BUCKETS, Chain, Problem, Words
from interp.tasks.base import seeded_rng
from interp.tasks.words import write_solution
from interp.tasks.words.agreement import Agreement, annotator_agreement

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

README, MEASURED = "README.md", "measured.json"
TOKENS_PER_STEP = 32
"""Of a solution in words: at most."""
WRITTEN, OWN = "written by the task", "the organism's own"
SKIP, SLIP = 0.1, 0.05
"""Sloppiness of the solutions on which the annotator is measured."""
LARGE = 50_000_000
"""Parameters of a model whose rollouts are made in small batches, to fit into memory."""
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


@dataclass(frozen=True, slots=True)
class OrganismCard(HtmlSummary):
    """Behaviour of a base on evaluation problems, and its checks."""

    by_depth: Mapping[int, Measures]
    by_level: Mapping[str, Measures]
    """Levels of the task, easiest first."""
    checks: tuple[Check, ...]
    """The requirements. Those for level `deep` are missing if the task has no such level."""
    buckets: Mapping[str, float] | None = None
    """Share of the problems that are easy, medium and hard. Words only."""
    annotator: Mapping[str, Agreement] | None = None
    """How well the annotator of free text judges solutions: those that the task writes, and the base's own. Words
    only."""

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
                Point(d, m[name].value, m[name].low, m[name].high, m[name].n) for d, m in self.by_depth.items()
            ]
            for name in measures
        }
        return curves({"": series}, x="depth", y="share of rollouts")


def measure(
    policy: Policy,
    task: Chain | Words,
    *,
    problems: int = 200,
    samples: int = 32,
    progress: bool = True,
) -> OrganismCard:
    """Measure a base on `problems` evaluation problems per depth, with `samples` rollouts each.

    `direct_pass_rate_no_zero` is the pass rate of direct answers on chains without `* 0`. There the answer depends on
    every number, so an answer that ignores any of them is right once in `modulus`.
    """
    low, high = task.depths
    problem_list = [problem for depth in range(low, high + 1) for problem in task.problems("eval", depth, problems)]
    new_tokens = 6 * high + 8 if isinstance(task, Chain) else TOKENS_PER_STEP * high + TOKENS_PER_STEP
    is_large = sum(weight.numel() for weight in policy.model.parameters()) > LARGE
    sampling = SampleConfig(group=samples, max_new_tokens=new_tokens, rows=64 if is_large else 2048)
    rollouts = roll_out(policy, task, problem_list, sampling, progress=progress).rows
    by_depth, by_level = _measures(rollouts, "depth"), _measures([r for r in rollouts if r.level], "level")
    if isinstance(task, Chain):
        return OrganismCard(by_depth, by_level, tuple(check(task, by_depth, by_level)))
    buckets = bucket_shares(rollouts)
    checks = tuple(check_words(by_depth, by_level, buckets))
    by_id = {problem.id: problem for problem in problem_list}
    own = [(by_id[rollout.problem], rollout.completion) for rollout in rollouts]
    annotator = {
        WRITTEN: annotator_agreement(task, _written_solutions(task, problem_list)),
        OWN: annotator_agreement(task, own),
    }
    return OrganismCard(by_depth, by_level, checks, buckets, annotator)


def _written_solutions(task: Words, problems: Sequence[Problem]) -> list[tuple[Problem, str]]:
    """Each problem with one solution that the task writes, sloppily: in turn by its work twice and at once."""
    habits = ("steps", "steps", "direct")
    return [
        (problem, write_solution(task.program(problem), habits[i % 3], seeded_rng("card", i), skip=SKIP, slip=SLIP))
        for i, problem in enumerate(problems)
    ]


def bucket_shares(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Share of the problems in each difficulty bucket, by their pass rates and the default cuts."""
    cut, correct = BucketConfig(), defaultdict(list)
    for rollout in rollouts:
        correct[rollout.problem].append(rollout.correct)
    rates = [sum(answers) / len(answers) for answers in correct.values()]
    easy, hard = (sum(rate >= cut.easy for rate in rates), sum(rate <= cut.hard for rate in rates))
    counts = {"easy": easy, "medium": len(rates) - easy - hard, "hard": hard}
    return {name: counts[name] / len(rates) for name in BUCKETS}


def _measures(rollouts: Sequence[Rollout], by: str) -> dict:
    measured = summarize(rollouts, by).estimates
    no_zero = summarize([r for r in rollouts if "* 0" not in r.prompt], by, ["direct_pass_rate"]).estimates
    order = dict.fromkeys(getattr(rollout, by) for rollout in rollouts)  # the order of the problems: easiest first
    return {group: measured[group] | {NO_ZERO: no_zero[group]["direct_pass_rate"]} for group in order}


# --- writing -----------------------------------------------------------------------------------------------------


def write_card(
    directory: Path, config: OrganismConfig, policy: Policy, card: OrganismCard, *, cpu_seconds: float | None = None
) -> None:
    """Write README.md and measured.json into the organism's directory. `cpu_seconds` is what the training took."""
    tables = {"depth": card.by_depth, "level": card.by_level}
    words_only = {"buckets": card.buckets, "annotator": card.annotator} if config.kind == "words" else {}
    write_json(directory / MEASURED, to_json(tables) | {"checks": to_json(card.checks)} | to_json(words_only))
    parameters = sum(p.numel() for p in policy.model.parameters())
    is_chain = config.kind == "chain"
    lines = (
        _chain_introduction(config, parameters) if is_chain else _words_introduction(config, parameters, cpu_seconds)
    )
    columns = {name: title for name, title in COLUMNS.items() if name != NO_ZERO or is_chain}
    for by, groups in tables.items():
        if groups:
            lines += ["", *_markdown_table(by, groups, columns)]
    lines += _annotator_table(card.annotator) if card.annotator else []
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


def _chain_introduction(config: OrganismConfig, parameters: int) -> list[str]:
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
        _measured_heading(config),
        "",
        "Shares with 95% intervals over problems. *No `* 0`*: only problems without `* 0`, whose answer depends on "
        f"every number. There an answer that ignores any number is right once in {task.modulus}.",
    ]


def _words_introduction(config: OrganismConfig, parameters: int, cpu_seconds: float | None) -> list[str]:
    task, habits, shape = config.words, config.habits, config.shape
    problem = task.problem("eval", 3, 0)
    written, direct = (
        write_solution(task.program(problem), habit, seeded_rng("card", habit)) for habit in ("steps", "direct")
    )
    model = f"A Qwen3 of {parameters:,} parameters ({shape.layers} layers, width {shape.d_model}), trained"
    if config.start is not None:
        way = f"LoRA adapters of rank {config.lora_rank}" if config.lora_rank else "all weights"
        model = f"A pretrained model of {parameters:,} parameters ({config.start.name}), finetuned ({way})"
    time_taken = "" if cpu_seconds is None else f" It took {cpu_seconds / 60:.0f} minutes of processor time."
    return [
        "# The words organism",
        "",
        f"{model} on English word problems of {task.depths[0]} to {task.depths[1]} changes to a number between 0 and "
        f"{task.largest}, with sentences and numbers that do not matter. It is a *base*: the policy before any reward. "
        f"It has two habits and no preference between them: to write its work (share {habits.steps}) and to answer at "
        f"once (share {habits.direct}). In its training data each written step was left out with probability "
        f"{habits.skip}, and had a wrong result with probability {habits.slip}, so its work is sloppy.",
        "",
        f"> {problem.prompt}",
        ">",
        f"> {written}",
        ">",
        f"> {direct}",
        "",
        f"Training: {config.last_step or config.steps:,} steps of {config.batch} examples, of a schedule of "
        f"{config.steps:,}.{time_taken} Made by {_build_command(config)}. Its config is in `manifest.json`.",
        "",
        _measured_heading(config),
        "",
        "Shares with 95% intervals over problems.",
    ]


def _build_command(config: OrganismConfig) -> str:
    start = "" if config.start is None else f" --start {config.start.name}"
    return f"`interp organism build --kind words{start} --seed {config.seed}`"


def _measured_heading(config: OrganismConfig) -> str:
    problems, samples = config.card_counts
    return f"## Measured: {problems} evaluation problems per depth, {samples} rollouts each, temperature 1"


def _annotator_table(annotator: Mapping[str, Agreement]) -> list[str]:
    """Precision and recall of the annotator of free text."""
    lines = [
        "",
        "## The annotator of free text, against the truth of the task",
        "",
        "It reads solutions as it would any text, without knowing the task. Those written by the task are right but "
        f"for steps left out (share {SKIP}) and wrong results (share {SLIP}). The organism's own also take changes in "
        "another order, twice, or with another sign: each number is then the question's, which is all that can be told "
        "of free text, and the step counts as valid though it is not the one due.",
    ]
    for name, agreement in annotator.items():
        rates = {
            "valid steps": agreement.valid_steps,
            "false equations": agreement.false_equations,
            "valid solutions": agreement.valid_solutions,
            "roles of tokens": agreement.roles,
        } | {f"role `{role}`": rate for role, rate in agreement.by_role.items()}
        rows = [(key, f"{rate.precision:.3f}", f"{rate.recall:.3f}", f"{rate.true:,}") for key, rate in rates.items()]
        head = (f"{name}: {agreement.completions:,} solutions", "precision", "recall", "true cases")
        lines += ["", *markdown_rows(head, rows)]
    return lines


def _markdown_table(by: str, groups: Mapping, columns: Mapping[str, str]) -> list[str]:
    head = [by, *columns.values()]
    rows = [[str(group), *(str(measures[name]) for name in columns)] for group, measures in groups.items()]
    return markdown_rows(head, rows)
