"""Headless Chromium for the dashboard: pages opened from disk without a network, that keep what went wrong in them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    from playwright.sync_api import expect
except ImportError:  # the fixture `browser` skips, and says why
    expect: Any = None

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
LOCAL = ("file:", "blob:", "data:", "about:")
"""Schemes that need no network."""
WITNESS = """
window.calls = [];
window.owned = (number) => { window.calls.push(`owned(${number})`); };
for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => { window.calls.push(name); };
"""
"""Put into every frame before its own scripts: what hostile strings would call."""
TIMEOUT = 15_000
"""Milliseconds to wait for an element: the machine may be busy."""


def chromium_path() -> str | None:
    """The system's Chromium."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing() -> str:
    """Why no browser test can run here; "" where they can."""
    if expect is None:
        return "playwright is not installed"
    return "" if chromium_path() else "no Chromium is installed"


@contextmanager
def launched() -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A report opened from disk. `page` is Playwright's; `faults` lists what must not happen."""

    def __init__(
        self, browser: Any, file: Path, address: str = "", *, dark: bool = False, width: int = 1280, height: int = 800,
        init: str = "", is_open: bool = True,
    ) -> None:  # fmt: skip
        self.file, self._url, self._faults = file, file.as_uri() + (f"#{address}" if address else ""), []
        self.context = browser.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": width, "height": height}, offline=True,
            accept_downloads=True, reduced_motion="reduce",
        )  # fmt: skip
        self.context.set_default_timeout(TIMEOUT)
        self.context.add_init_script(WITNESS + init)
        self.page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._faults.append(f"error: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("dialog", self._on_dialog)
        self.page.on("popup", lambda page: self._faults.append(f"popup: {page.url}"))
        if is_open:
            self.open()

    def open(self) -> None:
        self.page.goto(self._url)

    def go(self, address: str) -> None:
        """Follow a link to another place in the same page."""
        self.page.evaluate("hash => { location.hash = hash; }", address)

    def show(self, address: str) -> None:
        """Follow a link to a view, and wait until all that it decodes is there. The view must be shown."""
        self.go(address)
        main = self.page.locator("main")
        expect(main).to_have_attribute("data-view", address.split("&")[0].removeprefix("v="))
        expect(main.get_by_role("status").filter(has_text="…")).to_have_count(0)
        expect(main.get_by_role("alert")).to_have_count(0)

    @property
    def address(self) -> dict[str, str]:
        """The hash, as its parts."""
        return self.page.evaluate("() => Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")

    @property
    def faults(self) -> list[str]:
        """Console errors, requests that need a network, dialogs, and scripts that data started."""
        calls = [call for frame in self.page.frames for call in frame.evaluate("() => window.calls ?? []")]
        return [*self._faults, *(f"script ran: {call}" for call in calls)]

    def close(self) -> None:
        self.context.close()

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self._faults.append(f"console: {message.text}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith(LOCAL):
            self._faults.append(f"request: {request.url[:200]}")

    def _on_dialog(self, dialog: Any) -> None:
        self._faults.append(f"dialog: {dialog.message[:200]}")
        dialog.dismiss()
