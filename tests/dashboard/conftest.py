"""One browser for all tests, reports written once, and visits that fail their test if anything went wrong in them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.browser import Visit, launched, missing
from dashboard.synthetic import write_page


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if reason := missing():
        pytest.skip(reason)
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a synthetic report, once for the same arguments: `report(features=20, hostile=True)`."""
    folder, files = tmp_path_factory.mktemp("reports"), {}

    def write(**options: Any) -> Path:
        key = repr(sorted(options.items()))
        if key not in files:
            files[key] = write_page(folder / f"{len(files)}.html", **options)
        return files[key]

    return write


@pytest.fixture
def visit(browser: Any, report: Callable[..., Path]) -> Iterator[Callable[..., Visit]]:
    """Opens a report: `visit("v=features", dark=True, features=20)`. At the end nothing may have gone wrong in it."""
    visits = []

    def open_report(address: str = "", *, dark: bool = False, file: Path | None = None, **options: Any) -> Visit:
        visits.append(Visit(browser, file or report(**options), address, dark=dark))
        return visits[-1]

    yield open_report
    faults = [fault for each in visits for fault in each.faults]
    for each in visits:
        each.close()
    assert faults == []


@pytest.fixture(scope="module")
def plain(browser: Any, report: Callable[..., Path]) -> Iterator[Visit]:
    """A plain report that the tests of a file share: each begins with `plain.go(...)`."""
    shared = Visit(browser, report())
    yield shared
    faults = shared.faults
    shared.close()
    assert faults == []
