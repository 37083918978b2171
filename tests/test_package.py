"""The wheel: it carries the organism and the tables, works far from the checkout, and holds nothing else."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The directory into which a freshly built wheel was unpacked."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(directory.glob("*.whl"))) as archive:
        archive.extractall(directory / "site")
    return directory / "site"


def run_python(wheel: Path, *arguments: str) -> str:
    """What Python prints in another directory, with the wheel before the checkout on its path."""
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    process = subprocess.run(
        [sys.executable, *arguments], cwd=wheel.parent, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_organism_and_the_adversarial_tables_are_in_the_wheel(wheel):
    assert (wheel / "interp/data/organism/model.safetensors").exists()
    tables = {table.name for table in (ROOT / "data" / "adversarial").glob("*.jsonl")}
    assert {table.name for table in (wheel / "interp/data/adversarial").glob("*.jsonl")} == tables != set()
    path = run_python(wheel, "-c", "import interp; print(interp.organism.shipped_path())")
    assert Path(path.strip()).is_relative_to(wheel)


def test_the_command_rolls_out_the_organism_of_the_wheel(wheel):
    printed = run_python(wheel, "-m", "interp", "roll-out", "--problems", "4", "--group", "2", "--json")
    assert json.loads(printed)["rollouts"] == 8


def test_nothing_else_is_in_the_wheel(wheel):
    assert {path.name.split("-")[0] for path in wheel.iterdir()} == {"interp"}


def test_importing_the_package_is_light_and_reaches_every_room():
    code = (
        "import sys, interp; heavy = {'torch', 'numpy', 'polars', 'transformers', 'plotly'} & set(sys.modules); "
        "[getattr(interp, name) for name in dir(interp)]; print(sorted(heavy))"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
