"""Roles as a figure: each latent by how well it separates a contrast's tokens and by what ablating it does to them."""

from typing import TYPE_CHECKING

from interp.plots import PALETTE

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

GREY = "#9aa3ab"


def plot_roles(table: "pl.DataFrame", min_auroc: float) -> "go.Figure":
    """One panel for each role family, from `Roles.table()`.

    Filled circles have earned the role. Bars are intervals over prompts. Latents left of the dotted line fail the
    contrast gate."""
    import plotly.graph_objects as go
    import polars as pl
    from plotly.subplots import make_subplots

    families = table["family"].unique(maintain_order=True).to_list()
    figure = make_subplots(1, max(1, len(families)), subplot_titles=families, horizontal_spacing=0.06)
    is_candidate, passes = pl.col("group") == "candidate", pl.col("passes_all")
    kinds = {
        "random latent": (~is_candidate, GREY, "circle-open"),
        "candidate": (is_candidate & ~passes, PALETTE[0], "circle-open"),
        "role earned": (is_candidate & passes, PALETTE[1], "circle"),
    }
    for column, family in enumerate(families, 1):
        ablated = table.filter((pl.col("family") == family) & pl.col("ablation_difference").is_not_null())
        for name, (is_kind, color, symbol) in kinds.items():
            marker = {"color": color, "symbol": symbol, "size": 8}
            trace = go.Scatter(**_points(ablated.filter(is_kind)), name=name, legendgroup=name, marker=marker)
            figure.add_trace(trace.update(mode="markers", showlegend=column == 1), row=1, col=column)
        figure.add_vline(min_auroc, line_dash="dot", line_width=1.5, line_color="#666", row=1, col=column)  # pyright: ignore[reportArgumentType]
        figure.add_hline(0, line_width=1, line_color="#999", row=1, col=column)  # pyright: ignore[reportArgumentType]
        figure.update_xaxes(title_text="AUROC", row=1, col=column)
    figure.update_yaxes(title_text="ablation: its tokens less others (nats)", col=1)
    figure.update_layout(
        template="simple_white", height=430, margin={"l": 70, "r": 20, "t": 50, "b": 110},
        legend={"orientation": "h", "y": -0.22, "x": 0}, font={"size": 13},
    )  # fmt: skip
    return figure


def _points(rows: "pl.DataFrame") -> dict[str, object]:
    value, low, high = (rows[f"ablation_difference{end}"] for end in ("", "_low", "_high"))
    above, below = (high - value).to_list(), (value - low).to_list()
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 0.8, "width": 0}
    labels = [f"latent {latent}: {contrast}" for latent, contrast in rows.select("latent", "contrast").rows()]
    return {"x": rows["auroc"].to_list(), "y": value.to_list(), "error_y": bars, "text": labels}
