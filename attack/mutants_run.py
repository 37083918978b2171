"""Run the tests of one mutant after another, each in a forked child of a process that has imported the libraries.

The mutant is written into a clone of the tree, for the children and for the processes that tests start. The clone's
compiled files carry the hash of their source, so that a mutant of the same size and second is not mistaken for the
original.
"""

import compileall
import contextlib
import gc
import json
import os
import py_compile
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attack.mutants_draw import Mutant
from attack.mutants_tests import OPTIONS, TestMap, record_tests

TIMES_UNMUTATED, LEAST_SECONDS = 5, 20.0
"""A child may take five times as long as its tests do without a mutant, and at least twenty seconds."""
GIGABYTES = 8
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


class Selection:
    """A pytest plugin: runs the given tests alone, in their order, and notes the first that fails."""

    def __init__(self, tests: list[str], tree: Path, note: Path) -> None:
        self.place = {test: i for i, test in enumerate(tests)}
        self.tree, self.note = tree, note

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        package = sys.modules.get("interp")
        assert package is None or str(package.__file__).startswith(str(self.tree)), package
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda item: self.place[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.note.exists():
            self.note.write_text(report.nodeid)


def run_mutant(mutant: Mutant, text: str | None, tests: list[str], test_map: TestMap, scratch: Path) -> Outcome:
    """Run the tests with the file's text replaced, or as it is if that is None (a control)."""
    tree, note = scratch / "tree", scratch / "failed"
    file, started = tree / mutant.file, time.monotonic()
    if not tests:
        return Outcome(SURVIVED, "no test executes it", 0.0, 0)
    note.unlink(missing_ok=True)
    original = file.read_text()
    limit = max(LEAST_SECONDS, TIMES_UNMUTATED * sum(test_map.seconds[test] for test in tests))
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    options = [*OPTIONS, f"--rootdir={tree}", f"--basetemp={scratch / 'basetemp'}"]
    try:
        file.write_text(original if text is None else text)
        code = in_child(
            lambda: int(pytest.main([*options, *files], plugins=[Selection(tests, tree, note)])),
            limit,
            scratch / "mutant.log",
        )
    finally:
        file.write_text(original)
    seconds = round(time.monotonic() - started, 2)
    if code is None:
        return Outcome(TIMED_OUT, "", seconds, len(tests))
    if code == 0:
        return Outcome(SURVIVED, "", seconds, len(tests))
    by = note.read_text() if note.exists() else "import" if code in (1, 2, 4) else f"exit code {code}"
    return Outcome(KILLED, by, seconds, len(tests))


def append_line(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        handle.write(json.dumps(record) + "\n")
