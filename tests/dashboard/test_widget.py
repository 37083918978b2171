"""The dashboard in a notebook: the live widget gives names and notes back, and exported HTML is not blank."""

import base64
import html
import json
import sys
from pathlib import Path

import pytest

from dashboard.browser import expect
from dashboard.hostile import HOSTILE
from dashboard.synthetic import make_report
from interp.artifacts import BadInput
from interp.dashboard import Dashboard
from interp.dashboard import widget as widgets
from interp.dashboard.page import page

SMALL = {"features": 12, "rollouts": 20, "tokens": 12, "checkpoints": 3}
LIVE = ("JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "VSCODE_PID")
LAB_STYLES = """
.jp-OutputArea-output :is(dl, dt, dd) { display: block; padding: 0; margin: 0 }
.jp-OutputArea-output dl { width: 100%; overflow: hidden }
.jp-OutputArea-output dt { font-weight: bold; float: left; width: 20% }
.jp-OutputArea-output dd { float: left; width: 80% }
.jp-OutputArea-output pre { border: none; margin: 0; padding: 0; word-break: break-all; white-space: pre-wrap }
.jp-ThemedContainer a { text-decoration: unset; color: unset }
"""
"""What JupyterLab says of the elements of any output."""
HOST = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>host</title>
<style>{lab}</style><style>{css}</style></head><body>
<div class="jp-ThemedContainer"><div class="jp-OutputArea-output" id="cell"></div></div>
<script id="index" type="application/json">{index}</script>
<script id="chunks" type="application/json">{chunks}</script><script id="program" type="text/plain">{program}</script>
<script type="module">
const read = id => JSON.parse(document.getElementById(id).textContent);
const index = read("index"), chunks = {{}};
for (const [name, text] of Object.entries(read("chunks"))) {{
  const bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
  chunks[name] = new DataView(bytes.buffer);
}}
const values = {{ index, chunks, notes: index.notes }};
window.saved = [];
const model = {{
  get: name => values[name], set: (name, value) => {{ values[name] = value; }},
  save_changes: () => window.saved.push(JSON.stringify(values.notes)),
  on: () => {{}}, off: () => {{}}, send: () => {{}},
}};
const file = new Blob([document.getElementById("program").textContent], {{ type: "text/javascript" }});
const module = await import(URL.createObjectURL(file));
await module.default.render({{ model, el: document.getElementById("cell") }});
</script></body></html>"""
"""A page that hosts the widget as anywidget does: chunks are DataViews, and what is saved goes to the model."""


@pytest.fixture
def small():
    return make_report(**SMALL)


@pytest.fixture(autouse=True)
def no_front_end(monkeypatch):
    for name in LIVE:
        monkeypatch.delenv(name, raising=False)


# --- the widget in Python ------------------------------------------------------------------------------------------


def test_notes_saved_in_the_browser_come_back_to_python(small):
    pytest.importorskip("anywidget")
    notes = []
    live = widgets.make_widget(*small, on_notes=notes.append)
    live.set_state({"notes": {"7": {"name": "sums", "note": ""}}})  # what a message of the front end calls
    assert live.notes == {"7": {"name": "sums", "note": ""}}
    assert notes == [live.notes]


def test_names_given_in_the_widget_of_a_dashboard_are_its_notes(small):
    pytest.importorskip("anywidget")
    dashboard = Dashboard(*small)
    dashboard.widget().set_state({"notes": {"22": {"name": "carries", "note": ""}, "sets": []}})
    assert dashboard.notes[22].name == "carries"


def test_the_widget_is_the_program_of_the_page(small):
    pytest.importorskip("anywidget")
    live = widgets.make_widget(*small)
    assert live._esm == (widgets.STATIC / "dashboard.js").read_text(encoding="utf-8")
    assert live._css == (widgets.STATIC / "dashboard.css").read_text(encoding="utf-8")
    assert live.chunks == small[1]


def test_an_index_with_half_a_surrogate_pair_can_be_sent_to_a_front_end(small):
    pytest.importorskip("anywidget")
    index = {**small[0], "title": next(text for text in HOSTILE if "\ud83d" in text)}
    live = widgets.make_widget(index, small[1])
    assert "\ufffd" in live.index["title"]
    json.dumps(live.get_state()["index"], ensure_ascii=False).encode()


def test_without_anywidget_the_message_names_the_extra(small, monkeypatch):
    widgets._widget_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(BadInput, match=r"pip install 'interp\[notebook\]'"):
        widgets.make_widget(*small)


def test_an_output_holds_the_page_always_and_the_widget_only_beside_a_live_front_end(small, monkeypatch):
    pytest.importorskip("anywidget")
    view = "application/vnd.jupyter.widget-view+json"

    def bundle():
        return widgets.mimebundle("<p>page</p>", lambda: widgets.make_widget(*small))

    assert set(bundle()) == {"text/plain", "text/html"}
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    assert set(bundle()) == {"text/plain", "text/html", view}
    monkeypatch.setenv("VSCODE_PID", "1")
    assert set(bundle()) == {"text/plain", "text/html"}


def test_the_frame_holds_the_page_unchanged(small):
    text = page(*small)
    start = 'srcdoc="'
    inside = widgets.frame(text).split(start, 1)[1].rsplit('"', 1)[0]
    assert html.unescape(inside) == text and '"' not in inside


# --- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture
def host(visit, small, tmp_path):
    """The widget in the output of a cell."""
    index, chunks = small
    data = json.dumps({name: base64.b64encode(chunk).decode() for name, chunk in chunks.items()})
    program = (widgets.STATIC / "dashboard.js").read_text(encoding="utf-8").replace("</", "<\\/")
    css = (widgets.STATIC / "dashboard.css").read_text(encoding="utf-8")
    file = tmp_path / "host.html"
    text = HOST.format(
        lab=LAB_STYLES, css=css, index=json.dumps(index).replace("<", "\\u003c"), chunks=data, program=program
    )
    file.write_text(text, encoding="utf-8")
    return visit(file=file)


def test_the_program_runs_in_a_host_that_is_not_a_page_of_its_own(host):
    cell = host.page.locator("#cell")
    cell.get_by_role("link", name="Features").click()
    cell.get_by_role("grid").first.wait_for()
    assert host.page.url == host.file.as_uri()  # the address of a notebook is left alone
    cell.get_by_role("link", name="Names and notes").click()
    expect(cell.get_by_text("equals sign").first).to_be_attached()


def test_the_styles_of_a_notebook_do_not_reach_into_the_widget(host):
    cell = host.page.locator("#cell")
    terms = cell.locator("dl > div > :is(dt, dd)")
    for view in ("Overview", "Rollouts"):
        cell.get_by_role("link", name=view).click()
        if view == "Rollouts":
            cell.locator("[data-row]").first.get_by_role("gridcell").first.click()
        expect(terms.first).to_be_visible()
        assert set(terms.evaluate_all("all => all.map(each => getComputedStyle(each).float)")) == {"none"}


def test_an_exported_notebook_is_not_blank(visit, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    nbconvert = pytest.importorskip("nbconvert")
    pytest.importorskip("ipykernel")
    cell = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from dashboard.synthetic import make_report
from interp.dashboard import Dashboard
Dashboard(*make_report(**{SMALL!r}))"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    exporter = nbconvert.HTMLExporter(template_name="basic")
    file = tmp_path / "notebook.html"
    file.write_text("<!doctype html><meta charset=utf-8>" + exporter.from_notebook_node(notebook)[0], encoding="utf-8")
    opened = visit(file=file)
    frame = opened.page.frame_locator("iframe[title='interp dashboard']")
    frame.get_by_role("link", name="Rollouts").click()
    expect(frame.get_by_role("grid", name="Rollouts")).to_be_visible()
    frame.locator("[data-row]").first.get_by_role("gridcell").first.click()
    expect(frame.get_by_role("listbox").get_by_role("option").first).to_be_visible()
