"""Roles as a picture: each latent by what it tells apart and by what taking it away does, earned or not."""

from typing import TYPE_CHECKING

from interp.features.contrasts import FAMILIES
from interp.plots import PALETTE

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.features.roles import Roles, Trial


def plot_roles(roles: "Roles") -> "go.Figure":
    """One panel a family. Filled: the role is earned. Bars: over prompts. Dotted: below it, the first gate is shut."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    told = (*roles.trials, *roles.random)
    families = [family for family in FAMILIES if any(trial.family == family for trial in told)]
    figure = make_subplots(1, max(1, len(families)), subplot_titles=families, horizontal_spacing=0.06)
    for column, family in enumerate(families, 1):
        of_family = [[t for t in trials if t.family == family and t.ablated] for trials in (roles.random, roles.trials)]
        at_random, held = of_family
        kinds = {
            "drawn at random": (at_random, "#9aa3ab", "circle-open"),
            "candidate": ([t for t in held if not t.passed], PALETTE[0], "circle-open"),
            "earned": ([t for t in held if t.passed], PALETTE[1], "circle"),
        }
        for name, (trials, colour, symbol) in kinds.items():
            marker = {"color": colour, "symbol": symbol, "size": 8}
            trace = go.Scatter(**_places(trials), name=name, legendgroup=name, marker=marker, mode="markers")
            figure.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
        figure.add_vline(roles.config.auroc, line_dash="dot", line_width=1.5, line_color="#666", row=1, col=column)  # pyright: ignore[reportArgumentType]
        figure.add_hline(0, line_width=1, line_color="#999", row=1, col=column)  # pyright: ignore[reportArgumentType]
        figure.update_xaxes(title_text="AUROC", row=1, col=column)
    figure.update_yaxes(title_text="ablation: its tokens less others (nats)", col=1)
    figure.update_layout(
        template="simple_white", height=430, margin={"l": 70, "r": 20, "t": 50, "b": 110},
        legend={"orientation": "h", "y": -0.22, "x": 0}, font={"size": 13},
    )  # fmt: skip
    return figure


def _places(trials: "list[Trial]") -> dict[str, object]:
    effects = [trial.ablated.apart for trial in trials if trial.ablated]
    above, below = [e.high - e.value for e in effects], [e.value - e.low for e in effects]
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 0.8, "width": 0}
    words = [f"latent {trial.latent}: {trial.contrast}" for trial in trials]
    return {"x": [trial.auroc for trial in trials], "y": [e.value for e in effects], "error_y": bars, "text": words}
