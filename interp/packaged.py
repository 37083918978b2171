"""Data that travel with the package: beside it in a wheel, at the top of a checkout."""

from pathlib import Path

from interp.artifacts import BadInput


def packaged(name: str) -> Path:
    package = Path(__file__).parent
    places = (package / "data" / name, package.parent / "data" / name)
    for place in places:
        if place.exists():
            return place
    raise BadInput(f"expected {places[0]} or {places[1]}, got neither: install interp again")
