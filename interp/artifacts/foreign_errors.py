"""What libraries raise on damaged files and full disks, turned into refusals in one place.

`reading` stands around everything that reads an artifact, `refusing_failed_writes` around everything that writes one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interp.artifacts.errors import BadInput

_BUILT_IN = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(OSError, EOFError, RecursionError),
)
_LIBRARIES = ("safetensors", "safetensors_rust", "polars", "tokenizers", "huggingface_hub", "pyo3_runtime")
"""Modules whose own exceptions derive from none of the above. A parser of theirs that panics raises a BaseException."""
_DISK_IS_FULL = "No space left on device"
MAX_REASON = 200
"""Characters of a library's message that a refusal quotes."""


@contextmanager
def reading(path: str | Path, noun: str, *, remedy: str = "copy it again, or make it again") -> Iterator[None]:
    """Refuse `path` if the block fails on its contents: "{path}: expected {noun}, got ... : {remedy}".

    A refusal from inside, such as that of a config, gets the path if it does not name it."""
    try:
        yield
    except BadInput as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
    except BaseException as error:
        if not (isinstance(error, _BUILT_IN) or _is_of_library(error)):
            raise
        raise BadInput(f"{path}: expected {noun}, got one that cannot be read ({describe(error)}): {remedy}") from error


@contextmanager
def refusing_failed_writes(path: str | Path) -> Iterator[None]:
    """Refuse to go on if the block cannot write: the disk is full, the place is read only, or a write fails."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if not (isinstance(error, OSError) or _is_of_library(error)):
            raise
        remedy = "free some space" if _DISK_IS_FULL in str(error) else "see that it can be written"
        raise BadInput(
            f"{path} cannot be written ({describe(error)}): {remedy}, or choose another place (out, --out)"
        ) from error


def describe(error: BaseException) -> str:
    """The reason in an exception, on one line: its message, and its type where the message alone says little."""
    message = (error.strerror or "") if isinstance(error, OSError) else str(error)
    message = " ".join(message.split())[:MAX_REASON]
    if isinstance(error, KeyError):
        return f"no entry {message}"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return message if message and isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {message}"


def _is_of_library(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in _LIBRARIES for kind in type(error).__mro__)
