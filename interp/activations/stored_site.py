"""Where the activations of a store come from: the residual after each block, or another site of it."""

from dataclasses import dataclass
from typing import Any

from interp.artifacts import from_json
from interp.policy.site import RESID_POST, Site, expect_kind


@dataclass(frozen=True)
class StoredSite:
    """The kind of site of all layers of a store. Stores of earlier versions hold residuals after blocks."""

    kind: str = RESID_POST
    norms_after: bool | None = None
    """Whether a norm lies between a module and the residual, so that `mlp_out` is not `mlp`. None: not known."""

    def is_same(self, own: Site, other: Site) -> bool:
        """Whether two sites hold the same activations, as far as is known."""
        own, other = own.canonical, other.canonical
        return own == other or (self.norms_after is False and own.added == other.added)


def parse_stored_site(entry: Any) -> StoredSite:
    """The site of a store from its manifest, which has none for residuals after blocks."""
    site = StoredSite() if entry is None else from_json(StoredSite, entry)
    expect_kind(site.kind)
    return site
