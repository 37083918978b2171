"""Run a function in a forked child, with a limit on its time and its memory, and say how it ended.

The parent has imported everything, so a child starts in a few milliseconds. It must not have used polars or more than
one thread of torch before: their threads do not survive a fork.
"""

import contextlib
import ctypes
import json
import math
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 30.0
"""Seconds of the processor after which a child counts as hanging: what it does takes a second or two."""
WAITING = 4
"""A child that waits for something counts as hanging after so many times that time."""
MEGABYTES = 3000
"""Memory that a child may take beyond what it starts with."""


@dataclass(frozen=True)
class Ending:
    """How a child ended."""

    code: int | None
    """Its exit code; the number of a signal below zero; None if it had to be stopped."""
    value: Any = None
    """What the function returned, as JSON."""
    error: str = ""
    """The class of the exception that left the function."""
    message: str = ""
    output: str = ""
    """What it wrote on stdout and stderr."""
    mb: float = 0.0
    """Most memory it took beyond what it started with."""
    seconds: float = 0.0

    @property
    def hung(self) -> bool:
        return self.code is None


def warm() -> None:
    """Import what the children need, once."""
    os.environ |= {"TQDM_DISABLE": "1", "POLARS_MAX_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    import polars  # noqa: F401
    import sae_lens  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch
    import transformer_lens  # noqa: F401
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
    from transformers.models.qwen3 import modeling_qwen3  # noqa: F401

    import interp.cli
    import interp.credit.registry
    import interp.encoding
    import interp.features
    import interp.grpo.loop
    import interp.organism.training
    import interp.studies.runner
    import interp.tracking.comparing
    import interp.tsae.fitting
    import interp.tsae.quality  # noqa: F401

    get_checkpoint_conversion_mapping("qwen3")  # half a second, the first time a process saves a model
    torch.set_num_threads(1)


def start(work: Callable[[], Any], scratch: Path, *, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> int:
    """Fork a child that runs `work`, and return its process id. It writes how it ended into `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "ending.json").unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _redirect(scratch / "output")
        result = os.open(scratch / "ending.json", os.O_WRONLY | os.O_CREAT)  # before `work` can give up its rights
        before = _begin_measuring(seconds, megabytes)
        ending = _run(work)
        ending["mb"] = max(0.0, (_status("VmHWM") - before) / 1024)
        sys.stdout.flush()
        sys.stderr.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.write(result, json.dumps(ending).encode())
        os._exit(ending["code"])
    except KeyboardInterrupt:  # before the function began, or after it ended
        os._exit(130)
    finally:
        os._exit(99)


def wait(pid: int, scratch: Path, *, seconds: float = SECONDS) -> Ending:
    """How a child ended. One that takes longer is killed, with the processes it started."""
    began = time.monotonic()
    with contextlib.closing(_Descriptor(os.pidfd_open(pid))) as handle:
        ready, _, _ = select.select([handle.number], [], [], WAITING * seconds)
    if not ready:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # what it has started and left behind
    code = os.waitstatus_to_exitcode(status) if ready else None
    if code == -signal.SIGXCPU:
        code = None
    facts: dict[str, Any] = {"mb": max(0.0, (usage.ru_maxrss - _status("VmRSS")) / 1024)}
    with contextlib.suppress(OSError, ValueError):
        facts |= json.loads((scratch / "ending.json").read_text())
    facts.pop("code", None)
    output = (scratch / "output").read_text(errors="replace") if (scratch / "output").exists() else ""
    output = re.sub(r"[^\n]*\r", "", output)[-20_000:]  # without progress bars
    return Ending(code, **facts, output=output, seconds=time.monotonic() - began)


def run_child(work: Callable[[], Any], *, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> Ending:
    """Run `work` in a child, to its end."""
    with tempfile.TemporaryDirectory() as scratch:
        pid = start(work, Path(scratch), seconds=seconds, megabytes=megabytes)
        return wait(pid, Path(scratch), seconds=seconds)


def command(*words: object) -> Callable[[], int]:
    """`interp WORDS` as a function; its exit code is that of the child."""

    def work() -> int:
        from interp import cli

        sys.argv = ["interp", *map(str, words)]
        cli.main()
        return 0

    return work


class _Descriptor:
    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        os.close(self.number)


def _run(work: Callable[[], Any]) -> dict[str, Any]:
    from interp.artifacts import BadInput

    try:
        return {"code": 0, "value": work()}
    except SystemExit as stop:
        return {"code": stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1}
    except BadInput as error:
        return {"code": 2, "error": type(error).__name__, "message": str(error)}
    except BaseException as error:  # noqa: BLE001
        return {"code": 1, "error": type(error).__name__, "message": "".join(_short_traceback(error))}


def _short_traceback(error: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(error.__traceback__)[-6:]:
        yield f"{Path(frame.filename).name}:{frame.lineno} {frame.name}; "
    yield f"{type(error).__name__}: {str(error)[:500]}"


def _redirect(file: Path) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _begin_measuring(seconds: float, megabytes: int) -> int:
    """Set the limits and reset the peak. Returns the memory in use, in kB."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 5))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what the parent has freed is in use, and would hide what the child takes
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    limit = (_status("VmData") + megabytes * 1024) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
