"""Tracks on disk, and the facts that must agree before they are read.

<tracks>/manifest.json             steps, buckets and their prompts, width; once finished, checksums of all manifests
<tracks>/sums-<step>-<corpus>/     the sums of a checkpoint on a corpus. Their manifest holds the keys of every
                                   table, one for each row of its tensors, and a row of behavior for every prompt
<tracks>/probe-rollouts/           the text of the probe corpus
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interp.activations.documents import STORED_ROLES
from interp.artifacts import Artifact, Mismatch, open_artifact, reading
from interp.tracking.behavior import BEHAVIOR_MEASURES
from interp.tracking.config import CORPORA, PROBE

KIND = "tracks"
SUMS_KIND = "checkpoint sums"
PROBE_ROLLOUTS = "probe-rollouts"
FILE = "sums.safetensors"
OUTCOMES = ("valid", "lucky", "correct", "wrong")
"""How a rollout ended; `correct` where it is not known whether it is valid."""
TABLES = {
    "prompts": ("bucket", "prompt", "outcome", "length"),
    "roles": ("bucket", "outcome", "role"),
    "positions": ("bucket", "outcome", "position"),
}
"""The tables and the properties that make up their keys. Lengths and positions are counted in powers of two: bin 0 is
one token, bin 1 is two or three, and so on."""
MAX_BIN, MAX_WIDTH = 63, 10**7


def sums_path(tracks: Path, step: int, corpus: str) -> Path:
    """Path of the sums of a checkpoint on a corpus, in a directory of tracks."""
    return tracks / f"sums-{step}-{corpus}"


def expect_tracks_entries(manifest: dict[str, Any]) -> None:
    """Refuse entries that cannot be those of tracks."""
    config, made_from = manifest["config"], manifest["made_from"]
    steps = config["steps"]
    if not steps or not all(is_number_of(step, 0) for step in steps) or steps != sorted(set(steps)):
        raise ValueError(f"expected steps in order, got {steps}")
    if not set(config["resampled_steps"]) <= set(steps):
        raise ValueError(f"expected resampled_steps among {steps}, got {config['resampled_steps']}")
    if not all(is_number_of(count, 0) for count in config["prompts"].values()):
        raise ValueError(f"expected a number of prompts for each bucket, got {config['prompts']}")
    if not isinstance(made_from["tsae"], str):
        raise ValueError(f"expected the fingerprint of a dictionary, got {made_from['tsae']}")
    if not is_number_of(manifest.get("width", 1), 1, MAX_WIDTH):
        raise ValueError(f"expected a number of latents, got {manifest['width']}")
    if not all(is_number_of(step, 0) for step in manifest.get("fitted_on") or []):
        raise ValueError(f"expected steps that the dictionary was fitted on, got {manifest['fitted_on']}")


def open_sums(path: Path, *, made_from: Mapping[str, str] | None = None) -> Artifact:
    """The sums at `path`, after their manifest was compared with their place and with itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* without checksums")  # once for the tracks, not for each sums in them
        sums = open_artifact(path, SUMS_KIND, made_from=made_from)
    with reading(path, "sums of one checkpoint", remedy="delete it, and repeat the call that made it"):
        manifest, config = sums.manifest, sums.manifest["config"]
        own = sums_path(path.parent, config["step"], config["corpus"])
        if own.name != path.name or config["corpus"] not in CORPORA:
            raise Mismatch(
                f"{path}: expected the sums that its name says, got those of step {config['step']} on "
                f"{config['corpus']} text: put each in its own place, or delete it and repeat the call that made it"
            )
        if not is_number_of(manifest["width"], 1, MAX_WIDTH):
            raise ValueError(f"a width of {manifest['width']}")
        prompts = _prompts_by_bucket(manifest["behavior"])
        for table in TABLES:
            _expect_keys(table, manifest["keys"][table], prompts)
        for bucket, (n, error, spread) in manifest["fve"].items():
            if not (is_number_of(n, 0) and min(error, spread) >= 0):
                raise ValueError(f"variance explained of bucket {bucket} from {n} tokens, {error} and {spread}")
    return sums


def expect_sums_of(sums: Artifact, *, width: int, prompts: Mapping[str, int], settings: str) -> None:
    """Refuse sums of another dictionary, of other prompts, or from tracks of another config (`settings`).

    `prompts` is the number of on-policy prompts in each bucket; the probe corpus may have others."""
    config, own = sums.manifest["config"], _prompts_by_bucket(sums.manifest["behavior"])
    remedy = "delete it, and repeat the call that made it"
    if sums.manifest["width"] != width:
        raise Mismatch(f"{sums.path}: expected sums of {width} latents, got {sums.manifest['width']}: {remedy}")
    expected = {bucket: count for bucket, count in prompts.items() if count}
    if (config["corpus"] != PROBE and own != expected) or set(own) - set(prompts):
        raise Mismatch(f"{sums.path}: expected sums of {expected} prompts, got {own}: {remedy}")
    if config.get("settings") not in (None, settings):
        raise Mismatch(
            f"{sums.path}: expected sums of tracks with config {settings}, got {config['settings']}: {remedy}"
        )


def expect_table(name: str, width: int, keys: Sequence[Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuse the stored tensors of a table unless they have a row for each key and agree with each other."""
    tokens_R, index_P, active_P, sum_P = (tensors[part] for part in ("tokens", "index", "active", "sum"))
    if tokens_R.shape != (len(keys),):
        raise ValueError(f"{len(keys)} keys of table {name} and token counts of shape {tuple(tokens_R.shape)}")
    if not index_P.shape == active_P.shape == sum_P.shape or index_P.ndim != 1:
        shapes = (tuple(part.shape) for part in (index_P, active_P, sum_P))
        raise ValueError(f"places, counts and sums of table {name} of shapes {', '.join(map(str, shapes))}")
    if any(part.is_floating_point() or part.is_complex() for part in (tokens_R, index_P, active_P)):
        raise ValueError(f"token counts or places of table {name} that are no whole numbers")
    in_range = index_P.numel() == 0 or bool((index_P[0] >= 0) & (index_P[-1] < len(keys) * width))
    if not in_range or bool((index_P.diff() <= 0).any()):
        raise ValueError(f"places of table {name} outside {len(keys)} rows of {width} latents, or out of order")
    if bool((active_P < 1).any()) or bool((active_P > tokens_R[index_P // width]).any()):
        raise ValueError(f"latents of table {name} that are active at no token, or at more than there are")
    if not bool(torch.isfinite(sum_P).all()):
        raise ValueError(f"sums of table {name} that are not finite")


def is_number_of(value: Any, low: int, high: int = 2**63 - 1) -> bool:
    """Whether `value` is a whole number in this range."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _expect_keys(table: str, keys: Sequence[Sequence[Any]], prompts: Mapping[str, int]) -> None:
    """Refuse keys that are not made of the table's properties, or of other prompts than `prompts`, by bucket."""
    fits: dict[str, Callable[[Any], bool]] = {
        "bucket": prompts.__contains__,
        "prompt": lambda value: is_number_of(value, 0),
        "outcome": OUTCOMES.__contains__,
        "length": lambda value: is_number_of(value, 0, MAX_BIN),
        "position": lambda value: is_number_of(value, 0, MAX_BIN),
        "role": STORED_ROLES.__contains__,
    }
    names = TABLES[table]
    for key in keys:
        fitting = len(key) == len(names) and all(fits[name](value) for name, value in zip(names, key, strict=True))
        if not fitting or (table == "prompts" and key[1] >= prompts[key[0]]):
            raise ValueError(f"a key of table {table} that is no {', '.join(names)}: {key}")
    if len({tuple(key) for key in keys}) < len(keys):
        raise ValueError(f"a key of table {table} twice")


def _prompts_by_bucket(behavior: Sequence[Any]) -> dict[str, int]:
    """Number of prompts in each bucket. Refused unless each has a row, with successes and trials of every measure."""
    numbers: dict[str, list[int]] = {}
    for bucket, prompt, counts in behavior:
        numbers.setdefault(bucket, []).append(prompt)
        if len(counts) != len(BEHAVIOR_MEASURES) or not all(
            is_number_of(trials, 0) and is_number_of(successes, 0, trials) for successes, trials in counts
        ):
            raise ValueError(f"behavior at prompt {prompt} of {bucket} that is no successes and trials: {counts}")
    for bucket, prompts in numbers.items():
        if sorted(prompts) != list(range(len(prompts))):
            raise ValueError(f"behavior at other prompts of {bucket} than 0 to {len(prompts) - 1}, each once")
    return {bucket: len(prompts) for bucket, prompts in numbers.items()}
