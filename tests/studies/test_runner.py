"""Runs in worker processes, and the ledger that remembers them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from interp.studies.runner import Ledger, Row, run_jobs


@dataclass(frozen=True)
class Square:
    number: int
    log: str = ""


def square(job: Square) -> dict[str, int]:
    with Path(job.log).open("a") as handle:
        handle.write(f"{job.number}\n")
    return {"square": job.number**2}


def sleep_forever(job: Square) -> dict[str, int]:
    Path(job.log + ".partial").write_text(str(os.getpid()))
    Path(job.log + ".partial").rename(job.log)
    time.sleep(600)
    return {}


def test_every_job_is_run_once_and_its_record_handed_over(tmp_path):
    log, records = str(tmp_path / "log"), {}
    jobs = [Square(n, log) for n in (1, 2, 3)]
    run_jobs(jobs, square, lambda job, record: records.update({job.number: record}), processes=1, name="squares")
    assert records == {1: {"square": 1}, 2: {"square": 4}, 3: {"square": 9}}
    assert Path(log).read_text().split() == ["1", "2", "3"]


def test_a_ledger_finds_its_rows_again_by_what_decides_them(tmp_path):
    path = tmp_path / "runs.jsonl"
    ledger = Ledger.open(path)
    ledger.add({"width": 8, "seed": 1}, Row({"value": 0.5}, "wide", 1))
    ledger.add({"seed": 2, "width": 8}, Row({"value": 0.7}, "wide", 2))
    reopened = Ledger.open(path)
    assert reopened.get({"seed": 1, "width": 8}) == Row({"value": 0.5}, "wide", 1)
    assert reopened.get({"seed": 1, "width": 9}) is None
    assert [json.loads(line)["seed"] for line in path.read_text().splitlines()].count(1) == 1


def test_rows_of_the_first_format_are_kept_aside_until_they_are_adopted(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps({"key": "ab", "record": {"arm": "wide", "seed": 1}}) + "\n")
    ledger = Ledger.open(path)
    assert ledger.rows == {} and ledger.unkeyed == [{"arm": "wide", "seed": 1}]
    ledger.adopt("spec", Row(ledger.unkeyed[0], "wide", 1))
    assert ledger.get("spec") is not None
    assert "arm" not in json.loads(path.read_text()), "the file is as it was"


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path, by):
    code = (
        "from test_runner import Square, sleep_forever\n"
        "from interp.studies.runner import run_jobs\n"
        "if __name__ == '__main__':\n"
        f"    jobs = [Square(n, {str(tmp_path / 'pid')!r}) for n in (1, 2, 3)]\n"
        "    run_jobs(jobs, sleep_forever, print, processes=1, name='asleep')\n"
    )
    (tmp_path / "main.py").write_text(code)
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    parent = subprocess.Popen([sys.executable, str(tmp_path / "main.py")], env=os.environ | {"PYTHONPATH": path})
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    parent.send_signal(by)
    assert parent.wait(60) != 0
    assert wait_for(lambda: not is_alive(pid))


def wait_for(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} seconds")


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
