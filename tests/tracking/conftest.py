"""One run of three checkpoints with other weights each, and its tracks, for all tests of this room."""

from pathlib import Path

import pytest
from conftest import tiny_policy
from tracking_fixtures import SMALL, TASK, axes_dictionary

from interp.rollouts import Series
from interp.tracking import Tracks, track


@pytest.fixture(scope="package")
def run(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tracking") / "run"
    for step in (0, 10, 20):
        tiny_policy(seed=step).save(root / f"checkpoint-{step}")
    return root


@pytest.fixture(scope="package")
def tracks(run, tmp_path_factory) -> Tracks:
    out = tmp_path_factory.mktemp("tracks") / "tracks"
    return track(axes_dictionary(), Series.from_dir(run), TASK, SMALL, out=out, device="cpu", progress=False)
