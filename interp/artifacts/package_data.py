"""Data that come with the package: the shipped organism and the adversarial tables."""

from pathlib import Path

from interp.artifacts.errors import BadInput

PACKAGE = Path(__file__).parent.parent


def package_data(name: str) -> Path:
    """The path of `name`: inside the package in a wheel, in `data/` at the top of a checkout."""
    places = (PACKAGE / "data" / name, PACKAGE.parent / "data" / name)
    for place in places:
        if place.exists():
            return place
    raise BadInput(f"expected {places[0]} or {places[1]}, got neither: install interp again")
