"""The dashboard in Chromium: how soon it can be used, how long a switch of colouring takes, how even scrolling is.

The report is synthetic: 5,000 latents, 20 checkpoints, 3 buckets, 5,000 rollouts of up to 40 tokens. The page is opened
from disk and timed by its own clock; `work` is the time that its main thread was busy, which other work on the machine
changes little, and `load` what else ran. It needs Debian's Chromium and `pip install playwright`.

    python benchmarks/dashboard.py
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from common import RESULTS, provenance

from interp.artifacts import versions, write_json
from interp.display import text_columns

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from dashboard.browser import launched  # pyright: ignore[reportMissingImports]  # noqa: E402
from dashboard.speed import LARGE, measure  # pyright: ignore[reportMissingImports]  # noqa: E402
from dashboard.synthetic import write_page  # pyright: ignore[reportMissingImports]  # noqa: E402

LIMITS = {"usable_ms": 1500, "colouring_ms": 50, "frame_ms": 100, "page_down_ms": 100}
"""What the dashboard promises."""


@dataclass(frozen=True)
class Config:
    repeats: int = 5
    """Visits; the time until usable is their median."""


def main(config: Config) -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        file = write_page(Path(folder) / "report.html", **LARGE)
        numbers = measure(browser, file, config.repeats)
        result = {
            "name": "dashboard",
            **provenance(torch.device("cpu")),
            "versions": versions("interp", "playwright") | {"chromium": browser.version},
            "report": LARGE | {"bytes": file.stat().st_size},
            "limits": LIMITS,
            "load": round(load, 1),
            **numbers,
        }
    write_json(RESULTS / "dashboard.json", result)
    print(text_columns(["measure", "ms", "limit"], [[name, numbers[name], LIMITS.get(name, "")] for name in numbers]))


if __name__ == "__main__":
    main(tyro.cli(Config))
