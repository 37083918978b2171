"""A study's result, made from its records alone: result.json, numbers.csv, README.md and figure.html."""

import datetime
import math
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import to_json, versions, write_json, writing_file
from interp.display import Html, as_html, markdown_rows
from interp.plots import Point, page
from interp.stats.estimate import Estimate
from interp.stats.shares import exact_interval
from interp.studies.base import NO_EVIDENCE, Study, Table
from interp.studies.judging import Judgement, as_json, judge_claims
from interp.studies.readings import ANY_SHAPE, EXACT, READINGS, REGISTERED
from interp.studies.results import Results

if TYPE_CHECKING:
    import polars as pl

PACKAGES = ("interp", "torch", "transformers", "sae-lens")
KINDS_OF_INTERVALS = (
    "*As registered*: Student's t at 95%, each claim alone; crossings by bootstrap. This takes seeds to have one mode.",
    "*Corrected* (`verdict` in result.json): the same, with Holm's correction over the claims of this study, exact "
    "intervals over clusters for shares of counted latents (where all latents of all seeds succeed, each seed counts "
    "once), and no verdict from a lack of evidence. p is that of these intervals.",
    "*Any shape*: Gaffke's interval over the range that a measure cannot leave, not corrected for the number of "
    "claims. It also covers where a few seeds behave unlike the others, which Student's t does not (coverage of "
    "both: `tests/stats/test_coverage.py`). Its price is width. {modes} A measure with no range has no such interval.",
)


def write_result(study: Study[Any], results: Results, config: Any, out: Path) -> list[Judgement]:
    """Judge every claim and write the result into `out`."""
    judgements = judge_claims(study.claims, results)
    data = as_data(study, results, config, judgements)
    write_json(out / "result.json", to_json(data))
    with writing_file(out / "numbers.csv") as aside:
        as_table(data).write_csv(aside)
    with writing_file(out / "README.md") as aside:
        aside.write_text("\n".join(as_markdown(study, results, config, judgements)) + "\n")
    parts = [
        (one.title, _with_verdicts(one.text, one.claims, judgements), one.figure)
        for one in study.figures(results.with_reading(EXACT), config)  # a share of few latents has an interval too
    ]
    page(out / "figure.html", study.title, parts)
    return judgements


# --- result.json ---------------------------------------------------------------------------------------------------


def as_data(study: Study[Any], results: Results, config: Any, judgements: Sequence[Judgement]) -> dict[str, Any]:
    return {
        "claim": study.summary,
        "texts": {one.claim.name: one.claim.text for one in judgements},
        "prediction": {one.claim.name: one.claim.prediction for one in judgements},
        "verdict": {one.claim.name: one.verdict for one in judgements},
        "verdicts": {one.claim.name: as_json(one) for one in judgements},
        "measures": {
            f"{one.claim.name}: {name}": _in_every_reading(one, name)
            for one in judgements
            for name in _measures(one, REGISTERED.name)
        },
        "arms": {
            arm: {name: study.estimate(results, arm, measure) for name, measure in study.measures.items()}
            for arm in results.arms
            if results.seeds(arm)
        },
        "seeds": sorted({seed for arm in results.arms for seed in results.seeds(arm)}),
        "config": config,
        "command": command(study, config),
        "versions": versions(*PACKAGES),
        "date": datetime.date.today().isoformat(),
        **study.facts(judgements),
    }


def as_table(data: Mapping[str, Any]) -> "pl.DataFrame":
    """Every number of result.json in one table: what it is of (a claim, with its reading, or an arm), its name, value,
    interval and n. Unknown numbers are empty."""
    import polars as pl

    of_claims = [
        ("claim", *name.split(": ", 1), reading, estimate)
        for name, readings in data["measures"].items()
        for reading, estimate in readings.items()
    ]
    of_arms = [("arm", arm, name, "", one) for arm, measures in data["arms"].items() for name, one in measures.items()]
    rows = [(*words, one.value, one.low, one.high, one.n) for *words, one in (*of_claims, *of_arms)]
    schema = dict.fromkeys(("of", "name", "measure", "intervals"), pl.String)
    schema |= dict.fromkeys(("value", "low", "high"), pl.Float64) | {"n": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").fill_nan(None)


def command(study: Study[Any], config: Any) -> str:
    """The command that makes this result: the study's name, and a flag for each value that is not the default."""
    words = ["interp", "study", study.name]
    for field in fields(config):
        value, usual = (getattr(one, field.name) for one in (config, study.Config()))
        if value != usual and field.name != "processes":
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return shlex.join(words)


def _measures(judgement: Judgement, reading: str) -> dict[str, Estimate]:
    verdict = judgement.by_reading[reading]
    return {**verdict.measures, **verdict.beside}


def _in_every_reading(judgement: Judgement, name: str) -> dict[str, Estimate]:
    return {reading.name: _measures(judgement, reading.name)[name] for reading in READINGS}


# --- README.md -----------------------------------------------------------------------------------------------------


def as_markdown(study: Study[Any], results: Results, config: Any, judgements: Sequence[Judgement]) -> list[str]:
    made_by = command(study, config)
    lines = [
        f"# {study.title}",
        "",
        f"Made by `{made_by}`; from the committed records alone by `{made_by} --rejudge`. Figures are in "
        "`figure.html`, every run is a line of `runs.jsonl`, every number is in `result.json`.",
        "",
        fill(study.method(config)),
    ]
    if judgements:
        lines += ["", *_verdicts(results, judgements)]
    for table in study.tables(results, config):
        lines += ["", *markdown_table(table)[:-1]]
    if study.background:
        lines += ["", "## What had been seen before", "", fill(study.background)]
    return lines


def _verdicts(results: Results, judgements: Sequence[Judgement]) -> list[str]:
    """How claims are judged, and each of them."""
    lines = [
        "## Verdicts",
        "",
        "Each claim is judged by its rule, written before the runs, with three kinds of intervals over seeds:",
        "",
        *(fill(f"- {kind.format(modes=_modes(results))}", "  ") for kind in KINDS_OF_INTERVALS),
        "",
        "A claim that is supported by the second and not by the third stands if the seeds that were not run are like "
        "those that were.",
        "",
        *markdown_table(_verdict_table(judgements)),
        *markdown_table(changes_table(judgements), "###"),
        "## Claim by claim",
    ]
    for one in judgements:
        lines += ["", *_section(one)]
    return lines


def _modes(results: Results) -> str:
    """The share of seeds that a mode may have when no seed shows it, for each number of seeds in the study."""
    parts = []
    for count in sorted({len(results.seeds(arm)) for arm in results.arms} - {0, 1}):
        _, unseen = exact_interval(0, count)
        needed = unseen / (1 - unseen)
        possible = f"only one above {needed:.2f} can be shown" if needed < 1 else "none can be shown"
        parts.append(
            f"{count} seeds that agree leave room for a mode that {unseen:.0%} of seeds have: of differences of two "
            f"shares {possible}."
        )
    return " ".join(parts)


def _verdict_table(judgements: Sequence[Judgement]) -> Table:
    head = ("claim", "as registered", "p", "p after Holm", "corrected", "p, any shape", "any shape")
    rows = [
        (
            one.claim.text,
            one.registered,
            p_text(one.p_values[EXACT.name]),
            p_text(one.holm[EXACT.name]),
            one.verdict,
            p_text(one.p_values[ANY_SHAPE.name]),
            one.any_shape,
        )
        for one in judgements
    ]
    return Table("", head, rows)


def changes_table(judgements: Sequence[Judgement]) -> Table:
    """Claims whose verdict depends on the statistics, and why."""
    head = ("claim", "as registered", "corrected", "any shape", "why")
    rows = [(one.claim.name, *one.verdicts.values(), why_changed(one)) for one in judgements if one.is_changed]
    return Table("What changed by the new statistics", head, rows)


def why_changed(judgement: Judgement) -> str:
    reasons = []
    if judgement.by_reading[REGISTERED.name].outcome == NO_EVIDENCE:
        reasons.append("the rule called a lack of evidence not supported")
    if judgement.outcome(EXACT.name) != judgement.verdict:
        reasons.append(f"p {p_text(judgement.holm[EXACT.name])} after Holm")
    elif judgement.verdict != judgement.registered and not reasons:
        reasons.append("exact intervals of shares")
    if judgement.any_shape not in (judgement.registered, judgement.verdict):
        reasons.append(_why_not_any_shape(judgement))
    return "; ".join(reasons)


def _why_not_any_shape(judgement: Judgement) -> str:
    estimates = _measures(judgement, ANY_SHAPE.name).values()
    if not any(one.has_interval for one in estimates):
        return "a measure without a range has no interval for any shape"
    return f"{min(one.n for one in estimates)} seeds leave room for a mode that none of them has"


def p_text(p_value: float) -> str:
    if math.isnan(p_value):
        return ""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"


def _section(judgement: Judgement) -> list[str]:
    claim, verdict = judgement.claim, judgement.by_reading[REGISTERED.name]
    lines = [
        f"### {claim.text}",
        "",
        f"As registered: **{judgement.registered}**. Corrected: **{judgement.verdict}**. Any shape: "
        f"**{judgement.any_shape}**.",
        "",
        f"*Predicted.* {claim.prediction}",
        "",
        f"*Rule.* {claim.rule}",
    ]
    for title, named in (("", verdict.measures), ("Beside it, not used by the rule. ", verdict.beside)):
        if named:
            lines += ["", *([f"*{title.strip()}* {verdict.beside_note}".rstrip(), ""] if title else [])]
            lines += markdown_table(_measure_table(judgement, list(named)))[:-1]
    lines += ["", "*Limits.*", ""] if claim.caveats else []
    return [*lines, *(f"- {caveat}" for caveat in claim.caveats)]


def _measure_table(judgement: Judgement, names: Sequence[str]) -> Table:
    readings = ("Student's t (as registered)", "exact shares, Fieller's crossings", "any shape")
    rows = []
    for name in names:
        estimates = list(_in_every_reading(judgement, name).values())
        digits = max(3, min(6, *(digits_of(one) for one in estimates)))
        cells = [cell(one, digits) for one in estimates]
        cells[1] = "" if cells[1] == cells[0] else cells[1]  # the same unless it is a share of counted items
        cells[2] = cells[2] if estimates[2].has_interval else ""
        rows.append((name, str(estimates[0].n), *cells))
    return Table("", ("measure", "n", *readings), rows)


def digits_of(estimate: Estimate) -> int:
    """Decimals that tell the ends of a narrow interval apart."""
    if not estimate.has_interval or not estimate.width > 0:
        return 3
    return math.ceil(-math.log10(estimate.width)) + 1


def cell(estimate: Estimate, digits: int = 2) -> str:
    """An estimate as a table's cell; empty where there was nothing to measure."""
    return "" if math.isnan(estimate.value) else format(estimate, f".{digits}f")


def markdown_table(table: Table, heading: str = "##") -> list[str]:
    """A table as Markdown lines, with its title and note; no lines without rows."""
    if not table.rows:
        return []
    title = [f"{heading} {table.title}", ""] if table.title else []
    return [*title, *([fill(table.note), ""] if table.note else []), *markdown_rows(table.head, table.rows), ""]


def fill(text: str, indent: str = "") -> str:
    """Paragraphs with their lines filled anew, since values may be longer than their place in the source."""
    options = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": indent}
    return "\n\n".join(textwrap.fill(" ".join(part.split()), 120, **options) for part in text.split("\n\n"))


# --- figure.html ---------------------------------------------------------------------------------------------------


def _with_verdicts(text: str, claims: Sequence[str], judgements: Sequence[Judgement]) -> Html:
    """A paragraph, and below it a line for each claim."""
    by_name: Mapping[str, Judgement] = {one.claim.name: one for one in judgements}
    lines = [
        f"<br>{as_html(by_name[name].claim.text)} <b>{by_name[name].registered.capitalize()}</b> as registered; "
        f"{by_name[name].verdict} corrected; {by_name[name].any_shape} for any shape."
        for name in claims
    ]
    return Html("\n".join([as_html(text), *lines]))


def point(x: float | str, estimate: Estimate) -> Point:
    """An estimate as a point of a figure."""
    if math.isnan(estimate.value):
        return Point(x, None)
    ends = (estimate.low, estimate.high) if estimate.has_interval else (None, None)
    return Point(x, estimate.value, *ends, n=estimate.n or None)
