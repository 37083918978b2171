"""Which layer, site and policies a dictionary belongs to, and whether a store fits it."""

from collections.abc import Mapping

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.policy.site import site_of
from interp.tsae.dictionary import TSAE


def resolve_layer(tsae: TSAE, layer: int | None) -> int:
    """The dictionary's layer, or `layer` if the dictionary has none. Two that differ are refused, and so is a
    dictionary of a place that cannot be read."""
    tsae.at(0)
    if layer is not None and tsae.layer not in (None, layer):
        raise Mismatch(
            f"expected a dictionary of layer {layer}, got one of layer {tsae.layer}: leave layer out, or fit one there"
        )
    resolved = layer if tsae.layer is None else tsae.layer
    if resolved is None:
        raise BadInput("the dictionary does not say its layer: expected a layer, got none (layer=, --layer)")
    return resolved


def reader_fingerprints(store: Store) -> dict[str, str]:
    """The fingerprint of each `policy-<step>` whose residuals are in the store. Policies that only wrote the text are
    left out. All of `made_from`, if the documents do not say their reader."""
    if "reader" not in store.documents.columns:
        return store.made_from
    readers = sorted(set(store.documents["reader"].to_list()))
    return {name: store.made_from[name] for step in readers if (name := f"policy-{step}") in store.made_from}


def expect_shared_policy(tsae: TSAE, made_from: Mapping[str, str], holder: str) -> None:
    """Refuse a `holder` (a store or a series) that has none of the policies the dictionary was fitted on. `made_from`
    gives the fingerprint of each of its `policy-<step>`."""
    if unrelated := tsae.unrelated_policies(made_from):
        raise Mismatch(
            f"the dictionary was fitted on other weights: expected some of {unrelated[0]} in the {holder}, got "
            f"{unrelated[1]}: fit one on this {holder}, or accept any policy (allow_unrelated_policies, "
            "--allow-unrelated-policies)"
        )


def expect_matching_store(tsae: TSAE, store: Store, *, layer: int | None, allow_unrelated_policies: bool) -> int:
    """The layer of the store to measure the dictionary on. A store without that layer, of another dimension, or (unless
    `allow_unrelated_policies`) of other policies than the dictionary's is refused."""
    site = site_of(tsae.at(resolve_layer(tsae, layer)))
    layer_in_store = store.layer_of(site)
    if layer_in_store is None or tsae.d_model != store.d_model:
        sites = ", ".join(str(store.site_of(each)) for each in store.layers)
        raise Mismatch(
            f"{store.path}: expected activations of layer {site} and dimension {tsae.d_model}, as the dictionary's; "
            f"got layers {sites} and dimension {store.d_model}: collect that layer (interp collect --hook "
            f"{site.hook_name})"
        )
    if not allow_unrelated_policies:
        expect_shared_policy(tsae, reader_fingerprints(store), "store")
    return layer_in_store
