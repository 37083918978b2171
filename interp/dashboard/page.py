"""A report as one HTML file that opens offline: index, chunks, style and program inside, nothing fetched.

The program is the front-end module that notebooks run too. A few lines hand it a model that lives in the page. The
page's policy (CSP) lets nothing else run, and nothing be loaded. Strings from data stand in a script element of JSON
alone, in which no character can end the element.
"""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput
from interp.dashboard.report import as_text

STATIC = Path(__file__).parent / "static"
PROGRAM, STYLE = "dashboard.js", "dashboard.css"
ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""Signs of JSON that are written out inside a script element."""
ENDS = re.compile("<(/(?=script|style)|!--)", re.IGNORECASE)
"""What would end a script or style element, or begin a comment in it. A backslash inside changes no string."""
BOOT = """
const text = (id) => document.getElementById(id).textContent;
const index = JSON.parse(text("report-index"));
const chunks = new Proxy({}, {
  get: (_, name) => typeof name === "string"
    ? document.querySelector(`script[data-chunk="${CSS.escape(name)}"]`)?.textContent : undefined,
});
const values = { index, chunks, notes: undefined };
const key = `interp notes: ${index.title}`;
try { values.notes = JSON.parse(localStorage.getItem(key) ?? "null") ?? undefined; } catch { /* no storage */ }
values.notes ??= index.notes;
const listeners = new Map();
const model = {
  get: (name) => values[name],
  set: (name, value) => {
    values[name] = value;
    for (const event of ["change", `change:${name}`]) for (const call of listeners.get(event) ?? []) call();
  },
  save_changes: () => { try { localStorage.setItem(key, JSON.stringify(values.notes)); } catch { /* no storage */ } },
  on: (event, call) => listeners.set(event, [...(listeners.get(event) ?? []), call]),
  off: (event, call) => listeners.set(event, (listeners.get(event) ?? []).filter((one) => call && one !== call)),
  send: () => {},
};
const el = document.getElementById("report");
const url = URL.createObjectURL(new Blob([text("report-program")], { type: "text/javascript" }));
try {
  const program = await import(url);
  await program.default.render({ model, el });
} catch (error) {
  el.textContent = `This report cannot be drawn by this browser: ${error}`;
  throw error;
} finally {
  URL.revokeObjectURL(url);
}
"""
"""What runs in the page: a model of six methods over what the page holds, and the front-end module that draws it."""


def page(index: Mapping[str, Any], chunks: Mapping[str, bytes], *, static: Path = STATIC) -> str:
    """The whole file as text."""
    program, style = (_static_file(static, name) for name in (PROGRAM, STYLE))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{content_policy()}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{html.escape(whole_characters(index['title']))}</title>",
        f"<style>{_without_end(style)}</style></head>",
        '<body><div id="report"><noscript>This report needs JavaScript. It loads nothing.</noscript></div>',
        f'<script type="application/json" id="report-index">{as_text(index).translate(ESCAPES)}</script>',
        *(
            f'<script type="text/plain" data-chunk="{html.escape(name)}">{base64.b64encode(chunk).decode()}</script>'
            for name, chunk in chunks.items()
        ),
        f'<script type="text/plain" id="report-program">{_without_end(program)}</script>',
        f'<script type="module">{BOOT}</script>',
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def content_policy() -> str:
    """The Content-Security-Policy of the page: its own program and style, and pictures that it draws itself."""
    digest = base64.b64encode(hashlib.sha256(BOOT.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{digest}' blob:",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def whole_characters(text: str) -> str:
    """The text with halves of a surrogate pair replaced, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _static_file(static: Path, name: str) -> str:
    file = static / name
    if not file.is_file():
        raise BadInput(
            f"{file}: expected the front-end of the dashboard, got no such file: install interp again, or build it "
            "(npm run build in interp/dashboard/frontend)"
        )
    return file.read_text(encoding="utf-8")


def _without_end(text: str) -> str:
    """Program or style in which nothing ends the element around it."""
    return ENDS.sub(r"<\\\1", text)
