"""Roles that latents have earned, gate by gate, and how often latents drawn at random would have.

contrast        tells the family's tokens apart: AUROC and effect size, sure over prompts, corrected over all that is
                tested
falsification   it is not driven by tokens, it needs their order, and it tells them apart on another surface too. (A
                latent of format may be driven by tokens: they are what it is about.)
ablation        without it the family's tokens are less likely, and more so than like tokens that are not the
                family's: surely, by a tenth of a nat at least, and by more than without any of its matches, which are
                latents as frequent and as strong that do not tell them apart

A latent that has passed all three has the role. Latents drawn at random from all that are alive go through the same
gates, whatever the contrast says: their pass rate stands beside.
"""

import json
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import (
    BadInput,
    fingerprint,
    from_json,
    read_manifest,
    to_json,
    write_json,
    write_manifest,
    writing_dir,
)
from interp.features.ablation import Effect
from interp.features.behavior import Consequences
from interp.features.config import RolesConfig
from interp.features.contrasts import FORMAT
from interp.features.falsification import Falsified
from interp.features.sampling import Played
from interp.features.separation import Heights

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

KIND, FILE = "roles", "roles.json"
KEPT = ("trials", "random", "played", "width", "missing", "layer")
NONE = "none"


@dataclass(frozen=True)
class Trial:
    """One latent held to one contrast."""

    latent: int
    family: str
    contrast: str
    auroc: float
    d: float
    q: float
    other_surface: float
    """AUROC on the surface on which it is lower."""
    tells_apart: bool
    """The first gate."""
    falsified: Falsified | None = None
    ablated: Effect | None = None
    amplified: Effect | None = None
    matched: tuple[float, ...] = ()
    """The same of each of its matches: what ablating it does to these tokens, less what it does to the others."""
    heights: Heights | None = None
    """Where it stands at the contrast's two kinds of tokens: what it is now can be told in units of that."""
    without: Consequences | None = None
    """What comes of ablating it."""
    doubled: Consequences | None = None
    without_matches: tuple[float, ...] = ()
    """What comes of ablating its matches, in the mean: of valid chains, right answers, and answers at once."""

    @property
    def kind(self) -> str:
        """Of its contrast, whatever value it is about: `result`, `cue`."""
        return self.contrast.split()[0]

    @property
    def withstands(self) -> bool:
        """The second gate."""
        if self.falsified is None:
            return False
        driven = self.family != FORMAT and (self.falsified.by_tokens or self.falsified.by_order)
        return not driven and self.other_surface >= SURFACE

    @property
    def acts(self) -> bool:
        """The third."""
        if self.ablated is None or not self.matched:
            return False
        target, apart = self.ablated.target, self.ablated.apart
        return max(target.high, apart.high) < 0 and apart.value < min(-LEAST_NATS, *self.matched)

    @property
    def passed(self) -> bool:
        return self.tells_apart and self.withstands and self.acts


LEAST_NATS = 0.1
"""That its tokens must lose more than others without a latent: less is sure at times, and next to nothing."""
SURFACE = 0.6
"""The least AUROC on either surface."""


@dataclass(frozen=True)
class Roles:
    trials: tuple[Trial, ...]
    """Of all candidates, each in its best contrast of a kind."""
    random: tuple[Trial, ...]
    """Of latents drawn at random."""
    width: int
    missing: tuple[str, ...]
    """Contrasts that could not be run: there were no tokens for them."""
    made_from: dict[str, str]
    """Fingerprints of the dictionary, the policy and the task."""
    config: RolesConfig
    layer: int
    played: tuple[Played, ...] = ()
    """What the policy does without each latent that has earned a role and with it doubled, and so with its nearest
    match."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        with writing_dir(path, overwrite=overwrite) as aside:
            held = {name: to_json(getattr(self, name)) for name in KEPT}
            write_json(aside / FILE, held)
            write_manifest(aside, KIND, config=self.config, made_from=self.made_from)

    @classmethod
    def load(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Roles":
        manifest = read_manifest(path, KIND, made_from=made_from)
        held = json.loads((Path(path) / FILE).read_text())
        trials, random = (tuple(from_json(Trial, row) for row in held[name]) for name in ("trials", "random"))
        played = tuple(from_json(Played, row) for row in held["played"])
        missing, config = tuple(held["missing"]), from_json(RolesConfig, manifest["config"])
        return cls(trials, random, held["width"], missing, manifest["made_from"], config, held["layer"], played)

    def fingerprint(self) -> str:
        return fingerprint(json.dumps(to_json(self), sort_keys=True))

    def __repr__(self) -> str:
        earned = Counter(self.of(latent) for latent in {trial.latent for trial in self.trials})
        told = ", ".join(f"{count} {family}" for family, count in earned.items() if family != NONE)
        return f"Roles(layer {self.layer}, {self.width} latents: {told or 'none earned'})"

    def of(self, latent: int) -> str:
        """Its role; of several that it has earned, the one it tells best."""
        if not 0 <= latent < self.width:
            raise BadInput(
                f"expected a latent of a dictionary of {self.width}, from 0 to {self.width - 1}; got {latent}"
            )
        earned = [trial for trial in self.trials if trial.latent == latent and trial.passed]
        return max(earned, key=lambda trial: trial.auroc).family if earned else NONE

    def latents(self, family: str) -> list[int]:
        return sorted({trial.latent for trial in self.trials if trial.passed and self.of(trial.latent) == family})

    def counts(self) -> "pl.DataFrame":
        """Of each family, how many passed each gate; and of latents drawn at random."""
        import polars as pl

        rows = []
        for name, trials in (("candidates", self.trials), ("at random", self.random)):
            for family in dict.fromkeys(trial.family for trial in trials):
                mine = [trial for trial in trials if trial.family == family]
                gates = Counter()
                for trial in mine:
                    gates.update({g: int(getattr(trial, g)) for g in ("tells_apart", "withstands", "acts", "passed")})
                rows.append({"family": family, "of": name, "latents": len(mine), **gates})
        return pl.DataFrame(rows)

    def table(self) -> "pl.DataFrame":
        """One row for each trial."""
        import polars as pl

        return pl.DataFrame([_flat(trial) for trial in self.trials], infer_schema_length=None)

    def figure(self) -> "go.Figure":
        """Each latent by what it tells apart and what taking it away does, beside those drawn at random."""
        from interp.features.plots import plot_roles

        return plot_roles(self)


def _flat(trial: Trial) -> dict[str, Any]:
    told, ablated = trial.falsified, trial.ablated
    names = ("latent", "family", "contrast", "auroc", "d", "q", "other_surface", "tells_apart", "withstands", "acts")
    return {name: getattr(trial, name) for name in (*names, "passed")} | {
        "injected_d": told and told.d,
        "injected_reached": told and told.reached,
        "void": told and told.void,
        "ablated": ablated and ablated.target.value,
        "apart": ablated and ablated.apart.value,
        "apart_low": ablated and ablated.apart.low,
        "apart_high": ablated and ablated.apart.high,
        "amplified": trial.amplified and trial.amplified.target.value,
        "most_of_matched": min(trial.matched, default=None),
        **_consequences(trial),
    }


def _consequences(trial: Trial) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for at, name in enumerate(f.name for f in fields(Consequences)):
        for edit, told in {"without": trial.without, "doubled": trial.doubled}.items():
            mean = told and getattr(told, name)
            found |= {f"{edit}_{name}{end}": mean and getattr(mean, of) for end, of in ENDS.items()}
        found[f"without_matches_{name}"] = trial.without_matches[at] if trial.without_matches else None
    return found


ENDS = {"": "value", "_low": "low", "_high": "high"}
