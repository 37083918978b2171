"""The joined record: saved and loaded without loss, refused if it belongs to another policy or is damaged."""

from dataclasses import replace

import polars as pl
import pytest

from interp.artifacts import Mismatch
from interp.policy import SampleConfig
from interp.rollouts import Rollouts, roll_out
from interp.tasks import Chain

TASK = Chain()


@pytest.fixture(scope="module")
def rollouts(organism) -> Rollouts:
    return roll_out(organism, TASK, TASK.problems("eval", None, 10), SampleConfig(group=4))


def test_advantages_and_credit_are_empty_and_not_zero(rollouts):
    assert rollouts.table().select("advantages", "credit", "gate").null_count().row(0) == (40, 40, 40)


def test_saved_rollouts_are_loaded_unchanged(rollouts, tmp_path):
    rollouts.save(tmp_path / "r")
    loaded = Rollouts.load(tmp_path / "r")
    assert loaded.rows == [
        replace(r, logprobs=o.logprobs, entropies=o.entropies) for r, o in zip(rollouts, loaded, strict=True)
    ]
    assert loaded[7].logprobs == pytest.approx(rollouts[7].logprobs, rel=1e-6)
    assert loaded.made_from == rollouts.made_from
    assert pl.read_parquet(tmp_path / "r" / "rollouts.parquet").height == 40


def test_rollouts_of_another_policy_are_refused(rollouts, tmp_path):
    rollouts.save(tmp_path / "r")
    with pytest.raises(Mismatch, match=r"another policy: expected 0123, got [0-9a-f]{16}"):
        Rollouts.load(tmp_path / "r", made_from={"policy": "0123"})


def test_a_slice_of_rollouts_keeps_their_fingerprints(rollouts):
    assert isinstance(rollouts[:3], Rollouts) and len(rollouts[:3]) == 3
    assert rollouts[:3].made_from == rollouts.made_from


def test_the_summary_and_figure_of_rollouts_are_by_depth(rollouts):
    summary = rollouts.summary()
    assert summary.columns == ["depth", "rollouts", "pass_rate", "valid_rate", "direct_share"]
    assert summary["rollouts"].sum() == 40
    assert "Rollouts(40 of 10 problems" in rollouts._repr_html_()
    assert {trace.name for trace in rollouts.figure().data} == {"pass_rate", "valid_rate", "direct_share"}
