"""The dashboard in a notebook: a widget whose names and notes come back to Python, and a frame that needs no kernel.

A widget is alive only beside a kernel and a front end that has its files: exported HTML and some viewers show nothing
in its place. So every notebook output holds the frame, which is the static page whole, and a widget view stands above
it only where a Jupyter server or Colab is there to draw it. Without one (nbconvert, nbclient) the state of a widget
would be saved into the notebook, and the exported page would ask the network for the widget's files.
"""

import html
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput

STATIC = Path(__file__).parent / "static"
FRAME_HEIGHT = 720
"""Height in pixels of a dashboard in a notebook."""


def make_widget(
    index: Mapping[str, Any], chunks: Mapping[str, bytes], on_notes: Callable[[dict[str, Any]], None] | None = None
) -> Any:
    """The live widget (anywidget). `widget.notes` holds names and notes as last saved; `on_notes` is given them."""
    index = _without_lone_surrogates(index)
    widget = _widget_class()(index=index, chunks=dict(chunks), notes=index["notes"])
    if on_notes is not None:
        widget.observe(lambda change: on_notes(change["new"]), names="notes")
    return widget


@cache
def _widget_class() -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise BadInput("a live widget needs anywidget: pip install 'interp[notebook]'") from error

    class DashboardWidget(anywidget.AnyWidget):
        """The front end of the static page, on the model of a notebook."""

        _esm = (STATIC / "dashboard.js").read_text(encoding="utf-8")
        _css = (STATIC / "dashboard.css").read_text(encoding="utf-8")
        index = traitlets.Dict().tag(sync=True)
        chunks = traitlets.Dict().tag(sync=True)
        notes = traitlets.Dict().tag(sync=True)

    return DashboardWidget


def _without_lone_surrogates(index: Mapping[str, Any]) -> dict[str, Any]:
    """The index as a kernel's messages can carry it, in UTF-8: half of a surrogate pair becomes U+FFFD."""
    text = json.dumps(index, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def frame(page: str, pixels: int = FRAME_HEIGHT) -> str:
    """The static page inside an `<iframe>`, which has no access to the notebook around it."""
    style = f"width:100%;height:{pixels}px;border:1px solid #8884;border-radius:4px"
    sandbox = "allow-scripts allow-downloads allow-popups allow-modals"
    return (
        f'<iframe title="interp dashboard" sandbox="{sandbox}" style="{style}" srcdoc="{html.escape(page)}"></iframe>'
    )


def mimebundle(page: str, widget: Callable[[], Any]) -> dict[str, Any]:
    """What a notebook shows: the frame always, and above it the view of `widget()` where it can be alive."""
    bundle: dict[str, Any] = {"text/plain": "interp dashboard", "text/html": frame(page)}
    if has_live_front_end() and importlib.util.find_spec("anywidget"):
        view = widget()._repr_mimebundle_()
        bundle = (view[0] if isinstance(view, tuple) else view or {}) | bundle
    return bundle


def has_live_front_end() -> bool:
    """Whether a Jupyter server or Colab started this kernel. VS Code would load a widget's files from the network."""
    is_code = any(name.startswith("VSCODE_") for name in os.environ)
    return not is_code and bool({"JPY_SESSION_NAME", "COLAB_RELEASE_TAG"} & set(os.environ))
