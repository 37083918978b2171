"""Many runs on few cores: one process a core and one thread a process, and a ledger of what is done.

A job is a frozen dataclass; `work` turns it into a record of plain values. Records are kept in one file, a line each,
as soon as they are there, under the job's fingerprint: a study that was killed goes on with the jobs that are
missing, and a job that was under way resumes its own run.
"""

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from interp.artifacts import fingerprint_config, to_json, writing_file

Record = dict[str, Any]
Work = Callable[[Any], Record]


class Ledger:
    """Records by the fingerprint of what decides them: of a job, what `key` makes of it."""

    def __init__(self, path: Path, key: Callable[[Any], object]) -> None:
        self.path, self.key = path, key
        lines = path.read_text().splitlines() if path.exists() else []
        self.records: dict[str, Record] = {row["key"]: row["record"] for row in map(json.loads, lines)}

    def __contains__(self, job: object) -> bool:
        return fingerprint_config(self.key(job)) in self.records

    def __getitem__(self, job: object) -> Record:
        return self.records[fingerprint_config(self.key(job))]

    def add(self, job: object, record: Record) -> None:
        self.records[fingerprint_config(self.key(job))] = record
        with writing_file(self.path) as aside:
            rows = ({"key": key, "record": to_json(value)} for key, value in sorted(self.records.items()))
            aside.write_text("".join(json.dumps(row) + "\n" for row in rows))


def do(jobs: Sequence[Any], work: Work, ledger: Ledger, *, processes: int, name: str) -> None:
    """All jobs that the ledger lacks, in order, `processes` at a time."""
    missing = [job for job in jobs if job not in ledger]
    if not missing:
        return
    context = get_context("spawn")
    over = context.RawValue("b", 0)  # an event would wait for the wakening of workers that have gone
    pool = ProcessPoolExecutor(processes, context, initializer=_settle_in, initargs=(os.getpid(), over))
    try:
        under_way = {pool.submit(work, job): job for job in missing}
        with tqdm(total=len(jobs), initial=len(jobs) - len(missing), desc=name, unit="run") as bar:
            for done in as_completed(under_way):
                ledger.add(under_way[done], done.result())
                bar.update()
        pool.shutdown()
    finally:  # after Ctrl-C above all: runs under way go on where they were when they are asked for again
        over.value = 1
        pool.shutdown(wait=False, cancel_futures=True)


def _settle_in(parent: int, over: Any) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent that is interrupted
    torch.set_num_threads(1)  # two small matmuls at a time beat one on two cores
    threading.Thread(target=_follow, args=(parent, over), daemon=True).start()


def _follow(parent: int, over: Any) -> None:
    """End with the process that began us, even if it was killed and could not say so."""
    while os.getppid() == parent and not over.value:
        time.sleep(1)
    os._exit(1)


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """One process makes what is shared in `place`, the others wait for it."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
