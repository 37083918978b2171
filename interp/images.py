"""Figures as images: PNG or SVG, drawn by a Chromium that is on this machine. Nothing is fetched."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from interp.artifacts import BadInput

if TYPE_CHECKING:
    import plotly.graph_objects as go

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
VARIABLE = "INTERP_CHROMIUM"
FORMATS = ("png", "svg")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--virtual-time-budget=20000", "--dump-dom",
)  # fmt: skip
SECONDS = 120
DEFAULT_PIXELS = 450
"""Pixels from top to bottom of a figure that states none."""
PAGE = """<!doctype html><meta charset="utf-8"><script>{plotly}</script><body><script>
Plotly.toImage({figure}, {options}).then(url => {{ document.body.textContent = "image " + url + " end" }})
</script></body>"""


def find_browser() -> str | None:
    """The Chromium that draws images: the one in INTERP_CHROMIUM, or the first that is installed."""
    if named := os.environ.get(VARIABLE):
        return named
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def draw(figure: "go.Figure", kind: str, *, width: int = 1000, scale: float = 2) -> bytes:
    """The figure as the bytes of a PNG or SVG file, so many pixels wide, times `scale` for a PNG."""
    if kind not in FORMATS:
        raise BadInput(f"expected an image of format {' or '.join(FORMATS)}; got {kind!r}")
    browser = find_browser()
    if browser is None:
        raise BadInput(
            f"expected Chromium to draw a {kind.upper()}, got none of {', '.join(BROWSERS)}: install it, name it in "
            f"{VARIABLE}, or save the figure as HTML"
        )
    layout: Any = figure.layout
    size = {"width": width, "height": layout.height or DEFAULT_PIXELS}
    options = {"format": kind, **size, "scale": scale if kind == "png" else 1}
    return _image_in(_dom_of(browser, _page(figure, options)))


def _page(figure: "go.Figure", options: dict[str, object]) -> str:
    from plotly.offline import get_plotlyjs

    own = (figure.to_json() or "{}").replace("<", "\\u003c")  # a text of the figure must not end the script
    return PAGE.format(plotly=get_plotlyjs(), figure=own, options=json.dumps(options))


def _dom_of(browser: str, page: str) -> str:
    """What the page holds after its scripts have run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figure.html"
        file.write_text(page)
        command = [browser, *FLAGS, f"--user-data-dir={folder}/profile", file.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BadInput(f"expected {browser} to draw a figure; got {error}: save the figure as HTML") from error
    return done.stdout


def _image_in(dom: str) -> bytes:
    image = re.search(r"image data:image/[\w+]+(;base64)?[^,]*,(.*?) end", dom, re.DOTALL)
    if image is None:
        raise BadInput("expected an image from Chromium, got none: save the figure as HTML")
    is_base64, data = image.groups()
    data = data.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return base64.b64decode(data) if is_base64 else unquote_to_bytes(data)
