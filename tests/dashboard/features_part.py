"""The features of a synthetic report: facts, tracks, trials, lens, neighbours and examples of each latent."""

from typing import Any

import numpy as np

from dashboard.report_parts import ROLES, VERDICTS, Chunks, Shape, Texts

SLOW_SHARE = 0.25
Live = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Rollout, position, latent and activation of every active pair of token and latent."""


def make_features(
    rng: np.random.Generator, chunks: Chunks, text: Texts, shape: Shape, live: Live | None
) -> dict[str, Any]:
    A, has = shape.A, shape.has
    role = rng.choice(len(ROLES), A, p=(0.7, 0.08, 0.08, 0.08, 0.06)) if "roles" in has else np.zeros(A, int)
    rate = 10 ** rng.uniform(-4, -0.5, A)
    slow = rng.random(A) < SLOW_SHARE
    return {
        "count": A,
        "latents": chunks.array("latents", shape.latents, "u4"),
        "dictionary": {"name": text("tsae"), "width": 3 * A + 10, "layer": 3, "k": 16, "fve": 0.84},
        "roles": ["none", *text.names(ROLES[1:])],
        "role": chunks.array("role", role, "u1"),
        "facts_tokens": 20_000,
        "facts": {
            "firing_rate": chunks.array("facts.firing_rate", rate, "f4"),
            "mean_when_active": chunks.array("facts.mean_when_active", rng.lognormal(0, 0.4, A), "f4"),
            "max": chunks.array("facts.max", rng.lognormal(1.2, 0.3, A), "f4"),
            "slow": chunks.array("facts.slow", slow, "u1"),
        },
        "density": _density(rng, chunks, rate) if "density" in has else None,
        "lens": _lens(rng, chunks, A, len(text.vocabulary())) if "lens" in has else None,
        "neighbors": _neighbors(rng, chunks, A) if "neighbors" in has else None,
        "tracks": _tracks(rng, chunks, text, shape, rate, role) if "tracks" in has else [],
        "verdicts": list(VERDICTS),
        "trials": chunks.json("trials", _trials(rng, text, shape, role)) if "trials" in has else None,
        "examples": _examples(chunks, shape, live) if "examples" in has and live else None,
    }


def _density(rng: np.random.Generator, chunks: Chunks, rate: np.ndarray) -> dict[str, Any]:
    edges = np.linspace(-2, 1.5, 25)
    center = rng.normal(0, 0.3, (len(rate), 1))
    counts = rng.poisson(2000 * rate[:, None] * np.exp(-((edges[:-1] - center) ** 2) / 0.3))
    return {"counts": chunks.array("density", counts, "u4"), "edges": edges.tolist()}


def _lens(rng: np.random.Generator, chunks: Chunks, A: int, vocabulary: int, size: int = 8) -> dict[str, str]:
    by = np.sort(rng.gamma(2, 0.4, (2, A, size)))[..., ::-1]
    token = rng.integers(0, vocabulary, (2, A, size))
    return {
        "raised": chunks.array("lens.raised", token[0], "u4"),
        "raised_by": chunks.array("lens.raised_by", by[0], "f2"),
        "lowered": chunks.array("lens.lowered", token[1], "u4"),
        "lowered_by": chunks.array("lens.lowered_by", -by[1], "f2"),
    }


def _neighbors(rng: np.random.Generator, chunks: Chunks, A: int, size: int = 6) -> dict[str, str]:
    rows = (np.arange(A)[:, None] + 1 + rng.permuted(np.tile(np.arange(size), (A, 1)), axis=1)) % max(A, 1)
    rows[(rng.random((A, size)) < 0.05) | (rows == np.arange(A)[:, None])] = -1
    cosine = np.where(rows < 0, np.nan, np.sort(rng.uniform(0.1, 0.9, (A, size)))[:, ::-1])
    return {
        "latent": chunks.array("neighbors.latent", rows, "i4"),
        "cosine": chunks.array("neighbors.cosine", cosine, "f2"),
    }


# --- tracks --------------------------------------------------------------------------------------------------------


def _tracks(
    rng: np.random.Generator, chunks: Chunks, text: Texts, shape: Shape, rate: np.ndarray, role: np.ndarray
) -> list[dict[str, Any]]:
    tracks = []
    for run, steps in shape.runs.items():
        for corpus in ("on-policy", "probe"):
            for measure in ("mean_activation", "firing_rate"):
                arrays = _track(rng, len(steps), shape.B, rate, role, 1.0 if corpus == "on-policy" else 0.3)
                if "floors" not in shape.has:
                    floors = [name for name in arrays if name.startswith(("floor", "same"))]
                    arrays |= {name: np.full_like(arrays[name], np.nan) for name in floors}
                prefix = f"track.{len(tracks)}"
                names = {
                    name: chunks.array(f"{prefix}.{name}", array, "u1" if name == "verdict" else "f2")
                    for name, array in arrays.items()
                }
                tracks.append({
                    "run": run, "name": text(f"{('hard', 'easy')[run]}, {corpus}, {measure}"), "corpus": corpus,
                    "measure": measure, "checkpoints": steps, "base": steps[0], "arrays": names,
                    "drift": _drift(shape, steps, corpus) if "drift" in shape.has else [],
                })  # fmt: skip
    return tracks


def _track(
    rng: np.random.Generator, T: int, B: int, rate: np.ndarray, role: np.ndarray, size: float
) -> dict[str, np.ndarray]:
    """A latent with a role grows with the checkpoints, most in the hardest bucket; half of the others stay."""
    A = len(rate)
    growth = np.where(role > 0, rng.normal(0.6, 0.3, A), rng.normal(0, 0.3, A) * (rng.random(A) < 0.5))
    age = np.arange(T)[:, None, None] / max(T - 1, 1)
    start = rate * rng.uniform(0.7, 1.3, (B, A))
    level = np.maximum(start * (1 + size * growth * age * (1 + np.arange(B)[:, None]) / B), 0)
    change, width = level - start, 0.15 * start * rng.uniform(0.6, 1.4, (T, B, A))
    q = np.clip(np.exp(-3 * np.abs(change) / width) * rng.uniform(0.5, 1, (T, B, A)), 0, 1)
    rare = np.broadcast_to((rate < 3e-4) | (rng.random(A) < 0.02), (T, B, A))
    verdict = np.where(q < 0.05, np.where(change > 0, 0, 1), np.where(width < 0.12 * start, 2, 3))
    absent = rare | (np.arange(T) == 0)[:, None, None]
    floor, same = 0.05 * start * rng.normal(size=(B, A)), change[-1] * rng.uniform(0.1, 0.5, (B, A))
    ends = (("", 0), ("_low", -1), ("_high", 1))
    return {
        "level": np.where(rare, np.nan, level),
        "change": np.where(absent, np.nan, change),
        "low": np.where(absent, np.nan, change - width),
        "high": np.where(absent, np.nan, change + width),
        "q": np.where(absent, np.nan, q),
        "verdict": np.where(rare, 4, verdict),
        **{f"floor{end}": floor + sign * width[-1] / 2 for end, sign in ends},
        **{f"same{end}": same + sign * width[-1] / 2 for end, sign in ends},
    }


def _drift(shape: Shape, steps: list[int], corpus: str) -> list[dict[str, Any]]:
    rows = []
    for age, checkpoint in enumerate(steps):
        for place, bucket in enumerate(shape.buckets):
            fve = round(0.84 - 0.1 * age / len(steps) - 0.02 * place, 3)
            row = {"checkpoint": checkpoint, "bucket": bucket, "corpus": corpus}
            reason = "both limits are met" if fve >= 0.75 else f"explains {fve} of the variance; the limit is 0.75"
            row |= {"fve": fve, "threshold": 0.75, "kl_recovered": 0.97, "trusted": fve >= 0.75, "reason": reason}
            rows.append(row)
    return rows


# --- trials and examples -------------------------------------------------------------------------------------------


def _trials(rng: np.random.Generator, text: Texts, shape: Shape, role: np.ndarray) -> list[dict[str, Any]]:
    tested = [row for row in range(shape.A) if role[row] or row % max(1, shape.A // 40) == 0]
    return [_trial(rng, text, int(shape.latents[row]), int(role[row]), row) for row in tested]


def _trial(rng: np.random.Generator, text: Texts, latent: int, role: int, row: int) -> dict[str, Any]:
    passes = {gate: bool(role) or bool(rng.random() < 0.3) for gate in ("contrast", "falsification", "ablation")}
    effect = rng.normal(-0.2 if role else 0, 0.05)

    def near(value: float) -> dict[str, float]:
        return {"value": round(value, 4), "low": round(value - 0.05, 4), "high": round(value + 0.05, 4)}

    return {
        "latent": latent, "group": "candidate" if role or row % 2 else "random", "family": ROLES[role or 1 + row % 4],
        "contrast": text("result tokens against operands"), "passes": passes | {"all": all(passes.values())},
        "auroc": round(rng.uniform(0.5, 0.99), 3), "d": round(rng.normal(0.8, 0.5), 3), "q": round(rng.random(), 4),
        "other_surface_auroc": round(rng.uniform(0.5, 0.95), 3) if row % 3 else None,
        "injection_d": round(rng.normal(0.1, 0.3), 3), "shuffled_share": round(rng.uniform(0.2, 0.9), 3),
        "ablation": round(effect, 4), "ablation_low": round(effect - 0.06, 4), "ablation_high": round(effect + 0.06, 4),
        "amplification": round(-effect / 2, 4), "matched": [round(value, 4) for value in rng.normal(0, 0.03, 5)],
        "behavior": [
            {"edit": edit, "what": text(what), **near(effect * sign), "matched": round(rng.normal(0, 0.02), 4)}
            for edit, sign in (("ablated", 1), ("doubled", -1)) for what in ("pass rate", "direct answers")
        ],
    }  # fmt: skip


def _examples(chunks: Chunks, shape: Shape, live: Live, size: int = 8) -> dict[str, Any]:
    """The tokens at which a latent is most active, then one of its upper and one of its lower half."""
    order = np.lexsort((-live[3], live[2]))
    rows, positions, latents, values = (array[order] for array in live)
    rollout, position = np.full((shape.A, size), -1), np.zeros((shape.A, size))
    value = np.full((shape.A, size), np.nan)
    for latent, first, count in zip(*np.unique(latents, return_index=True, return_counts=True), strict=True):
        slots = list(range(min(size - 2, count)))
        picked = first + np.array([*slots, *([count // 3, 2 * count // 3] if count > 3 * size else [])])
        slots += [size - 2, size - 1] if count > 3 * size else []
        rollout[latent, slots], position[latent, slots] = rows[picked], positions[picked]
        value[latent, slots] = values[picked]
    return {
        "rollout": chunks.array("examples.rollout", rollout, "i4"),
        "position": chunks.array("examples.position", position, "u4"),
        "value": chunks.array("examples.value", value, "f4"),
        "quantile": ["top"] * (size - 2) + ["upper half", "lower half"],
        "corpus": ["own text"] * size,
    }
