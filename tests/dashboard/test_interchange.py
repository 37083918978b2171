"""Features leave a dashboard as Parquet and as batches that Neuronpedia's tools read."""

import json

import numpy as np
import polars as pl
import pytest

from dashboard.synthetic import PARTS, make_report
from interp.artifacts import BadInput
from interp.dashboard import Dashboard
from interp.dashboard.interchange import BATCH, FEATURES, TRACKS, export


@pytest.fixture(scope="module")
def dashboard() -> Dashboard:
    return Dashboard(*make_report(features=BATCH + 2, checkpoints=3, rollouts=30, tokens=12))


@pytest.fixture(scope="module")
def exported(dashboard, tmp_path_factory):
    return export(dashboard, tmp_path_factory.mktemp("export") / "features", model="organism")


def test_features_are_in_batches_by_their_number(dashboard, exported):
    batches = [json.loads((exported / f"neuronpedia/batch-{n}.json").read_text()) for n in range(2)]
    assert [len(batch["features"]) for batch in batches] == [BATCH, 2]
    assert [row["feature_index"] for batch in batches for row in batch["features"]] == dashboard.latents()
    assert {batch["model_id"] for batch in batches} == {"organism"}


def test_an_example_has_the_activation_of_each_token_and_its_peak_where_it_is_said(exported):
    rows = json.loads((exported / "neuronpedia/batch-0.json").read_text())["features"]
    examples = [example for row in rows for example in row["activations"]]
    assert examples
    for example in examples:
        assert len(example["tokens"]) == len(example["values"])
        assert example["qualifying_token_index"] < len(example["tokens"])


def test_a_table_has_every_latent_with_its_role_and_lens(dashboard, exported):
    table = pl.read_parquet(exported / FEATURES)
    features = dashboard.index["features"]
    assert table["latent"].to_list() == dashboard.latents()
    roles = [features["roles"][role] for role in dashboard.chunk(features["role"])]
    assert table["role"].to_list() == roles
    assert all(len(tokens) == len(values) for tokens, values in table.select("raised", "raised_by").iter_rows())


def test_tracks_have_a_row_for_every_latent_bucket_and_checkpoint(dashboard, exported):
    table, tracks = pl.read_parquet(exported / TRACKS), dashboard.index["features"]["tracks"]
    buckets = len(dashboard.index["buckets"])
    assert table.height == sum(len(track["checkpoints"]) for track in tracks) * buckets * (BATCH + 2)
    track = tracks[0]
    change = dashboard.chunk(track["arrays"]["change"])[-1, 0]
    last = dashboard.index["checkpoints"][track["checkpoints"][-1]]["step"]
    chosen = table.filter(
        (pl.col("run") == dashboard.index["runs"][track["run"]]["name"]) & (pl.col("corpus") == track["corpus"])
        & (pl.col("measure") == track["measure"]) & (pl.col("bucket") == dashboard.index["buckets"][0])
        & (pl.col("step") == last)
    )  # fmt: skip
    stored = np.array([np.nan if value is None else value for value in chosen["change"]])
    np.testing.assert_array_equal(stored, change.astype(np.float64))


def test_a_dashboard_without_lens_examples_or_neighbors_is_exported_without_them(tmp_path):
    parts = [part for part in PARTS if part not in ("lens", "examples", "neighbors", "density")]
    out = export(Dashboard(*make_report(features=3, rollouts=4, tokens=6, parts=parts)), tmp_path / "out")
    row = json.loads((out / "neuronpedia/batch-0.json").read_text())["features"][0]
    assert row["pos_str"] == row["activations"] == row["correlated_features_indices"] == []
    assert "raised" not in pl.read_parquet(out / FEATURES).columns


def test_a_dashboard_without_features_is_refused_and_a_directory_is_kept(dashboard, exported, tmp_path):
    without = Dashboard(*make_report(parts=[part for part in PARTS if part != "features"]))
    with pytest.raises(BadInput, match="expected a dashboard with features, got none"):
        export(without, tmp_path / "out")
    with pytest.raises(BadInput, match="exists"):
        export(dashboard, exported)
