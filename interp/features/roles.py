"""Roles that a dictionary's latents have earned, with every trial behind them, and random latents as the control.

A latent that passes all three gates (`interp.features.gates`) in a contrast has the role of that contrast's family.
Latents drawn at random from all that are active go through the same gates, whatever the contrast says: their pass rate
is the control.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from interp.artifacts import (
    BadInput,
    Mismatch,
    fingerprint,
    from_json,
    open_artifact,
    reading,
    to_json,
    write_json,
    write_manifest,
    writing_dir,
)
from interp.checks import expect_plausible
from interp.display import HtmlSummary
from interp.features.ablation import BehaviorEffects
from interp.features.config import RolesConfig
from interp.features.families import role_family
from interp.features.gates import Trial
from interp.features.notes import Notes
from interp.features.sampling import RolloutEffect
from interp.stats.estimate import Estimate

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

KIND, FILE = "roles", "roles.json"
SAVED_FIELDS = ("trials", "random_trials", "rollout_effects", "width", "missing_contrasts", "layer")
INPUTS = ("tsae", "policy", "task")
"""Names of the fingerprints in `made_from`."""
NONE = "none"
MEASURES = ("latent", "family", "contrast", "auroc", "d", "q", "other_surface_auroc")
GATES = ("passes_contrast", "passes_falsification", "passes_ablation", "passes_all")


@dataclass(frozen=True)
class Roles(HtmlSummary):
    """The trials of a dictionary's latents, and the roles they earned."""

    trials: tuple[Trial, ...]
    """Candidates: latents that passed the first gate, each in its best contrast of a kind."""
    random_trials: tuple[Trial, ...]
    """Latents drawn at random."""
    width: int
    """Latents of the dictionary."""
    missing_contrasts: tuple[str, ...]
    """Contrasts without enough tokens."""
    made_from: dict[str, str]
    """Fingerprints of the dictionary, the policy and the task."""
    config: RolesConfig
    layer: int
    rollout_effects: tuple[RolloutEffect, ...] = ()
    """What the policy writes with each role latent ablated and doubled, and with its nearest match."""
    path: ClassVar[Path | None] = None
    """Where they were saved or loaded last. No part of what they are."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        with writing_dir(path, overwrite=overwrite) as partial:
            write_json(partial / FILE, {name: to_json(getattr(self, name)) for name in SAVED_FIELDS})
            write_manifest(partial, KIND, config=self.config, made_from=self.made_from)
        object.__setattr__(self, "path", Path(path))

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Roles":
        """Load saved roles; refused if a fingerprint in `made_from` differs from theirs."""
        artifact = open_artifact(path, KIND, made_from=made_from)
        content = artifact.json(FILE, "roles")
        with reading(artifact.path, "roles", remedy="copy it again, or earn them again (interp roles)"):
            if set(content) != set(SAVED_FIELDS):
                raise Mismatch(
                    f"{path}: expected roles with {', '.join(SAVED_FIELDS)}; got {', '.join(content)}: they were "
                    "earned by an earlier version, earn them again (interp roles)"
                )
            try:
                roles = cls._from_json(content, artifact.manifest)
            except BadInput as error:
                raise ValueError(error) from error
        object.__setattr__(roles, "path", artifact.path)
        return roles

    @classmethod
    def _from_json(cls, content: dict[str, Any], manifest: dict[str, Any]) -> "Roles":
        roles = cls(
            trials=tuple(from_json(Trial, row) for row in content["trials"]),
            random_trials=tuple(from_json(Trial, row) for row in content["random_trials"]),
            width=content["width"],
            missing_contrasts=tuple(content["missing_contrasts"]),
            made_from=manifest["made_from"],
            config=from_json(RolesConfig, manifest["config"]),
            layer=content["layer"],
            rollout_effects=tuple(from_json(RolloutEffect, row) for row in content["rollout_effects"]),
        )
        _expect_whole(roles)
        return roles

    def notes(self) -> Notes:
        """Names that were given to latents: `notes.json` beside the roles, which the dashboard reads."""
        if self.path is None:
            raise BadInput(
                "expected roles that were saved, to keep notes beside them; got some that were not: save(path)"
            )
        return Notes.load(self.path.absolute().parent)

    def name(self, latent: int, name: str, note: str = "") -> Notes:
        """Name a latent, in `notes.json` beside the roles. An empty name and note forget it."""
        self.role_of(latent)  # refuses a latent that the dictionary does not have
        notes = self.notes()
        notes.name(latent, name, note)
        notes.save()
        return notes

    def fingerprint(self) -> str:
        return fingerprint(json.dumps(to_json(self), sort_keys=True))

    def __repr__(self) -> str:
        counts = Counter(self.role_of(latent) for latent in {trial.latent for trial in self.trials})
        earned = ", ".join(f"{count} {family}" for family, count in counts.items() if family != NONE)
        return f"Roles(layer {self.layer}, {self.width} latents: {earned or 'none earned'})"

    def role_of(self, latent: int) -> str:
        """The latent's role, or `none`. Of several roles, the one whose contrast it separates best."""
        if not 0 <= latent < self.width:
            raise BadInput(
                f"expected a latent of a dictionary of {self.width}, from 0 to {self.width - 1}; got {latent}"
            )
        passed = [trial for trial in self.trials if trial.latent == latent and trial.passes_all]
        return max(passed, key=lambda trial: trial.auroc).family if passed else NONE

    def latents(self, family: str) -> list[int]:
        """The latents with the role of this family."""
        passed = {trial.latent for trial in self.trials if trial.passes_all}
        return sorted(latent for latent in passed if self.role_of(latent) == family)

    def summary(self) -> "pl.DataFrame":
        """Number of latents that passed each gate: a row per family for candidates, and one for random latents."""
        import polars as pl

        rows = []
        for group, trials in self._groups().items():
            for family in dict.fromkeys(trial.family for trial in trials):
                of_family = [trial for trial in trials if trial.family == family]
                passes = {gate: sum(getattr(trial, gate) for trial in of_family) for gate in GATES}
                rows.append({"family": family, "group": group, "latents": len(of_family), **passes})
        schema = {"family": pl.String, "group": pl.String} | dict.fromkeys(("latents", *GATES), pl.Int64)
        return pl.DataFrame(rows, schema=schema)

    def table(self) -> "pl.DataFrame":
        """A row for each trial: candidates, then latents drawn at random (`group`)."""
        import polars as pl

        rows = [{"group": group, **_row(trial)} for group, trials in self._groups().items() for trial in trials]
        types = {**dict.fromkeys(("group", "family", "contrast"), pl.String), "latent": pl.Int64}
        types |= dict.fromkeys(GATES, pl.Boolean)
        return pl.DataFrame(rows, schema={name: types.get(name, pl.Float64) for name in TABLE_COLUMNS})

    def figure(self) -> "go.Figure":
        """Each latent by AUROC and effect of ablation, beside the random latents."""
        from interp.features.plots import plot_roles

        return plot_roles(self.table(), self.config.min_auroc)

    def _groups(self) -> dict[str, Sequence[Trial]]:
        return {"candidate": self.trials, "random": self.random_trials}


def _expect_whole(roles: Roles) -> None:
    """Refuse roles with values of other types, with latents that the dictionary does not have, or without inputs."""
    expect_plausible(roles)
    if roles.width < 1 or roles.layer < 0:
        raise BadInput(f"{roles.width} latents of layer {roles.layer}")
    for part in (*roles.trials, *roles.random_trials, *roles.rollout_effects):
        _expect_types(part)
    for trial in (*roles.trials, *roles.random_trials):
        role_family(trial.family)
        if not trial.contrast.split():
            raise BadInput(f"a trial of latent {trial.latent} without a contrast")
    latents = {part.latent for part in (*roles.trials, *roles.random_trials, *roles.rollout_effects)}
    latents |= {effect.match_of for effect in roles.rollout_effects if effect.match_of is not None}
    if beyond := sorted(latent for latent in latents if not 0 <= latent < roles.width):
        raise BadInput(f"a dictionary of {roles.width} latents, and latents {', '.join(map(str, beyond))}")
    if missing := [name for name in INPUTS if not isinstance(roles.made_from.get(name), str)]:
        raise BadInput(f"no fingerprint of {', '.join(missing)}")


def _expect_types(record: Any) -> None:
    """Refuse a nest of dataclasses unless each field has the type of its annotation."""
    expect_plausible(record)
    for name in (field.name for field in fields(record)):
        if is_dataclass(inner := getattr(record, name)):
            _expect_types(inner)


def _row(trial: Trial) -> dict[str, Any]:
    falsification, ablation, amplification = trial.falsification, trial.ablation, trial.amplification
    return {name: getattr(trial, name) for name in (*MEASURES, *GATES)} | {
        "contrast": trial.contrast_in_words,
        "attribution": trial.attribution,
        "injection_d": falsification and falsification.d,
        "injection_reached_share": falsification and falsification.reached_share,
        "shuffled_share": falsification and falsification.shuffled_share,
        "ablation": ablation and ablation.target.value,
        **_columns("ablation_difference", ablation and ablation.difference),
        "amplification": amplification and amplification.target.value,
        "largest_matched_ablation": min(trial.matched_ablations, default=None),
        **_behavior_columns(trial),
    }


def _behavior_columns(trial: Trial) -> dict[str, float | None]:
    columns: dict[str, float | None] = {}
    for i, name in enumerate(field.name for field in fields(BehaviorEffects)):
        for edit, effects in {"ablated": trial.ablated_behavior, "amplified": trial.amplified_behavior}.items():
            columns |= _columns(f"{edit}_{name}", effects and getattr(effects, name))
        columns[f"matched_{name}"] = trial.matched_behavior[i] if trial.matched_behavior else None
    return columns


def _columns(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {f"{name}{end}": estimate and getattr(estimate, field) for end, field in ends.items()}


TABLE_COLUMNS = ("group", *_row(Trial(0, "", "", 0.0, 0.0, 0.0, 0.0, passes_contrast=False)))
"""Columns of `Roles.table`. A table without rows has them too."""
