"""The tracks of a dictionary's latents through a series: what was read, opened again, and asked for changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.artifacts import BadInput, read_manifest
from interp.bootstrap import end_less_start, slope
from interp.tracking.belonging import expect_roles_of
from interp.tracking.changes import Changes, Judged
from interp.tracking.config import AGAIN, ON_POLICY, PROBE
from interp.tracking.drift import Drift, Trust, drift_of
from interp.tracking.grouped import Grouped
from interp.tracking.measures import MATCHED, MEASURES, ratio, summed
from interp.tracking.profile import profiled
from interp.tracking.reading import Reading, table_at

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles

KIND = "tracks"


def place_of(out: Path, step: int, corpus: str) -> Path:
    return out / f"reading-{step}-{corpus}"


class Tracks:
    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self.config: dict[str, Any] = manifest["config"]
        self.steps: tuple[int, ...] = tuple(self.config["steps"])
        self.prompts: dict[str, int] = self.config["prompts"]
        """Of each bucket, on-policy."""
        self.skipped: list[tuple[int, str]] = [(step, why) for step, why in self.config["skipped"]]
        """Steps of the series that were left out, with the reason."""
        self.twice: tuple[int, ...] = tuple(sorted({self.steps[0], *self.config.get("twice", [])}))
        """Those that were asked a second time: the base is one of them."""
        self.paths: dict[int, str] = {int(step): path for step, path in manifest.get("paths", {}).items()}
        """Where the checkpoints lay."""
        self.fitted_on: list[int] | None = manifest.get("fitted_on")
        """Those whose weights the dictionary was fitted on, where it says."""

    @classmethod
    def open(cls, path: str | Path, *, made_from: dict[str, str] | None = None) -> "Tracks":
        tracks = cls(Path(path), read_manifest(path, KIND, made_from=made_from))
        wanted = [(step, corpus) for step in tracks.steps for corpus in (ON_POLICY, PROBE)]
        wanted += [(step, AGAIN) for step in tracks.twice]
        if missing := [
            f"{corpus} of step {step}" for step, corpus in wanted if not place_of(tracks.path, step, corpus).exists()
        ]:
            raise BadInput(
                f"{path}: expected finished tracks, got none of {', '.join(missing)}: ask for the same track again, "
                "and it goes on where it stopped"
            )
        return tracks

    def __repr__(self) -> str:
        steps, buckets = ", ".join(map(str, self.steps)), ", ".join(self.buckets)
        left_out = f", without {', '.join(str(step) for step, _ in self.skipped)}" if self.skipped else ""
        return f"Tracks({self.path}, steps {steps}{left_out}, buckets {buckets})"

    @property
    def buckets(self) -> tuple[str, ...]:
        return tuple(self.prompts)

    @property
    def made_from(self) -> dict[str, str]:
        return self.manifest["made_from"]

    def reading(self, step: int, corpus: str = ON_POLICY) -> Reading:
        return Reading.load(self._place(step, corpus), made_from=self.made_from)

    def grouped(
        self, step: int, corpus: str = ON_POLICY, table: str = "prompts", latents: Sequence[int] | None = None
    ) -> Grouped:
        """One table of a reading, without the others, and of some latents alone if they are named."""
        return table_at(self._place(step, corpus), table, made_from=self.made_from, latents=latents)

    def _place(self, step: int, corpus: str) -> Path:
        place = place_of(self.path, step, corpus)
        if not place.exists():
            raise BadInput(f"{self.path}: expected a reading of one of the steps {self.steps}, got {corpus} of {step}")
        return place

    def changes(
        self,
        *,
        corpus: str = ON_POLICY,
        measure: str = "strength",
        over: str = "end",
        match: Sequence[str] = (),
        steps: Sequence[int] | None = None,
        roles: "Roles | None" = None,
    ) -> Changes:
        """Of every latent in every bucket, from the first of `steps` to the last (all, if not given): `over` is "end"
        (the last less the first) or "slope" (of the least-squares line, over the same way). `match` tells strengths at
        the base's mix of outcomes, of lengths, or of both; heights at the mix of the base's tokens at which the latent
        is on. On-policy, beside it stands the same between the base's answers and its own again, where nothing has
        changed, and the same on the probe text (at no mix, since that is one for all), where only the reading has. With
        `roles`, it is told by role too."""
        expect_roles_of(roles, self.made_from["tsae"])
        role_F = None if roles is None else tuple(roles.of(latent) for latent in range(roles.width))
        steps = tuple(self.steps if steps is None else steps)
        found = self.judged(steps, corpus=corpus, measure=measure, over=over, match=match)
        control = same_text = None
        if corpus == ON_POLICY:
            base = self.steps[0]
            control = self._compared([(base, ON_POLICY), (base, AGAIN)], (0, 1), measure, "end", match)
            same_text = self.judged(steps, corpus=PROBE, measure=measure, over=over)
        return Changes(found, control, same_text, steps, corpus, measure, over, tuple(match), role_F)

    def judged(
        self,
        steps: Sequence[int],
        *,
        corpus: str = ON_POLICY,
        measure: str = "strength",
        over: str = "end",
        match: Sequence[str] = (),
    ) -> dict[str, Judged]:
        """What `changes` tells of each bucket, without what stands beside it."""
        if corpus not in (ON_POLICY, PROBE):
            raise BadInput(f"corpus must be {ON_POLICY} or {PROBE}; got {corpus!r}")
        return self._compared([(step, corpus) for step in steps], steps, measure, over, match)

    def _compared(
        self, which: Sequence[tuple[int, str]], steps: Sequence[int], measure: str, over: str, match: Sequence[str]
    ) -> dict[str, Judged]:
        contrasts = {"end": end_less_start, "slope": lambda _: slope(np.array(steps))}
        if over not in contrasts or measure not in MEASURES or set(match) - set(MATCHED):
            raise BadInput(
                f"over must be end or slope, measure one of {', '.join(MEASURES)}, match some of {', '.join(MATCHED)}; "
                f"got {over!r}, {measure!r} and {list(match)}"
            )
        contrast_T, found = contrasts[over](len(steps)), {}
        for bucket, prompts in self.prompts.items():
            tables = (self.grouped(*one) for one in which)
            found[bucket] = summed(tables, bucket, prompts, measure, match).judged(contrast_T)
        return found

    def strengths(self, step: int, *, corpus: str = ON_POLICY, measure: str = "strength") -> dict[str, np.ndarray]:
        """Of every latent at a checkpoint, by bucket. A height is NaN where the latent is never on."""
        if measure not in MEASURES:
            raise BadInput(f"measure must be one of {', '.join(MEASURES)}; got {measure!r}")
        table, found = self.grouped(step, corpus), {}
        for bucket in self.buckets:
            rows = [row for row, key in enumerate(table.keys) if key[0] == bucket]
            active_F, mass_F = table.active_RF[rows].sum(0), table.mass_RF[rows].sum(0)
            tokens = table.tokens_R[rows].sum().clamp(min=1)
            found[bucket] = ratio(measure, active=active_F, mass=mass_F, tokens=tokens).double().numpy()
        return found

    def profile(
        self,
        *,
        by: str,
        latents: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
        corpus: str = ON_POLICY,
        buckets: Sequence[str] | None = None,
    ) -> "pl.DataFrame":
        """Where latents are on. `by` is "role", "place" or "outcome": of each step, bucket, one of these and latent,
        how many tokens there are, and its rate, strength and height at them. What is not named is all there is; a few
        latents cost little, of however many."""
        return profiled(self, by, latents, steps, corpus, buckets)

    def drift(self, trust: Trust | None = None) -> Drift:
        readings = [self.reading(step, corpus) for step in self.steps for corpus in (ON_POLICY, PROBE)]
        fitted_on = None if self.fitted_on is None else tuple(self.fitted_on)
        return drift_of(readings, trust or Trust(), self.buckets, fitted_on=fitted_on)

    def table(self, **asked: Any) -> "pl.DataFrame":
        """How many latents were strengthened, weakened, unchanged, by bucket, and with roles= by role; as many where
        nothing changed; and as many on the same text."""
        changes = self.changes(**asked)
        return changes.counts() if changes.role_F is None else changes.by_role()

    def figure(
        self, *, corpus: str = ON_POLICY, measure: str = "strength", latents: int = 2, roles: "Roles | None" = None
    ) -> "go.Figure":
        """The latents that changed most surely in each bucket, checkpoint by checkpoint; with `roles`, beside each what
        it is for."""
        from interp.tracking.picture import drawn

        expect_roles_of(roles, self.made_from["tsae"])
        if len(self.steps) < 2:
            raise BadInput(f"{self.path}: expected two checkpoints at least to draw a change, got {len(self.steps)}")
        return drawn(self, corpus=corpus, measure=measure, latents=latents, roles=roles)
