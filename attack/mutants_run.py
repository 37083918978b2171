"""Run the tests of one mutant after another, each in a forked child of a process that has imported and collected all.

The mutant is also written into a clone of the tree, for the processes that tests start. The clone's compiled files
carry the hash of their source, so that a mutant of the same size and second is not mistaken for the original.
"""

import compileall
import contextlib
import gc
import inspect
import json
import multiprocessing
import os
import py_compile
import resource
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attack.mutants_draw import Mutant
from attack.mutants_tests import OPTIONS, TestMap, record_tests

TIMES_UNMUTATED, LEAST_SECONDS = 5, 20.0
"""A child may take five times as long as its tests do without a mutant, and at least twenty seconds."""
GIGABYTES = 8
NO_TESTS = int(pytest.ExitCode.NO_TESTS_COLLECTED)
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"


@dataclass(frozen=True)
class Outcome:
    """How the tests ended: killed (by which test), survived, or timed out."""

    outcome: str
    by: str
    seconds: float
    tests: int


def prepare_clone(checkout: Path, scratch: Path, commit: str) -> Path:
    """A clone of a commit, with its compiled files."""
    tree = scratch / "tree"
    subprocess.run(["git", "clone", "-q", str(checkout), str(tree)], check=True)
    subprocess.run(["git", "checkout", "-q", commit], cwd=tree, check=True)
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(tree / "interp", quiet=2, invalidation_mode=mode)
    return tree


def warm(tree: Path) -> None:
    """Import the libraries, none of the package, and work in the clone from now on."""
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "TOKENIZERS_PARALLELISM": "false"}
    sys.dont_write_bytecode = True
    import beartype  # noqa: F401
    import coverage  # noqa: F401
    import hypothesis.strategies  # noqa: F401
    import jaxtyping  # noqa: F401
    import math_verify  # noqa: F401
    import peft  # noqa: F401
    import plotly.graph_objects  # noqa: F401
    import polars  # noqa: F401
    import sae_lens  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch
    import transformer_lens  # noqa: F401
    import tyro  # noqa: F401
    from transformers import PreTrainedTokenizerFast  # noqa: F401
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    from transformers.models.llama import modeling_llama  # noqa: F401
    from transformers.models.qwen2 import modeling_qwen2  # noqa: F401
    from transformers.models.qwen3 import modeling_qwen3  # noqa: F401

    get_checkpoint_conversion_mapping("qwen3")  # half a second, the first time a process saves a model
    torch.set_num_threads(1)
    os.chdir(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(tree)))]
    gc.collect()
    gc.freeze()


def in_child(work: Callable[[], int], seconds: float, log: Path) -> int | None:
    """The exit code of a forked child that runs `work` in a session of its own, or None if its time ran out."""
    child = os.fork()
    if not child:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        resource.setrlimit(resource.RLIMIT_DATA, (GIGABYTES << 30, GIGABYTES << 30))
        code = 70
        try:
            code = work()
        finally:
            os._exit(code)
    end, status = time.monotonic() + seconds, None
    while status is None and time.monotonic() < end:
        done, code = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if done else None
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # the processes that a test has left as well
    if status is None:
        os.waitpid(child, 0)
    return status


def map_tests(tree: Path, folders: list[str], scratch: Path, cached: Path) -> TestMap:
    """The map of the tree's tests, from `cached` if it is there."""
    if not cached.exists():

        def record() -> int:
            record_tests(tree, folders, scratch / "basetemp", cached)
            return 0

        if in_child(record, 1800, scratch / "map.log") != 0:
            raise SystemExit((scratch / "map.log").read_text()[-3000:])
    return TestMap.load(cached)


# --- one mutant ----------------------------------------------------------------------------------------------------


class Runner:
    """A pytest plugin that collects the tests once and then, in place of running them, calls `work(self)`, which runs
    one mutant after another in forked children.

    A change inside a function is made in the child, by replacing the function's code. A change that takes effect at
    import needs a child that has not imported the package: it is forked from `Unimported`, a process that stays behind.
    """

    def __init__(self, scratch: Path, work: Callable[["Runner"], None]) -> None:
        self.scratch, self.tree, self.note, self.work = scratch, scratch / "tree", scratch / "failed", work
        self.unimported = Unimported(scratch)
        self.items: dict[str, pytest.Item] = {}
        self.functions: dict[tuple[str, str, int], list[types.FunctionType]] = {}

    def start(self, folders: list[str]) -> None:
        pytest.main([*options_of(self.scratch), *folders], plugins=[self])

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        for function in gc.get_objects():
            if type(function) is types.FunctionType and function.__code__.co_filename.startswith(str(self.tree)):
                self.functions.setdefault(_place_of(function.__code__), []).append(function)
        gc.freeze()
        self.work(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        note_failure(report, self.note)

    def run(self, mutant: Mutant, text: str | None, tests: list[str], seconds: float) -> Outcome:
        """Run the tests with the file's text replaced, or as it is if that is None (a control). `seconds` is what the
        tests take without a mutant."""
        file, started = self.tree / mutant.file, time.monotonic()
        if not tests:
            return Outcome(SURVIVED, "no test executes it", 0.0, 0)
        self.note.unlink(missing_ok=True)
        original, limit = file.read_text(), max(LEAST_SECONDS, TIMES_UNMUTATED * seconds)
        try:
            file.write_text(original if text is None else text)
            new_code = {} if text is None or mutant.at_import else self._changed_functions(file, text)
            if new_code or text is None:
                code = in_child(lambda: self._run_items(tests, new_code), limit, self.scratch / "mutant.log")
            else:
                code = self.unimported.run(tests, limit)
        finally:
            file.write_text(original)
        took = round(time.monotonic() - started, 2)
        if code is None:
            return Outcome(TIMED_OUT, "", took, len(tests))
        if code in (0, NO_TESTS):
            return Outcome(SURVIVED, "", took, len(tests))
        by = self.note.read_text() if self.note.exists() else f"exit code {code}"
        return Outcome(KILLED, by, took, len(tests))

    def _changed_functions(self, file: Path, text: str) -> dict[tuple[str, str, int], types.CodeType]:
        """The code of every function outside functions that differs from the one that was imported."""
        changed = {}
        for code in _outer_functions(compile(text, str(file), "exec")):
            place = _place_of(code)
            if any(function.__code__ != code for function in self.functions.get(place, ())):
                changed[place] = code
        return changed

    def _run_items(self, tests: list[str], new_code: dict[tuple[str, str, int], types.CodeType]) -> int:
        for place, code in new_code.items():
            for function in self.functions[place]:
                function.__code__ = code
        items = [self.items[test] for test in tests if test in self.items]
        if not items:
            return NO_TESTS
        factory: Any = items[0].config._tmp_path_factory  # type: ignore[attr-defined]
        factory._given_basetemp, factory._basetemp = self.scratch / "basetemp", None
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.note.exists():
                return 1
        return 0


def _outer_functions(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of functions of a module and of its classes, without those inside functions."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & inspect.CO_OPTIMIZED:
                yield constant
            else:
                yield from _outer_functions(constant)


def _place_of(code: types.CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def options_of(scratch: Path) -> list[str]:
    return [*OPTIONS, f"--rootdir={scratch / 'tree'}", f"--basetemp={scratch / 'basetemp'}"]


def note_failure(report: pytest.TestReport, note: Path) -> None:
    if report.failed and not note.exists():
        note.write_text(report.nodeid)


class Unimported:
    """A process that has imported the libraries and none of the package, and forks a child for each mutant."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.connection, other = multiprocessing.Pipe()
        self.process = os.fork()
        if not self.process:
            self.connection.close()
            with contextlib.suppress(EOFError):
                while True:
                    tests, limit = other.recv()
                    other.send(in_child(lambda tests=tests: self._run(tests), limit, scratch / "mutant.log"))
            os._exit(0)
        other.close()

    def run(self, tests: list[str], limit: float) -> int | None:
        self.connection.send((tests, limit))
        return self.connection.recv()

    def _run(self, tests: list[str]) -> int:
        files = list(dict.fromkeys(test.split("::")[0] for test in tests))
        return int(pytest.main([*options_of(self.scratch), *files], plugins=[Selection(tests, self.scratch)]))


class Selection:
    """A pytest plugin: runs the given tests alone, in their order, and notes the first that fails."""

    def __init__(self, tests: list[str], scratch: Path) -> None:
        self.place = {test: i for i, test in enumerate(tests)}
        self.tree, self.note = scratch / "tree", scratch / "failed"

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        package = sys.modules.get("interp")
        assert package is None or str(package.__file__).startswith(str(self.tree)), package
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda item: self.place[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        note_failure(report, self.note)


def append_line(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        handle.write(json.dumps(record) + "\n")
