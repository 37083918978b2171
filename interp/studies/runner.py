"""Many runs on few cores: a pool of worker processes with one thread each, and a ledger of finished runs.

A job is a frozen dataclass; `work` turns it into a record of plain values. The ledger is one JSON line per job, written
as soon as the job is finished, under the fingerprint of everything that decides the record. A study that was killed
continues with the missing jobs. A job that was killed resumes its own run.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from interp.artifacts import fingerprint_config, log_line, read_lines, reading, recover, to_json, writing_file

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of a ledger."""

    record: Record
    arm: str
    seed: int | None


@dataclass
class Ledger:
    """Records by fingerprint of the spec that decides them."""

    path: Path
    rows: dict[str, Row] = field(default_factory=dict)
    unkeyed: list[Record] = field(default_factory=list)
    """Records from before rows named their arm and seed. `adopt` gives each its key."""

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        recover(path)
        ledger = cls(path)
        for line in read_lines(path):
            with reading(path, "a ledger of records"):
                if "arm" in line:
                    ledger.rows[line["key"]] = Row(line["record"], line["arm"], line["seed"])
                else:
                    ledger.unkeyed.append(line["record"])
        return ledger

    def get(self, spec: object) -> Row | None:
        return self.rows.get(fingerprint_config(spec))

    def adopt(self, spec: object, row: Row) -> None:
        """Add a row in memory alone. The next `add` writes it to the file."""
        self.rows.setdefault(fingerprint_config(spec), row)

    def add(self, spec: object, row: Row) -> None:
        """Add a row, and write the file."""
        self.rows[fingerprint_config(spec)] = row
        with writing_file(self.path) as aside:
            lines = ({"key": key, **to_json(row)} for key, row in sorted(self.rows.items()))
            aside.write_text("".join(map(log_line, lines)))


def run_jobs(
    jobs: Sequence[Any],
    work: Callable[[Any], Record],
    finish: Callable[[Any, Record], None],
    *,
    processes: int,
    name: str,
) -> None:
    """Run every job in a pool of processes and hand each record to `finish` as soon as it is there."""
    if not jobs:
        return
    context = get_context("spawn")
    is_over = context.RawValue("b", 0)  # an event would wait for workers that are gone
    pool = ProcessPoolExecutor(processes, context, initializer=_start_worker, initargs=(os.getpid(), is_over))
    try:
        futures = {pool.submit(work, job): job for job in jobs}
        with tqdm(total=len(jobs), desc=name, unit="run") as progress:
            for future in as_completed(futures):
                finish(futures[future], future.result())
                progress.update()
        pool.shutdown()
    finally:  # after Ctrl-C: unfinished runs resume when the study is started again
        is_over.value = 1
        pool.shutdown(wait=False, cancel_futures=True)


def _start_worker(parent: int, is_over: Any) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
    torch.set_num_threads(1)  # two small matmuls at a time are faster than one on two cores
    threading.Thread(target=_end_with_parent, args=(parent, is_over), daemon=True).start()


def _end_with_parent(parent: int, is_over: Any) -> None:
    """End this worker with its parent, even a parent that was killed."""
    while os.getppid() == parent and not is_over.value:
        time.sleep(1)
    os._exit(1)
