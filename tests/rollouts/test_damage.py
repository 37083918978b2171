"""Saved rollouts, buckets and evaluations: any damage is a refusal, and facts that must agree are compared."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from damage_fixtures import DAMAGES, edit_json, edit_manifest, strip_checksums

from interp.artifacts import MANIFEST, BadInput, add_checksums
from interp.policy import SampleConfig
from interp.rollouts import BucketConfig, Buckets, EvaluateConfig, Evaluation, Rollouts, bucket, evaluate, roll_out
from interp.tasks import Chain

TASK = Chain()
LOADERS: dict[str, Any] = {"rollouts": Rollouts, "buckets": Buckets, "evaluation": Evaluation}


@pytest.fixture(scope="module")
def saved(organism, tmp_path_factory) -> Path:
    """Two directories of each kind: of the same policy, with other seeds."""
    root = tmp_path_factory.mktemp("saved")
    problems = TASK.problems("eval", None, 4)
    for seed in (0, 1):
        roll_out(organism, TASK, problems, SampleConfig(2, seed=seed)).save(root / f"rollouts-{seed}")
        bucket(organism, TASK, problems, config=BucketConfig(n=8, seed=seed)).save(root / f"buckets-{seed}")
        config = EvaluateConfig(problems=1, group=2, k=(1, 2), seed=seed)
        evaluate(organism, TASK, config).save(root / f"evaluation-{seed}")
    return root


@pytest.fixture
def copy(saved, tmp_path) -> Callable[[str], Path]:
    """Makes a copy of a directory, for a test to damage."""
    return lambda kind: Path(shutil.copytree(saved / f"{kind}-0", tmp_path / kind))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", LOADERS)
def test_a_damaged_file_is_refused_by_its_name(saved, copy, kind, damage):
    for name in (f"{kind}.parquet", MANIFEST):
        path = copy(kind)
        LOADERS[kind].load(path)
        if (name, damage) != (MANIFEST, "exchange"):  # the other manifest is whole, and does not fit this table
            DAMAGES[damage](path / name, saved / f"{kind}-1" / name)
            with pytest.raises(BadInput, match=str(path)):
                LOADERS[kind].load(path)
        shutil.rmtree(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_a_table_of_another_directory_with_its_manifest_is_refused_too(saved, copy, kind):
    path = copy(kind)
    shutil.copyfile(saved / f"{kind}-1" / MANIFEST, path / MANIFEST)
    with pytest.raises(BadInput, match=rf"{kind}\.parquet: expected .*bytes|{kind}\.parquet: expected checksum"):
        LOADERS[kind].load(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_an_edited_manifest_is_refused_by_its_checksum(copy, kind):
    path = copy(kind)
    edit_json(path / MANIFEST, lambda manifest: manifest["config"].update(seed=99))
    with pytest.raises(BadInput, match="expected entries with checksum"):
        LOADERS[kind].load(path)


def change_table(path: Path, kind: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Another table, as somebody would write it who records its checksum too."""
    file = path / f"{kind}.parquet"
    change(pl.read_parquet(file)).write_parquet(file)
    add_checksums(path)


def set_cell(name: str, value: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A table whose first row has another value."""
    return lambda frame: frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value, frame.schema[name])).otherwise(pl.col(name)).alias(name)
    )


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        *[(kind, lambda frame: frame.head(3), r"expected \d+ .*, got 3") for kind in LOADERS],
        *[(kind, lambda frame: frame.with_columns(n=pl.lit("a")), "column|columns") for kind in LOADERS],
        ("rollouts", lambda frame: frame.drop("reward"), "they differ in reward"),
        ("rollouts", set_cell("correct", None), "expected a value of correct in each row"),
        ("rollouts", set_cell("step", 7), "expected rollouts of step 0, got some of 7"),
        ("rollouts", set_cell("run", "other"), "expected rollouts of run base, got some of other"),
        ("rollouts", set_cell("roles", ["step"]), r"expected an entry for each of the \d+ tokens of sample 0"),
        ("buckets", set_cell("bucket", "easiest"), r"expected problems by bucket \{.*\}, got"),
        ("buckets", set_cell("pass_rate", 0.77), "expected a pass rate within its interval, got another for"),
        ("buckets", set_cell("n", 0), "cannot be read"),
        ("evaluation", lambda frame: frame.with_columns(step=pl.lit(3, pl.Int64)), "expected measures of the steps 0"),
    ],
)
def test_a_table_that_contradicts_the_manifest_or_itself_is_refused(copy, kind, change, message):
    path = copy(kind)
    change_table(path, kind, change)
    with pytest.raises(BadInput, match=message):
        LOADERS[kind].load(path)


@pytest.mark.parametrize("value", [None, "3", -1, [], {}])
@pytest.mark.parametrize("kind", LOADERS)
def test_entries_of_a_wrong_type_are_refused(copy, kind, value):
    path = copy(kind)
    edit_manifest(path, lambda manifest: manifest.update(rows=value))
    with pytest.raises(BadInput, match=str(path)):
        LOADERS[kind].load(path)


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("kind", LOADERS)
def test_without_checksums_it_is_read_and_damage_is_a_refusal_still(copy, kind):
    path = copy(kind)
    strip_checksums(path)
    LOADERS[kind].load(path)
    (path / f"{kind}.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=rf"{kind}\.parquet: expected \d+ \w+ as Parquet, got one that cannot be read"):
        LOADERS[kind].load(path)


@pytest.mark.filterwarnings("ignore:.*without checksums")
def test_buckets_of_an_earlier_version_have_as_many_rows_as_their_counts(copy):
    path = copy("buckets")
    strip_checksums(path)
    edit_manifest(path, lambda manifest: manifest.pop("rows"))
    assert len(Buckets.load(path)) == 4
    frame = pl.read_parquet(path / "buckets.parquet")
    frame.head(3).write_parquet(path / "buckets.parquet")
    with pytest.raises(BadInput, match="expected 4 problems, got 3"):
        Buckets.load(path)
