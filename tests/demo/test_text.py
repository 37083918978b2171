"""Numbers and sentences of the demo, from results made by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from features_fixtures import axes_dictionary, make_roles, make_trial

from interp.demo.text import Section, most_certain_change, passing_share, percent, points, trust
from interp.stats import Estimate

TSAE = axes_dictionary(4, layer=0)


def test_a_share_is_a_percentage_with_its_interval():
    assert percent(Estimate(0.364, 0.309, 0.42, 40)) == "36 [31, 42]"
    assert percent(Estimate(float("nan"))) == "-"


def test_a_difference_of_shares_has_a_sign_and_is_in_points():
    assert points({"difference": -0.214, "low": -0.28, "high": 0.02}) == "-21 [-28, +2]"
    assert points({"difference": 0.1, "low": None, "high": None}) == "+10"
    assert points({"difference": None, "low": None, "high": None}) == "-"


def test_a_section_is_numbered_wrapped_and_its_table_indented():
    section = Section("Title", "word " * 30, pl.DataFrame({"group": ["deep"], "n": [3]}), "A note.")
    lines = section.render(2).splitlines()
    assert lines[0].startswith("2 Title. word") and max(map(len, lines)) <= 100 and lines[1].startswith("  word")
    assert lines[-3:] == ["  group  n", "  deep   3", "  A note."]


def test_each_latent_counts_once_however_many_contrasts_it_passes():
    passed = (make_trial(1, "shortcut", "direct"), make_trial(1, "reasoning", "valid chain"))
    failed = make_trial(2, "shortcut", "cue", passes_contrast=False)
    assert (passing_share([*passed, failed]).value, passing_share([*passed, failed]).n) == (0.5, 2)
    assert passing_share([]).n == 0


def test_the_most_certain_change_is_the_one_with_the_smallest_q_and_names_the_role():
    estimates = {3: Estimate(0.5, 0.4, 0.6), 7: Estimate(-0.25, -0.3, -0.2)}
    verdicts: Any = SimpleNamespace(
        most_certain=lambda n: [3, 7], q_F=np.array([1, 1, 1, 0.02, 1, 1, 1, 0.01]), estimate=estimates.__getitem__
    )
    assert (
        most_certain_change(verdicts, make_roles(make_trial(7, "shortcut"), tsae=TSAE))
        == "shortcut -0.25 [-0.30, -0.20]"
    )
    assert most_certain_change(verdicts, make_roles(tsae=TSAE)) == "no role -0.25 [-0.30, -0.20]"
    verdicts.most_certain = lambda n: []
    assert most_certain_change(verdicts, make_roles(tsae=TSAE)) == "-"


def test_checkpoints_on_which_the_dictionary_is_not_trusted_are_named():
    drift: Any = SimpleNamespace(steps=(0, 10, 20), verdict=lambda step: "refit" if step == 20 else "trust")
    assert trust(drift) == "The dictionary is not trusted at step 20 (refit)."
    drift.verdict = lambda step: "trust"
    assert trust(drift) == "The dictionary is trusted throughout."
