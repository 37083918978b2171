"""The commands of `interp`. The flags of a command are the fields of its dataclass and of the configs inside it."""

import os
import sys
import warnings

from interp.artifacts import BadInput, versions
from interp.cli.app import app, say
from interp.cli.demo import Demo
from interp.cli.dictionaries import Collect, EvalTsae, FitTsae
from interp.cli.features import EarnRoles
from interp.cli.grpo import Grpo
from interp.cli.organism import Build, Card
from interp.cli.rollouts import Bucket, Evaluate, RollOut, Verify
from interp.cli.studies import STUDY_ARGS
from interp.cli.tracking import Compare, Track

__all__ = [
    "STUDY_ARGS",
    "Bucket",
    "Build",
    "Card",
    "Collect",
    "Compare",
    "Demo",
    "EarnRoles",
    "EvalTsae",
    "Evaluate",
    "FitTsae",
    "Grpo",
    "RollOut",
    "Track",
    "Verify",
    "main",
]


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Warnings of this package as one line on stderr. Those of other packages are not shown."""
    if category is UserWarning:
        sys.stderr.write(f"interp: {message}\n")


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        return say(f"interp {versions('interp').get('interp', 'not installed')}")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")  # in a file, each update of a progress bar is a line
    warnings.showwarning = _show_warning
    try:
        app.cli(prog="interp", description="What reinforcement learning did inside a model.")
    except BadInput as error:
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(2)
    except OSError as error:  # a full disk, or a directory that may not be written
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(2)
    except ArithmeticError as error:  # a policy that has diverged
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"interp: {interrupt}\n" if interrupt.args else "")
        sys.exit(130)
