"""Data shipped with the package: the base organism and the adversarial tables."""

from pathlib import Path

from interp.artifacts.errors import BadInput

PACKAGE = Path(__file__).parent.parent


def package_data(name: str) -> Path:
    """The path of the shipped file or directory `name`: inside the package in a wheel, in `data/` of a checkout."""
    places = (PACKAGE / "data" / name, PACKAGE.parent / "data" / name)
    for place in places:
        if place.exists():
            return place
    raise BadInput(f"expected {places[0]} or {places[1]}, got neither: install interp again")
