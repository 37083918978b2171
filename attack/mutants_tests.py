"""Which tests execute which line: one run of the tests under coverage, with a context for each test.

What a fixture shared by several tests executes counts for each of them; caches are emptied before each test, so that
the second test that calls a cached function executes it too. A test that starts a process counts as executing every
line of its room.
"""

import functools
import json
import multiprocessing.process
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attack.mutants_draw import EXPORTS

SLOW = 0.3
"""Seconds from which a test runs after all others."""
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore", "--tb=line", "--no-header")


@dataclass
class TestMap:
    """The tests that passed without a mutant: their seconds, and for each file and line those that execute it."""

    __test__ = False
    seconds: dict[str, float] = field(default_factory=dict)
    starts_processes: list[str] = field(default_factory=list)
    lines: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(vars(self)))

    @classmethod
    def load(cls, path: Path) -> "TestMap":
        return cls(**json.loads(path.read_text()))

    def tests_of(self, mutant: Any, tree: Path, seconds: float) -> list[str]:
        """The tests of a mutant: those of its own room, or if none executes it, of the others; the fast ones first, and
        no more than run in `seconds`."""
        by_line = self.lines.get(mutant.file, {})
        tests = {test for line in mutant.lines for test in by_line.get(str(line), ())}
        if mutant.at_import and mutant.names or not tests:
            tests |= {test for tests_of_line in by_line.values() for test in tests_of_line}
            tests |= self._tests_that_name(mutant.names, tree)
        own = f"tests/{mutant.room}/"
        tests |= {test for test in self.starts_processes if test.startswith(own)}
        if EXPORTS not in mutant.names:  # those are tested for all rooms together
            tests = {test for test in tests if test.startswith(own)} or tests
        by_file: dict[str, float] = defaultdict(float)
        for test in tests:
            by_file[_file_of(test)] += self.seconds[test]

        def order(test: str) -> tuple[bool, float, str, float]:
            file = _file_of(test)
            return self.seconds[test] > SLOW, by_file[file], file, self.seconds[test]

        chosen, total = list[str](), 0.0
        for test in sorted(tests, key=order):
            total += self.seconds[test]
            if total > seconds and chosen:
                break
            chosen.append(test)
        return chosen

    def _tests_that_name(self, names: tuple[str, ...], tree: Path) -> set[str]:
        """Tests that execute a line with one of the names, or have one in their file."""
        if not names:
            return set()
        word = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
        tests: set[str] = set()
        for file, by_line in self.lines.items():
            rows = (tree / file).read_text().splitlines()
            for line, tests_of_line in by_line.items():
                if word.search(rows[int(line) - 1]):
                    tests |= set(tests_of_line)
        with_name = {file for file in map(_file_of, self.seconds) if word.search((tree / file).read_text())}
        return tests | {test for test in self.seconds if _file_of(test) in with_name}


def _file_of(test: str) -> str:
    return test.split("::")[0]


# --- the run under coverage ----------------------------------------------------------------------------------------


class Recorder:
    """A pytest plugin: switches coverage's context, measures seconds, and notes who starts processes."""

    def __init__(self, coverage: Any) -> None:
        self.coverage, self.stack = coverage, ["(none)"]
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        self.passed: set[str] = set()
        self.processes: set[str] = set()
        self.fixtures: dict[str, list[str]] = {}
        self.current = ""
        note = self._note_process
        multiprocessing.process.BaseProcess.start = _before(multiprocessing.process.BaseProcess.start, note)
        subprocess.Popen.__init__ = _before(subprocess.Popen.__init__, note)
        os.fork = _before(os.fork, note)

    def _note_process(self) -> None:
        self.processes.add(self.current)

    def _switch(self, context: str) -> None:
        self.coverage.switch_context(context)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        _empty_caches()
        self.current = item.nodeid
        shared = {}
        for name in getattr(item, "fixturenames", ()):
            for definition in item.session._fixturemanager.getfixturedefs(name, item) or ():
                if definition.scope != "function":
                    shared[_fixture_context(definition)] = None
        self.fixtures[item.nodeid] = list(shared)
        self.stack = [item.nodeid]
        self._switch(item.nodeid)
        start = time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - start

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        if fixturedef.scope == "function":
            return (yield)
        self.stack.append(_fixture_context(fixturedef))
        self._switch(self.stack[-1])
        try:
            return (yield)
        finally:
            self.stack.pop()
            self._switch(self.stack[-1])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        if report.failed:
            self.failed.add(report.nodeid)


def _fixture_context(definition: Any) -> str:
    return f"fixture {definition.baseid} {definition.argname}"


def _before(function: Callable[..., Any], note: Callable[[], None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        note()
        return function(*args, **kwargs)

    return wrapped


def _empty_caches() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith(("interp", "tests", "test_")) or name.endswith(("_fixtures", "conftest")):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def record_tests(tree: Path, folders: list[str], basetemp: Path, out: Path) -> None:
    """Run the tests of a tree, which is the working directory, and write their map. For a child that has not imported
    the package."""
    import coverage

    cover = coverage.Coverage(data_file=None, source=[str(tree / "interp")], config_file=False, messages=False)
    recorder = Recorder(cover)
    cover.start()
    options = [option for option in OPTIONS if option != "-x"]
    pytest.main([*options, f"--rootdir={tree}", f"--basetemp={basetemp}", *folders], plugins=[recorder])
    cover.stop()
    tests = sorted(recorder.passed - recorder.failed)
    by_context: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        by_context[test].append(test)
        for context in recorder.fixtures[test]:
            by_context[context].append(test)
    test_map = TestMap({test: recorder.seconds[test] for test in tests}, sorted(recorder.processes & set(tests)))
    data = cover.get_data()
    for file in data.measured_files():
        by_line = {}
        for line, contexts in data.contexts_by_lineno(file).items():
            if users := sorted({test for context in contexts for test in by_context.get(context, ())}):
                by_line[str(line)] = users
        test_map.lines[str(Path(file).relative_to(tree))] = by_line
    test_map.save(out)
