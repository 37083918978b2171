"""The package as others get it: a wheel that works far from the checkout, organism and all."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        wheel.extractall(place / "site")
    return place / "site"


def elsewhere(unpacked: Path, *words: str) -> str:
    """Run Python in another folder, with the wheel before the checkout on its path."""
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, *words], cwd=unpacked.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_organism_and_the_tables_travel_with_the_wheel(unpacked):
    assert (unpacked / "interp/data/organism/model.safetensors").exists()
    assert len(list((unpacked / "interp/data/adversarial").glob("*.jsonl"))) == 4
    assert Path(elsewhere(unpacked, "-c", "import interp; print(interp.organism.shipped())").strip()).is_relative_to(
        unpacked
    )


def test_the_wheel_rolls_its_organism_out_from_another_folder(unpacked):
    found = json.loads(elsewhere(unpacked, "-m", "interp", "roll-out", "--problems", "4", "--group", "2", "--json"))
    assert found["rows"] == 8


def test_nothing_else_is_in_the_wheel(unpacked):
    assert {path.name.split("-")[0] for path in unpacked.iterdir()} == {"interp"}
