"""A tiny demo, shared by all tests of the session: stopped twice, resumed, and finished."""

from pydoc import locate
from typing import Any

import pytest
from demo_fixtures import STOPS, TinyDemo, run_tiny, saved_files, stopped_at


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory: pytest.TempPathFactory) -> TinyDemo:
    out, stops = tmp_path_factory.mktemp("demo"), []
    for name, call in STOPS.items():
        function: Any = locate(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(name, stopped_at(call, function))
            stops.append((run_tiny(out), saved_files(out)))
    return TinyDemo(out, tuple(stops), run_tiny(out))
