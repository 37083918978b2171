"""The demo's sections with their figures, on one HTML page that opens offline."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interp.demo.text import Section, last_rates
from interp.display import html_table
from interp.plots import Panels, Part, Point, dots, page

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.rollouts import Evaluation

TITLE = "What training on deep problems did to a small model, and what its latents show"
MEASURES = {"valid_rate": "valid", "pass_rate": "pass", "direct_share": "direct"}
READING = {
    "dictionary": "Figure: each latent by how often it is active and how smooth it is over tokens.",
    "roles": (
        "Figure: to the right of the dotted line a latent passes the contrast; below zero its tokens are less likely "
        "without it. Filled circles have passed all three gates. Bars are 95% intervals over prompts."
    ),
    "tracks": "Figure: the most certain changes since the base, each line a latent, with 95% intervals over prompts.",
    "comparison": "Figure: A is the end of middle training, B the end of deep training.",
}


@dataclass(frozen=True)
class Illustrated:
    """A section with its figure."""

    section: Section
    figure: "go.Figure"
    reading: str = ""
    """How to read the figure."""


def write_page(path: Path, parts: Sequence[Illustrated]) -> Path:
    page(path, TITLE, [_part(number, part) for number, part in enumerate(parts, 1)], standalone=True)
    return path


def _part(number: int, part: Illustrated) -> Part:
    section = part.section
    text = html.escape(" ".join(filter(None, (section.text, section.note, part.reading))))
    return Part(f"{number} {html.escape(section.title)}", text, part.figure, html_table(section.table))


def rates_figure(evaluations: "Mapping[str, Evaluation]", names: Sequence[str] = ()) -> "go.Figure":
    """Rates by depth group, with intervals over problems. `names` of all arms fix their colours."""
    levels = next(iter(evaluations.values())).groups("level")
    panels: Panels = {
        level: {
            name: [_point(evaluation, level, measure) for measure in MEASURES]
            for name, evaluation in evaluations.items()
        }
        for level in levels
    }
    return dots(panels, y="share of answers", names=names)


def _point(evaluation: "Evaluation", level: str, measure: str) -> Point:
    rate = last_rates(evaluation, level)[measure]
    return Point(MEASURES[measure], *((rate.value, rate.low, rate.high) if rate.n else (None,)))
