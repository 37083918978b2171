"""Raise a base organism, or measure one again."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from interp.cli.app import Flat, organism_app, say, say_json
from interp.organism import OrganismConfig


@dataclass(frozen=True)
class Build:
    out: Path
    """The directory to make."""
    organism: Annotated[OrganismConfig, Flat] = field(default_factory=OrganismConfig)
    overwrite: bool = False
    json: bool = False
    """Print one JSON object and nothing else."""


@organism_app.command(name="build")
def organism_build(config: Annotated[Build, Flat]) -> None:
    """Raise a base organism and measure it. Killed and started again, it goes on where it was."""
    from interp.organism import build

    build(config.organism, config.out, overwrite=config.overwrite)
    _say_card(config.out, config.json)


@dataclass(frozen=True)
class Card:
    organism: tyro.conf.Positional[Path]
    """The directory of an organism."""
    json: bool = False
    """Print one JSON object and nothing else."""


@organism_app.command(name="card")
def organism_card(config: Annotated[Card, Flat]) -> None:
    """Measure an organism again and write its card anew. Its weights are left alone."""
    from interp.organism import renew_card

    renew_card(config.organism)
    _say_card(config.organism, config.json)


def _say_card(organism: Path, as_json: bool) -> None:
    checks = json.loads((organism / "measured.json").read_text())["checks"]
    if as_json:
        say_json({"organism": organism, "checks": checks})
    else:
        held = [f"{'yes' if check['held'] else 'NO':3}  {check['claim']}: {check['found']}" for check in checks]
        say(*held, f"the card is {organism / 'README.md'}")
