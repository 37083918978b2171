"""Commands run where files are named like modules of Python and of packages: none of them is run.

Each file leaves a mark when it is imported. The commands are those of the console script, in processes of their own.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import packages_distributions
from pathlib import Path

import interp
from attack.artifacts import NAMES, inputs, make_all
from attack.outcome import HANG, REFUSED, SILENT, TRACEBACK, WHOLE, Outcome, cases
from attack.stages import STAGES, Place

NAME = "working_directory"
SECONDS = 180.0
EXTRA = ("sitecustomize", "usercustomize", "conftest", "setup", "config", "attack", "data")
HOSTILE = """import os
with open({marks!r}, "a") as handle:
    handle.write(__name__ + " " + str(os.getpid()) + "\\n")
raise SystemExit("a file of the working directory was run")
"""
VERIFY_OFF_THREAD = """
import threading
from interp.tasks.base import Problem
from interp.tasks.text.verdicts import verify_text
answers = ["\\\\boxed{(x+1)^2}", "\\\\boxed{\\\\frac{1}{2}+\\\\sqrt{3}}", "#### 18", "The answer is x^2+2x+1."]
problem = Problem("p", "Expand.", "x^2+2x+1")
thread = threading.Thread(target=lambda: [verify_text(problem, answer) for answer in answers])
thread.start(); thread.join()
"""


def run(seed: int, budget_s: float, workdir: Path, *, only: int | None = None) -> Outcome:
    outcome, work, place = Outcome(NAME, seed), workdir / "artifacts", workdir / "hostile"
    make_all(work)
    marks = workdir / "marks"
    names = write_hostile_files(place, marks)
    outcome.facts["files"] = len(names)
    commands = _commands(inputs(work), workdir / "hostile-out")
    for number in [only] if only is not None else cases(outcome, budget_s, len(commands)):
        words = commands[number]
        marks.unlink(missing_ok=True)
        shutil.rmtree(workdir / "hostile-out", ignore_errors=True)
        how, message = _run(words, place, marks)
        outcome.add(
            how, " ".join(map(str, words[1:3])) if words[0] != sys.executable else "off the main thread", message
        )
    return outcome


def write_hostile_files(place: Path, marks: Path) -> list[str]:
    """A file for every module of the standard library and every installed package, and its names."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    names = sorted({*sys.stdlib_module_names, *packages_distributions(), *EXTRA})
    names = [name for name in names if name.isidentifier()]
    for name in names:
        (place / f"{name}.py").write_text(HOSTILE.format(marks=str(marks)))
    return names


def _commands(inputs: Place, out: Path) -> list[tuple[object, ...]]:
    script = Path(sysconfig.get_path("scripts")) / "interp"
    stages = [(stage, out / NAMES.get(name, name)) for name, stage in STAGES.items() if stage.work is None]
    stages = [(stage, where) for stage, where in stages if stage.name != "organism"]  # it takes a minute by itself
    return [
        (script, "--help"),
        (script, "verify"),
        (sys.executable, "-P", "-c", VERIFY_OFF_THREAD),
        *((script, *stage.words(inputs, 0), "--out", where) for stage, where in stages),
        (script, "tsae-eval", "--tsae", inputs.dictionary, "--store", inputs.store),
        (script, "study", "roles", "--rejudge", "--out", out, "--runs", out),
    ]


def _run(words: tuple[object, ...], place: Path, marks: Path) -> tuple[str, str]:
    """How a command ended in the hostile place, and what was run there."""
    env = os.environ | {"PYTHONPATH": str(Path(interp.__file__).parent.parent)}  # the package that is attacked
    try:
        done = subprocess.run([*map(str, words)], cwd=place, env=env, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return HANG, f"no end after {SECONDS:g} s"
    if marks.exists():
        return SILENT, f"run from the working directory: {', '.join(sorted(set(marks.read_text().split()[::2])))}"
    if done.returncode not in (0, 2):
        return TRACEBACK, f"exit code {done.returncode}: {done.stderr[-800:]}"
    return (WHOLE if done.returncode == 0 else REFUSED), ""
