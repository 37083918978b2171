"""Difficulty buckets: cut points, intervals, labels, and buckets on disk."""

import pytest

from interp.artifacts import BadInput, Mismatch
from interp.rollouts import BucketConfig, Buckets, bucket
from interp.rollouts.buckets import bucket_of_pass_rate, label_at_8, measure_problem
from interp.tasks import Chain

TASK = Chain()


@pytest.fixture(scope="module")
def buckets(organism) -> Buckets:
    return bucket(organism, TASK, TASK.problems("train", None, 10), config=BucketConfig(n=16), progress=False)


def test_the_bucket_follows_the_pass_rate_at_the_stated_cut_points():
    config = BucketConfig(easy=0.6, hard=0.35)
    assert [bucket_of_pass_rate(rate, config) for rate in (0.0, 0.35, 0.36, 0.59, 0.6, 1.0)] == [
        "hard", "hard", "medium", "medium", "easy", "easy",
    ]  # fmt: skip


def test_a_bucket_is_unambiguous_only_if_the_whole_interval_lies_in_it():
    problem, config = TASK.problem("train", 3, 0), BucketConfig()
    assert measure_problem(problem, [True] * 64, config).unambiguous
    assert not measure_problem(problem, [True] * 24 + [False] * 40, config).unambiguous  # 0.375, interval 0.26 to 0.50


def test_the_label_at_8_uses_the_first_eight_samples_only():
    assert label_at_8([False] * 8 + [True] * 56) == "hard@8"
    assert label_at_8([True] * 8 + [False] * 56) == "easy@8"
    assert label_at_8([True] + [False] * 7) == "medium@8"


def test_saved_buckets_are_loaded_unchanged_and_refused_for_another_base(buckets, organism, tmp_path):
    buckets.save(tmp_path / "b")
    assert Buckets.load(tmp_path / "b", made_from={"policy": organism.fingerprint()}).rows == buckets.rows
    with pytest.raises(Mismatch, match="another policy"):
        Buckets.load(tmp_path / "b", made_from={"policy": "other"})


def test_buckets_are_saved_where_out_says_and_a_place_in_use_is_refused_before_the_work(organism, tmp_path):
    config, problems = BucketConfig(n=8), TASK.problems("train", None, 2)
    made = bucket(organism, TASK, problems, config=config, out=tmp_path / "b", progress=False)
    assert Buckets.load(tmp_path / "b").rows == made.rows
    with pytest.raises(BadInput, match="exists"):
        bucket(None, TASK, problems, config=config, out=tmp_path / "b")  # type: ignore[arg-type]


def test_problems_of_a_bucket_have_the_bucket_as_their_level(buckets):
    assert sum(buckets.counts().values()) == 10
    for name in buckets.counts():
        assert {problem.level for problem in buckets.problems(name)} <= {name}
        unambiguous = {row.problem.id for row in buckets if row.bucket == name and row.unambiguous}
        assert {problem.id for problem in buckets.problems(name, unambiguous_only=True)} == unambiguous
    with pytest.raises(BadInput, match="bucket must be one of easy, medium, hard; got 'deep'"):
        buckets.problems("deep")


def test_buckets_show_a_row_per_problem_and_counts_per_bucket(buckets):
    table, summary = buckets.table(), buckets.summary()
    assert table.height == 10 and {"prompt", "pass_rate", "low", "high", "bucket", "unambiguous", "label_at_8"} <= {
        *table.columns
    }
    assert summary.columns == ["bucket", "problems", "unambiguous", "easy@8", "medium@8", "hard@8"]
    assert dict(zip(summary["bucket"], summary["problems"], strict=True)) == buckets.counts()
    assert sum(len(trace.x) for trace in buckets.figure().data) == 10
    assert "Buckets(" in buckets._repr_html_()


@pytest.mark.parametrize(
    ("settings", "message"), [({"easy": 0.2}, "0 <= hard < easy <= 1"), ({"n": 4}, "n must be at least 8")]
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        BucketConfig(**settings)
