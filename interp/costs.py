"""What work takes, said before it starts: a word where it may be much, a refusal where this machine cannot hold it.

The word is a warning, which a command writes to stderr as one line; it gives an upper bound. A refusal rests on what
the work takes at least. A config does not check itself when it is made: that of a greater machine must open on a
smaller one. So `expect_affordable` of a config is called where the work begins.
"""

import os
import shutil
import sys
import warnings
from pathlib import Path

from interp.artifacts import BadInput

LITTLE_MEMORY = 1e9
"""Bytes that every machine has: below, nobody looks."""
MUCH_MEMORY = 8e9
"""Bytes of memory above which an estimate is said."""
MUCH_DISK = 2e9
"""Bytes on disk above which an estimate is said."""
MUCH_TIME = 10.0
"""Seconds above which an estimate is said."""
BYTES_PER_TOKEN, MOST_BYTES_PER_TOKEN = 16, 120
"""Memory of a sampled token: its id, log-probability and entropy in tensors as long as the longest completion, and
then as Python keeps them, if every completion is that long."""
BYTES_PER_ROLLOUT = 2000
"""Memory that a rollout takes besides its tokens: the prompt, the verdict, the steps."""


def expect_memory(what: str, remedy: str, *, at_least: float, up_to: float) -> None:
    """Refuse work that takes more memory than the machine has. `what` takes it, `remedy` says what to change."""
    if at_least > LITTLE_MEMORY and at_least > (available := machine_memory()):
        raise BadInput(
            f"expected at most the {_gigabytes(available)} of memory that this machine has; {what} take "
            f"{_gigabytes(at_least)}: {remedy}"
        )
    if up_to > MUCH_MEMORY:
        _say(f"{what} take up to {_gigabytes(up_to)} of memory: if that is too much, {remedy}")


def expect_disk(what: str, remedy: str, *, place: Path, n_bytes: float) -> None:
    """Refuse work that writes more than is free at `place`, which need not exist yet."""
    directory = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(directory).free
    if n_bytes > free:
        raise BadInput(
            f"expected at most the {_gigabytes(free)} that are free at {directory}; {what} take "
            f"{_gigabytes(n_bytes)}: {remedy}"
        )
    if n_bytes > MUCH_DISK:
        _say(f"{what} take {_gigabytes(n_bytes)} on disk: if that is too much, {remedy}")


def expect_rollouts(rollouts: int, max_new_tokens: int) -> None:
    """Say what so many rollouts take in memory if it may be much, and refuse more than the machine can hold."""
    tokens, others = rollouts * max_new_tokens, rollouts * BYTES_PER_ROLLOUT
    what = f"{rollouts:,} rollouts of up to {max_new_tokens:,} tokens"
    remedy = "ask for fewer problems, for fewer rollouts of each, or for fewer new tokens"
    at_least, up_to = tokens * BYTES_PER_TOKEN + others, tokens * MOST_BYTES_PER_TOKEN + others
    expect_memory(what, remedy, at_least=at_least, up_to=up_to)


def say_time(what: str, seconds: float) -> None:
    """Say how long work without a progress bar takes, if it is long."""
    if seconds > MUCH_TIME:
        _say(f"{what} takes about {max(1, seconds / 60):,.0f} min")


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
