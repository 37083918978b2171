"""How fast a large report is in a browser, measured by the page's own clock."""

import statistics
from pathlib import Path
from typing import Any

from dashboard.browser import Visit

LARGE = {"features": 5_000, "checkpoints": 20, "buckets": 3, "rollouts": 5_000}
FIRST_TABLE = """
window.usable = new Promise(done => {
  const look = () => {
    if (!document.querySelector('[role=grid] [role=gridcell]')) requestAnimationFrame(look);
    else requestAnimationFrame(() => setTimeout(() => done(performance.now())));
  };
  requestAnimationFrame(look);
});
"""
"""Milliseconds until the first table stands, is drawn, and the page is free for the user."""
SWITCH = """async (element) => {
  const drawn = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  await drawn();
  const start = performance.now();
  element.click();
  await drawn();
  return performance.now() - start;
}"""
"""Milliseconds from a click until the frame after it is drawn."""
SCROLL = """async (element) => {
  const gaps = [];
  let last = performance.now();
  for (let step = 0; step < 90; step++) {
    element.scrollTop += 700;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  return gaps;
}"""
"""Milliseconds between frames while a table is scrolled, 27 rows at each frame."""


def measure(browser: Any, file: Path, repeats: int = 3) -> dict[str, float]:
    """Milliseconds: until usable (median of visits), a switch of colouring (median, slowest), frames of a scroll."""
    opened = [_open(browser, file) for _ in range(repeats)]
    visit = Visit(browser, file, "v=features")
    try:
        visit.page.locator("[role=grid] [role=gridcell]").first.wait_for()
        frames = sorted(visit.page.locator("[role=grid]").first.evaluate(SCROLL))
        visit.go("v=rollouts&r=0")
        switches = _switches(visit)
        assert visit.faults == []
    finally:
        visit.close()
    return {
        "usable_ms": round(statistics.median(opened)),
        "colouring_ms": round(statistics.median(switches), 1),
        "slowest_colouring_ms": round(max(switches), 1),
        "frame_95_ms": round(frames[int(0.95 * len(frames))], 1),
        "slowest_frame_ms": round(frames[-1], 1),
    }


def _open(browser: Any, file: Path) -> float:
    visit = Visit(browser, file, "v=features", init=FIRST_TABLE)
    try:
        return visit.page.evaluate("() => window.usable")
    finally:
        visit.close()


def _switches(visit: Visit) -> list[float]:
    """One time for each colouring; those used a first time, whose values are decoded then, are counted too."""
    choices = visit.page.get_by_role("group", name="Colour tokens by").get_by_role("button")
    choices.first.wait_for()
    return [choices.nth(index).evaluate(SWITCH) for _ in range(2) for index in range(choices.count())]
