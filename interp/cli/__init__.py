"""The commands of `interp`. The flags of a command are the fields of its dataclass and of the configs inside it."""

import os
import signal
import sys
import warnings
from typing import NoReturn

from interp.artifacts import BadInput, set_integrity, versions
from interp.cli.app import app, say
from interp.cli.check import Check
from interp.cli.dashboard import Dashboard
from interp.cli.demo import Demo
from interp.cli.dictionaries import Collect, EvalTsae, FitTsae
from interp.cli.features import EarnRoles
from interp.cli.flags import Refusal, flag_rules
from interp.cli.grpo import Grpo
from interp.cli.organism import Build, Card
from interp.cli.policies import ImportGguf
from interp.cli.readouts import FitReadout
from interp.cli.rollouts import Bucket, Evaluate, RollOut, Verify
from interp.cli.studies import STUDY_ARGS
from interp.cli.tracking import Compare, Track
from interp.display import one_line

__all__ = [
    "STUDY_ARGS",
    "Bucket",
    "Build",
    "Card",
    "Check",
    "Collect",
    "Compare",
    "Dashboard",
    "Demo",
    "EarnRoles",
    "EvalTsae",
    "Evaluate",
    "FitReadout",
    "FitTsae",
    "Grpo",
    "ImportGguf",
    "RollOut",
    "Track",
    "Verify",
    "main",
]

CONTINUING = ("collect", "compare", "demo", "grpo", "organism", "study", "track", "tsae")
"""Commands that, repeated after a stop, continue."""
DESCRIPTION = (
    "What reinforcement learning did inside a model. Files are compared with their checksums when they are opened; "
    "`interp --integrity sizes COMMAND ...` compares sizes alone, for huge ones."
)
SMALLER = ("--rows", "--micro-tokens", "--batch")
"""Flags that bound how much memory a command takes."""


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Warnings of this package as one line on stderr. Those of other packages are not shown."""
    if category is UserWarning:
        sys.stderr.write(f"interp: {one_line(' '.join(str(message).split()))}\n")


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        return say(f"interp {versions('interp').get('interp', 'not installed')}")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")  # in a file, each update of a progress bar is a line
    warnings.showwarning = _show_warning
    try:
        _run(sys.argv[1:])
    except BrokenPipeError:  # the reader has gone, as `head` does; Python must not write what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (BadInput, Refusal, OSError) as error:  # OSError: a full disk, or a directory that may not be written
        _stop(2, error)
    except ArithmeticError as error:  # a policy that has diverged
        _stop(1, error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        _stop(2, f"out of memory: ask for fewer {' or '.join(SMALLER)} at once, or for a smaller model; {error}")
    except KeyboardInterrupt as interrupt:
        _stop(130, interrupt if interrupt.args else _where_things_are(sys.argv[1:]))


def _run(words: list[str]) -> None:
    """Run the command. Its output is flushed here, where a reader that has gone is not an error."""
    try:
        _expect_words(words)
        app.cli(prog="interp", description=DESCRIPTION, registry=flag_rules, args=_without_integrity(words))
    finally:
        sys.stdout.flush()


def _without_integrity(words: list[str]) -> list[str]:
    """The words without a leading --integrity, which is set for the whole process."""
    if words[:1] != ["--integrity"]:
        return words
    set_integrity(words[1] if len(words) > 1 else "")
    return words[2:]


def _expect_words(words: list[str]) -> None:
    """Refuse an empty word, which a path would take for the working directory, and one that no manifest can hold."""
    for before, word in zip(["interp", *words], words, strict=False):
        if not word:
            raise BadInput(f"expected a value after {before}, got an empty one: is a variable of the shell not set?")
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise BadInput(f"expected UTF-8, got {os.fsencode(word)!r:.60}: rename the file")


def _stop(code: int, message: object) -> NoReturn:
    sys.stderr.write(f"interp: {one_line(' '.join(str(message).split()))}\n")
    sys.exit(code)


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Of this machine, or of its accelerator. torch, which may not be imported, raises RuntimeErrors of its own."""
    is_of_torch = type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
    return isinstance(error, MemoryError) or is_of_torch


def _where_things_are(words: list[str]) -> str:
    continues = bool(words) and words[0] in CONTINUING
    return f"stopped: {'the same command continues from what it has saved' if continues else 'nothing was saved'}"
