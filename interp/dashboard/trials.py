"""Roles as a report shows them: every trial with its gates and effects, beside those of random latents."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from interp.features.ablation import BehaviorEffects
from interp.features.families import ROLE_FAMILIES
from interp.features.gates import Trial
from interp.features.roles import NONE, Roles
from interp.features.sampling import RolloutEffect
from interp.stats.estimate import Estimate

CANDIDATE, RANDOM = "candidate", "random"
ABLATED, DOUBLED = "ablated", "doubled"
RATES = ("valid", "correct", "direct")
"""What is counted of answers that are written with a latent ablated or doubled."""


def role_names() -> list[str]:
    """`none`, and the families."""
    return [NONE, *ROLE_FAMILIES]


def trial_rows(roles: Roles) -> list[dict[str, Any]]:
    """A row for each trial: candidates, then latents drawn at random."""
    rows = [(CANDIDATE, trial) for trial in roles.trials] + [(RANDOM, trial) for trial in roles.random_trials]
    return [_row(group, trial, roles.rollout_effects) for group, trial in rows]


def _row(group: str, trial: Trial, effects: Sequence[RolloutEffect]) -> dict[str, Any]:
    falsification, ablation, amplification = trial.falsification, trial.ablation, trial.amplification
    difference = None if ablation is None else ablation.difference
    return {
        "latent": trial.latent,
        "group": group,
        "family": trial.family,
        "contrast": trial.contrast_in_words,
        "passes": {
            "contrast": trial.passes_contrast,
            "falsification": None if falsification is None else trial.passes_falsification,
            "ablation": None if ablation is None else trial.passes_ablation,
            "all": trial.passes_all,
        },
        **{name: _number(getattr(trial, name)) for name in ("auroc", "d", "q", "other_surface_auroc")},
        "injection_d": None if falsification is None else _number(falsification.d),
        "shuffled_share": None if falsification is None else _number(falsification.shuffled_share),
        **{f"ablation{end}": _end(difference, end) for end in ("", "_low", "_high")},
        "amplification": None if amplification is None else _number(amplification.difference.value),
        "matched": [number for number in map(_number, trial.matched_ablations) if number is not None],
        "behavior": [*_log_odds_rows(trial), *(row for row in _rate_rows(trial.latent, effects))],
    }


def _log_odds_rows(trial: Trial) -> list[dict[str, Any]]:
    """Effects on outcomes of what was written, in nats per token."""
    rows = []
    for edit, effects in ((ABLATED, trial.ablated_behavior), (DOUBLED, trial.amplified_behavior)):
        for place, name in enumerate(field.name for field in fields(BehaviorEffects)):
            if effects is not None:
                matched = trial.matched_behavior[place] if trial.matched_behavior and edit == ABLATED else None
                what = f"{name.replace('_', ' ')}, nats per token"
                rows.append(_behavior(edit, what, getattr(effects, name), matched))
    return rows


def _rate_rows(latent: int, effects: Sequence[RolloutEffect]) -> list[dict[str, Any]]:
    """Changes of rates where the policy answers again, each beside that of the nearest match."""
    rows = []
    for effect in effects:
        if effect.latent != latent or effect.match_of is not None:
            continue
        match = next((each for each in effects if (each.match_of, each.scale) == (latent, effect.scale)), None)
        for name in RATES:
            matched = None if match is None else getattr(match, name).value
            edit = ABLATED if effect.scale < 1 else DOUBLED
            rows.append(_behavior(edit, f"{name} answers, share", getattr(effect, name), matched))
    return rows


def _behavior(edit: str, what: str, estimate: Estimate, matched: float | None) -> dict[str, Any]:
    ends = {name: _number(getattr(estimate, name)) for name in ("value", "low", "high")}
    return {"edit": edit, "what": what, **ends, "matched": _number(matched)}


def _end(estimate: Estimate | None, end: str) -> float | None:
    return None if estimate is None else _number(getattr(estimate, end.removeprefix("_") or "value"))


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
