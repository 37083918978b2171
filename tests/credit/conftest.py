"""Role families of the tests of credit."""

from collections.abc import Iterator

import pytest

from interp.features import ROLE_FAMILIES

TESTED = ("computation", "reasoning", "shortcut", "format")


@pytest.fixture(autouse=True)
def tested_families() -> Iterator[None]:
    """Limit the table to the families whose roles these tests make up: no latent here has a role of another, and
    credit would warn of that."""
    table = dict(ROLE_FAMILIES)
    for name in table.keys() - set(TESTED):
        del ROLE_FAMILIES[name]
    yield
    ROLE_FAMILIES.clear()
    ROLE_FAMILIES.update(table)
