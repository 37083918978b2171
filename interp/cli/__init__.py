"""The commands. Their flags are the fields of the config dataclasses they take and of those these hold."""

import os
import sys
import warnings

from interp.artifacts import BadInput, versions
from interp.cli.app import app, say
from interp.cli.comparison import Compare
from interp.cli.demo import Demo
from interp.cli.dictionaries import Collect, EvalTsae, FitTsae
from interp.cli.features import EarnRoles
from interp.cli.grpo import Grpo
from interp.cli.organism import Build, Card
from interp.cli.rollouts import Bucket, Evaluate, RollOut, Verify
from interp.cli.studies import Dictionary, Difficulty, FeaturesStudy, RolesStudy
from interp.cli.tracking import Track

__all__ = [
    "Bucket",
    "Build",
    "Card",
    "Collect",
    "Compare",
    "Demo",
    "Dictionary",
    "Difficulty",
    "EarnRoles",
    "EvalTsae",
    "Evaluate",
    "FeaturesStudy",
    "FitTsae",
    "Grpo",
    "RolesStudy",
    "RollOut",
    "Track",
    "Verify",
    "main",
]


def _show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Ours as all else we say; others' not at all."""
    if category is UserWarning:
        sys.stderr.write(f"interp: {message}\n")


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        return say(f"interp {versions('interp').get('interp', 'not installed')}")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")  # a bar in a file is a line for each time it moves
    warnings.showwarning = _show
    try:
        app.cli(prog="interp", description="What reinforcement learning did inside a model.")
    except BadInput as error:
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(2)
    except OSError as error:  # a full disk, a place that may not be written
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(2)
    except ArithmeticError as error:  # a policy that has diverged
        sys.stderr.write(f"interp: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt as stopped:
        sys.stderr.write(f"interp: {stopped}\n" if stopped.args else "")
        sys.exit(130)
