"""Fixtures for tracking: a dictionary whose latents are the residual's dimensions, and tracks of sums made by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from grpo_fixtures import FirstWord, make_rollout
from safetensors.torch import save_file

from interp.artifacts import write_manifest
from interp.policy import SampleConfig
from interp.tracking import CompareConfig, TrackConfig, Tracks
from interp.tracking.checkpoint_sums import CheckpointSums, TrackedRollout
from interp.tracking.layout import KIND, sums_path
from interp.tsae import TSAE

TASK, LAYER, D = FirstWord(), 1, 32
SAMPLING = SampleConfig(group=2, max_new_tokens=6, rows=16)
SMALL = TrackConfig(levels=(1, 2), problems=10, loss_rollouts=12, sampling=SAMPLING)
SMALL_COMPARISON = CompareConfig(levels=(1, 2), problems=10, loss_rollouts=12, sampling=SAMPLING)
MADE_FROM = {"tsae": "this dictionary"}

Rows = Mapping[tuple[Any, ...], tuple[int, Mapping[int, tuple[float, float]]]]
"""By key of a group: its tokens and, for each active latent, its active tokens and the sum of its activations."""


def axes_dictionary() -> TSAE:
    """A latent for each dimension of the residual and for its negative."""
    eye = torch.eye(D)
    both = torch.cat([eye, -eye])
    return TSAE(both.T, torch.zeros(2 * D), both, torch.zeros(D), torch.zeros(2 * D), block_widths=(D, D), layer=LAYER)


def save_as_sae_lens(path: Path) -> Path:
    """The axes dictionary as SAELens would save it: without a manifest, layer or inputs."""
    path.mkdir()
    tsae = axes_dictionary()
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    save_file({name: getattr(tsae, name).contiguous() for name in names}, path / "sae_weights.safetensors")
    config = {"architecture": "jumprelu", "normalize_activations": "none", "apply_b_dec_to_input": True}
    (path / "cfg.json").write_text(json.dumps({**config, "d_in": D, "d_sae": 2 * D}))
    return path


@dataclass(frozen=True)
class FakeRoles:
    """Roles of some latents; the others have none."""

    roles: Mapping[int, str]
    width: int
    made_from: Mapping[str, str] = field(default_factory=lambda: MADE_FROM)

    def role_of(self, latent: int) -> str:
        return self.roles.get(latent, "none")


def save_tracks(
    out: Path,
    sums: Mapping[tuple[int, str], Mapping[str, Rows]],
    *,
    prompts: Mapping[str, int],
    width: int,
    resampled_steps: tuple[int, ...] = (),
) -> Tracks:
    """Tracks of these sums, by step and corpus, and then by table. A corpus that is not given is as on-policy."""
    steps = sorted({step for step, _ in sums})
    config = {"steps": steps, "prompts": dict(prompts), "skipped": [], "resampled_steps": list(resampled_steps)}
    write_manifest(out, KIND, config=config, made_from=MADE_FROM, files={})
    for step in steps:
        resampled = ["resampled"] if step == steps[0] or step in resampled_steps else []
        for corpus in ("on-policy", "probe", *resampled):
            checkpoint = CheckpointSums(step, corpus, width)
            for name, rows in sums.get((step, corpus), sums[step, "on-policy"]).items():
                fill_table(checkpoint, name, rows)
            for bucket, count in prompts.items():
                checkpoint.behavior.update([(bucket, prompt, make_rollout(1.0)) for prompt in range(count)])
            checkpoint.save(sums_path(out, step, corpus), made_from=MADE_FROM)
    return Tracks.open(out)


def fill_table(checkpoint: CheckpointSums, name: str, rows: Rows) -> None:
    table = checkpoint.tables[name]
    for key, (tokens, latents) in rows.items():
        row = table.row_indices([key])
        table.tokens_R[row] += tokens
        for latent, (active, total) in latents.items():
            table.active_RF[row, latent] += active
            table.sum_RF[row, latent] += total


def same_at_every_prompt(
    latents: Mapping[int, tuple[int, float]], *, prompts: int = 10, tokens: int = 20, outcome: str = "valid"
) -> dict[str, Rows]:
    """The table by prompt of one bucket, in which every prompt is alike but for a little noise of its own. By latent:
    its active tokens at a prompt and its mean activation there."""
    rows: dict[tuple[Any, ...], Any] = {}
    rng = torch.Generator().manual_seed(0)
    for prompt in range(prompts):
        noise = 1 + 0.02 * float(torch.randn((), generator=rng))
        rows["easy", prompt, outcome, 4] = (
            tokens,
            {latent: (active, active * mean * noise) for latent, (active, mean) in latents.items()},
        )
    return {"prompts": rows}


def save_tracks_by_outcome(
    out: Path, *checkpoints: Mapping[str, tuple[int, list[float]]], prompts: int = 12, noise: float = 0.02
) -> Tracks:
    """Tracks of one bucket. Of each checkpoint, by outcome: the tokens of a prompt, and the activation of each latent
    at all of them, but for a little noise by prompt. Ten tokens are a rollout. Steps 0 and 1 are resampled."""
    rng, width = np.random.default_rng(0), len(next(iter(checkpoints[0].values()))[1])
    config = {"steps": list(range(len(checkpoints))), "prompts": {"easy": prompts}}
    write_manifest(out, KIND, config={**config, "skipped": [], "resampled_steps": [1]}, made_from=MADE_FROM, files={})
    for step, outcomes in enumerate(checkpoints):
        for corpus in ("on-policy", "probe", *(["resampled"] if step < 2 else [])):
            checkpoint = CheckpointSums(step, corpus, width)
            for prompt in range(prompts):
                for outcome, (tokens, mean_F) in outcomes.items():
                    value_F = np.array(mean_F) * (1 + noise * rng.standard_normal(width))
                    latents = {f: (tokens * (value > 0), tokens * value) for f, value in enumerate(value_F.tolist())}
                    fill_table(checkpoint, "prompts", {("easy", prompt, outcome, 5): (tokens, latents)})
                    rollout = make_rollout(
                        float(outcome in ("valid", "lucky")),
                        valid=outcome == "valid",
                        format="direct" if outcome == "lucky" else "chain",
                    )
                    checkpoint.behavior.update([TrackedRollout("easy", prompt, rollout)] * (tokens // 10))
            checkpoint.save(sums_path(out, step, corpus), made_from=MADE_FROM)
    return Tracks.open(out)
