"""A dashboard: a report's index and chunks, saved as one HTML file that opens offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.artifacts import BadInput, expect_free, writing_file
from interp.dashboard.examples import PROBE
from interp.dashboard.extras import RolloutKey, rollout_key
from interp.dashboard.page import page
from interp.dashboard.readings import PER_TOKEN, TOKEN_DTYPES
from interp.dashboard.report import pack, unpack
from interp.dashboard.rollouts import TRAINING
from interp.display import HtmlSummary
from interp.features.notes import Notes
from interp.rollouts.record import Rollout

if TYPE_CHECKING:
    import polars as pl

WINDOW = 24
"""Tokens of a text on each side of the one that an example is about."""


class Dashboard(HtmlSummary):
    """What training changed, to look at: `save("report.html")`."""

    def __init__(self, index: dict[str, Any], chunks: dict[str, bytes]) -> None:
        self.index = index
        """What the front-end reads first (see `interp.dashboard.report`)."""
        self.chunks = chunks
        """Compressed arrays and JSON, by name."""

    @property
    def left_out(self) -> list[str]:
        """Sentences: what is missing or partial, and why."""
        return self.index["left_out"]

    def __repr__(self) -> str:
        features, rollouts = self.index["features"], self.index["rollouts"]
        counts = (
            f"{len(self.index['runs'])} runs",
            f"{len(self.index['checkpoints'])} checkpoints",
            f"{features['count'] if features else 0} latents",
            f"{rollouts['count'] if rollouts else 0} rollouts",
        )
        return f"Dashboard({', '.join(counts)})"

    def summary(self) -> "pl.DataFrame":
        """Compressed bytes of each part."""
        import polars as pl

        sizes: dict[str, int] = {}
        for name, chunk in self.chunks.items():
            sizes[name.split(".")[0]] = sizes.get(name.split(".")[0], 0) + len(chunk)
        return pl.DataFrame({"part": list(sizes), "bytes": list(sizes.values())}).sort("bytes", descending=True)

    def as_html(self) -> str:
        """The whole report as one HTML text, which loads nothing from anywhere."""
        return page(self.index, self.chunks)

    def at(self, address: str) -> "Dashboard":
        """The same dashboard, opened at a place: what stands behind the # of a page, as `v=rollouts&r=5&by=read`."""
        return Dashboard({**self.index, "start": address}, self.chunks)

    def row_of(self, rollout: Rollout) -> int:
        """The row of a rollout of training in this report: `report.at(f"v=rollouts&r={report.row_of(rollout)}")`."""
        rows = self._rows_of(rollout_key(rollout))
        for names in (("logprob", "advantage"), ("logprob",)):  # a step that asks a problem twice has two of one key
            for row in rows:
                if all(self._has(row, name, rollout) for name in names):
                    return row
        raise BadInput(
            f"expected a rollout of training that the report shows, got sample {rollout.sample} of {rollout.problem} "
            f"at step {rollout.step} of {rollout.run}: it shows some groups alone (DashboardConfig.rollouts)"
        )

    def _rows_of(self, key: RolloutKey) -> list[int]:
        """The rows of training that have a key."""
        index = self.index["rollouts"]
        if index is None:
            return []
        columns = {name: self.chunk(index["columns"][name]) for name in ("checkpoint", "problem", "sample", "source")}
        problems = [problem["id"] for problem in self.chunk(index["problems"])]
        rows = []
        for row in range(index["count"]):
            checkpoint = self.index["checkpoints"][columns["checkpoint"][row]]
            place = self.index["runs"][checkpoint["run"]]["name"], checkpoint["step"]
            own = (*place, problems[columns["problem"][row]], columns["sample"][row])
            rows += [row] if own == key and columns["source"][row] == TRAINING else []
        return rows

    def _has(self, row: int, name: str, rollout: Rollout) -> bool:
        """Whether a row has these values of a rollout at its tokens."""
        stored = self._at_tokens(row, name)
        return np.array_equal(stored, pack(PER_TOKEN[name](rollout), TOKEN_DTYPES[name]), equal_nan=True)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the report as one HTML file, atomically. A file that exists is kept, unless `overwrite`."""
        path = Path(path)
        if path.is_dir():
            raise BadInput(f"{path}: expected a file for the report, got a directory: name a file in it, report.html")
        expect_free(path, overwrite=overwrite)
        with writing_file(path) as partial:
            partial.write_text(self.as_html(), encoding="utf-8")
        return path

    def export(self, out: str | Path, *, model: str = "model", overwrite: bool = False) -> Path:
        """Write the features shown into a directory for other tools: Neuronpedia's batches of JSON, and Parquet."""
        from interp.dashboard.interchange import export

        return export(self, out, model=model, overwrite=overwrite)

    @property
    def notes(self) -> Notes:
        """Names of latents, with those that were given in the widget of a notebook: `notes.save("notes.json")`."""
        return Notes.from_json(self.index["notes"])

    def widget(self) -> Any:
        """The live widget (anywidget), whose names and notes come back to `notes`.

        A notebook of a Jupyter server shows it by itself. Elsewhere (VS Code, nbconvert) a dashboard shows its page.
        """
        from interp.dashboard.widget import make_widget

        def keep(notes: dict[str, Any]) -> None:
            self.index["notes"] = notes

        return make_widget(self.index, self.chunks, keep)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        from interp.dashboard.widget import mimebundle

        return mimebundle(self.as_html(), self.widget)

    # --- what a chunk holds ------------------------------------------------------------------------------------------

    def chunk(self, name: str) -> Any:
        """The array or the plain values of a chunk."""
        entry = self.index["chunks"][name]
        return unpack(self.chunks[name], entry["dtype"], entry["shape"])

    def latents(self) -> list[int]:
        """The latents shown, by their numbers in the dictionary."""
        features = self.index["features"]
        return [] if features is None else self.chunk(features["latents"]).tolist()

    def examples(self, latent: int, count: int = 6) -> list[str]:
        """Texts of the checkpoints in which a latent is strongest, the strongest token in «guillemets»."""
        features, latents = self.index["features"], self.latents()
        if latent not in latents:
            raise BadInput(f"expected one of the {len(latents)} latents shown, got {latent}")
        if features["examples"] is None:
            return []
        examples, row = features["examples"], latents.index(latent)
        places = [column for column, corpus in enumerate(examples["corpus"]) if corpus != PROBE]
        rollouts, positions = (self.chunk(examples[name])[row] for name in ("rollout", "position"))
        chosen = [column for column in places if rollouts[column] >= 0][:count]
        return [self._marked_text(int(rollouts[column]), int(positions[column])) for column in chosen]

    def _at_tokens(self, row: int, name: str) -> Any:
        """The values of a row of rollouts at its tokens."""
        index = self.index["rollouts"]
        block = next(each for each in index["blocks"] if each["first"] <= row < each["first"] + each["count"])
        start, length = (int(self.chunk(index["columns"][name])[row]) for name in ("start", "length"))
        return self.chunk(block["arrays"][name])[start - block["start"] :][:length]

    def _marked_text(self, rollout: int, position: int) -> str:
        texts: list[str] = self.chunk(self.index["rollouts"]["token_texts"])
        words: list[str] = [texts[token] for token in self._at_tokens(rollout, "token")]
        before, after = words[max(0, position - WINDOW) : position], words[position + 1 : position + 1 + WINDOW]
        return "".join([*before, "«", words[position], "»", *after])
