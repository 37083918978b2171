"""Study: does credit go where the outcome is decided?

The truth is delta V: how much each written step moves the chance of the outcome, from 64 continuations of the text
before and after it. Every scheme is asked for the credit of the same rollouts of an untrained base.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from interp.checks import Count, Range
from interp.studies.base import Figure, Study, Table, deciding_fields
from interp.studies.credit_world import World, WorldConfig
from interp.studies.results import Arm, Observation, Results
from interp.studies.runner import Row
from interp.studies.truth_claims import AUROCS, CLAIMS, DEEP, NAMES, PAID, SPEARMAN, VALID_SHARE, at, measured
from interp.studies.truth_columns import ALONE, BESIDE, COUNTS, READ, name_of
from interp.studies.truth_columns import NAMES as COLUMNS
from interp.studies.truth_runs import GATES, LEVELS, WEIGHTS, measure_level

TEXT_OF_FIGURES = "Means over bases, 95% intervals (Student's)."


@dataclass(frozen=True)
class TruthConfig(WorldConfig):
    seeds: Count = 6
    """Bases: the unit of evidence."""
    problems: Count = 60
    """Held-out problems of each level whose steps are measured."""
    group: Annotated[int, Range(2, 100_000)] = 8
    """Rollouts per problem."""
    continuations: Annotated[int, Range(2, 100_000)] = 64
    """Continuations of each prefix."""
    gate_problems: Count = 400
    """Held-out problems of each level whose successes are paid by the gates."""
    gate_group: Annotated[int, Range(2, 100_000)] = 32
    """Rollouts per problem for them."""
    threshold: Annotated[float, Range(0, 1000)] = 0.5
    """Of every gate, in units of the mean: the higher it is, the larger is the valid share of what any gate pays."""


class CreditTruth(Study[TruthConfig]):
    name = "credit-truth"
    title = "Credit and truth: does credit go where the outcome is decided?"
    question = "Does credit go where the outcome is decided?"
    summary = "Credit schemes find the steps that decide the outcome."
    Config = TruthConfig
    claims = CLAIMS
    measures = {name: measured(name) for name in (*NAMES, VALID_SHARE.name, PAID.name, ALONE, BESIDE)}
    background = (
        "On one batch of the shipped base (depth 5), which is not reported, rank correlations with the helpful part of "
        "delta V were 0.59 for nine continuations, 0.15 for entropy, 0.11 for the input gradient and for random "
        "weights, and -0.01 for token statistics. On its deep problems (36 valid of 3,116 successes), the AUROC of "
        "eight chosen latents was 0.90 and 0.83 with two dictionaries, of eight random directions 0.72, 0.82 and 0.76; "
        "beside the likelihood 0.98 and 0.98 against 0.97, 0.98 and 0.98; of the likelihood alone 0.97."
    )

    def arms(self, config: TruthConfig) -> list[Arm]:
        return [Arm(level, {"level": level, **deciding_fields(config)}) for level in LEVELS]

    def base_fingerprint(self, config: TruthConfig) -> str:
        return "built for each seed"

    def world_spec(self, config: TruthConfig) -> Any:
        return config.world_spec

    def prepare(self, config: TruthConfig, seed: int, directory: Path) -> None:
        World(config, seed, directory).make()

    def run(self, arm: Arm, seed: int | None, config: TruthConfig, directory: Path) -> dict[str, Any]:
        assert seed is not None, "every arm has bases"
        return measure_level(World(config, seed, directory), arm.name, config)

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        """One observation per scheme, level and base."""
        return [
            Observation(at(scheme, row.arm), row.seed, record)
            for row in rows
            for scheme, record in row.record["schemes"].items()
        ]

    def method(self, config: TruthConfig) -> str:
        return f"""\
{config.seeds} bases, each an organism built with a seed of its own. On {config.problems} held-out problems of each
level (shallow, middle, deep), {config.group} rollouts each, the value of the prompt and of the text after every step is
measured by {config.continuations} continuations by the base. A segment is a step, or what comes after the last one. It
is decisive if its delta V is at least 0.1 and two standard errors from zero; a shortcut if it is not and does work that
was not due, or answers before the work was done; else filler. Segments of a group in which all rewards are equal are
left out: no credit acts there. *early* segments begin in the first half of their rollout, *late* ones in the second.
*up to the first error* weighs a success up to its first step that is probably wrong, as read in each part; its readouts
are fitted on the labels of the gates.

Gates are asked on {config.gate_problems} problems of each level, {config.gate_group} rollouts each, all with the
threshold {config.threshold:g}. Their readouts are fitted on labels of the base, before any audit, and those with
latents on {config.dictionaries} dictionaries, whose numbers are averaged. On the same labels, columns of the residual,
latents and random directions are chosen one after the other, each as the one that goes best with what the regression
on those before leaves unexplained. A regression on them is measured on the successes that the gates pay. Intervals are
over bases."""

    def tables(self, results: Results, config: TruthConfig) -> list[Table]:
        from interp.studies.report import cell

        tables = []
        for title, schemes, names in (
            ("Token weights", WEIGHTS, NAMES),
            ("Gates", GATES, (VALID_SHARE.name, PAID.name)),
            ("How well valid is told from lucky, by what is read", COLUMNS, (ALONE, BESIDE)),
        ):
            rows = [
                [scheme, level, *(cell(results.mean(at(scheme, level), measured(name)), 3) for name in names)]
                for scheme in schemes
                for level in LEVELS
                if results.seeds(at(scheme, level))
            ]
            tables.append(Table(title, ["scheme", "level", *names], rows))
        return tables

    def figures(self, results: Results, config: TruthConfig) -> list[Figure]:
        from interp.plots import curves, dots
        from interp.studies.report import point

        figures = []
        for title, schemes, measure, y in (
            ("How weights agree with delta V", WEIGHTS, SPEARMAN, "rank correlation"),
            ("What gates pay", GATES, VALID_SHARE, "valid share of the pay"),
        ):
            panels = {
                level: {title: [point(one, results.mean(at(one, level), measure)) for one in schemes]}
                for level in LEVELS
            }
            figures.append(Figure(title, TEXT_OF_FIGURES, dots(panels, y=y)))
        lines = {
            measure.name: {
                read: [point(count, results.mean(at(name_of(read, count), DEEP), measure)) for count in COUNTS]
                for read in READ
            }
            for measure in AUROCS
        }
        title = "How few numbers tell valid deep answers from lucky ones"
        claims = ("few-latents-beat-random", "few-latents-beat-random-beside-likelihood")
        figure = curves(lines, x="columns read", y="AUROC")
        figure.update_xaxes(type="log", tickvals=COUNTS)
        figures.append(Figure(title, TEXT_OF_FIGURES, figure, claims))
        return figures
