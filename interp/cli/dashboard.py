"""A dashboard of results, as one HTML file that opens offline."""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from interp.artifacts import BadInput, expect_free
from interp.artifacts.writing import expect_place
from interp.checks import Name
from interp.cli.app import WIDTH, Args, Flat, app, say, say_json, say_saved
from interp.cli.args import Dtype
from interp.dashboard import DashboardConfig
from interp.dashboard.config import EXPORTED


@dataclass(frozen=True)
class Dashboard(Args):
    results: tyro.conf.Positional[tuple[Path, ...]]
    """Directories of results: runs, tracks, roles, dictionaries, evaluations, comparisons, rollouts, buckets, readouts,
    studies, or directories that hold several of them."""
    out: Path = Path("report.html")
    """The file to write."""
    export: Path | None = None
    """Write the features into this directory too, as Parquet and as JSON for Neuronpedia."""
    notes: Path | None = None
    """Names of latents, as a dashboard or `Notes.save` writes them. Default: the notes.json beside the results."""
    base: Path | None = None
    """The policy before training, as step 0 of a directory of checkpoints whose trainer did not save it."""
    explain_credit: bool = False
    """Have the base of each run read again what its credit read, if that has a name, such as likelihood or
    process-likelihood, or began with a readout that is among the results. Credit up to the first error is not
    explained."""
    report: Annotated[DashboardConfig, Flat] = field(default_factory=DashboardConfig)
    device: Name = "auto"
    """auto, cpu, cuda or mps."""
    dtype: Dtype = "auto"
    """Precision of the weights. auto: that in which they are stored, and float32 on the CPU."""
    overwrite: bool = False
    """Replace the file at --out."""
    json: bool = False
    """Print one JSON object and nothing else."""


@app.command(name="dashboard")
def dashboard_command(config: Annotated[Dashboard, Flat]) -> None:
    """Make one HTML file of results: features by bucket and checkpoint, rollouts token by token, comparisons."""
    if not config.results:
        raise BadInput("expected directories of results, got none: interp dashboard runs/demo")
    expect_free(config.out, overwrite=config.overwrite)
    if config.export is not None:
        expect_place(config.export, overwrite=config.overwrite, kind=EXPORTED)
    from interp.dashboard.building import make_dashboard

    dashboard = make_dashboard(
        *config.results,
        config=config.report,
        notes=config.notes,
        base=config.base,
        explain_credit=config.explain_credit,
        device=config.device,
        dtype=config.dtype,
        progress=not config.json,
    )
    path = dashboard.save(config.out, overwrite=config.overwrite)
    if config.export is not None:
        dashboard.export(config.export, overwrite=config.overwrite)
    findings, n_bytes = dashboard.index["overview"]["findings"], path.stat().st_size
    if config.json:
        return say_json({"out": path, "bytes": n_bytes, "findings": findings, "left_out": dashboard.left_out})
    say(f"{dashboard}")
    if dashboard.left_out:
        say(
            "", "Left out:", *(textwrap.fill(f"- {text}", WIDTH, subsequent_indent="  ") for text in dashboard.left_out)
        )
    return say_saved(path)
