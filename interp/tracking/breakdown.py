"""Where latents are active: by role of the token, by its position, by outcome of the rollout.

These are sums over tokens, not kept prompt by prompt, so there are no intervals. Whether a latent changed is a question
for `Tracks.changes`; where it is active, for `Tracks.breakdown`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from interp.activations.documents import STORED_ROLES
from interp.artifacts import BadInput
from interp.tracking.activation_sums import ActivationSums
from interp.tracking.layout import OUTCOMES
from interp.tracking.measures import MEASURES, measure_from_sums

BREAKDOWN_TABLES = {"role": "roles", "position": "positions", "outcome": "roles"}
"""The properties by which latents can be broken down, and the table that has each."""
_SORT_KEYS: dict[str, Callable[[Any], int]] = {
    "role": STORED_ROLES.index,
    "position": int,
    "outcome": OUTCOMES.index,
}


def expect_breakdown(by: str) -> None:
    if by not in BREAKDOWN_TABLES:
        raise BadInput(f"by must be one of {', '.join(BREAKDOWN_TABLES)}; got {by!r}")


def breakdown_groups(table: ActivationSums, by: str, bucket: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each role, position or outcome in a bucket, in order, with its tokens and the measures of every latent there."""
    in_bucket_R, group_R = table.column("bucket") == bucket, table.column(by)
    for group in sorted(set(group_R[in_bucket_R].tolist()), key=_SORT_KEYS[by]):
        rows = (in_bucket_R & (group_R == group)).nonzero()[0]
        tokens = table.tokens_R[rows].sum()
        active_F, total_F = (sums_RF[rows].sum(0).double() for sums_RF in (table.active_RF, table.sum_RF))
        values = {
            measure: measure_from_sums(measure, tokens=tokens, active=active_F, total=total_F).numpy()
            for measure in MEASURES
        }
        yield position_label(group) if by == "position" else group, {"tokens": int(tokens), **values}


def sort_groups(by: str, groups: Iterable[str]) -> list[str]:
    """Names of roles, positions or outcomes, as in a breakdown, in its order."""
    if by == "position":
        return sorted(groups, key=lambda label: int(label.split("-")[0]))
    return sorted(groups, key=_SORT_KEYS[by])


def position_label(position: int) -> str:
    """The tokens of a bin of positions, "8-15" for bin 3. The first token of a completion is at 1."""
    first, last = 2**position, 2 ** (position + 1) - 1
    return str(first) if first == last else f"{first}-{last}"
