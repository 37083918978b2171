"""Where in its answers a policy has a latent on: by what a token does, by how far on it is, by how the answer ended.

Sums over tokens and no more: what is told by role and by place was not kept prompt by prompt, so there is nothing to
draw an interval from. Whether a latent has changed is told by `Tracks.changes`; where it is on, by this.

The tracks of a dictionary's latents through a series: what was read, opened again, and asked for changes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.activations.documents import STORED_ROLES
from interp.artifacts import BadInput, read_manifest
from interp.bootstrap import end_less_start, slope
from interp.tracking.activation_sums import OUTCOMES, Grouped, Reading, table_at
from interp.tracking.changes import MATCHED, MEASURES, Changes, Judged, ratio, summed
from interp.tracking.config import AGAIN, ON_POLICY, PROBE
from interp.tracking.drift import Drift, Trust, drift_of
from interp.tracking.provenance import expect_roles_of

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from interp.features import Roles


TOLD_BY = {"role": "roles", "place": "places", "outcome": "roles"}
"""What latents can be told by, and the table that has it."""
_ORDER: dict[str, Callable[[Any], int]] = {"role": STORED_ROLES.index, "place": int, "outcome": OUTCOMES.index}


def profiled(
    tracks: "Tracks",
    by: str,
    latents: Sequence[int] | None,
    steps: Sequence[int] | None,
    corpus: str,
    buckets: Sequence[str] | None,
) -> "pl.DataFrame":
    import polars as pl

    buckets = tracks.buckets if buckets is None else buckets
    if by not in TOLD_BY or set(buckets) - set(tracks.buckets):
        raise BadInput(
            f"by must be one of {', '.join(TOLD_BY)}, buckets some of {', '.join(tracks.buckets)}; got {by!r} and "
            f"{list(buckets)}"
        )
    latents = None if latents is None else tuple(dict.fromkeys(latents))
    schema = {"step": pl.Int64, "bucket": pl.String, by: pl.String, "latent": pl.Int64, "tokens": pl.Int64}
    schema |= dict.fromkeys(MEASURES, pl.Float64)
    parts = [pl.DataFrame(schema=schema)]
    for step in tracks.steps if steps is None else steps:
        table = tracks.grouped(step, corpus, TOLD_BY[by], latents)
        shown = range(table.width) if latents is None else latents
        for bucket in buckets:
            for name, told in _groups(table, by, bucket):
                parts.append(pl.DataFrame({"step": step, "bucket": bucket, by: name, "latent": shown, **told}, schema))
    return pl.concat(parts).fill_nan(None)


def in_order(by: str, groups: Iterable[str]) -> list[str]:
    """As they are named in a profile, in the order in which they come in an answer, or are told in."""
    if by == "place":
        return sorted(groups, key=lambda place: int(place.split("-")[0]))
    return sorted(groups, key=_ORDER[by])


def octave_in_words(octave: int) -> str:
    """Which places it holds. The first token that was written is at 1."""
    first, last = 2**octave, 2 ** (octave + 1) - 1
    return str(first) if first == last else f"{first}-{last}"


def _groups(table: Grouped, by: str, bucket: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """In the order in which they come, or are named."""
    held_R, told_R = table.column("bucket") == bucket, table.column(by)
    for group in sorted(set(told_R[held_R].tolist()), key=_ORDER[by]):
        rows = (held_R & (told_R == group)).nonzero()[0]
        tokens = table.tokens_R[rows].sum()
        active_F, mass_F = (held_RF[rows].sum(0).double() for held_RF in (table.active_RF, table.mass_RF))
        found = {m: ratio(m, active=active_F, mass=mass_F, tokens=tokens).numpy() for m in MEASURES}
        yield octave_in_words(group) if by == "place" else group, {"tokens": int(tokens), **found}


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
        from interp.tracking.plots import plot_tracks

        expect_roles_of(roles, self.made_from["tsae"])
        if len(self.steps) < 2:
            raise BadInput(f"{self.path}: expected two checkpoints at least to draw a change, got {len(self.steps)}")
        return plot_tracks(self, corpus=corpus, measure=measure, latents=latents, roles=roles)
