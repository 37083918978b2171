"""A report of random numbers in the form that the front-end draws: for tests, and to look at while building.

python tests/dashboard/synthetic.py OUT.html --features 500 --rollouts 300 --hostile --without lens credit
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # as pytest does
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dashboard.features_part import make_features
from dashboard.report_parts import ROLES, VERDICTS, Chunks, Shape, Texts, estimate
from dashboard.rollouts_part import make_rollouts
from interp.dashboard.page import page

PARTS = (
    "changes", "findings", "learning", "role counts", "verdicts", "features", "roles", "tracks", "floors", "drift",
    "trials", "examples", "lens", "neighbors", "density", "rollouts", "credit", "base", "steps", "extras", "payments",
    "comparisons", "notes",
)  # fmt: skip
"""All may be left out, alone or together."""
RELATIONS = ("neither", "both", "only in A", "only in B", "opposite")


def make_report(
    features: int = 200, checkpoints: int = 5, buckets: int = 3, rollouts: int = 120, tokens: int = 40, seed: int = 0,
    hostile: bool = False, parts: Sequence[str] = PARTS, prompt_length: int = 0,
) -> tuple[dict[str, Any], dict[str, bytes]]:  # fmt: skip
    """The index and its chunks, as gzip. `prompt_length`: characters of the first problem's prompt, about."""
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"expected parts among {PARTS}, got {sorted(unknown)}")
    rng, chunks, text = np.random.default_rng(seed), Chunks(), Texts(hostile)
    names = text.names(["easy", "medium", "hard", *(f"level {index}" for index in range(4, buckets + 1))][:buckets])
    shape = Shape(features, checkpoints, names, rollouts, tokens, frozenset(parts))
    title, (hard, easy) = text("Chains of sums, hard first"), text.names(["hard", "easy"])
    steps = [(0, 10 * index) for index in range(checkpoints)] + [(1, 0), (1, 15), (1, 30)]
    labels = text.names([f"{('hard', 'easy')[run]} at step {step}" if step else "base" for run, step in steps])
    journal, live = make_rollouts(rng, chunks, text, shape, prompt_length) if "rollouts" in parts else (None, None)
    index = {
        "schema": 1,
        "title": title,
        "made": {"version": "0.1.0", "date": "2026-11-30"},
        "chunks": chunks.index,
        "left_out": [
            *(text(f"The report has no {part}: none was given.") for part in PARTS if part not in parts),
            text("The run easy is unfinished: it stands at step 30 of 60."),
        ],
        "buckets": names,
        "runs": [
            {"name": hard, "kind": "run", "note": ""},
            {"name": easy, "kind": "run", "note": text("unfinished: step 30 of 60")},
        ],
        "checkpoints": [
            {"run": run, "step": step, "label": label, "is_base": step == 0}
            for (run, step), label in zip(steps, labels, strict=True)
        ],
        "overview": _overview(rng, text, shape),
        "features": make_features(rng, chunks, text, shape, live) if "features" in parts else None,
        "rollouts": journal,
        "comparisons": [_comparison(rng, chunks, text, shape)] if "comparisons" in parts else [],
        "notes": _notes(text, shape) if "notes" in parts else {},
    }
    return index, chunks.bytes


# --- overview, comparison, notes -----------------------------------------------------------------------------------


def _overview(rng: np.random.Generator, text: Texts, shape: Shape) -> dict[str, Any]:
    has = shape.has
    findings = [
        ("Hard problems were learned: pass rate 0.12 to 0.58 [0.51, 0.64].", "The base sampled again: 0.12 to 0.13."),
        ("The lucky share of hard problems grew by 0.09 [0.04, 0.15].", "With only valid answers rewarded: by 0.01."),
        ("11 of 14 computation latents were strengthened.", "Base against base sampled again: 1 of 14."),
        (
            "Ablating the shortcut latents lowers direct answers by 0.21 [0.15, 0.27].",
            "Matched random latents: by 0.02.",
        ),
        ("The dictionary explains 0.81 of the variance at the last checkpoint, 0.84 at the base.", "Threshold: 0.75."),
    ]
    roles = [
        {
            "run": run, "bucket": bucket, "family": family, "latents": 14, "strengthened": int(rng.integers(0, 12)),
            "weakened": int(rng.integers(0, 3)), "control": int(rng.integers(0, 2)),
        }
        for run in shape.runs for bucket in shape.buckets for family in ROLES[1:]
    ]  # fmt: skip
    verdicts = [
        {
            "study": text("difficulty"), "claim": text(f"claim {number}"), "verdict": verdict,
            "text": text("Hard problems strengthen latents of the computation family more than easy problems do."),
            "measures": [{"name": text("difference of means"), **estimate(rng, 0.2)}],
        }
        for number, verdict in enumerate(("supported", "not supported", "undecided"), 1)
    ]  # fmt: skip
    earned = {"text": text("Latents that earned a role: 9."), "detail": text("Of random latents: 0 of 20.")}
    return {
        "changes": _changes(rng, text, shape) if "changes" in has else [],
        "earned": earned if "role counts" in has else None,
        "findings": [{"text": text(line), "detail": text(more)} for line, more in findings]
        if "findings" in has
        else [],
        "learning": _learning(rng, shape) if "learning" in has else [],
        "roles": roles if "role counts" in has else [],
        "verdicts": verdicts if "verdicts" in has else [],
    }


def _changes(rng: np.random.Generator, text: Texts, shape: Shape) -> list[dict[str, Any]]:
    rows = []
    kinds = (("base", None), ("run", 0), ("run", 1), ("control", None), ("against", None))
    for place, (kind, run) in enumerate(kinds):
        cells = [
            {"bucket": bucket, "measure": measure, **estimate(rng, 0.1 * place)}
            for bucket in [*shape.buckets, "all"]
            for measure in ("pass_rate", "valid_rate", "lucky_share", "direct_share", "malformed_share")
        ]
        latents = [{"bucket": bucket, "strengthened": place, "weakened": 2} for bucket in shape.buckets]
        is_run, name = kind == "run", {"control": "base again", "against": "hard less easy"}.get(kind, f"row {place}")
        rows.append({
            "kind": kind, "name": text(name), "run": run, "checkpoint": shape.runs[run][-1] if is_run else None,
            "source": "rollouts", "paired": place != 2, "latents": latents if is_run else None,
            "trusted": place == 1 if is_run else None, "cells": cells,
        })  # fmt: skip
    return rows


def _learning(rng: np.random.Generator, shape: Shape) -> list[dict[str, Any]]:
    rows = []
    for run, steps in shape.runs.items():
        for age, checkpoint in enumerate(steps):
            for place, bucket in enumerate([*shape.buckets, "all"]):
                for measure, start in (
                    ("pass_rate", 0.5),
                    ("valid_rate", 0.4),
                    ("lucky_share", 0.1),
                    ("direct_share", 0.2),
                ):
                    grown = 0.3 * age / len(steps) * (measure != "direct_share")
                    row = {"run": run, "checkpoint": checkpoint, "bucket": bucket, "measure": measure}
                    row["source"] = "evaluation"
                    rows.append(row | estimate(rng, start / (1 + place % 4) + grown))
    return rows


def _comparison(rng: np.random.Generator, chunks: Chunks, text: Texts, shape: Shape) -> dict[str, Any]:
    a, b, base = shape.runs[0][-1], shape.runs[1][-1], shape.runs[0][0]
    behavior = []
    for bucket in [*shape.buckets, "all"]:
        for measure in ("pass_rate", "valid_rate", "lucky_share"):
            sides = {side: estimate(rng, rng.uniform(0.1, 0.8)) for side in ("a", "b")}
            difference = estimate(rng, sides["b"]["value"] - sides["a"]["value"])
            row = {"bucket": bucket, "measure": measure, "n": difference["n"], "base": 0.4, "verdict": "undecided"}
            for name, part in {**sides, "difference": difference, "control": estimate(rng, 0)}.items():
                row |= {name: part["value"], f"{name}_low": part["low"], f"{name}_high": part["high"]}
            behavior.append(row | {"p": round(rng.random(), 4), "q": round(rng.random(), 4)})
    counts = [
        {"bucket": bucket, "comparison": name, "prompts": 36, "common_share": 0.5}
        | {verdict: int(rng.integers(0, 40)) for verdict in VERDICTS}
        for bucket in shape.buckets
        for name in ("A to B", "A resampled")
    ]
    size = (shape.B, shape.A)
    change_a, change_b = rng.normal(0, 0.1, size), rng.normal(0, 0.1, size)
    absent = rng.random(size) < 0.1
    difference = np.where(absent, np.nan, change_b - change_a)
    q = np.where(absent, np.nan, rng.random(size) ** 2)
    relation = np.where(absent | (q > 0.05), 0, rng.integers(1, len(RELATIONS), size))
    arrays = {
        "change_a": change_a, "change_b": change_b, "difference": difference, "low": difference - 0.08,
        "high": difference + 0.08, "q": q,
    }  # fmt: skip
    latents = {name: chunks.array(f"comparison.0.{name}", array, "f2") for name, array in arrays.items()}
    latents["relation"] = chunks.array("comparison.0.relation", relation, "u1")
    latents["control"] = chunks.array("comparison.0.control", rng.integers(0, 4, shape.B), "u4")
    match = [text("same problems"), text("same number of updates")]
    return {
        "name": text("hard against easy"), "corpus": "on-policy", "measure": "mean_activation", "counts": counts,
        "a": a, "b": b, "base": base, "match": match, "behavior": behavior,
        "latents": latents if "features" in shape.has else None, "relations": list(RELATIONS),
    }  # fmt: skip


def _notes(text: Texts, shape: Shape) -> dict[str, Any]:
    latents = [int(latent) for latent in shape.latents]
    notes: dict[str, Any] = {
        str(latent): {"name": text(name), "note": text(note)}
        for latent, name, note in zip(
            latents[2:], ("equals sign", "running total", "copies the cue"), ("Before results.", "", "Look again."),
            strict=False,
        )
    }  # fmt: skip
    return notes | {"sets": [{"name": text("arithmetic"), "note": text("Found by search."), "latents": latents[2:5]}]}


# --- a page --------------------------------------------------------------------------------------------------------


def write_page(path: Path, *args: Any, **kwargs: Any) -> Path:
    """Write the static file of `make_report(...)`."""
    path.write_text(page(*make_report(*args, **kwargs)), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    for name, default in {
        "features": 200,
        "checkpoints": 5,
        "buckets": 3,
        "rollouts": 120,
        "tokens": 40,
        "seed": 0,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--prompt-length", type=int, default=0)
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--without", nargs="*", choices=PARTS, default=[])
    given = vars(parser.parse_args())
    out, without = given.pop("out"), given.pop("without")
    write_page(out, **given, parts=[part for part in PARTS if part not in without])


if __name__ == "__main__":
    main()
