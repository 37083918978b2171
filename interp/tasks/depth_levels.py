"""Depths in named levels: which depths a task has, which level each belongs to, and the depth of a problem by index."""

from collections.abc import Mapping, Sequence

from interp.artifacts import BadInput

DepthsOfLevel = Mapping[str, Sequence[int]]
"""The depths of each level, easiest level first."""


def expect_levels(depths: tuple[int, int], depths_of_level: DepthsOfLevel) -> None:
    """Refuse depths out of order, and levels that share a depth or hold one that the task does not have."""
    low, high = depths
    if not 1 <= low <= high:
        raise BadInput(f"depths must be (smallest, largest) with 1 <= smallest <= largest; got {depths}")
    listed = [depth for of_level in depths_of_level.values() for depth in of_level]
    if len(set(listed)) < len(listed):
        groups = ", ".join(f"{level} {of_level}" for level, of_level in depths_of_level.items())
        raise BadInput(f"a depth belongs to one level; got {groups}")
    for level, of_level in depths_of_level.items():
        if outside := [depth for depth in of_level if not low <= depth <= high]:
            raise BadInput(f"{level} must hold depths from {low} to {high}; got {outside}")


def depth_at(level: int | str | None, index: int, depths: tuple[int, int], depths_of_level: DepthsOfLevel) -> int:
    """The depth of the problem at `index` of a level: the level itself if it is a depth, its depths in turn if it is a
    name, all depths in turn if it is None."""
    low, high = depths
    if level is None:
        return low + index % (high - low + 1)
    if isinstance(level, int):
        if not low <= level <= high:
            raise BadInput(f"depth must lie between {low} and {high}; got {level}")
        return level
    if not (of_level := depths_of_level.get(level)):
        names = ", ".join(name for name, listed in depths_of_level.items() if listed) or "(none)"
        raise BadInput(f"level must be a depth or one of {names}; got {level!r}")
    return of_level[index % len(of_level)]


def level_of(depth: int, depths_of_level: DepthsOfLevel) -> str | None:
    """The level that a depth belongs to; None if it belongs to none."""
    return next((level for level, depths in depths_of_level.items() if depth in depths), None)
