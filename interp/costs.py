"""What work takes, said before it starts: a word where it is much, a refusal where this machine cannot hold it.

The word is a warning, which a command writes to stderr as one line. Estimates are upper bounds that flags decide, so
they name the flags. A config does not check itself: one that was made on a greater machine must open on a smaller one.
"""

import os
import shutil
import sys
import warnings
from pathlib import Path

from interp.artifacts import BadInput

MUCH_MEMORY = 8e9
"""Bytes of memory above which an estimate is said."""
MUCH_DISK = 20e9
"""Bytes on disk above which an estimate is said."""
MUCH_TEXT = 1e8
"""Tokens to sample above which their number is said."""
BYTES_PER_TOKEN = 120
"""Memory that a token of a rollout takes: its id, its log-probability and its entropy, as Python keeps them."""
BYTES_PER_ROLLOUT = 2000
"""Memory that a rollout takes besides its tokens: the problem, the prompt, the verdict."""


def expect_memory(n_bytes: float, what: str, remedy: str) -> None:
    """Refuse work that takes more memory than the machine has. `what` takes it, `remedy` says what to change."""
    available = machine_memory()
    if n_bytes > available:
        raise BadInput(
            f"{what} takes {_gigabytes(n_bytes)} of memory: expected at most the {_gigabytes(available)} that this "
            f"machine has; {remedy}"
        )
    if n_bytes > MUCH_MEMORY:
        _say(f"{what} takes up to {_gigabytes(n_bytes)} of memory ({remedy})")


def expect_disk(n_bytes: float, place: Path, what: str, remedy: str) -> None:
    """Refuse work that writes more than is free at `place`, which need not exist yet."""
    directory = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(directory).free
    if n_bytes > free:
        raise BadInput(
            f"{what} takes {_gigabytes(n_bytes)} on disk: expected at most the {_gigabytes(free)} that are free at "
            f"{directory}; {remedy}"
        )
    if n_bytes > MUCH_DISK:
        _say(f"{what} takes up to {_gigabytes(n_bytes)} on disk, of {_gigabytes(free)} free at {directory} ({remedy})")


def expect_rollouts(rollouts: float, max_new_tokens: int, remedy: str) -> None:
    """Say how much text there is to sample if it is much, and refuse more rollouts than memory holds at once."""
    tokens = rollouts * max_new_tokens
    what = f"{rollouts:,} rollouts of up to {max_new_tokens:,} tokens"
    expect_memory(tokens * BYTES_PER_TOKEN + rollouts * BYTES_PER_ROLLOUT, what, remedy)
    if tokens > MUCH_TEXT:
        _say(f"{what} to sample: {tokens:,} tokens in all ({remedy})")


def machine_memory() -> int:
    """Bytes of memory: of the machine, of the control group it runs in if that has less, or of the greatest GPU."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        memory = min(memory, int(text))
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        devices = range(torch.cuda.device_count())
        memory = max(memory, *(torch.cuda.get_device_properties(device).total_memory for device in devices))
    return memory


def _say(text: str) -> None:
    warnings.warn(text, stacklevel=4)


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes < 1e15 else f"{n_bytes / 1e9:.0e} GB"
