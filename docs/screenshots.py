"""Pictures of the dashboard for the README and the docs: one of each view, written to docs/images.

    python docs/screenshots.py report.html
    python docs/screenshots.py report.html --feature 7 --rollout 12 --place features "v=features&sort=-c:2:3"

It needs Debian's Chromium and `pip install playwright`. Pictures have at most 256 colours, so that they stay small.
"""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from dashboard.browser import Visit, launched  # noqa: E402

IMAGES = Path(__file__).parent / "images"
LARGEST = 150_000
"""Bytes of a picture, at most."""
SETTLED = 3000
"""Milliseconds until all of a view is decoded and drawn."""
COLOURS = (256, 128, 64)
"""Sizes of the palette, in the order in which they are tried."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--feature", type=int, help="number of the latent that is shown")
    parser.add_argument("--rollout", type=int, default=0, help="row of the rollout that is shown")
    place = {"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", "ADDRESS")}
    parser.add_argument("--place", **place, help="another address for a picture")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        latent = first_latent(browser, options.report) if options.feature is None else options.feature
        other = dict(options.place)
        for name, address, dark in places(latent, options.rollout):
            address = other.get(name, address)
            visit = Visit(browser, options.report.resolve(), address, dark=dark)
            visit.page.wait_for_timeout(SETTLED)
            path = options.out / f"dashboard-{name}.png"
            path.write_bytes(small_png(visit.page.screenshot()))
            sys.stderr.write(f"{path}: {path.stat().st_size:,} bytes; {visit.faults or 'no fault'}\n")
            visit.close()


def places(latent: int, rollout: int) -> list[tuple[str, str, bool]]:
    """Name of the picture, address, and whether it is dark."""
    return [
        ("overview", "v=overview", False),
        ("overview-dark", "v=overview", True),
        ("features", "v=features", False),
        ("feature", f"v=feature&f={latent}", False),
        ("rollouts", f"v=rollouts&r={rollout}&by=activation&l={latent}", False),
        ("group", f"v=rollouts&r={rollout}&pane=group", False),
        ("compare", "v=compare", False),
        ("notes", "v=notes", False),
    ]


def first_latent(browser, report: Path) -> int:
    """The latent at the top of the table of features."""
    visit = Visit(browser, report.resolve(), "v=features")
    link = visit.page.locator("[role=grid] a[href*='v=feature&']").first
    latent = int(link.get_attribute("href").split("f=")[1].split("&")[0])
    visit.close()
    return latent


def small_png(png: bytes) -> bytes:
    """The picture with as many colours as fit into `LARGEST`."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in COLOURS:
        packed = io.BytesIO()
        image.quantize(colours, kmeans=2, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        if packed.tell() <= LARGEST:
            break
    return packed.getvalue()


if __name__ == "__main__":
    main()
