"""The demo's sections with their figures, on one HTML page that opens offline."""

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
MEASURES = {"pass_rate": "pass", "valid_rate": "valid", "direct_share": "direct"}
NOTES = {
    "base": (
        "A correct answer that is not valid is lucky: the last column is the share of correct answers that "
        "are valid. Bars are 95% intervals over problems, here and in all figures of rates."
    ),
    "training": (
        "All arms start from the same base. In the last one an answer is rewarded only if every step is "
        "right, which needs a verifier of steps. Pass rates alone do not show what was learned."
    ),
    "dictionary": (
        "The loss recovered is 1 if the reconstruction in place of the residual costs nothing, and 0 if it is "
        "as bad as the mean residual. Figure: each latent by how often it is active and how smooth it is over "
        "tokens."
    ),
    "roles": (
        "A latent passes the contrast if it separates the family's tokens; it is falsified if tokens alone "
        "drive it, in any order or on one surface only; it passes ablation if the family's tokens are less "
        "likely without it. Random latents go through the same gates. Figure: to the right of the dotted line "
        "a latent passes the contrast; below zero its tokens are less likely without it, compared with other "
        "tokens. Filled circles have passed all gates."
    ),
    "tracks": (
        "Number of latents by the verdict on their mean activation at the last checkpoint less the base, at a "
        "false-discovery rate of 0.05. Unchanged is shown by equivalence; undecided latents may have changed. "
        "The control counts latents that change if the base is sampled a second time. Figure: the most "
        "certain changes since the base, each line a latent, with 95% intervals over prompts."
    ),
    "comparison": (
        "Rates of the end of deep training less those of the end of middle training, paired by prompt; "
        "latents that are stronger or weaker after deep training, within rollouts of one outcome. The control "
        "counts latents that differ if the end of middle training is sampled a second time. Figure: A is "
        "middle, B is deep; below, changes since the base of the latents that differ most certainly."
    ),
    "credit": "One run of each arm: a demonstration, not a study.",
}
"""What a section says on the page besides its text: what the numbers mean, and how to read the figure."""


@dataclass(frozen=True)
class Illustrated:
    """A section with its figure."""

    section: Section
    figure: "go.Figure"
    note: str
    """What the numbers mean, and how to read the figure."""


def write_page(path: Path, parts: Sequence[Illustrated]) -> Path:
    page(path, TITLE, [_part(number, part) for number, part in enumerate(parts, 1)], standalone=True)
    return path


def _part(number: int, part: Illustrated) -> Part:
    section = part.section
    sentences = [sentence.removesuffix(":") + "." * sentence.endswith(":") for sentence in (section.text, section.note)]
    text = " ".join(filter(None, (*sentences, part.note)))
    return Part(f"{number} {section.title}", text, part.figure, html_table(section.table))


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
