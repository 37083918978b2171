"""What the first screen says of a run's monitors: each alarm with its steps, and that there was none."""

import math

from grpo_fixtures import small_config, train_tiny
from monitors_fixtures import Scripted

from interp.dashboard.alarms import alarm_findings
from interp.dashboard.subjects import subject_of_run


def test_each_run_with_monitors_has_a_sentence_and_one_without_has_none(tmp_path):
    monitors = [Scripted((2.0, 0.0, 0.0, 0.0, math.nan)), Scripted((0.0,) * 5, name="quiet")]
    config = small_config(steps=4, save_every=4)
    runs = [
        train_tiny(tmp_path / name, config, monitors=those, progress=False)
        for name, those in (("alarmed", monitors), ("calm", monitors[1:]), ("plain", ()))
    ]
    assert list(alarm_findings(map(subject_of_run, runs))) == [
        {
            "text": "alarmed: alarms of monitors: scripted from step 0 to 3 (2, limit 1); scripted since step 4 (no "
            "number, limit 1).",
            "detail": "Monitors: scripted, quiet.",
        },
        {"text": "calm: alarms of monitors: none.", "detail": "Monitors: quiet."},
    ]
