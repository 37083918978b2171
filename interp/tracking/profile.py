"""Where in its answers a policy has a latent on: by what a token does, by how far on it is, by how the answer ended.

Sums over tokens and no more: what is told by role and by place was not kept prompt by prompt, so there is nothing to
draw an interval from. Whether a latent has changed is told by `Tracks.changes`; where it is on, by this.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput
from interp.rollouts.harvest import STORED_ROLES
from interp.tracking.grouped import Grouped
from interp.tracking.measures import MEASURES, ratio
from interp.tracking.reading import OUTCOMES

if TYPE_CHECKING:
    import polars as pl

    from interp.tracking.tracks import Tracks

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
