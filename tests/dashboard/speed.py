"""How fast a large report is in a browser, measured by the page's own clock."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dashboard.browser import Visit

LARGE = {"features": 5_000, "checkpoints": 20, "buckets": 3, "rollouts": 5_000}
LONG = {"features": 60, "rollouts": 10, "tokens": 8_000}
"""Completions of thousands of tokens."""
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
SCROLL = """async (element, [step, count]) => {
  const gaps = [];
  let last = performance.now();
  for (let frame = 0; frame < count; frame++) {
    element.scrollTop += step;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    gaps.push(now - last);
    last = now;
  }
  return gaps;
}"""
"""Milliseconds between frames while a table is scrolled by `step` pixels at each of `count` frames."""
WHEEL, PAGE = 120, 700
"""Pixels of one notch of a wheel, and of a table in sight."""
FRAMES, PAGES = 90, 15


def measure(browser: Any, file: Path, repeats: int = 3) -> dict[str, float]:
    """Milliseconds until usable (median of visits), of a switch of colouring, of frames while scrolling.

    Beside the time on the clock stands the time that the page's main thread worked: other work on the machine changes
    it little.
    """
    opened = [_open(browser, file) for _ in range(repeats)]
    visit = Visit(browser, file, "v=features")
    work = Work(visit)
    try:
        grid = visit.page.locator("[role=grid]").first
        grid.locator("[role=gridcell]").first.wait_for()
        frames, frames_work = work.of(lambda: grid.evaluate(SCROLL, [WHEEL, FRAMES]))
        pages, pages_work = work.of(lambda: grid.evaluate(SCROLL, [PAGE, PAGES]))
        visit.show("v=rollouts&r=0")
        choices = visit.page.get_by_role("group", name="Colour tokens by").get_by_role("button").all()
        switches, switches_work = work.of(lambda: [choice.evaluate(SWITCH) for _ in range(2) for choice in choices])
        assert visit.faults == []
    finally:
        visit.close()
    numbers = {
        "usable_ms": statistics.median(wall for wall, _ in opened),
        "usable_work_ms": statistics.median(work for _, work in opened),
        "colouring_ms": statistics.median(switches),
        "slowest_colouring_ms": max(switches),
        "colouring_work_ms": switches_work / len(switches),
        "frame_ms": statistics.median(frames),
        "slowest_frame_ms": max(frames),
        "frame_work_ms": frames_work / FRAMES,
        "page_down_ms": statistics.median(pages),
        "page_down_work_ms": pages_work / PAGES,
    }
    return {name: round(number, 1) for name, number in numbers.items()}


def measure_long(browser: Any, file: Path) -> dict[str, float]:
    """How many tokens the longest rollout has, and milliseconds of a switch of its colouring."""
    visit = Visit(browser, file, "v=rollouts&sort=-tokens")
    try:
        row = visit.page.get_by_role("grid", name="Rollouts").locator("[data-row]").first
        row.get_by_role("gridcell").first.click()
        tokens = visit.page.get_by_role("listbox").get_by_role("option")
        tokens.first.wait_for()
        choices = visit.page.get_by_role("group", name="Colour tokens by").get_by_role("button").all()
        switches = [choice.evaluate(SWITCH) for _ in range(2) for choice in choices]
        numbers = {"tokens": tokens.count(), "colouring_ms": statistics.median(switches), "slowest_ms": max(switches)}
        assert visit.faults == []
    finally:
        visit.close()
    return numbers


class Work:
    """How long the main thread of a page has worked, in milliseconds."""

    def __init__(self, visit: Visit) -> None:
        self.session = visit.context.new_cdp_session(visit.page)
        self.session.send("Performance.enable")

    def so_far(self) -> float:
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return next(1000 * metric["value"] for metric in metrics if metric["name"] == "ThreadTime")

    def of(self, action: Callable[[], list[float]]) -> tuple[list[float], float]:
        before = self.so_far()
        return action(), self.so_far() - before


def _open(browser: Any, file: Path) -> tuple[float, float]:
    visit = Visit(browser, file, "v=features", init=FIRST_TABLE, is_open=False)
    try:
        work = Work(visit)
        visit.open()
        return visit.page.evaluate("() => window.usable"), work.so_far()
    finally:
        visit.close()
