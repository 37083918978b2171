"""Tracks whose every sum is told by hand, without a policy: what was read is written down as a reading would be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from interp.artifacts import write_manifest
from interp.tracking.activation_sums import Reading
from interp.tracking.tracks import KIND, Tracks, place_of

MADE_FROM = {"tsae": "this dictionary"}
Rows = Mapping[tuple[Any, ...], tuple[int, Mapping[int, tuple[int, float]]]]
"""Of each group its tokens, and of each latent that was on there at how many of them, and how much of it there was."""


def kept(
    out: Path, readings: Mapping[tuple[int, str], Mapping[str, Rows]], *, prompts: Mapping[str, int], width: int
) -> Tracks:
    """By step and corpus, and table. What is not told of the other corpora is as on-policy."""
    steps = sorted({step for step, _ in readings})
    config = {"steps": steps, "prompts": dict(prompts), "skipped": []}
    write_manifest(out, KIND, config=config, made_from=MADE_FROM)
    for step in steps:
        for corpus in ("on-policy", "probe", *(["again"] if step == steps[0] else [])):
            reading = Reading(step, corpus, width)
            for name, rows in readings.get((step, corpus), readings[step, "on-policy"]).items():
                table = reading.tables[name]
                for key, (tokens, latents) in rows.items():
                    row = table.rows([key])
                    table.tokens_R[row] += tokens
                    for latent, (active, mass) in latents.items():
                        table.active_RF[row, latent] += active
                        table.mass_RF[row, latent] += mass
            reading.save(place_of(out, step, corpus), made_from=MADE_FROM)
    return Tracks.open(out)


def by_prompt(
    latents: Mapping[int, tuple[int, float]], *, prompts: int = 10, tokens: int = 20, outcome: str = "valid"
) -> dict[str, Rows]:
    """The same at every prompt of one bucket: of each latent, at how many tokens it is on, and its mean there, but for
    a little that is each prompt's own."""
    rows: dict[tuple[Any, ...], Any] = {}
    rng = torch.Generator().manual_seed(0)
    for prompt in range(prompts):
        own = 1 + 0.02 * float(torch.randn((), generator=rng))
        held = {latent: (active, active * height * own) for latent, (active, height) in latents.items()}
        rows["easy", prompt, outcome, 4] = (tokens, held)
    return {"prompts": rows}
