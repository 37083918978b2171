"""The commands `organism build` and `organism card`."""

import json
from pathlib import Path
from typing import Any

from commands import run_json, run_text

from interp.organism import OrganismConfig

CHECKS = [
    {"requirement": "half are direct", "passed": True, "measured": "0.5"},
    {"requirement": "few are valid", "passed": False, "measured": "0.9"},
]


def write_checks(out: Path) -> None:
    out.mkdir(exist_ok=True)
    (out / "measured.json").write_text(json.dumps({"checks": CHECKS}))


def test_build_passes_its_flags_on_and_prints_every_check(monkeypatch, capsys, tmp_path):
    received: dict[str, Any] = {}

    def build(config: OrganismConfig, out: Path, *, overwrite: bool) -> None:
        received.update(config=config, overwrite=overwrite)
        write_checks(out)

    monkeypatch.setattr("interp.organism.build", build)
    words = ("--out", tmp_path / "o", "--steps", "7", "--task.modulus", "3", "--shape.layers", "2", "--overwrite")
    text = run_text(monkeypatch, capsys, "organism", "build", *words)
    config = received["config"]
    assert (config.steps, config.task.modulus, config.shape.layers, received["overwrite"]) == (7, 3, 2, True)
    assert text.splitlines()[:2] == ["yes  half are direct: 0.5", "NO   few are valid: 0.9"]
    assert f"Card: {tmp_path / 'o' / 'README.md'}" in text


def test_card_measures_again_and_prints_the_checks_as_json(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("interp.organism.update_card", write_checks)
    result = run_json(monkeypatch, capsys, "organism", "card", tmp_path / "o")
    assert result == {"organism": str(tmp_path / "o"), "checks": CHECKS}
