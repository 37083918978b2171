"""The features of a dashboard for other tools: batches of JSON in the form that Neuronpedia reads, and Parquet.

    neuronpedia/batch-0.json    features with their top tokens, histogram and example texts; 128 to a file
    features.parquet            a row for each latent: role, name, activity, tokens raised and lowered
    tracks.parquet              a row for each latent, track, bucket and checkpoint, with interval and verdict

Only what a dashboard shows is written. Numbers that were not measured are null.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.artifacts import BadInput, to_json, write_json, write_manifest, writing_dir
from interp.dashboard.config import EXPORTED

if TYPE_CHECKING:
    import polars as pl

    from interp.dashboard.dashboard import Dashboard


BATCH = 128
"""Features in a file, as Neuronpedia's tools write them."""
FEATURES, TRACKS = "features.parquet", "tracks.parquet"
ESTIMATES = ("level", "change", "low", "high", "q")


def export(dashboard: "Dashboard", out: str | Path, *, model: str = "model", overwrite: bool = False) -> Path:
    """Write the features of a dashboard into the directory `out`, atomically. `model` is the name that Neuronpedia
    knows the model by."""
    if dashboard.index["features"] is None:
        raise BadInput("expected a dashboard with features, got none: make it of tracks, roles or a dictionary")
    with writing_dir(out, overwrite=overwrite) as partial:
        table = feature_table(dashboard)
        table.write_parquet(partial / FEATURES)
        track_table(dashboard).write_parquet(partial / TRACKS)
        (partial / "neuronpedia").mkdir()
        rows = list(neuronpedia_features(dashboard))
        dictionary = dashboard.index["features"]["dictionary"]
        for number, start in enumerate(range(0, len(rows), BATCH)):
            batch = {
                "model_id": model,
                "layer": dictionary["layer"],
                "sae_set": dictionary["name"],
                "sae_id_suffix": None,
                "features": rows[start : start + BATCH],
            }
            write_json(partial / "neuronpedia" / f"batch-{number}.json", to_json(batch))
        write_manifest(partial, EXPORTED, config={"model": model, "dictionary": dictionary}, made_from={})
    return Path(out)


# --- Parquet ---------------------------------------------------------------------------------------------------------


def feature_table(dashboard: "Dashboard") -> "pl.DataFrame":
    """A row for each latent that is shown."""
    import polars as pl

    features = dashboard.index["features"]
    roles, notes = features["roles"], dashboard.notes
    columns: dict[str, Any] = {
        "latent": dashboard.latents(),
        "role": [roles[role] for role in dashboard.chunk(features["role"])],
        "name": [notes[latent].name for latent in dashboard.latents()],
        **{name: dashboard.chunk(chunk).astype(np.float64) for name, chunk in features["facts"].items()},
    }
    columns["slow"] = dashboard.chunk(features["facts"]["slow"]).astype(bool)
    for side in ("raised", "lowered") if features["lens"] else ():
        columns[side] = [tokens for tokens, _ in lens_tokens(dashboard, side)]
        columns[f"{side}_by"] = [values for _, values in lens_tokens(dashboard, side)]
    return pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))


def track_table(dashboard: "Dashboard") -> "pl.DataFrame":
    """A row for each latent, track, bucket and checkpoint."""
    import polars as pl

    index, latents = dashboard.index, dashboard.latents()
    buckets, verdicts = index["buckets"], index["features"]["verdicts"]
    schema = {"latent": pl.Int64, "run": pl.String, "corpus": pl.String, "measure": pl.String, "bucket": pl.String}
    schema |= {"step": pl.Int64, **dict.fromkeys(ESTIMATES, pl.Float64), "verdict": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for track in index["features"]["tracks"]:
        arrays = {name: dashboard.chunk(track["arrays"][name]) for name in (*ESTIMATES, "verdict")}
        names = {"run": index["runs"][track["run"]]["name"], "corpus": track["corpus"], "measure": track["measure"]}
        for t, checkpoint in enumerate(track["checkpoints"]):
            for b, bucket in enumerate(buckets):
                own = {"bucket": bucket, "step": index["checkpoints"][checkpoint]["step"]}
                values = {name: arrays[name][t, b].astype(np.float64) for name in ESTIMATES}
                said = [verdicts[v] if v < len(verdicts) else None for v in arrays["verdict"][t, b]]
                parts.append(pl.DataFrame({"latent": latents, **names, **own, **values, "verdict": said}, schema))
    return pl.concat(parts).with_columns(pl.selectors.float().fill_nan(None))


# --- Neuronpedia -----------------------------------------------------------------------------------------------------


def neuronpedia_features(dashboard: "Dashboard") -> Iterator[dict[str, Any]]:
    """Each latent in the form of Neuronpedia's batches."""
    features, latents = dashboard.index["features"], dashboard.latents()
    facts = {name: dashboard.chunk(chunk) for name, chunk in features["facts"].items()}
    texts, sides = Texts(dashboard), {side: list(lens_tokens(dashboard, side)) for side in ("raised", "lowered")}
    density = features["density"]
    counts, edges = (dashboard.chunk(density["counts"]), density["edges"]) if density else (None, [])
    neighbors = {name: dashboard.chunk(chunk) for name, chunk in (features["neighbors"] or {}).items()}
    for row, latent in enumerate(latents):
        near = [place for place, other in enumerate(neighbors["latent"][row]) if other >= 0] if neighbors else []
        (raised, raised_by), (lowered, lowered_by) = (sides[side][row] for side in ("raised", "lowered"))
        yield {
            "feature_index": latent,
            "frac_nonzero": _number(facts["firing_rate"][row]),
            "pos_str": raised,
            "pos_values": raised_by,
            "neg_str": lowered,
            "neg_values": lowered_by,
            "freq_hist_data_bar_heights": [] if counts is None else counts[row].tolist(),
            "freq_hist_data_bar_values": [
                10 ** ((low + high) / 2) for low, high in zip(edges, edges[1:], strict=False)
            ],
            "correlated_features_indices": [latents[neighbors["latent"][row][place]] for place in near],
            "correlated_features_pearson": [],
            "decoder_cosines": [_number(neighbors["cosine"][row][place]) for place in near],
            "activations": list(texts.activations(row)),
        }


def lens_tokens(dashboard: "Dashboard", side: str) -> Iterator[tuple[list[str], list[float | None]]]:
    """For each latent the tokens that its decoder raises, or lowers, and by how much; nothing without a lens."""
    features = dashboard.index["features"]
    if features["lens"] is None:
        yield from (([], []) for _ in range(features["count"]))
        return
    tokens, values = (dashboard.chunk(features["lens"][name]) for name in (side, f"{side}_by"))
    names = dashboard.chunk(dashboard.index["rollouts"]["token_texts"])
    for token_L, value_L in zip(tokens, values, strict=True):
        yield [names[token] for token in token_L], [_number(value) for value in value_L]


class Texts:
    """The example texts of latents, with the activation at each token."""

    def __init__(self, dashboard: "Dashboard") -> None:
        self.dashboard, self.index = dashboard, dashboard.index["rollouts"]
        self.examples: Mapping[str, Any] | None = dashboard.index["features"]["examples"]
        if self.examples is not None:
            self.rollout, self.value = (dashboard.chunk(self.examples[name]) for name in ("rollout", "value"))
            self.position = dashboard.chunk(self.examples["position"])
            self.start, self.length = (dashboard.chunk(self.index["columns"][name]) for name in ("start", "length"))
            self.names = dashboard.chunk(dashboard.index["rollouts"]["token_texts"])
            self.chunks: dict[str, Any] = {}

    def activations(self, row: int) -> Iterator[dict[str, Any]]:
        """The examples of the latent in this row."""
        if self.examples is None:
            return
        for column, rollout in enumerate(self.rollout[row]):
            if rollout < 0:
                continue
            tokens, values = self._read(int(rollout), row)
            yield {
                "bin_min": 0.0,
                "bin_max": _number(self.value[row, column]),
                "bin_contains": 0.0,
                "tokens": tokens,
                "values": values,
                "qualifying_token_index": int(self.position[row, column]),
                "quantile": self.examples["quantile"][column],
                "corpus": self.examples["corpus"][column],
            }

    def _read(self, rollout: int, row: int) -> tuple[list[str], list[float]]:
        blocks = self.index["blocks"]
        block = next(one for one in blocks if one["first"] <= rollout < one["first"] + one["count"])
        start = int(self.start[rollout]) - block["start"]
        span = slice(start, start + int(self.length[rollout]))
        token, latent, value = (
            self._chunk(block["arrays"][name])[span] for name in ("token", "live_latent", "live_value")
        )
        own = np.where(latent == row, value.astype(np.float64), 0.0).sum(-1)
        return [self.names[each] for each in token], [round(each, 4) for each in own.tolist()]

    def _chunk(self, name: str) -> Any:
        if name not in self.chunks:
            self.chunks[name] = self.dashboard.chunk(name)
        return self.chunks[name]


def _number(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else round(number, 6)
