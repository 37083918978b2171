"""Execute the notebooks, and keep outputs that are small and read on a code host: text, tables, and figures as images.

    python notebooks/execute.py              # all of them, in place: a few minutes each
    python notebooks/execute.py 3 5          # those whose names begin so
    python notebooks/execute.py --tiny --out build/notebooks    # seconds each; the notebooks stay as they are

Everything that they write lies below runs/notebooks. Figures and the dashboard are drawn by Chromium.
"""

import argparse
import base64
import html
import io
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import plotly.graph_objects as go
from nbclient import NotebookClient
from PIL import Image

from interp.images import draw, find_browser

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SECONDS = 3600
"""Time that one cell may take."""
PLOTLY = "application/vnd.plotly.v1+json"
ENVIRONMENT = {"PLOTLY_RENDERER": "plotly_mimetype", "POLARS_FMT_MAX_ROWS": "30", "CUDA_VISIBLE_DEVICES": ""}
COLOURS = 64
WIDTH, HEIGHT, MARGIN = 1280, 760, 120
"""Pixels of the picture of a dashboard, and those below it that Chromium may leave unpainted."""
FRAME = re.compile(r'<iframe[^>]*\bsrcdoc="([^"]*)"[^>]*></iframe>')
NOT_SHOWN = re.compile(r"<(style|script)\b.*?</\1>", re.DOTALL)
WARNING = re.compile(r"^.*?:\d+: (UserWarning: .*)$")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names; all notebooks if there are none")
    parser.add_argument("--tiny", action="store_true", help="with TINY = True")
    parser.add_argument("--out", type=Path, default=HERE, help="where the executed notebooks are written")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in find_notebooks(options.names):
        start = time.perf_counter()
        executed = run(path, tiny=options.tiny, cwd=HERE)
        clean(executed)
        target = options.out / path.name
        save(executed, target)
        os.write(2, f"{path.name}: {time.perf_counter() - start:.0f} s, {target.stat().st_size:,} bytes\n".encode())


def find_notebooks(names: list[str] | None = None) -> list[Path]:
    """The notebooks whose names begin with one of these, in order."""
    return [path for path in sorted(HERE.glob("*.ipynb")) if not names or path.name.startswith(tuple(names))]


def run(path: Path, *, tiny: bool, cwd: Path) -> Any:
    """The notebook with the outputs of a new kernel in the directory `cwd`. An error in a cell is raised."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if tiny and "parameters" in cell.metadata.get("tags", ()):
            cell.source = cell.source.replace("TINY = False", "TINY = True")
    resources = {"metadata": {"path": str(cwd)}}
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources)
    client.execute(env=os.environ | ENVIRONMENT)
    return notebook


def save(notebook: Any, path: Path) -> None:
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# --- outputs ---------------------------------------------------------------------------------------------------------


def clean(notebook: Any) -> None:
    """Keep of every output what reads without a kernel and without scripts, and no trace of this machine."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cleaned = [clean_output(output) for output in cell.outputs]
            cell.outputs = join_streams([output for output in cleaned if output is not None])


def join_streams(outputs: list[Any]) -> list[Any]:
    """Outputs in which what was printed in several parts is one."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last is not None and output.output_type == "stream" and output.get("name") == last.get("name"):
            last.text += output.text
        else:
            joined.append(output)
    return joined


def clean_output(output: Any) -> Any:
    if output.output_type == "stream":
        text = output.text if output.name == "stdout" else warnings_in(output.text)
        output.text = without_paths(text)
        return output if text else None
    if output.output_type == "error":
        return output
    output.data = nbformat.from_dict(clean_data(output.data))
    output.metadata = {}
    return output


def clean_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """A figure and a dashboard become images; tables stay."""
    page = data.get("text/html", "")
    if PLOTLY in data:
        figure = go.Figure({name: data[PLOTLY][name] for name in ("data", "layout")})
        return {"image/png": encoded(small(draw(figure, "png", scale=1.5))), "text/plain": "Figure"}
    if frame := FRAME.search(page):
        return {"image/png": encoded(small(photograph(html.unescape(frame[1])), HEIGHT)), "text/plain": "Dashboard"}
    kept = {"text/plain": without_paths(data.get("text/plain", ""))}
    return kept | ({"text/html": without_paths(NOT_SHOWN.sub("", page))} if page else {})


def warnings_in(text: str) -> str:
    """The warnings in what was written to stderr, without the files that they came from; not the progress bars."""
    found = [match[1] for line in re.split(r"[\r\n]", text) if (match := WARNING.match(line))]
    return "".join(f"{line}\n" for line in dict.fromkeys(found))


def without_paths(text: str) -> str:
    return text.replace(str(ROOT), "..").replace(str(Path.home()), "~")


# --- images ----------------------------------------------------------------------------------------------------------


def photograph(page: str) -> bytes:
    """A page as Chromium shows it, as PNG."""
    browser = find_browser()
    if browser is None:
        raise SystemExit("expected Chromium to draw the dashboard, got none: install it")
    with tempfile.TemporaryDirectory() as folder:
        file, image = Path(folder) / "page.html", Path(folder) / "page.png"
        file.write_text(page, encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=15000"]
        flags += [f"--user-data-dir={folder}/profile", f"--screenshot={image}"]
        flags += [f"--window-size={WIDTH},{HEIGHT + MARGIN}"]
        subprocess.run([browser, *flags, file.as_uri()], capture_output=True, timeout=300, check=True)
        return image.read_bytes()


def small(png: bytes, height: int | None = None) -> bytes:
    """The picture, or so many lines of it, with few colours."""
    packed = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image = image.crop((0, 0, image.width, height or image.height))
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()


if __name__ == "__main__":
    main()
